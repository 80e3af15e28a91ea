"""What the system is asked for when a file is written, in which order: a loss of power must find
the old file or the new.
"""

import errno
import gzip
import os
import stat
from pathlib import Path

import pytest

from trials.data.datasets.download import fetch
from trials.storage.atomic import NotWritten, write_text


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """What was asked of the system: a file or which folder was brought to the disk, and when a file
    got its name.
    """
    asked, fsync, replace = [], os.fsync, os.replace

    def told_fsync(handle):
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        asked.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name if is_folder else "file")
        fsync(handle)

    def told_replace(*names):
        asked.append("name")
        replace(*names)

    monkeypatch.setattr(os, "fsync", told_fsync)
    monkeypatch.setattr(os, "replace", told_replace)
    return asked


def test_a_file_is_on_the_disk_before_its_name_and_its_name_before_the_writer_goes_on(
    asked, tmp_path
):
    write_text(tmp_path / "a.txt", "whole")

    assert asked == ["file", "name", tmp_path.name]


def test_a_folder_that_was_made_for_a_file_is_kept_with_the_folders_above_it(asked, tmp_path):
    (tmp_path / "run").mkdir()

    write_text(tmp_path / "run" / "trials" / "0123" / "result.json", "whole")

    assert asked == ["file", "name", "0123", "trials", "run"]


def test_what_stands_in_the_way_of_a_file_is_named_with_the_way_out(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(
        NotWritten,
        match=r"a file has the name of a folder in this path; .*: '.*/file/run/a.txt'",
    ):
        write_text(tmp_path / "file" / "run" / "a.txt", "whole")


def test_a_download_is_on_the_disk_before_its_name_and_its_name_before_the_next(asked, tmp_path):
    (tmp_path / "published.nii.gz").write_bytes(gzip.compress(b"a mask", mtime=0))

    fetch((tmp_path / "published.nii.gz").as_uri(), tmp_path / "case_00000" / "mask.nii.gz")

    assert asked == ["file", "name", "case_00000", tmp_path.name]
    assert [path.name for path in (tmp_path / "case_00000").iterdir()] == ["mask.nii.gz"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_keep_a_folder_takes_files_all_the_same(
    monkeypatch, tmp_path, number
):
    fsync = os.fsync

    def refused(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", refused)
    write_text(tmp_path / "a.txt", "whole")

    assert [path.read_text() for path in tmp_path.iterdir()] == ["whole"]
