"""Names in files of our own that somebody else may have written: none leads out of its folder."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from nifti_toys import dataset_of

from bench.cli import main
from bench.doctor.data import prepared_finding
from trials.data.prepared.cache import open_cache, prepare_dataset
from trials.data.prepared.manifest import CaseRecord, Manifest
from trials.records.codec import from_json, to_json
from trials.records.spec import Cube
from trials.storage.atomic import write_text
from trials.storage.checksum import add_checksum

VICTIM = "case_00001"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A prepared set of two cases."""
    root = tmp_path_factory.mktemp("prepared")
    return prepare_dataset(dataset_of(root / "data", 2), Cube(edge=8), root / "cache", workers=1)


def with_names(prepared: Path, place: Path, case: str, array: str) -> Path:
    """A copy of the set whose manifest, add_checksum anew, gives one case these names."""
    folder = shutil.copytree(prepared.parent, place) / prepared.name
    manifest = from_json(Manifest, (folder / "manifest.json").read_text())
    record = replace(
        manifest.cases[VICTIM], case=case, arrays=(array, manifest.cases[VICTIM].arrays[1])
    )
    write_text(
        folder / "manifest.json", add_checksum(to_json(replace(manifest, cases={case: record})))
    )
    return folder


@pytest.mark.parametrize(
    ("case", "array", "words"),
    [
        ("../../../escaped", "a.npy", "case names must match"),
        ("/tmp/escaped", "a.npy", "case names must match"),
        ("case_00001\n", "a.npy", "case names must match"),
        (VICTIM, "../../../../escaped.npy", "must lie in cases/"),
        (VICTIM, "/etc/passwd", "must lie in cases/"),
        (VICTIM, "a\0b.npy", "must lie in cases/"),
        (VICTIM, "..", "must lie in cases/"),
        (VICTIM, "y" * 300, "must lie in cases/"),
    ],
)
def test_f34_f35_a_prepared_set_whose_names_lead_elsewhere_is_refused_by_all_who_open_it(
    prepared, tmp_path, monkeypatch, capsys, case, array, words
):
    folder = with_names(prepared, tmp_path / "cache", case, array)
    before = sorted(tmp_path.rglob("*"))

    assert main(["export", "slices", str(folder), str(tmp_path / "deep" / "out")]) == 2
    assert sorted(tmp_path.rglob("*")) == before
    told = capsys.readouterr().err
    assert f"{folder / 'manifest.json'} is damaged (" in told
    assert words in told
    assert words in prepared_finding(folder / "manifest.json").message
    monkeypatch.setenv("SEGBENCH_SCRATCH", str(tmp_path / "scratch"))
    with pytest.raises(ValueError, match=words):
        open_cache(folder)
    assert not list(tmp_path.rglob("escaped*"))


def test_f34_a_remembered_case_whose_cube_lies_elsewhere_is_prepared_again(tmp_path):
    dataset = dataset_of(tmp_path / "data", 1)
    folder = prepare_dataset(dataset, Cube(edge=8), tmp_path / "cache", workers=1)
    path = folder.parent / "cases" / "case_00000.json"
    sound = from_json(CaseRecord, path.read_text())
    image = shutil.move(folder.parent / "cases" / sound.arrays[0], tmp_path / "elsewhere.npy")
    write_text(
        path,
        add_checksum(to_json(replace(sound, arrays=(f"../../../{image.name}", sound.arrays[1])))),
    )

    prepare_dataset(dataset, Cube(edge=8), tmp_path / "cache", workers=1)

    assert from_json(CaseRecord, path.read_text()) == sound
    assert open_cache(folder).cases["case_00000"] == sound
