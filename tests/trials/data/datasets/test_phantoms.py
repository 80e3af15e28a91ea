"""Phantoms are reproducible to the byte, lie as KiTS23 cases lie, and hold what they claim."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from trials.data.datasets.phantoms.writing import VERSION, phantom, write_phantoms
from trials.storage.atomic import sha256

KIDNEY, TUMOR, CYST = 1, 2, 3


@pytest.fixture(scope="module")
def patients():
    return [phantom(number) for number in range(30)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("phantoms")
    write_phantoms(root, 3, seed=5)
    return root


def digests(root):
    return {str(path.relative_to(root)): sha256(path) for path in sorted(root.rglob("*.nii.gz"))}


def test_same_seed_writes_the_same_bytes(root, tmp_path):
    write_phantoms(tmp_path, 3, seed=5)

    assert digests(tmp_path) == digests(root)


def test_every_file_differs_under_another_seed(root, tmp_path):
    write_phantoms(tmp_path, 3, seed=6)

    assert all(digest != digests(root)[name] for name, digest in digests(tmp_path).items())


def test_packed_files_name_neither_the_clock_nor_the_file(root):
    headers = [path.read_bytes()[:8] for path in root.rglob("*.nii.gz")]

    # RFC 1952: magic, deflate, no optional field, a time of zero.
    assert headers == [b"\x1f\x8b\x08\x00\x00\x00\x00\x00"] * 6


def test_a_case_does_not_depend_on_how_many_are_written(root, tmp_path):
    write_phantoms(tmp_path, 1, seed=5)

    assert digests(tmp_path).items() < digests(root).items()


def test_all_cases_of_a_seed_differ(root):
    assert len(set(digests(root).values())) == 6


def test_the_folder_is_laid_out_as_kits23(root):
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    cases = [
        f"case_0000{i}/{name}"
        for i in range(3)
        for name in ("imaging.nii.gz", "segmentation.nii.gz")
    ]
    assert names == [*cases, "phantoms.json"]
    assert json.loads((root / "phantoms.json").read_text()) == {
        "num_cases": 3,
        "seed": 5,
        "version": VERSION,
        "complete": True,
    }


@pytest.mark.parametrize(("name", "dtype"), [("imaging", np.int16), ("segmentation", np.uint8)])
def test_files_return_the_phantom_unscaled(root, name, dtype):
    image, labels, spacing_mm = phantom(2, seed=5)

    volume = nib.load(root / "case_00002" / f"{name}.nii.gz")

    assert volume.get_data_dtype() == dtype
    assert (volume.dataobj.slope, volume.dataobj.inter) == (1, 0)
    np.testing.assert_array_equal(
        np.asarray(volume.dataobj), image if name == "imaging" else labels
    )
    assert volume.header.get_zooms() == spacing_mm


def test_affine_points_down_back_and_left_as_in_kits23(root):
    _, _, (dz, dy, dx) = phantom(0, seed=5)

    volume = nib.load(root / "case_00000" / "imaging.nii.gz")

    assert nib.aff2axcodes(volume.affine) == ("I", "P", "L")
    assert volume.affine[:3, :3].tolist() == [[0, 0, -dx], [0, -dy, 0], [-dz, 0, 0]]


def test_whole_cases_are_left_alone_and_torn_ones_mended(root, tmp_path):
    write_phantoms(tmp_path, 2, seed=5)
    kept, torn = (
        tmp_path / "case_00000" / "imaging.nii.gz",
        tmp_path / "case_00001" / "segmentation.nii.gz",
    )
    inode = kept.stat().st_ino
    torn.unlink()

    write_phantoms(tmp_path, 3, seed=5)

    assert kept.stat().st_ino == inode
    assert digests(tmp_path) == digests(root)


DAMAGE = {
    "empty": lambda content: b"",
    "cut": lambda content: content[:200],
    "junk": lambda content: b"junk" * 50,
    "flipped": lambda content: content[:40] + bytes([content[40] ^ 255]) + content[41:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_phantom_is_made_again_where_its_folder_is_known_to_be_ours(
    root, tmp_path, damage
):
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    victim = tmp_path / "case_00001" / "imaging.nii.gz"
    victim.write_bytes(damage(victim.read_bytes()))

    write_phantoms(tmp_path, 3, seed=5)

    assert digests(tmp_path) == digests(root)
    victim.write_bytes(damage(victim.read_bytes()))
    begun = {"num_cases": 3, "seed": 5, "version": VERSION, "complete": False}
    (tmp_path / "phantoms.json").write_text(json.dumps(begun))
    with pytest.raises(
        ValueError,
        match=rf"^{victim}: .*; choose another folder, or move {victim.parent} elsewhere$",
    ):
        write_phantoms(tmp_path, 3, seed=5)


def test_a_record_of_phantoms_that_is_no_json_is_named_with_the_way_out(tmp_path):
    (tmp_path / "phantoms.json").write_text("[" * 100_000)

    with pytest.raises(
        ValueError,
        match=r"phantoms.json is damaged \(its values are nested too deep\); if this folder holds "
        r"only phantoms",
    ):
        write_phantoms(tmp_path, 1)


def test_asking_for_fewer_cases_keeps_the_record_of_all(tmp_path):
    write_phantoms(tmp_path, 2)
    write_phantoms(tmp_path, 1)

    assert json.loads((tmp_path / "phantoms.json").read_text())["num_cases"] == 2


def test_phantoms_of_another_seed_are_refused(tmp_path):
    write_phantoms(tmp_path, 1, seed=0)
    before = digests(tmp_path)

    with pytest.raises(
        ValueError, match=r"phantoms.json: holds phantoms of seed 0, version \d+, not of seed 1"
    ):
        write_phantoms(tmp_path, 2, seed=1)
    assert digests(tmp_path) == before


def test_phantoms_of_another_version_are_refused(tmp_path):
    (tmp_path / "phantoms.json").write_text(
        json.dumps({"num_cases": 1, "seed": 0, "version": VERSION + 1})
    )

    with pytest.raises(
        ValueError, match=f"version {VERSION + 1}, not of seed 0, version {VERSION}"
    ):
        write_phantoms(tmp_path, 1)


@pytest.mark.parametrize(("num_cases", "seed"), [(0, 0), (1, -1), (100_001, 0)])
def test_counts_that_make_no_sense_are_refused(tmp_path, num_cases, seed):
    with pytest.raises(ValueError, match=f"got num_cases {num_cases}, seed {seed}"):
        write_phantoms(tmp_path, num_cases, seed)


def test_every_patient_has_kidneys_and_a_tumor_and_about_half_a_cyst(patients):
    present = np.array(
        [[np.any(labels == label) for label in range(5)] for _, labels, _ in patients]
    )

    assert present[:, KIDNEY].all()
    assert present[:, TUMOR].all()
    assert 0.3 <= present[:, CYST].mean() <= 0.7
    assert max(labels.max() for _, labels, _ in patients) == CYST


def test_geometry_varies_between_patients_within_its_bounds(patients):
    extents = np.array(
        [np.multiply(labels.shape, spacing_mm) for _, labels, spacing_mm in patients]
    )
    slices, in_plane = (
        {spacing_mm[0] for *_, spacing_mm in patients},
        {spacing_mm[1:] for *_, spacing_mm in patients},
    )

    half_voxel_mm = np.array([2.5, 1.25, 1.25])
    assert (np.abs(extents / (160, 184, 272) - 1) <= 0.05 + half_voxel_mm / (160, 184, 272)).all()
    assert slices == {2.5, 3.0, 4.0, 5.0}
    assert len(in_plane) > 10
    assert all(dy == dx and 1.9 <= dy <= 2.5 for dy, dx in in_plane)


def test_shares_of_voxels_and_volumes_are_as_stated(patients):
    counts = np.array([np.bincount(labels.ravel(), minlength=4) for _, labels, _ in patients])
    shares = 100 * (counts / counts.sum(1, keepdims=True)).mean(0)
    ml = counts * np.array([np.prod(spacing_mm) / 1000 for *_, spacing_mm in patients])[:, None]
    medians = [np.median(ml[ml[:, label] > 0, label]) for label in (KIDNEY, TUMOR, CYST)]

    assert shares == pytest.approx([95.6, 3.4, 0.8, 0.2], abs=0.2)
    assert medians == pytest.approx([272, 63, 35], rel=0.2)


@pytest.mark.parametrize(
    ("label", "percentiles"),
    [(KIDNEY, (75, 154, 206)), (TUMOR, (17, 95, 151)), (CYST, (-28, 12, 62))],
    ids=["kidney", "tumor", "cyst"],
)
def test_brightness_lies_in_its_band(patients, label, percentiles):
    found = np.percentile(
        np.concatenate([image[labels == label] for image, labels, _ in patients]), (5, 50, 95)
    )

    assert found == pytest.approx(percentiles, abs=15)


def test_noise_has_a_deviation_of_14_to_26_hu(patients):
    for image, _, _ in patients:
        air = image[:, :4, :4].astype(float) + 1000
        # Only the upper half of the noise in air escapes the clip at -1024 HU.
        assert 13 <= np.sqrt(np.mean(air[air > 0] ** 2)) <= 27


def test_kidneys_are_brighter_than_the_fat_around_them(patients):
    for image, labels, _ in patients:
        shell = ndimage.binary_dilation(labels > 0, iterations=2) & ~ndimage.binary_dilation(
            labels > 0
        )
        assert np.median(image[labels == KIDNEY]) > np.percentile(image[shell], 25) + 100


def test_one_kidney_lies_on_each_side_in_the_back_half(patients):
    for _, labels, _ in patients:
        _, y, x = np.nonzero(labels == KIDNEY)
        in_left_half = np.mean(x < labels.shape[2] / 2)
        assert 0.25 < in_left_half < 0.75
        assert y.mean() > labels.shape[1] / 2


def liver_tissue(image, labels):
    """Voxels as bright as liver after smoothing, outside the labels."""
    smooth = ndimage.uniform_filter(image.astype(np.float32), 5)
    return (smooth > 80) & (smooth < 135) & (labels == 0)


def test_the_liver_is_on_the_left_of_the_picture_in_the_upper_slices(patients):
    for image, labels, _ in patients:
        liver = liver_tissue(image, labels)
        depth, _, width = liver.shape
        upper = liver[: depth // 2]
        assert upper[..., : width // 2].sum() > 2 * upper[..., width // 2 :].sum()
        assert upper.sum() > 2 * liver[depth // 2 :].sum()


def test_the_liver_is_as_bright_as_stated(patients):
    # A spot in the middle of the right lobe, as shares of the array.
    places = [
        tuple(int(share * n) for share, n in zip((0.17, 0.42, 0.24), image.shape, strict=True))
        for image, _, _ in patients
    ]
    spots = [
        np.median(image[z - 2 : z + 3, y - 3 : y + 4, x - 3 : x + 4])
        for (z, y, x), (image, _, _) in zip(places, patients, strict=True)
    ]

    assert 90 <= np.median(spots) <= 125
    assert np.ptp(np.percentile(spots, (10, 90))) > 15


def test_the_spine_is_at_the_bottom_of_the_picture_in_the_middle(patients):
    for image, _, _ in patients:
        _, height, width = image.shape
        bright = np.median(image, axis=0)
        y, x = np.unravel_index(bright.argmax(), bright.shape)
        assert y > 0.6 * height
        assert x == pytest.approx(width / 2, abs=0.15 * width)


def test_the_liver_is_on_the_right_of_the_patient_once_the_affine_is_followed(root):
    folder = root / "case_00001"
    image, labels = (
        nib.as_closest_canonical(nib.load(folder / f"{name}.nii.gz"))
        for name in ("imaging", "segmentation")
    )
    liver = liver_tissue(np.asarray(image.dataobj), np.asarray(labels.dataobj))

    left_to_right, _, feet_to_head = (
        np.mean(place) / size for place, size in zip(np.nonzero(liver), liver.shape, strict=True)
    )

    assert left_to_right > 0.55
    assert feet_to_head > 0.6
