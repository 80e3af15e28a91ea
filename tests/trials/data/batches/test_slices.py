"""Slices across each axis, as views and as files."""

import numpy as np
import pytest
from nifti_toys import dataset_of

from trials.data.batches.slices import export_slices, slices
from trials.data.prepared.cache import open_cache, prepare_dataset
from trials.records.spec import Cube


@pytest.mark.parametrize(
    ("axis", "shape"), [("axial", (2, 3, 4)), ("coronal", (3, 2, 4)), ("sagittal", (4, 2, 3))]
)
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
    cache = open_cache(
        prepare_dataset(
            dataset_of(tmp_path / "data", 2), Cube(edge=8), tmp_path / "cache", workers=1
        )
    )
    calls = []

    export_slices(cache, tmp_path / "out", axis, lambda *numbers: calls.append(numbers))

    names = sorted(path.name for path in (tmp_path / "out" / axis / "images").iterdir())
    assert names == [
        f"case_{case:05d}_slice_{number:03d}.npy" for case in range(2) for number in range(8)
    ]
    for kind, dtype, cube in (
        ("images", np.float32, cache.image("case_00001")[0]),
        ("masks", np.uint8, cache.labels("case_00001")),
    ):
        stack = [np.load(tmp_path / "out" / axis / kind / name) for name in names[8:]]
        assert stack[0].dtype == dtype
        assert np.array_equal(np.stack(stack), slices(cube, axis))
    assert calls == [(1, 2), (2, 2)]


def test_slices_of_another_prepared_set_do_not_mix_with_those_that_are_there(tmp_path):
    dataset = dataset_of(tmp_path / "data", 1)
    first, second = (
        open_cache(prepare_dataset(dataset, Cube(edge=n), tmp_path / "cache", workers=1))
        for n in (8, 9)
    )
    export_slices(first, tmp_path / "out")
    export_slices(first, tmp_path / "out", "sagittal")
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.npy")}

    with pytest.raises(
        ValueError,
        match=rf"holds slices of another prepared set, {first.digest}, not of {second.digest}; "
        r"name",
    ):
        export_slices(second, tmp_path / "out")

    assert len(written) == 2 * 2 * 8
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.npy")} == written


def test_slices_go_into_no_folder_of_other_files(tmp_path):
    cache = open_cache(
        prepare_dataset(
            dataset_of(tmp_path / "data", 1), Cube(edge=8), tmp_path / "cache", workers=1
        )
    )
    theirs = tmp_path / "out" / "axial" / "images" / "case_00000_slice_000.npy"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("of the user")

    with pytest.raises(
        ValueError,
        match=r"out must be missing or empty, or hold the slices.json of an earlier export; it "
        r"holds",
    ):
        export_slices(cache, tmp_path / "out")

    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [theirs]
    assert theirs.read_text() == "of the user"
