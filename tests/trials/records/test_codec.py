"""The seal of a record's file: every changed byte is seen, and the file stays what it was; and what
JSON may do to a reader.
"""

import io
import json

import numpy as np
import pytest

from trials.records.codec import from_json, parsed, read_record, to_json
from trials.records.run_record import FORMAT, read_run_record
from trials.records.spec import Cell
from trials.storage.checksum import (
    add_byte_checksum,
    add_checksum,
    check_byte_checksum,
    check_checksum,
)

CELL = Cell(model="unet3d", loss="focal", sampling="none")


def test_a_sealed_record_is_json_and_reads_back():
    text = add_checksum(to_json(CELL))

    assert json.loads(text)["loss"] == "focal"
    assert len(json.loads(text)["sha256"]) == 64
    assert check_checksum(text) == to_json(CELL)
    assert from_json(Cell, text) == from_json(Cell, to_json(CELL)) == CELL


def test_every_flipped_bit_of_a_sealed_record_is_seen():
    sound = add_checksum(to_json(CELL)).encode()

    for place in range(8 * len(sound)):
        spoilt = bytearray(sound)
        spoilt[place // 8] ^= 1 << place % 8
        with pytest.raises(ValueError, match=r"."):
            from_json(Cell, spoilt.decode())


@pytest.mark.parametrize("length", range(1, 40, 5))
def test_a_cut_record_is_refused(length):
    with pytest.raises(ValueError, match=r"."):
        from_json(Cell, add_checksum(to_json(CELL))[:-length])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"a": ' * 100_000, "nested too deep"),
        ("[" * 900 + "]" * 900, "must be a mapping; got"),
        ("1" * 5000, "4300 digits"),
        ('{"format": NaN}', "NaN is no number"),
        (r'{"model": "\ud800"}', "surrogates not allowed"),
    ],
)
def test_a_hostile_json_file_is_refused_by_name_with_the_way_out(tmp_path, text, words):
    path = tmp_path / "run.json"
    path.write_text(text)

    with pytest.raises(
        ValueError, match=rf"run.json cannot be read \(.*{words}.*\); run the grid again"
    ):
        read_run_record(tmp_path)
    with pytest.raises(ValueError, match=r"run.json is damaged \(.*\); delete it$"):
        read_record(Cell, path, "delete it")


def test_a_value_that_no_record_describes_may_not_be_nested_deeply(tmp_path):
    deep = []
    for _ in range(60):
        deep = [deep]
    (tmp_path / "run.json").write_text(json.dumps({"format": FORMAT, "machine": deep}))

    with pytest.raises(ValueError, match="machine is nested too deep"):
        read_run_record(tmp_path)


def test_a_whole_character_outside_the_basic_plane_is_read():
    assert parsed(r'["\ud83d\ude00"]') == ["\U0001f600"]


def test_sealed_bytes_read_back_and_every_flipped_bit_of_them_is_seen():
    file = io.BytesIO()
    np.savez_compressed(file, labels=np.arange(4))
    content = add_byte_checksum(file.getvalue())

    assert check_byte_checksum(content) == file.getvalue() == check_byte_checksum(file.getvalue())
    assert np.load(io.BytesIO(content))["labels"].tolist() == [0, 1, 2, 3]
    for place in range(8 * len(file.getvalue())):
        spoilt = bytearray(content)
        spoilt[place // 8] ^= 1 << place % 8
        with pytest.raises(ValueError, match="does not match its checksum"):
            check_byte_checksum(bytes(spoilt))
