"""New scans in every layout, and the places that hold none."""

import pytest

from trials.data.datasets.scans import find_scans

LAYOUTS = {
    "a.nii.gz": (["a.nii.gz"], ["a"]),
    "folder": (["b.nii", "a_0001.nii.gz", ".c.nii", "notes.txt"], ["a_0001", "b"]),
    "nnU-Net": (["a_0000.nii.gz", "b.c_0000.nii.gz"], ["a", "b.c"]),
    "root": (["dataset.json", "imagesTs/a_0000.nii.gz", "labelsTr/b.nii.gz"], ["a"]),
    "Decathlon/imagesTs": (["liver_1.nii.gz"], ["liver_1"]),
    "KiTS": (["case_1/imaging.nii.gz", "case_1/segmentation.nii.gz", "x.nii"], ["case_1"]),
    "other formats": (
        ["a.nrrd", "b.mha", "c.mhd", "c.raw", "d.hdr", "d.img", "e.seg.nrrd"],
        ["a", "b", "c", "d", "e"],
    ),
    "case_2": (["imaging.nii.gz", "segmentation.nii.gz"], ["case_2"]),
}
NONE = {
    "empty": (["notes.txt"], "it is none of them"),
    "twice": (["a.nii", "a.nii.gz"], "holds a twice, as a.nii"),
    "imagesTs": (["a_0000.nii.gz", "a_0001.nii.gz"], "it holds a_0001.nii.gz too"),
}


def place_of(tmp_path, name, files):
    place = tmp_path / name
    for file in files:
        path = place if file == name else place / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return place


@pytest.mark.parametrize("layout", LAYOUTS)
def test_scans_of_a_layout_are_found_under_their_names(layout, tmp_path):
    files, names = LAYOUTS[layout]

    found = find_scans(place_of(tmp_path, layout, files), channels=1)

    assert [scan.case for scan in found] == names
    assert all(path.is_file() for scan in found for path in scan.images)


def test_the_channels_of_a_scan_are_its_files_in_order(tmp_path):
    files = [f"{case}_000{channel}.nii.gz" for case in "ba" for channel in (2, 0, 1)]

    a, b = find_scans(place_of(tmp_path, "three", files), channels=3)

    assert (a.case, b.case) == ("a", "b")
    assert [path.name for path in b.images] == [f"b_000{channel}.nii.gz" for channel in range(3)]


@pytest.mark.parametrize("layout", NONE)
def test_a_place_without_clear_scans_is_refused(layout, tmp_path):
    files, told = NONE[layout]

    with pytest.raises(ValueError, match=told):
        find_scans(place_of(tmp_path, layout, files), channels=1)


def test_a_place_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        find_scans(tmp_path / "nowhere", channels=1)
