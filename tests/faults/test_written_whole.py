"""What the system is asked for when a file is written, in which order: a loss of power must find the old file or the new."""

import errno
import os
import stat

import pytest

from trials.files import write_text


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """What was asked of the system: which kind of thing was brought to the disk, and when a file got its name."""
    asked, fsync, replace = [], os.fsync, os.replace

    def told_fsync(handle):
        asked.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def told_replace(*names):
        asked.append("name")
        replace(*names)

    monkeypatch.setattr(os, "fsync", told_fsync)
    monkeypatch.setattr(os, "replace", told_replace)
    return asked


def test_a_file_is_on_the_disk_before_its_name_and_its_name_before_the_writer_goes_on(asked, tmp_path):
    write_text(tmp_path / "new" / "a.txt", "whole")

    assert asked == ["file", "name", "folder"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_keep_a_folder_takes_files_all_the_same(monkeypatch, tmp_path, number):
    fsync = os.fsync

    def refused(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", refused)
    write_text(tmp_path / "a.txt", "whole")

    assert [path.read_text() for path in tmp_path.iterdir()] == ["whole"]
