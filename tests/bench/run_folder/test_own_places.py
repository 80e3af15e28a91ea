"""A command fills its own folders alone: what lies in any other is refused before a file is
written, and stays as it was.
"""

import shutil
from pathlib import Path

import pytest
from made_up import MadeUp, write_run

from bench.cli import main
from bench.execution.ready import Places
from bench.run_folder.lock import NAME, this_process
from bench.run_folder.own_places import refuse_cache, refuse_places, refuse_run_folder
from trials.records.codec import to_json
from trials.records.run_record import write_run_record
from trials.storage.object_store import put


def state(root):
    """Every path below a folder, with what a file holds and when it was written."""
    return {
        path: path.is_file() and (path.read_bytes(), path.stat().st_mtime_ns)
        for path in root.rglob("*")
    }


def refuses(arguments, line, capsys, root):
    """A command ends with exit code 2 and one line, and leaves every file below root as it was;
    what it printed to stderr.
    """
    before = state(root)

    assert main(list(map(str, arguments))) == 2

    printed = capsys.readouterr().err
    error = printed.splitlines()[-1]
    assert error.startswith("segbench: ")
    assert line in error
    assert {path: was for path, was in state(root).items() if was} == {
        path: was for path, was in before.items() if was
    }
    return printed


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A user's data set in the layout of nnU-Net, and a folder of his to work in."""
    monkeypatch.chdir(tmp_path)
    for name in ("dataset.json", "imagesTr/liver_000_0000.nii.gz", "labelsTr/liver_000.nii.gz"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text("of the user")
    return tmp_path / "data"


@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_grid_that_generates_its_data_writes_nothing_into_a_users_data_set(data, verb, capsys):
    line = (
        "it holds dataset.json, imagesTr, labelsTr; omit --data to generate them in "
        "their own folder"
    )

    printed = refuses([verb, "--grid", "demo", "--data", data], line, capsys, data.parent)

    assert "generating" not in printed
    assert not (data.parent / "runs").exists()


@pytest.mark.parametrize("flag", ["--out", "--cache"])
def test_a_run_writes_neither_its_results_nor_its_cache_among_other_files(data, flag, capsys):
    line = (
        f"{data} must be missing or empty, or hold "
        f"{'the run.json of a run' if flag == '--out' else 'prepared data'}"
    )

    refuses(["run", "--grid", "demo", flag, data], line, capsys, data.parent)


@pytest.mark.parametrize("verb", ["plan --grid demo", "prepare kits23 elsewhere"])
def test_no_verb_prepares_into_a_folder_of_other_files(data, verb, capsys):
    refuses(
        [*verb.split(), "--cache", data],
        "it holds dataset.json, imagesTr, labelsTr; choose a new or empty folder with --cache",
        capsys,
        data.parent,
    )


def test_slices_are_exported_into_neither_other_files_nor_the_prepared_set(
    data, small_cache, capsys
):
    before = state(small_cache.parents[1])

    refuses(
        ["export", "slices", small_cache, data],
        "or hold the slices.json of an earlier export",
        capsys,
        data,
    )
    refuses(
        ["export", "slices", small_cache, small_cache],
        "OUT must be outside of PREPARED",
        capsys,
        data,
    )
    refuses(
        ["export", "slices", small_cache, small_cache.parent / "new"],
        "OUT must be outside of PREPARED",
        capsys,
        data,
    )

    assert state(small_cache.parents[1]) == before


def test_a_download_goes_into_no_other_data_set(data, capsys):
    command = ["prepare", "kits23", data, "--cache", "cache", "--download"]

    refuses(command, f"{data} must be missing or empty, or hold kits23.json", capsys, data.parent)


@pytest.mark.parametrize("more", [[], ["--watch"], ["--add", "x=data"]])
def test_a_report_is_written_into_a_run_folder_alone(data, more, capsys):
    refuses(
        ["report", data, *more],
        "run.json does not exist; name the folder that a run wrote",
        capsys,
        data,
    )
    (data / "run.json").write_text('{"name": "of another program"}')
    refuses(["report", data, *more], "run.json", capsys, data)


@pytest.mark.parametrize(
    ("out", "cache", "line"),
    [
        ("data", "cache", "--out must be outside of --data"),
        ("data/run", "cache", "--out must be outside of --data"),
        ("link/run", "cache", "--out must be outside of --data"),
        (".", "cache", "--data must be outside of --out"),
        ("run", "data", "--cache must be outside of --data"),
        ("run", "data/cache", "--cache must be outside of --data"),
        ("cache", "cache", "--out must be outside of --cache"),
        ("cache/run", "cache", "--out must be outside of --cache"),
    ],
)
def test_run_folder_cache_and_data_keep_apart(data, out, cache, line):
    Path("link").symlink_to(data)
    before = state(data.parent)

    with pytest.raises(ValueError, match=f"^{line}; got .*; choose a folder beside it$"):
        refuse_places(Places(out=Path(out).absolute(), cache=Path(cache).absolute(), data=data))

    assert state(data.parent) == before


def test_new_folders_side_by_side_are_taken(data):
    refuse_places(
        Places(out=Path("runs/mine").absolute(), cache=Path("runs/cache").absolute(), data=data)
    )


@pytest.mark.parametrize(
    "names",
    [
        [NAME],
        [f"{NAME}.3"],
        [".probe-host-1234.unfinished"],
        [NAME, ".preflight-12.unfinished", ".run.json.abc.unfinished", ".DS_Store"],
        ["cache/phantoms-0123456789ab/cases/case_00000.json", NAME],
    ],
)
def test_a_start_that_was_interrupted_before_its_run_json_goes_on(tmp_path, names):
    for name in names:
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_text(to_json(this_process()))

    refuse_run_folder(tmp_path / "run", tmp_path / "run" / "cache")


@pytest.mark.parametrize(
    "name",
    ["grid.py", "scores.csv", ".bashrc", "driver.lock.old", "trials/first/notes.txt", "cache2/x"],
)
def test_a_file_of_the_user_beside_a_lock_is_not_taken_for_ours(tmp_path, name):
    for path in (tmp_path / NAME, tmp_path / name):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    with pytest.raises(
        ValueError,
        match=f"or hold the run.json of a run; it holds {name.partition('/')[0]}; choose a new or "
        "empty",
    ):
        refuse_run_folder(tmp_path, tmp_path / "cache")


@pytest.mark.parametrize(
    "text", ["{}", "[]", "", '{"grid": "x", "dataset": "y"}', '{"name": "of another program"}']
)
def test_a_run_json_of_another_program_does_not_make_a_run_folder(tmp_path, text):
    (tmp_path / "run.json").write_text(text)

    with pytest.raises(ValueError, match=r"it holds run.json; choose a new or empty folder"):
        refuse_run_folder(tmp_path, tmp_path / "cache")


def test_a_run_folder_goes_on_with_whatever_lies_beside_its_files_or_without_its_run_json(tmp_path):
    run = write_run(tmp_path / "run", MadeUp())
    (run / "notes.txt").write_text("of the user")
    refuse_run_folder(run, tmp_path / "cache")
    (run / "run.json").write_text("cut o")
    refuse_run_folder(run, tmp_path / "cache")
    (run / "run.json").unlink()
    refuse_run_folder(run, tmp_path / "cache")
    shutil.rmtree(run / "trials")

    with pytest.raises(
        ValueError, match=r"it holds grid.py, notes.txt; choose a new or empty folder"
    ):
        refuse_run_folder(run, tmp_path / "cache")


@pytest.mark.parametrize(
    "name",
    ["phantoms-0123456789ab", "kits23-foreground-0123456789ab", "nnunet-checked-0123456789ab"],
)
def test_a_cache_is_told_by_what_lies_in_it(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / "notes.txt").touch()

    refuse_cache(tmp_path, None)


@pytest.mark.parametrize("name", ["phantoms", "phantoms-88-0", "photos-0123456789ab", "kits23"])
def test_a_folder_of_data_is_no_cache(tmp_path, name):
    (tmp_path / name).mkdir()

    with pytest.raises(
        ValueError, match=f"or hold prepared data; it holds {name}; choose a new or empty folder"
    ):
        refuse_cache(tmp_path, None)


def test_a_prefix_of_other_objects_is_refused_and_a_runs_own_is_taken(bucket, tmp_path):
    put(bucket / "photos" / "a.jpg", b"")
    write_run_record(bucket / "mine", {"grid": "x", "dataset": "y", "cells": [], "seeds": []})
    put(bucket / "started" / NAME, to_json(this_process()).encode())
    put(bucket / "cache" / "phantoms-0123456789ab" / "cases" / "a.json", b"")

    with pytest.raises(
        ValueError,
        match=r"^s3://\S+/photos must be missing or empty, .*; it holds a.jpg; choose a new "
        r"or empty folder",
    ):
        refuse_run_folder(bucket / "photos", bucket / "cache")
    with pytest.raises(
        ValueError,
        match=r"^s3://\S+/photos must be missing or empty, or hold prepared data; it holds a.jpg",
    ):
        refuse_cache(bucket / "photos", None)
    with pytest.raises(ValueError, match="--out must be outside of --cache"):
        refuse_places(Places(out=bucket / "cache" / "run", cache=bucket / "cache", data=None))
    for out in ("mine", "started", "new"):
        refuse_places(Places(out=bucket / out, cache=bucket / "cache", data=tmp_path))
