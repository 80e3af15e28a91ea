"""What a prepared set is known by: the bytes of its sources, its parameters, its training cases; no
place and no clock.
"""

import gzip
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from nifti_toys import asymmetric, blocks, dataset_of, save
from test_cache import SMALL, arrays

from trials.data.datasets.registry import Case, Dataset
from trials.data.prepared.cache import open_cache, prepare_dataset
from trials.data.prepared.native_grid import native_labels
from trials.records.spec import Cube

TRAIN = Cube(edge=8, clip_hu=(200.0, 900.0), normalise="train")


def test_the_digest_depends_on_content_alone(tmp_path):
    dataset = dataset_of(tmp_path / "data")
    shutil.copytree(tmp_path / "data", tmp_path / "elsewhere")
    moved = dataset_of(tmp_path / "elsewhere")
    for case in moved.cases:
        os.utime(case.image, (1, 1))

    here = open_cache(prepare_dataset(dataset, SMALL, tmp_path / "a", workers=1))
    there = open_cache(prepare_dataset(moved, SMALL, tmp_path / "b", workers=1))
    other = open_cache(prepare_dataset(dataset, replace(SMALL, edge=16), tmp_path / "a", workers=1))

    assert here.digest == there.digest
    assert here.digest != other.digest


def test_a_moved_data_set_is_recognised_by_its_bytes_and_found_at_its_new_place(tmp_path):
    first = prepare_dataset(dataset_of(tmp_path / "data"), SMALL, tmp_path / "cache", workers=1)
    before = arrays(first.parent)
    (tmp_path / "data").rename(tmp_path / "moved")
    cases = tuple(
        Case(
            case=folder.name, image=folder / "imaging.nii.gz", labels=folder / "segmentation.nii.gz"
        )
        for folder in sorted((tmp_path / "moved").iterdir())
    )
    moved = Dataset(
        name="phantoms",
        root=tmp_path / "moved",
        classes=("background", "kidney", "tumor", "cyst"),
        cases=cases,
    )

    second = prepare_dataset(moved, SMALL, tmp_path / "cache", workers=1)

    assert second == first
    assert arrays(second.parent) == before
    assert native_labels(open_cache(second).cases["case_00001"]).shape == (11, 14, 9)


def test_a_changed_source_is_prepared_again_and_the_old_set_stays_as_it_was(tmp_path):
    dataset = dataset_of(tmp_path / "data")
    old = open_cache(prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1))
    old_image = np.array(old.image("case_00001"))
    save(dataset.cases[1].image, asymmetric(seed=77))

    new = open_cache(prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1))

    assert new.digest != old.digest
    assert not np.array_equal(new.image("case_00001"), old_image)
    assert np.array_equal(old.image("case_00001"), old_image)
    assert new.cases["case_00000"] == old.cases["case_00000"]


def test_a_touched_source_with_the_same_bytes_changes_nothing(tmp_path):
    dataset = dataset_of(tmp_path / "data")
    folder = prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1)
    before = arrays(folder.parent)
    os.utime(dataset.cases[0].image, (1, 1))

    assert prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1) == folder
    assert arrays(folder.parent) == before


def test_train_statistics_come_from_the_training_cases_alone(tmp_path):
    dataset = dataset_of(tmp_path / "data", 4)
    train = ("case_00000", "case_00002")
    voxels = np.concatenate(
        [asymmetric(seed=seed).clip(200, 900)[blocks(seed=seed) > 0] for seed in (0, 2)]
    )

    cache = open_cache(prepare_dataset(dataset, TRAIN, tmp_path / "cache", train=train, workers=1))
    save(dataset.cases[3].image, asymmetric(seed=3) + 200)
    poisoned = open_cache(
        prepare_dataset(dataset, TRAIN, tmp_path / "cache", train=train, workers=1)
    )

    assert cache.statistics[0].mean == pytest.approx(voxels.mean(), rel=1e-5)
    assert cache.statistics[0].sd == pytest.approx(voxels.std(), rel=1e-5)
    assert poisoned.statistics == cache.statistics
    assert {record.mean for record in cache.cases.values()} == {(cache.statistics[0].mean,)}


def test_other_training_cases_make_other_data(tmp_path):
    dataset = dataset_of(tmp_path / "data")

    digests = {
        open_cache(
            prepare_dataset(dataset, TRAIN, tmp_path / "cache", train=train, workers=1)
        ).digest
        for train in (("case_00000",), ("case_00001",), ("case_00000", "case_00001"))
    }

    assert len(digests) == 3


@pytest.mark.parametrize(
    ("train", "word"),
    [((), "needs the training cases"), (("case_00009",), "does not hold: case_00009")],
)
def test_a_train_preparation_asks_for_training_cases_of_the_data_set(tmp_path, train, word):
    with pytest.raises(ValueError, match=word):
        prepare_dataset(
            dataset_of(tmp_path / "data", 2), TRAIN, tmp_path / "cache", train=train, workers=1
        )


def test_a_recompressed_file_counts_as_other_data(tmp_path):
    dataset = dataset_of(tmp_path / "data", 1)
    first = open_cache(prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1))
    image = dataset.cases[0].image
    image.write_bytes(gzip.compress(gzip.decompress(image.read_bytes()), 1, mtime=5))

    second = open_cache(prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1))

    assert np.array_equal(first.image("case_00000"), second.image("case_00000"))
    assert first.digest != second.digest
