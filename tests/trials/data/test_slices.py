"""Slices across each axis, as views and as files."""

import numpy as np
import pytest
from nifti_toys import dataset_of

from trials.data.cache import open_cache, prepare_dataset
from trials.data.slices import export_slices, slices
from trials.spec import Preparation


@pytest.mark.parametrize(("axis", "shape"), [("axial", (2, 3, 4)), ("coronal", (3, 2, 4)), ("sagittal", (4, 2, 3))])
def test_slices_are_a_view_across_the_named_axis(axis, shape):
    volume = np.arange(24).reshape(2, 3, 4)

    stack = slices(volume, axis)

    assert stack.shape == shape
    assert np.shares_memory(stack, volume)


def test_an_unknown_axis_is_told_the_known_ones():
    with pytest.raises(ValueError, match="did you mean 'axial'"):
        slices(np.zeros((2, 2, 2)), "axail")


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
def test_exported_slices_stack_up_to_the_cubes(tmp_path, axis):
    cache = open_cache(prepare_dataset(dataset_of(tmp_path / "data", 2), Preparation(cube=8), tmp_path / "cache", workers=1))
    calls = []

    export_slices(cache, tmp_path / "out", axis, lambda *numbers: calls.append(numbers))

    names = sorted(path.name for path in (tmp_path / "out" / axis / "images").iterdir())
    assert names == [f"case_{case:05d}_slice_{number:03d}.npy" for case in range(2) for number in range(8)]
    for kind, dtype, cube in (
        ("images", np.float32, cache.image("case_00001")),
        ("masks", np.uint8, cache.labels("case_00001")),
    ):
        stack = [np.load(tmp_path / "out" / axis / kind / name) for name in names[8:]]
        assert stack[0].dtype == dtype
        assert np.array_equal(np.stack(stack), slices(cube, axis))
    assert calls == [(1, 2), (2, 2)]
