"""A run folder is tried before it is used, and a driver holds it alone, in a bucket as
in a folder."""

import errno
import json
import os
import urllib.request

import pytest

from bench.cli import main
from bench.run_folder.lock import acquire_lock, find_lock, hold_lock, is_alive, touch_lock
from trials.storage.atomic import find_files, to_path
from trials.storage.object_store import put
from trials.storage.probe import check_writable, explain_error, local_parent


def test_a_second_driver_on_a_bucket_is_refused_and_a_lock_goes_with_its_driver(bucket):
    with hold_lock(bucket / "run") as lock:
        touch_lock(lock)
        assert is_alive(find_lock(bucket / "run"))
        with pytest.raises(ValueError, match=rf"is in use by process {os.getpid()} on"):
            acquire_lock(bucket / "run")

    assert find_lock(bucket / "run") is None


def test_a_run_folder_in_a_bucket_that_does_not_exist_is_refused_in_one_sentence(bucket):
    check_writable(bucket / "run")
    assert find_files(bucket / "run", "*") == []

    with pytest.raises(
        ValueError,
        match=r"^files in s3://nowhere-at-all/run cannot be written, .*bucket does not exist",
    ) as error:
        check_writable(to_path("s3://nowhere-at-all/run"))

    assert "\n" not in str(error.value)


def test_f70_a_store_that_refuses_is_told_at_the_start(store, bucket):
    def auth_after(actions):
        request = urllib.request.Request(
            f"{store.url}/moto-api/reset-auth", data=actions, headers={"Content-Type": "text/plain"}
        )
        urllib.request.urlopen(request).close()

    auth_after(b"0")
    try:
        with pytest.raises(
            ValueError,
            match=r"/run cannot be written, .*give another folder, or the rights and credentials",
        ):
            check_writable(bucket / "run")
    finally:
        auth_after(b"inf")


def test_data_for_a_run_in_a_bucket_are_made_here(bucket, tmp_path):
    assert local_parent(bucket / "runs" / "demo").name == "runs"
    assert local_parent(tmp_path / "demo") == tmp_path


def test_a_run_folder_that_cannot_be_made_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(
        ValueError,
        match=r"/file/run cannot be written, read and deleted: .*; give another folder",
    ):
        check_writable(tmp_path / "file" / "run")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "its disk is full; free some space"),
        (errno.EDQUOT, "your quota there is used up"),
        (errno.EROFS, "it is on a read-only file system"),
        (errno.EACCES, "has no permission; change the folder's permissions"),
    ],
)
def test_f71_what_a_disk_refuses_is_said_with_its_way_out(number, words):
    assert words in explain_error(OSError(number, os.strerror(number)))


def test_doctor_reads_a_cache_and_tries_a_run_folder_in_a_bucket(bucket, small_cache, capsys):
    for path in small_cache.parent.rglob("*.*"):
        put(
            bucket / "cache" / path.relative_to(small_cache.parents[1]).as_posix(),
            path.read_bytes(),
        )
    put(next(iter((bucket / "cache").glob("*/cases/*.image.npy"))), b"cut off")

    assert (
        main(["doctor", "--json", "--cache", str(bucket / "cache"), "--out", str(bucket / "run")])
        == 2
    )

    told = {
        finding["subject"]: finding for finding in json.loads(capsys.readouterr().out)["findings"]
    }
    assert told["run folder"]["level"] == "fine"
    assert told["cache"]["message"].startswith(f"1 of 12 cases in {bucket / 'cache'}/phantoms")


@pytest.mark.parametrize(
    "command",
    [
        "check {}",
        "prepare kits23 {} --cache c",
        "run --grid demo --data {}",
        "plan --grid demo --data {}",
        "run --grid {}/my_grid.py",
        "run --grid demo --dry-run --weights unet3d={}/weights.pt",
        "doctor --data {}",
        "doctor --cluster {}/cluster.yaml",
        "export slices c {}",
        "audit {}/tables.csv",
        "score --reference {} --prediction p",
        "score --reference r --prediction {}",
        "score --reference r --prediction p --csv {}/scores.csv",
        "report runs/demo --add nnU-Net=p --data {}",
    ],
)
def test_a_url_where_files_are_needed_is_refused_in_one_sentence(command, capsys):
    try:
        code = main(command.format("s3://bucket/it").split())
    except SystemExit as refused:
        code = refused.code

    assert code == 2
    assert "download or mount it and name the path" in capsys.readouterr().err
