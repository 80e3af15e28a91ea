"""The cache: made once, continued where it stopped, made anew where a source changed, and the same
on every machine.
"""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from nifti_toys import IPL, asymmetric, blocks, dataset_of, save, turned

from trials.data.batches.occurrence import slice_class_voxels
from trials.data.datasets.label_set import LabelSet
from trials.data.datasets.registry import Case, Dataset, split_cases
from trials.data.prepared.cache import open_cache, prepare_dataset
from trials.data.prepared.case_checks import Rules
from trials.data.prepared.native_grid import native_labels, to_file_axes
from trials.data.prepared.preprocess import prepare_case
from trials.records.spec import Cube
from trials.storage.atomic import fingerprint

SMALL = Cube(edge=8)


def written(folder):
    """Every file below a folder, with its bytes and when it was written."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in files
    }


def arrays(folder):
    return {name: content for name, content in written(folder).items() if name.endswith(".npy")}


def test_a_prepared_case_is_what_prepare_case_gives(tmp_path):
    dataset = dataset_of(tmp_path / "data")
    case = dataset.cases[1]

    cache = open_cache(prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1))

    prepared = prepare_case(case, Rules(classes=dataset.classes), SMALL)
    record = cache.cases[case.case]
    assert np.array_equal(cache.image(case.case), prepared.image)
    assert np.array_equal(cache.labels(case.case), prepared.labels)
    assert (cache.image(case.case).dtype, cache.labels(case.case).dtype) == (np.float16, np.uint8)
    assert (cache.channels, cache.image(case.case).shape) == (1, (1, 8, 8, 8))
    assert record.class_voxels == tuple(np.bincount(blocks(seed=1).ravel(), minlength=4))
    assert record.cube_class_voxels == tuple(np.bincount(prepared.labels.ravel(), minlength=4))
    assert (record.shape, record.spacing_mm) == ((11, 14, 9), pytest.approx((3, 2, 1.5)))
    assert (cache.classes, cache.preparation) == (dataset.classes, SMALL)
    assert list(cache.cases) == [case.case for case in dataset.cases]


def test_maps_cannot_be_written(tmp_path):
    cache = open_cache(
        prepare_dataset(dataset_of(tmp_path / "data", 1), SMALL, tmp_path / "cache", workers=1)
    )

    with pytest.raises(ValueError, match="read-only"):
        cache.image("case_00000")[0] = 0


def test_a_second_run_keeps_every_cube_and_record_as_it_is(tmp_path):
    dataset = dataset_of(tmp_path / "data")
    first = prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1)
    before = written(first.parent / "cases")

    assert prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1) == first
    assert written(first.parent / "cases") == before


def test_two_processes_write_the_bytes_that_one_writes(tmp_path):
    dataset = dataset_of(tmp_path / "data")

    one = prepare_dataset(dataset, SMALL, tmp_path / "one", workers=1)
    two = prepare_dataset(dataset, SMALL, tmp_path / "two", workers=2)

    assert {name: content for name, (content, _) in written(one).items()} == {
        name: content for name, (content, _) in written(two).items()
    }
    assert [content for content, _ in arrays(one.parent).values()] == [
        content for content, _ in arrays(two.parent).values()
    ]


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    dataset = dataset_of(tmp_path / "data", 5)

    def stop_after_two(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1, on_case=stop_after_two)
    half_way = arrays(tmp_path / "cache")
    folder = prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1)

    assert len(half_way) == 4
    assert half_way.items() <= arrays(folder.parent.parent).items()
    assert len(arrays(folder.parent)) == 10


@pytest.mark.parametrize("damage", ["flip a bit", "cut", "remove", "spoil the record"])
def test_a_damaged_cube_is_made_anew(tmp_path, damage):
    dataset = dataset_of(tmp_path / "data", 2)
    folder = prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1)
    sound = {name: content for name, (content, _) in arrays(folder.parent).items()}
    victim = next((folder.parent / "cases").glob("case_00001-*.image.npy"))
    content = bytearray(victim.read_bytes())
    content[-5] ^= 4
    match damage:
        case "flip a bit":
            victim.write_bytes(content)
        case "cut":
            victim.write_bytes(content[:-1])
        case "remove":
            victim.unlink()
        case "spoil the record":
            (folder.parent / "cases" / "case_00001.json").write_text("{")

    prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1)

    assert {name: content for name, (content, _) in arrays(folder.parent).items()} == sound


def test_a_part_of_the_cases_shares_the_cubes_and_has_a_digest_of_its_own(tmp_path):
    dataset = dataset_of(tmp_path / "data")
    whole = prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1)
    before = arrays(whole.parent)

    part = prepare_dataset(
        replace(dataset, cases=dataset.cases[:2]), SMALL, tmp_path / "cache", workers=1
    )

    assert part.parent == whole.parent
    assert part != whole
    assert arrays(part.parent) == before
    assert list(open_cache(part).cases) == ["case_00000", "case_00001"]
    assert len(open_cache(whole).cases) == 3


@pytest.mark.parametrize("workers", [1, 2])
def test_all_faulty_cases_are_named_at_once_and_the_sound_ones_are_kept(tmp_path, workers):
    dataset = dataset_of(tmp_path / "data", 5)
    stream = dataset.cases[0].image.read_bytes()
    dataset.cases[0].image.write_bytes(stream[: len(stream) // 2])
    save(dataset.cases[1].labels, blocks((10, 14, 9)))
    wrong = blocks()
    wrong[0, 0, 0] = 9
    save(dataset.cases[2].labels, wrong)
    dataset.cases[3].image.unlink()
    calls = []

    with pytest.raises(ValueError, match="4 of 5 cases") as caught:
        prepare_dataset(
            dataset,
            SMALL,
            tmp_path / "cache",
            workers=workers,
            on_case=lambda *numbers: calls.append(numbers),
        )

    message = str(caught.value)
    assert "\n" not in message
    for case, word in enumerate(("ends early", "10x14x9", "got 9", "is missing")):
        assert f"case_{case:05d}: " in message
        assert word in message
    assert calls == [(done, 5) for done in range(1, 6)]
    assert len(arrays(tmp_path / "cache")) == 2


@pytest.mark.parametrize("codes", ["IPL", "RAS", "LPS", "SAR", "PIL"])
def test_native_labels_go_to_the_patients_axes_and_back_to_the_files(tmp_path, codes):
    image, affine = turned(asymmetric(), IPL, codes)
    labels, _ = turned(blocks(), IPL, codes)
    case = Case(
        case="case_00000",
        image=save(tmp_path / "image.nii.gz", image, affine),
        labels=save(tmp_path / "labels.nii.gz", labels, affine),
    )
    dataset = Dataset(
        name="phantoms", root=tmp_path, classes=("background", "a", "b", "c"), cases=(case,)
    )
    record = open_cache(prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1)).cases[
        "case_00000"
    ]

    native = native_labels(record)

    assert np.array_equal(native, blocks())
    assert np.array_equal(to_file_axes(record, native), labels)
    assert record.file_shape == labels.shape
    assert record.shape == (11, 14, 9)
    assert np.allclose(record.affine, affine)


def test_a_file_that_changes_while_it_is_prepared_is_recorded_with_the_bytes_that_were_read(
    tmp_path, monkeypatch
):
    dataset = dataset_of(tmp_path / "data", 1)
    (case,) = dataset.cases

    def prepared_late(*given):
        save(case.image, asymmetric(seed=7))
        return prepare_case(*given)

    monkeypatch.setattr("trials.data.prepared.case_store.prepare_case", prepared_late)
    cache = open_cache(prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1))

    assert cache.cases[case.case].images[0].digest == fingerprint(case.image)
    assert np.array_equal(
        cache.image(case.case), prepare_case(case, Rules(classes=dataset.classes), SMALL).image
    )


def test_a_mask_that_changed_since_is_not_scored_against(tmp_path):
    dataset = dataset_of(tmp_path / "data", 1)
    cache = open_cache(prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1))
    save(dataset.cases[0].labels, blocks(seed=5))

    with pytest.raises(ValueError, match=r"segmentation.nii.gz has changed since it was prepared"):
        native_labels(cache.cases["case_00000"])


def test_the_cache_can_be_split_without_the_source_files(tmp_path):
    dataset = dataset_of(tmp_path / "data", 11)
    cache = open_cache(prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1))
    shutil.rmtree(tmp_path / "data")

    assert split_cases(cache.dataset, "sequential", 0) == split_cases(dataset, "sequential", 0)


@pytest.mark.parametrize("text", [None, "{", "{}"])
def test_a_folder_without_a_sound_manifest_is_no_cache(tmp_path, text):
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)

    with pytest.raises(ValueError, match=r"prepare (it first|the data set again)"):
        open_cache(tmp_path)


def test_what_a_killed_process_left_is_swept_once_it_is_old(tmp_path):
    dataset = dataset_of(tmp_path / "data", 1)
    cases = prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1).parent / "cases"
    old, young = (
        cases / ".case_00000.image.npy.a1b2.unfinished",
        cases / ".case_00000.image.npy.c3d4.unfinished",
    )
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))

    prepare_dataset(dataset, SMALL, tmp_path / "cache", workers=1)

    assert not old.exists()
    assert young.exists()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slice_counts_are_those_of_each_slice(axis):
    labels = blocks((8, 8, 8))

    counts = slice_class_voxels(labels, LabelSet(classes=tuple("abcde")), axis)

    assert counts.dtype == np.int64
    expected = [
        np.bincount(plane.ravel(), minlength=5).tolist() for plane in np.moveaxis(labels, axis, 0)
    ]
    assert counts.tolist() == expected
    # The label after three classes marks ignored voxels.
    ignoring = slice_class_voxels(labels, LabelSet(classes=tuple("abc"), has_ignore=True), axis)
    assert ignoring.tolist() == [row[:3] for row in expected]
