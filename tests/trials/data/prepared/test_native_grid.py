"""Axial planes of a case's own image: those that were asked for, however its file lies."""

import numpy as np
import pytest
from nifti_toys import asymmetric, dataset_of, save, turned

from trials.data.nifti.volume import read_image, to_dhw
from trials.data.prepared.cache import open_cache, prepare_dataset
from trials.data.prepared.native_grid import native_planes
from trials.records.spec import Cube

WANTED = np.array([7, 0, 3, 10])


def record_of(place):
    cache = open_cache(
        prepare_dataset(dataset_of(place / "data", 1), Cube(edge=8), place / "cache", workers=1)
    )
    return cache.cases["case_00000"]


@pytest.mark.parametrize("codes", ["IPL", "SPL", "RAS", "LPS", "LIP", "ASR"])
def test_planes_are_those_of_the_whole_image_in_the_order_asked_for(tmp_path, codes):
    dataset = dataset_of(tmp_path / "data", 1)
    case = dataset.cases[0]
    for path in (case.image, case.labels):
        whole = read_image(path)
        save(
            path,
            *turned(
                whole.voxels.astype(np.uint8 if path == case.labels else np.int16),
                whole.affine,
                codes,
            ),
        )
    record = open_cache(
        prepare_dataset(dataset, Cube(edge=8), tmp_path / "cache", workers=1)
    ).cases[case.case]

    planes = native_planes(record, WANTED)

    whole = read_image(case.image)
    assert planes.dtype == np.float32
    assert np.array_equal(planes, to_dhw(whole.voxels, whole.affine)[WANTED])
    assert np.array_equal(planes, asymmetric()[WANTED])


def test_an_image_that_changed_since_it_was_prepared_is_refused(tmp_path):
    record = record_of(tmp_path)
    save(tmp_path / "data" / "case_00000" / "imaging.nii.gz", asymmetric(seed=5))

    with pytest.raises(
        ValueError,
        match=r"imaging\.nii\.gz has changed since it was prepared; prepare the data set again",
    ):
        native_planes(record, WANTED)
