"""What a user gets for each fault of a data set as a whole, and how the verbs tell all faults at
once.
"""

import json
import os
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from broken_cases import (
    VICTIM,
    assert_skippable,
    found,
    image,
    labels,
)
from made_up import MadeUp, run_record, write_run
from nifti_toys import asymmetric, blocks, dataset_of, save

from bench.cli import main
from bench.grid.resolve import GridFacts, resolve
from bench.grid.validate import check_settings
from bench.grids import DEMO, product
from bench.run import exit_code_of
from trials.data.datasets.opening import find_dataset, open_dataset
from trials.data.datasets.registry import Dataset, split_cases
from trials.data.prepared.set_checks import without_bad_cases
from trials.data.sampling import ClassCounts
from trials.records.faults import BAD_CASE, FATAL, WARNING, FaultyData


@pytest.fixture
def root(tmp_path) -> Path:
    """Three sound cases in the layout of KiTS23."""
    return dataset_of(tmp_path / "data").root


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
    assert {
        (fault["case"], fault["code"]) for fault in record["faults"] if fault["level"] != WARNING
    } == {
        ("case_00000", "missing"),
        (VICTIM, "empty"),
    }
    assert set(record["faults"][0]) == {"case", "file", "code", "message", "fix", "level"}


def test_check_of_a_sound_set_ends_with_exit_code_0(root, capsys):
    assert main(["check", str(root), "--workers", "1"]) == 0
    assert "3 cases, 0 faults" in capsys.readouterr().out


def test_prepare_lists_every_fault_of_a_case_and_skip_bad_prepares_the_others(
    root, tmp_path, capsys
):
    image(root).write_bytes(b"")
    wrong = blocks()
    wrong[0, 0, 0] = 9
    save(labels(root), wrong)
    command = [
        "prepare",
        "phantoms",
        str(root),
        "--cache",
        str(tmp_path / "cache"),
        "--cube",
        "8",
        "--workers",
        "1",
    ]

    assert main(command) == 2
    refusal = capsys.readouterr()
    assert main([*command, "--skip-bad"]) == 3
    done = capsys.readouterr()

    assert "1 of 3 cases cannot be prepared" in refusal.err
    assert "imaging.nii.gz: is empty" in refusal.err
    assert "got 9 (1 voxels)" in refusal.err
    assert len(refusal.err.splitlines()) == 4
    assert f"left out: {VICTIM}: imaging.nii.gz: is empty" in done.err
    manifest = json.loads((Path(done.out.strip()) / "manifest.json").read_text())
    assert sorted(manifest["cases"]) == ["case_00000", "case_00002"]


@pytest.mark.parametrize(
    ("bad", "code"), [({}, 0), ({"case_00042": "imaging.nii.gz: is empty"}, 3)]
)
def test_a_complete_run_that_left_cases_out_ends_with_exit_code_3(tmp_path, capsys, bad, code):
    made = MadeUp()
    data = run_record(made)["data"] | {"bad_cases": bad}

    assert exit_code_of(write_run(tmp_path, replace(made, record={"data": data})), True, 0) == code
    assert (
        "left out: case_00042; the report gives the reasons" in capsys.readouterr().err
    ) == bool(bad)


def test_f31_one_image_under_two_names_is_a_leak(root, tmp_path, capsys):
    twin = root / "case_00002" / "imaging.nii.gz"
    save(twin, asymmetric(seed=1), descrip=b"exported again")
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
    assert "holds the voxels of the image of case_00001" in faults[0].message
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


def test_f32_an_unreadable_image_does_not_hide_the_faults_of_other_cases():
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        root = dataset_of(Path(place) / "data").root
        twin = root / "case_00000" / "imaging.nii.gz"
        twin.write_bytes(image(root).read_bytes())
        labels(root).write_bytes(b"")
        with as_nobody(twin):
            faults = found(root, BAD_CASE)

    assert [(fault.case, fault.code) for fault in faults] == [
        ("case_00000", "unreadable"),
        (VICTIM, "empty"),
    ]


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


@pytest.mark.parametrize(
    "path", ["../outside.nii.gz", "/etc/passwd.nii.gz", "x/../../outside.nii.gz", "a\0b.nii.gz"]
)
def test_f34_a_manifest_path_outside_its_root(tmp_path, path):
    root = tmp_path / "root"
    entry = write_decathlon(root)

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
    assert "is not a case name" in faults[0].message
    assert (faults[0].case + faults[0].message + faults[0].file).isprintable()
    with pytest.raises(FaultyData, match=r"must match case_"):
        without_bad_cases(find_dataset("phantoms", root), tmp_path / "cache", workers=1)


def test_f35_a_name_in_somebody_elses_data_set_matches_its_own_pattern(tmp_path):
    name = "a" * 201
    save(tmp_path / "imagesTr" / f"{name}_0000.nii.gz", asymmetric())
    save(tmp_path / "labelsTr" / f"{name}.nii.gz", blocks())
    facts = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "liver": 1},
        "file_ending": ".nii.gz",
    }
    (tmp_path / "dataset.json").write_text(json.dumps(facts))

    with pytest.raises(
        FaultyData, match=r"case names are up to 200 bytes of printable text.*got 'a+"
    ):
        open_dataset("nnunet", tmp_path)


def test_f36_root_missing_empty_or_at_the_wrong_level(root, tmp_path):
    (tmp_path / "empty").mkdir()

    with pytest.raises(ValueError, match="nothing is not a folder, so it holds no phantoms"):
        open_dataset("phantoms", tmp_path / "nothing")
    with pytest.raises(ValueError, match="holds no case of phantoms: it is empty"):
        open_dataset("phantoms", tmp_path / "empty")
    with pytest.raises(
        ValueError, match=rf"holds no case of phantoms, but {root} does: point there"
    ):
        open_dataset("phantoms", tmp_path)
    with pytest.raises(ValueError, match=rf"but {root} does: point there"):
        open_dataset("phantoms", root / VICTIM)


def test_f37_fewer_cases_than_the_split_needs(tmp_path):
    dataset = dataset_of(tmp_path, 2)

    with pytest.raises(
        ValueError,
        match=r"needs a case in each part; 2 cases give 0 train, 1 validation and 1 test",
    ):
        split_cases(dataset, "sequential", 0)


def test_f38_a_class_that_no_training_case_holds():
    absent = ClassCounts(voxels=(1000, 100, 10, 0), slices=(9, 5, 2, 0), cases=(3, 3, 2, 0))
    recipe = DEMO.recipes["3d"]
    facts = GridFacts(
        splits="sequential",
        digests={recipe.preparation: "0"},
        counts={(recipe.preparation, "voxels"): absent},
        weights={},
    )

    def grid(loss):
        return replace_cells(DEMO, product(("unet3d",), (loss,), ("none",)))

    check_settings(resolve(grid("focal"), facts))
    with pytest.raises(
        ValueError,
        match=r"class 3 occurs in no training case.*choose another split or another loss",
    ):
        check_settings(resolve(grid("class_balanced"), facts))


def replace_cells(grid, cells):
    from dataclasses import replace

    return replace(grid, cells=cells)


def test_a_data_set_without_a_sound_case_is_refused(tmp_path):
    dataset: Dataset = dataset_of(tmp_path / "data", 1)
    dataset.cases[0].image.write_bytes(b"")

    with pytest.raises(FaultyData, match="holds no sound case"):
        without_bad_cases(dataset, tmp_path / "cache", workers=1)
