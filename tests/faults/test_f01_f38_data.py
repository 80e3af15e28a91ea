"""The door: what a user gets for each fault a data set can have. E: told with file and way out; S: may be left out."""

import gzip
import json
import os
import tempfile
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nifti_toys import IPL, asymmetric, blocks, dataset_of, save, turned

from bench.check import check_settings
from bench.cli import main
from bench.expand import Facts
from bench.grids import DEMO, product
from trials.data.datasets import Dataset, find_dataset, open_dataset, split_cases
from trials.data.door import check_dataset, without_bad_cases
from trials.data.examine import Rules
from trials.data.faults import BAD_CASE, FATAL, WARNING, Fault, FaultyData
from trials.data.header import read_header
from trials.data.nifti import stored_planes
from trials.data.prepare import prepare_case
from trials.data.sampling import ClassCounts
from trials.spec import Preparation

VICTIM = "case_00001"
# Byte positions in the header, NIfTI-1 standard.
DIM, DATATYPE, PIXDIM, OFFSET, FORM_CODES, SFORM, MAGIC = 40, 70, 76, 108, 252, 280, 344


@pytest.fixture
def root(tmp_path) -> Path:
    """Three sound cases in the layout of KiTS23."""
    return dataset_of(tmp_path / "data").root


def image(root: Path) -> Path:
    return root / VICTIM / "imaging.nii.gz"


def labels(root: Path) -> Path:
    return root / VICTIM / "segmentation.nii.gz"


def altered(path: Path, at: int, values: np.ndarray) -> None:
    """Overwrite bytes of what a .nii.gz file holds."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[at : at + values.nbytes] = values.tobytes()
    path.write_bytes(gzip.compress(content, 1, mtime=0))


def found(root: Path, level: str) -> list[Fault]:
    return [fault for fault in check_dataset(find_dataset("phantoms", root), workers=1) if fault.level == level]


def assert_skippable(root: Path, file: Path, *words: str) -> None:
    """The fault is told with case, file, reason and way out, and --skip-bad would leave out its case and no other."""
    faults = found(root, BAD_CASE)

    assert {(fault.case, fault.file) for fault in faults} == {(VICTIM, str(file))}
    assert all(fault.fix and fault.code for fault in faults)
    for word in words:
        assert word in faults[0].message
    sound = without_bad_cases(find_dataset("phantoms", root), root.parent / "cache", workers=1)
    assert [case.case for case in sound.cases] == ["case_00000", "case_00002"]


def assert_warned(root: Path, file: Path, code: str, *words: str) -> None:
    faults = [fault for fault in found(root, WARNING) if fault.code == code]

    assert [(fault.case, fault.file) for fault in faults] == [(VICTIM, str(file))]
    for word in words:
        assert word in faults[0].message
    assert not found(root, BAD_CASE)


def test_check_lists_all_faults_at_once_and_ends_with_exit_code_2(root, capsys):
    (root / "case_00000" / "imaging.nii.gz").unlink()
    image(root).write_bytes(b"")
    save(labels(root), blocks((10, 14, 9)))

    assert main(["check", str(root), "--workers", "1"]) == 2
    text = capsys.readouterr().out
    assert main(["check", str(root), "--dataset", "phantoms", "--json", "--workers", "1"]) == 2
    record = json.loads(capsys.readouterr().out)

    assert "case_00000" in text
    assert "imaging.nii.gz: is missing; fetch it again" in text
    assert "is empty (0 bytes)" in text
    assert text.splitlines()[-1].startswith("kits23: 3 cases, 2 faults in 2 of them")
    assert {(fault["case"], fault["code"]) for fault in record["faults"] if fault["level"] != WARNING} == {
        ("case_00000", "missing"),
        (VICTIM, "empty"),
    }
    assert set(record["faults"][0]) == {"case", "file", "code", "message", "fix", "level"}


def test_check_of_a_sound_set_ends_with_exit_code_0(root, capsys):
    assert main(["check", str(root), "--workers", "1"]) == 0
    assert "3 cases, 0 faults" in capsys.readouterr().out


def test_prepare_lists_every_fault_of_a_case_and_skip_bad_prepares_the_others(root, tmp_path, capsys):
    image(root).write_bytes(b"")
    wrong = blocks()
    wrong[0, 0, 0] = 9
    save(labels(root), wrong)
    command = ["prepare", "phantoms", str(root), "--cache", str(tmp_path / "cache"), "--cube", "8", "--workers", "1"]

    assert main(command) == 2
    refusal = capsys.readouterr()
    assert main([*command, "--skip-bad"]) == 3
    done = capsys.readouterr()

    assert "1 of 3 cases cannot be prepared" in refusal.err
    assert "imaging.nii.gz: is empty" in refusal.err
    assert "got 9 (1 voxels)" in refusal.err
    assert len(refusal.err.splitlines()) == 4
    assert f"left out: {VICTIM}: imaging.nii.gz: is empty" in done.err.replace("\n", " ")
    manifest = json.loads((Path(done.out.strip()) / "manifest.json").read_text())
    assert sorted(manifest["cases"]) == ["case_00000", "case_00002"]


def test_f01_image_file_missing(root):
    image(root).unlink()

    assert_skippable(root, image(root), "is missing")


def test_f02_mask_missing(root):
    labels(root).unlink()

    assert_skippable(root, labels(root), "is missing")


def test_f03_empty_file(root):
    image(root).write_bytes(b"")

    assert_skippable(root, image(root), "0 bytes")


def test_f04_gzip_stream_truncated(root):
    save(image(root), np.random.default_rng(0).integers(-1000, 1000, (11, 14, 1000)).astype(np.int16))
    save(labels(root), blocks((11, 14, 1000)))
    content = image(root).read_bytes()
    image(root).write_bytes(content[: len(content) // 2])

    assert_skippable(root, image(root), "ends early", "of 308352 bytes")


@pytest.mark.parametrize("missing", [1, 4, 8, 9])
def test_f05_last_bytes_of_the_gzip_stream_missing(root, missing):
    image(root).write_bytes(image(root).read_bytes()[:-missing])

    assert_skippable(root, image(root), "ends early")


def test_f06_a_flipped_bit_in_the_gzip_stream(root):
    sound = image(root).read_bytes()
    for place in np.random.default_rng(0).integers(20 * 8, 8 * len(sound) - 64, 30):
        changed = bytearray(sound)
        changed[place // 8] ^= 1 << (place % 8)
        image(root).write_bytes(changed)
        assert [fault.case for fault in found(root, BAD_CASE)] == [VICTIM]
    changed = bytearray(sound)
    changed[-8] ^= 1
    image(root).write_bytes(changed)
    assert_skippable(root, image(root), "CRC mismatch")


def test_f07_a_web_page_saved_under_the_name(root):
    image(root).write_bytes(b"<!DOCTYPE html><html>Sign in</html>")

    assert_skippable(root, image(root), "<!DOCTYPE html>", "download failed")


def test_f08_a_git_lfs_pointer(root):
    image(root).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")

    assert_skippable(root, image(root), "git-LFS pointer")
    assert found(root, BAD_CASE)[0].fix == "run `git lfs pull`"


def test_f09_content_and_name_disagree(root, tmp_path):
    packed = image(root).read_bytes()
    image(root).write_bytes(gzip.decompress(packed))
    (tmp_path / "a.nii").write_bytes(packed)

    assert_skippable(root, image(root), "not a gzip file")
    with pytest.raises(ValueError, match=r"a.nii: is a gzip file by content; name it .nii.gz"):
        read_header(tmp_path / "a.nii")


@pytest.mark.parametrize("content", [b"n+9\0", None], ids=["magic", "cut"])
def test_f10_wrong_magic_or_cut_header(root, content):
    if content:
        altered(image(root), MAGIC, np.frombuffer(content, np.uint8))
    else:
        image(root).write_bytes(gzip.compress(gzip.decompress(image(root).read_bytes())[:300], mtime=0))

    assert_skippable(root, image(root), "header is cut or wrong")


def test_f11_data_shorter_than_the_header_says(root, tmp_path):
    content = gzip.decompress(image(root).read_bytes())
    image(root).write_bytes(gzip.compress(content[:-2], mtime=0))
    (tmp_path / "a.nii").write_bytes(content[:-2])

    assert_skippable(root, image(root), "ends early, in plane 8 of 9")
    with pytest.raises(ValueError, match="claims 3124 bytes, more than a file of 3122 bytes can hold"):
        read_header(tmp_path / "a.nii")


@contextmanager
def little_memory(limit: int):
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < limit


@pytest.mark.parametrize(
    ("edges", "word"), [((2000, 1000, 1000), "claims 40000"), ((4096, 4096, 2**7), "claims"), ((32767, 32767, 32767), "edges")]
)
def test_f12_header_claims_more_than_the_file(root, edges, word):
    altered(image(root), DIM + 2, np.array(edges, "<i2"))

    with little_memory(2**21):
        faults = found(root, BAD_CASE)

    assert [fault.case for fault in faults] == [VICTIM]
    assert word in faults[0].message


def test_f13_a_gzip_bomb(root):
    content = gzip.decompress(image(root).read_bytes())
    image(root).write_bytes(gzip.compress(content + bytes(2**25), 6, mtime=0))

    with little_memory(2**21):
        faults = found(root, BAD_CASE)

    assert [(fault.case, fault.code) for fault in faults] == [(VICTIM, "bomb")]
    assert "more than 1048576 bytes beyond" in faults[0].message


def test_f14_trailing_data_after_the_voxels_is_listed_and_ignored(root):
    content = gzip.decompress(image(root).read_bytes())
    image(root).write_bytes(gzip.compress(content + b"more", mtime=0))

    assert_warned(root, image(root), "trailing", "4 bytes follow")


@pytest.mark.parametrize(
    ("at", "values", "word"),
    [
        (DIM, np.array([3, 0], "<i2"), "edges"),
        (DIM + 2, np.array([-32], "<i2"), "edges"),
        (DIM, np.array([0], "<i2"), "three axes"),
        (OFFSET, np.array([np.nan], "<f4"), "offset"),
        (OFFSET, np.array([-5], "<f4"), "offset"),
        (OFFSET, np.array([1e9], "<f4"), "offset"),
    ],
)
def test_f15_edges_or_offset_without_sense(root, at, values, word):
    altered(image(root), at, values)

    assert_skippable(root, image(root), word)


def test_f16_four_axes(root):
    save(image(root), np.stack([asymmetric(), asymmetric()], axis=3))

    assert_skippable(root, image(root), "one volume of three axes", "[11, 14, 9, 2]")

    save(image(root), asymmetric(seed=1)[..., None])
    assert_warned(root, image(root), "extra_axes", "dropped")


@pytest.mark.parametrize("kind", ["two axes", "complex", "colours"])
def test_f17_two_axes_complex_or_colours(root, kind):
    if kind == "two axes":
        save(image(root), asymmetric()[0])
    elif kind == "complex":
        save(image(root), asymmetric().astype(np.complex64))
    else:
        save(image(root), np.zeros((11, 14, 9), [("R", "u1"), ("G", "u1"), ("B", "u1")]))

    assert_skippable(root, image(root), "three axes" if kind == "two axes" else "integers or floats")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_f18_voxels_that_are_no_numbers(root, bad):
    voxels = asymmetric().astype(np.float64)
    voxels[5, 3, 2] = voxels[6, 3, 7] = bad
    save(image(root), voxels)

    assert_skippable(root, image(root), "2 voxels", f"first: {bad} at index (5, 3, 2)")


@pytest.mark.parametrize("value", [0, 40, 0.1])
def test_f19_constant_image(root, value):
    save(image(root), np.full((11, 14, 9), value, np.float32))

    assert_skippable(root, image(root), f"every voxel is {value:g}")


def test_f20_image_in_another_unit(root):
    for case in ("case_00000", "case_00002"):
        save(root / case / "imaging.nii.gz", asymmetric() - 500)
    save(image(root), asymmetric().astype(np.uint16) + 24)

    assert_warned(root, image(root), "intensity", "a CT in HU passes -200 and 100", "0..100: ")


def test_f21_mask_of_another_shape(root):
    save(labels(root), blocks((10, 14, 9)))

    assert_skippable(root, labels(root), "10x14x9", "11x14x9")


def test_f22_mask_with_another_affine(root):
    shifted = IPL.copy()
    shifted[0, 3] += 5
    save(labels(root), blocks(), shifted)

    assert_skippable(root, labels(root), "up to 5 mm")


@pytest.mark.parametrize("edge", [0, -1, np.nan, 0.001, 300])
def test_f23_spacing_without_sense(root, edge):
    if edge in (0.001, 300):
        save(image(root), asymmetric(), IPL @ np.diag([edge, 1, 1, 1]))
        save(labels(root), blocks(), IPL @ np.diag([edge, 1, 1, 1]))
        faults = {fault.file: fault.message for fault in found(root, BAD_CASE)}
        assert faults.keys() == {str(image(root)), str(labels(root))}
        assert "0.1..20 mm" in faults[str(image(root))]
        return
    altered(image(root), PIXDIM + 4, np.array([edge], "<f4"))

    assert_skippable(root, image(root), "pixdim")


@pytest.mark.parametrize(
    ("row", "word"), [(np.zeros(12, "<f4"), "invertible"), (np.array([0, 0.3, -1.5, 40], "<f4"), "sheared")]
)
def test_f24_singular_or_sheared_affine(root, row, word):
    altered(image(root), SFORM, row)

    assert_skippable(root, image(root), word)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAR"])
def test_f25_another_orientation_gives_the_same_cubes(tmp_path, codes):
    straight = dataset_of(tmp_path / "straight", 1).cases[0]
    other = dataset_of(tmp_path / "other", 1).cases[0]
    save(other.image, *turned(asymmetric(), IPL, codes))
    save(other.labels, *turned(blocks(), IPL, codes))
    rules = Rules(classes=("background", "kidney", "tumor", "cyst"))

    one, two = (prepare_case(case, rules, Preparation(cube=8)) for case in (straight, other))

    # The order of summation differs with the file's axes, by one unit in the last place of a float16 at most.
    assert np.allclose(one.image, two.image, rtol=1e-3, atol=1e-3)
    assert np.array_equal(one.labels, two.labels)
    assert nib.aff2axcodes(two.header.affine) == tuple(codes)


def test_f26_neither_sform_nor_qform(root):
    altered(image(root), FORM_CODES, np.array([0, 0], "<i2"))

    assert_skippable(root, image(root), "neither sform nor qform")


@pytest.mark.parametrize(("label", "dtype"), [(7, np.uint8), (-1, np.int16)])
def test_f27_a_label_that_no_class_has(root, label, dtype):
    voxels = blocks().astype(dtype)
    voxels[0, 0, :3] = label
    save(labels(root), voxels)

    assert_skippable(root, labels(root), f"0..3; got {label} (3 voxels)")


def test_f28_labels_that_are_not_quite_integers(root):
    close, far = blocks().astype(np.float32), blocks().astype(np.float32)
    close[close == 1] = 0.9995
    far[far == 1] = 0.99
    save(labels(root), close)
    assert_warned(root, labels(root), "label_rounding", "0.0005 off an integer")

    save(labels(root), far)

    assert_skippable(root, labels(root), "must be integers; got 0.99")


def test_f29_an_empty_mask_is_listed_and_kept(root):
    save(labels(root), np.zeros((11, 14, 9), np.uint8))

    assert_warned(root, labels(root), "empty_mask", "nothing but background")


def test_f30_a_tumour_without_a_kidney_is_listed(root):
    save(labels(root), (blocks() == 2).astype(np.uint8) * 2)

    assert_warned(root, labels(root), "lesion_alone", "tumor but no kidney")


def test_f31_one_image_under_two_names_is_a_leak(root, tmp_path, capsys):
    twin = root / "case_00002" / "imaging.nii.gz"
    twin.write_bytes(image(root).read_bytes())
    prepare = [
        "prepare",
        "phantoms",
        str(root),
        "--cache",
        str(tmp_path / "cache"),
        "--cube",
        "8",
        "--workers",
        "1",
        "--skip-bad",
    ]

    faults = found(root, FATAL)

    assert [(fault.case, fault.file) for fault in faults] == [("case_00002", str(twin))]
    assert "the image of case_00001 byte for byte" in faults[0].message
    assert main(prepare) == 2
    assert "would be a leak" in capsys.readouterr().err


def test_f31_a_case_named_twice_is_refused(tmp_path):
    entry = write_decathlon(tmp_path)

    with pytest.raises(FaultyData, match="names a case twice, toy"):
        open_dataset("nnunet", decathlon(tmp_path, [entry, entry]))


@contextmanager
def as_nobody(path: Path):
    """Run as a user without rights; root reads everything, whatever the file's mode."""
    path.chmod(0)
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_f32_a_file_this_user_may_not_read():
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        root = dataset_of(Path(place) / "data").root
        with as_nobody(image(root)):
            faults = found(root, BAD_CASE)

    assert [fault.case for fault in faults] == [VICTIM]
    assert "cannot be read as user" in faults[0].message


@pytest.mark.parametrize("kind", ["dangling", "loop", "folder"])
def test_f33_a_link_to_nowhere_or_a_folder(root, kind):
    image(root).unlink()
    if kind == "folder":
        image(root).mkdir()
    else:
        image(root).symlink_to(root / "nowhere" if kind == "dangling" else image(root))

    assert_skippable(root, image(root), "is a folder" if kind == "folder" else "leads nowhere")


def write_decathlon(root: Path) -> dict[str, str]:
    save(root / "imagesTr" / "toy.nii.gz", asymmetric())
    save(root / "labelsTr" / "toy.nii.gz", blocks())
    return {"image": "imagesTr/toy.nii.gz", "label": "labelsTr/toy.nii.gz"}


def decathlon(root: Path, entries: list[dict[str, str]]) -> Path:
    names = ("background", "kidney", "tumor", "cyst")
    facts = {"modality": {"0": "CT"}, "labels": dict(enumerate(names)), "training": entries}
    (root / "dataset.json").write_text(json.dumps(facts))
    return root


@pytest.mark.parametrize("path", ["../outside.nii.gz", "/etc/passwd.nii.gz", "link/outside.nii.gz", "a\0b.nii.gz"])
def test_f34_a_manifest_path_outside_its_root(tmp_path, path):
    root = tmp_path / "root"
    entry = write_decathlon(root)
    (root / "link").symlink_to(tmp_path)

    dataset = find_dataset("nnunet", decathlon(root, [entry, {**entry, "image": path}]))

    assert [(fault.code, fault.level) for fault in dataset.faults] == [("path", FATAL)]
    assert "must lie inside the folder" in dataset.faults[0].message
    with pytest.raises(FaultyData):
        without_bad_cases(dataset, tmp_path / "cache", workers=1)


@pytest.mark.parametrize("name", ["case_00007\n", "case_0000\u202e7", "<script>", "case_7", "=cmd"])
def test_f35_a_case_name_that_does_not_match_the_pattern(root, tmp_path, name):
    save(root / name / "imaging.nii.gz", asymmetric(seed=7))

    faults = found(root, FATAL)

    assert [fault.code for fault in faults] == ["id"]
    assert "is no case name" in faults[0].message
    assert (faults[0].case + faults[0].message + faults[0].file).isprintable()
    with pytest.raises(FaultyData, match=r"must match case_"):
        without_bad_cases(find_dataset("phantoms", root), tmp_path / "cache", workers=1)


def test_f35_a_name_in_somebody_elses_data_set_matches_its_own_pattern(tmp_path):
    save(tmp_path / "imagesTr" / "a b_0000.nii.gz", asymmetric())
    save(tmp_path / "labelsTr" / "a b.nii.gz", blocks())
    facts = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "file_ending": ".nii.gz"}
    (tmp_path / "dataset.json").write_text(json.dumps(facts))

    with pytest.raises(FaultyData, match=r"case names are up to 64 letters.*got 'a b'"):
        open_dataset("nnunet", tmp_path)


def test_f36_root_missing_empty_or_at_the_wrong_level(root, tmp_path):
    (tmp_path / "empty").mkdir()

    with pytest.raises(ValueError, match="nothing is not a folder; phantoms is looked for there"):
        open_dataset("phantoms", tmp_path / "nothing")
    with pytest.raises(ValueError, match="holds no case of phantoms: it is empty"):
        open_dataset("phantoms", tmp_path / "empty")
    with pytest.raises(ValueError, match=rf"holds no case of phantoms, but {root} does: point there"):
        open_dataset("phantoms", tmp_path)
    with pytest.raises(ValueError, match=rf"but {root} does: point there"):
        open_dataset("phantoms", root / VICTIM)


def test_f37_fewer_cases_than_the_split_needs(tmp_path):
    dataset = dataset_of(tmp_path, 2)

    with pytest.raises(ValueError, match=r"needs a case in each part; 2 cases give 0 train, 1 validation and 1 test"):
        split_cases(dataset, "sequential", 0)


def test_f38_a_class_that_no_training_case_holds():
    absent = ClassCounts(voxels=(1000, 100, 10, 0), slices=(9, 5, 2, 0), cases=(3, 3, 2, 0))
    recipe = DEMO.recipes["3d"]
    facts = Facts(
        splits="sequential", digests={recipe.preparation: "0"}, counts={(recipe.preparation, "voxels"): absent}, weights={}
    )

    def grid(loss):
        return replace_cells(DEMO, product(("unet3d",), (loss,), ("none",)))

    check_settings(grid("focal"), facts)
    with pytest.raises(ValueError, match=r"class 3 occurs in no training case.*take another split, or another loss"):
        check_settings(grid("class_balanced"), facts)


def replace_cells(grid, cells):
    from dataclasses import replace

    return replace(grid, cells=cells)


def test_a_case_is_never_held_whole(tmp_path):
    path = save(tmp_path / "a.nii.gz", np.zeros((64, 64, 600), np.float64))

    with little_memory(2**21):
        for _ in stored_planes(read_header(path)):
            pass


def test_a_data_set_without_a_sound_case_is_refused(tmp_path):
    dataset: Dataset = dataset_of(tmp_path / "data", 1)
    dataset.cases[0].image.write_bytes(b"")

    with pytest.raises(FaultyData, match="holds no sound case"):
        without_bad_cases(dataset, tmp_path / "cache", workers=1)
