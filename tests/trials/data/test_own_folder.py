"""What counts as content of a folder, here and in a bucket, and what lies inside what."""

import os
from pathlib import Path

import pytest
from nifti_toys import dataset_of

from trials.data.own_folder import is_inside, list_contents, refuse_foreign
from trials.data.prepared.cache import prepare_dataset
from trials.records.spec import Cube
from trials.storage.atomic import to_path
from trials.storage.object_store import StoreUnavailable, put
from trials.storage.spool import scratch


def test_a_missing_and_an_empty_folder_have_no_content(tmp_path, bucket):
    assert (
        list_contents(tmp_path)
        == list_contents(tmp_path / "missing")
        == list_contents(bucket / "missing")
        == []
    )


def test_a_folder_tells_what_lies_in_it_but_neither_litter_nor_what_is_unfinished(tmp_path):
    for name in (
        "b.nii.gz",
        ".hidden",
        ".DS_Store",
        "._b.nii.gz",
        "THUMBS.DB",
        ".run.json.abc.unfinished",
    ):
        (tmp_path / name).touch()
    (tmp_path / "a").mkdir()

    assert list_contents(tmp_path) == [".hidden", "a", "b.nii.gz"]


def test_a_bucket_tells_its_objects_and_what_they_lie_under_one_level_deep(bucket):
    put(bucket / "run" / "scan.nii.gz", b"")
    put(bucket / "run" / "cases" / "a" / "b.txt", b"")
    put(bucket / "run" / ".DS_Store", b"")
    put(bucket / "running", b"")
    bucket.fs.pipe_file(f"{bucket.path}/run/", b"")

    assert list_contents(bucket / "run") == ["cases", "scan.nii.gz"]


def test_a_store_that_does_not_answer_is_told_and_not_taken_for_an_empty_one(store, bucket):
    store.stop()
    try:
        with pytest.raises(StoreUnavailable, match="/run: the store refuses or does not answer"):
            list_contents(bucket / "run")
    finally:
        store.start()


def test_at_most_three_names_are_listed_and_the_others_counted():
    with pytest.raises(
        ValueError, match=r"^/x must be missing or empty, or Y; it holds a, b\\n, c and 2 more; Z$"
    ):
        refuse_foreign(Path("/x"), ["a", "b\n", "c", "d", "e"], "Y", "Z")

    refuse_foreign(Path("/x"), [], "Y", "Z")


@pytest.mark.parametrize(
    ("folder", "other", "inside"),
    [
        ("data", "data", True),
        ("data/", "data", True),
        ("data/out", "data", True),
        ("data/../out", "data", False),
        ("data2", "data", False),
        ("data", "data/out", False),
        ("link/out", "data", True),
        ("s3://bucket/data/out", "s3://bucket/data", True),
        ("s3://bucket/data", "s3://bucket/data/", True),
        ("s3://bucket/data2", "s3://bucket/data", False),
        ("s3://bucket/data", "data", False),
    ],
)
def test_one_folder_lies_in_another_whatever_the_spelling(
    tmp_path, monkeypatch, folder, other, inside
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")

    assert is_inside(to_path(folder), to_path(other)) == inside


def test_what_is_swept_from_a_cache_lies_in_its_own_folders(tmp_path):
    dataset = dataset_of(tmp_path / "data", 1)
    prepared = prepare_dataset(dataset, Cube(edge=8), tmp_path / "cache", workers=1)
    ours, theirs = (
        prepared.parent / "cases" / ".a.unfinished",
        tmp_path / "cache" / "of the user" / ".a.unfinished",
    )
    theirs.parent.mkdir()
    for path in (ours, theirs):
        path.touch()
        os.utime(path, (0, 0))

    prepare_dataset(dataset, Cube(edge=8), tmp_path / "cache", workers=1)

    assert not ours.exists()
    assert theirs.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can leave a link of another user")
def test_a_link_that_another_user_left_in_the_temporary_folder_is_not_followed(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("SEGBENCH_SCRATCH", str(tmp_path))
    (tmp_path / "home").mkdir()
    link = tmp_path / f"segbench-{os.getuid()}"
    link.symlink_to("home")
    assert scratch() == link
    os.lchown(link, 65534, 65534)

    with pytest.raises(
        ValueError,
        match=f"{link} belongs to another user; set SEGBENCH_SCRATCH to a folder of your own",
    ):
        scratch()
