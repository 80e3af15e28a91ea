"""What the nodes of a cluster see, and the one sentence that is said where storage is
not shared."""

import os

import pytest

from bench.tuning.node_checks import forgive_warnings, join, look
from bench.tuning.node_report import NodeReport, complaint
from trials.identity.code_identity import own_code
from trials.storage.atomic import write_text


@pytest.mark.parametrize(("asked", "left"), [("error", None), ("default", "default"), ("", "")])
def test_rays_own_processes_do_not_end_at_a_warning(monkeypatch, asked, left):
    monkeypatch.setenv("PYTHONWARNINGS", asked)

    forgive_warnings()

    assert os.environ.get("PYTHONWARNINGS") == left


def test_a_node_on_shared_storage_writes_its_marker_beside_the_drivers(tmp_path):
    write_text(tmp_path / "marks" / "driver", "")

    seen = look("node", "10.0.0.1", str(tmp_path / "marks"), (str(tmp_path),))

    assert (seen.sees_driver, seen.error, seen.missing) == (True, "", ())
    assert seen.versions["segbench"] == own_code()
    assert sorted(path.name for path in (tmp_path / "marks").iterdir()) == ["driver", "node"]


def test_a_node_with_a_disk_of_its_own_sees_no_marker_and_leaves_none(tmp_path):
    seen = look("node", "10.0.0.1", str(tmp_path / "marks"), (str(tmp_path / "data"),))

    assert (seen.sees_driver, seen.error, seen.missing) == (False, "", (str(tmp_path / "data"),))
    assert not (tmp_path / "marks").exists()


def test_a_node_without_a_folder_on_its_own_disk_says_so(tmp_path, monkeypatch):
    write_text(tmp_path / "marks" / "driver", "")
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEGBENCH_SCRATCH", str(tmp_path / "file"))

    seen = look("node", "10.0.0.1", str(tmp_path / "marks"), ())

    assert seen.no_scratch.startswith(f"SEGBENCH_SCRATCH: {tmp_path / 'file'}")


def test_a_bucket_is_seen_as_shared(bucket):
    write_text(bucket / "run" / "marks" / "driver", "")

    seen = look("node", "10.0.0.1", str(bucket / "run" / "marks"), (str(bucket / "run"),))

    assert (seen.sees_driver, seen.error, seen.missing) == (True, "", ())
    assert (bucket / "run" / "marks" / "node").is_file()


WELL = NodeReport(address="10.0.0.1", sees_driver=True, is_seen=True)
APART = NodeReport(address="10.0.0.2", missing=("/data",))
BLIND = NodeReport(address="10.0.0.3", sees_driver=True, is_seen=True, missing=("/data",))
REFUSED = NodeReport(address="10.0.0.4", sees_driver=True, error="No space left on device")
UNSEEN = NodeReport(address="10.0.0.5", sees_driver=True)
BARE = NodeReport(address="10.0.0.6", broken="ModuleNotFoundError: No module named 'bench'")
HOMELESS = NodeReport(
    address="10.0.0.8",
    sees_driver=True,
    is_seen=True,
    no_scratch="SEGBENCH_SCRATCH: /x cannot be created",
)
OTHER = NodeReport(
    address="10.0.0.9",
    sees_driver=True,
    is_seen=True,
    versions={"segbench": "0.0.9 0123456789abcdef"},
)
LOST = NodeReport(address="10.0.0.7", lost="NodeDiedError")


@pytest.mark.parametrize(
    ("sights", "text"),
    [
        ([WELL], "; "),
        ([WELL, LOST], "; "),
        (
            [WELL, OTHER, UNSEEN],
            f"other training code than the driver's {own_code()} on 10.0.0.9 (0.0.9 "
            "0123456789abcdef); "
            "install the same version of segbench there",
        ),
        (
            [WELL, APART, LOST, UNSEEN],
            "/run is not shared: 10.0.0.2 cannot see what the driver writes there; give --out on "
            "storage that every node "
            "mounts at the same path, or a URL such as s3://bucket/run",
        ),
        (
            [UNSEEN],
            "/run is not shared: the driver cannot see what 10.0.0.5 wrote there; give --out on "
            "shared storage",
        ),
        (
            [REFUSED],
            "/run cannot be written from 10.0.0.4 (No space left on device); give every node the "
            "right to write there",
        ),
        (
            [WELL, HOMELESS, BLIND],
            "no folder on its own disk for 10.0.0.8 (SEGBENCH_SCRATCH: /x cannot be created); "
            "set the variable there before `ray start`",
        ),
        (
            [BLIND, WELL, BLIND],
            "10.0.0.3, 10.0.0.3 cannot see /data; put it on storage that every node mounts at the "
            "same path",
        ),
        (
            [WELL, BARE, APART],
            "this project does not run on 10.0.0.6 (ModuleNotFoundError: No module named 'bench'); "
            "install the same version of it there",
        ),
    ],
)
def test_storage_that_is_not_shared_is_one_sentence_with_the_nodes(sights, text):
    assert "; ".join(complaint("/run", sights)) == text


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1", "127.0.0.1:ray", "[::1]:1"])
def test_an_address_where_nobody_answers_is_one_sentence_at_once(address):
    with pytest.raises(
        ValueError, match=r"^no Ray answers at .*; `ray up FILE` starts one; .*RAY_AUTH_MODE=token"
    ) as refused:
        join(address)

    assert "\n" not in str(refused.value)
