"""What the nodes of a cluster see, and the one sentence that is said where storage is not shared."""

import pytest

from bench.tuning.preflight import Sight, complaint, sight
from trials.files import write_text


def test_a_node_on_shared_storage_writes_its_marker_beside_the_drivers(tmp_path):
    write_text(tmp_path / "marks" / "driver", "")

    seen = sight("node", str(tmp_path / "marks"), (str(tmp_path),))

    assert seen == Sight(node="node", sees_driver=True)
    assert sorted(path.name for path in (tmp_path / "marks").iterdir()) == ["driver", "node"]


def test_a_node_with_a_disk_of_its_own_sees_no_marker_and_leaves_none(tmp_path):
    seen = sight("node", str(tmp_path / "marks"), (str(tmp_path / "data"),))

    assert seen == Sight(node="node", sees_driver=False, missing=(str(tmp_path / "data"),))
    assert not (tmp_path / "marks").exists()


def test_a_bucket_is_seen_as_shared(bucket):
    write_text(bucket / "run" / "marks" / "driver", "")

    assert sight("node", str(bucket / "run" / "marks"), (str(bucket / "run"),)) == Sight(node="node", sees_driver=True)
    assert (bucket / "run" / "marks" / "node").is_file()


WELL = Sight(node="a", sees_driver=True)
APART = Sight(node="b", sees_driver=False, missing=("/data",))
BLIND = Sight(node="c", sees_driver=True, missing=("/data",))
REFUSED = Sight(node="d", sees_driver=True, error="No space left on device")


@pytest.mark.parametrize(
    ("sights", "text"),
    [
        ([("10.0.0.1", WELL, True)], ""),
        (
            [("10.0.0.1", WELL, True), ("10.0.0.2", APART, False), ("10.0.0.3", APART, False)],
            "/run is not shared: 10.0.0.2, 10.0.0.3 cannot see what the driver writes there; give --out on storage that "
            "every node mounts at the same path, or a URL such as s3://bucket/run",
        ),
        (
            [("10.0.0.1", WELL, False)],
            "/run is not shared: the driver cannot see what 10.0.0.1 wrote there; give --out on shared storage",
        ),
        (
            [("10.0.0.1", REFUSED, False)],
            "/run cannot be written from 10.0.0.1 (No space left on device); give every node the right to write there",
        ),
        (
            [("10.0.0.1", BLIND, True), ("10.0.0.2", WELL, True), ("10.0.0.3", BLIND, True)],
            "10.0.0.1, 10.0.0.3 cannot see /data; put it on storage that every node mounts at the same path",
        ),
    ],
)
def test_storage_that_is_not_shared_is_one_sentence_with_the_nodes(sights, text):
    assert complaint("/run", sights) == text
