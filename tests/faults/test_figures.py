"""The large figures of the benchmarks in their short form: flipped bits and kills."""

from benchmarks.bit_flips import count_flips
from benchmarks.prepare_kills import count_kills


def test_a_flipped_bit_in_any_kind_of_file_is_detected_or_harmless():
    counts = count_flips(210)

    assert len(counts) == 7
    for name, found in counts.items():
        assert found.total() == 30
        assert found["missed"] == 0, name
        assert found["detected"] > 20, name


def test_a_killed_preparation_leaves_no_unreadable_file():
    counts = count_kills(5, preparers=1)

    assert counts["killed"] == 5
    assert counts["read"] > 10
    assert counts["unreadable"] == 0


def test_preparers_at_once_all_succeed_and_whoever_reads_beside_them_too():
    counts = count_kills(2, preparers=3)

    assert counts["read"] > 12
    assert (counts["failed"], counts["unreadable"]) == (0, 0)
