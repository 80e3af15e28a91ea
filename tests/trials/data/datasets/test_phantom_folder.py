"""Phantoms are made in a folder of their own alone: anything else in it is refused before a file is
written.
"""

import json
import os
import resource
import shutil
import signal
import tempfile
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from trials.data.datasets.phantoms.writing import VERSION, write_phantoms
from trials.storage.atomic import sha256


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("phantoms")
    write_phantoms(root, 3, seed=5)
    return root


def digests(root):
    return {str(path.relative_to(root)): sha256(path) for path in sorted(root.rglob("*.nii.gz"))}


def refused(root, words, num_cases=2, seed=5):
    """Ask for phantoms that must be refused in these words, with every file left as it was."""
    before = state(root)

    with pytest.raises(ValueError, match=words) as error:
        write_phantoms(root, num_cases, seed)

    assert "\n" not in str(error.value)
    assert state(root) == before


def state(root):
    """Every path below a folder, with what a file holds and when it was written."""
    return {
        path: path.is_file() and (path.read_bytes(), path.stat().st_mtime_ns)
        for path in Path(root).rglob("*")
    }


def interrupt(root, num_cases, seed):
    """Leave phantoms.json as a generation does that was killed before its end."""
    begun = {"num_cases": num_cases, "seed": seed, "version": VERSION, "complete": False}
    (root / "phantoms.json").write_text(json.dumps(begun))


@pytest.mark.parametrize(
    "name",
    [
        "dataset.json",
        "case_00300/imaging.nii.gz",
        "notes.txt",
        ".bashrc",
        ".git/config",
        "case_00000",
    ],
)
def test_a_folder_that_holds_anything_else_is_refused_with_the_fix_and_left_as_it_was(
    tmp_path, name
):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("of the user")
    found = name.partition("/")[0]

    refused(
        tmp_path,
        rf"^{tmp_path} must be missing or empty, or a folder of generated phantoms, .*; it holds "
        rf"{found}; omit --data .* "
        r'name an empty folder, .* set dataset="nnunet" .* in your own grid$',
    )


@pytest.mark.parametrize(
    "name",
    [
        ".DS_Store",
        "Thumbs.db",
        "desktop.ini",
        "._case",
        "lost+found",
        ".phantoms.json.x.unfinished",
    ],
)
def test_what_file_managers_and_our_own_unfinished_files_leave_counts_as_nothing(tmp_path, name):
    (tmp_path / name).touch()

    write_phantoms(tmp_path, 1, seed=5)

    assert len(digests(tmp_path)) == 2


@pytest.mark.parametrize(
    "name", ["case_00300/imaging.nii.gz", "dataset.json", "imagesTr/liver_0000.nii.gz"]
)
def test_a_file_of_the_user_in_a_folder_of_phantoms_is_refused_by_name(root, tmp_path, name):
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    shutil.copyfile(tmp_path / "case_00000" / "segmentation.nii.gz", tmp_path / name)

    refused(
        tmp_path,
        "holds 'phantom 0, seed 5.*not 'phantom 300"
        if "case" in name
        else f"it holds {name.partition('/')[0]};",
        4,
    )


def test_a_patient_under_the_name_of_a_phantom_is_refused(root, tmp_path):
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "case_00001" / "imaging.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), path)

    refused(tmp_path, "case_00001: holds '', not 'phantom 1, seed 5", 3)
    (tmp_path / "case_00001").rename(tmp_path.parent / f"{tmp_path.name}-patient")
    (tmp_path / "case_00001").symlink_to(tmp_path.parent / f"{tmp_path.name}-patient")
    refused(tmp_path, "it holds case_00001;", 3)


def test_a_folder_without_its_record_is_not_taken_for_ours(root, tmp_path):
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    (tmp_path / "phantoms.json").unlink()

    refused(tmp_path, "it holds case_00000, case_00001, case_00002; omit --data")


def test_a_second_run_on_the_same_folder_writes_nothing(root, tmp_path):
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    before = state(tmp_path)

    write_phantoms(tmp_path, 3, seed=5)
    write_phantoms(tmp_path, 2, seed=5)

    assert state(tmp_path) == before


@contextmanager
def files_up_to(size):
    """No file of this process may grow beyond so many bytes: small ones are written,
    cases are not."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("num_cases", [-1, 100_001, 10**18])
def test_a_record_of_more_phantoms_than_there_can_be_is_refused(tmp_path, num_cases):
    interrupt(tmp_path, num_cases, seed=5)

    refused(
        tmp_path,
        r"phantoms\.json: num_cases must lie in 0\.\.100000; got .*; if this folder holds only "
        r"phantoms",
    )


@pytest.mark.parametrize("left", [0, 1, 2])
def test_an_interrupted_generation_goes_on_where_it_stopped(root, tmp_path, left):
    interrupt(tmp_path, 3, seed=5)
    for number in range(left):
        shutil.copytree(root / f"case_0000{number}", tmp_path / f"case_0000{number}")
    (tmp_path / f"case_0000{left}").mkdir()
    kept = state(tmp_path)

    refused(tmp_path, "holds phantoms of seed 5, version 1, not of seed 6", 3, seed=6)
    write_phantoms(tmp_path, 3, seed=5)

    assert digests(tmp_path) == digests(root)
    assert (tmp_path / "phantoms.json").read_bytes() == (root / "phantoms.json").read_bytes()
    assert all(state(tmp_path)[path] == was for path, was in kept.items() if path.suffix == ".gz")


def test_a_generation_says_that_it_has_begun_before_it_makes_a_case(tmp_path):
    with files_up_to(4096), pytest.raises(OSError, match="File too large"):
        write_phantoms(tmp_path, 2, seed=5)

    begun = json.loads((tmp_path / "phantoms.json").read_text())
    assert begun == {"num_cases": 2, "seed": 5, "version": VERSION, "complete": False}
    assert digests(tmp_path) == {}


def test_a_file_or_a_dead_link_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("of the user")
    (tmp_path / "link").symlink_to(tmp_path / "gone")

    refused(tmp_path / "file", "file must be a folder; it is a file; name another")
    refused(tmp_path / "link", "link must be a folder; it is a broken link; name another")

    assert (tmp_path / "file").read_text() == "of the user"
    assert not (tmp_path / "gone").exists()


def test_a_link_is_as_good_as_the_folder_to_which_it_leads(root, tmp_path):
    for name in ("empty", "full"):
        (tmp_path / name).mkdir()
        (tmp_path / f"to {name}").symlink_to(tmp_path / name)
    (tmp_path / "full" / "dataset.json").write_text("{}")

    refused(tmp_path / "to full", "it holds dataset.json;")
    write_phantoms(tmp_path / "to empty", 3, seed=5)

    assert digests(tmp_path / "empty") == digests(root)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["dataset.json"]


@contextmanager
def as_nobody():
    """Run as a user without rights; root may write everywhere."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_that_may_not_be_written_is_refused_before_a_case_and_may_be_read_when_it_is_whole(
    root,
):
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        empty, whole, hidden = (Path(place) / name for name in ("empty", "whole", "hidden"))
        empty.mkdir(0o555)
        hidden.mkdir(0o000)
        shutil.copytree(root, whole)
        whole.chmod(0o555)
        try:
            with as_nobody():
                write_phantoms(whole, 3, seed=5)
                with pytest.raises(
                    OSError, match=r"choose a folder that you can write to: '.*/phantoms.json'"
                ):
                    write_phantoms(empty, 1, seed=5)
                with pytest.raises(
                    ValueError, match=r"hidden must be a folder that user .* may list; it is not"
                ):
                    write_phantoms(hidden, 1, seed=5)
        finally:
            for path in (empty, whole, hidden):
                path.chmod(0o755)

        assert list(empty.iterdir()) == []
