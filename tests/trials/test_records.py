"""The seal of a record's file: every changed byte is seen, and the file stays plain JSON."""

import json

import pytest

from trials.records import from_json, sealed, to_json, unsealed
from trials.spec import Cell

CELL = Cell(model="unet3d", loss="focal", sampling="none")


def test_a_sealed_record_is_json_and_reads_back():
    text = sealed(to_json(CELL))

    assert json.loads(text)["loss"] == "focal"
    assert len(json.loads(text)["sha256"]) == 64
    assert unsealed(text) == to_json(CELL)
    assert from_json(Cell, text) == from_json(Cell, to_json(CELL)) == CELL


def test_every_flipped_bit_of_a_sealed_record_is_seen():
    sound = sealed(to_json(CELL)).encode()

    for place in range(8 * len(sound)):
        spoilt = bytearray(sound)
        spoilt[place // 8] ^= 1 << place % 8
        with pytest.raises(ValueError, match=r"."):
            from_json(Cell, spoilt.decode())


@pytest.mark.parametrize("length", range(1, 40, 5))
def test_a_cut_record_is_refused(length):
    with pytest.raises(ValueError, match=r"."):
        from_json(Cell, sealed(to_json(CELL))[:-length])
