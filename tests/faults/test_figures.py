"""The large figures of the benchmarks in their short form: flipped bits, kills, neighbours and
fuzzed values.
"""

from benchmarks.bit_flips import count_flips
from benchmarks.concurrent_prepare import count_reads
from benchmarks.fuzz import HANG_SECONDS, MEMORY_MIB, grid_fields, headers, json_files
from benchmarks.prepare_kills import count_kills


def test_a_flipped_bit_in_any_kind_of_file_is_detected_or_harmless():
    counts = count_flips(210)

    assert len(counts) == 7
    for name, found in counts.items():
        assert found.total() == 30
        assert found["missed"] == 0, name
        assert found["detected"] > 20, name


def test_a_killed_preparation_leaves_no_unreadable_file():
    killed, read, unreadable = count_kills(6)

    assert killed == 6
    assert read > 6
    assert unreadable == 0


def test_preparers_at_once_all_succeed_and_whoever_reads_beside_them_too():
    failed, read, unreadable = count_reads(rounds=1, preparers=4)

    assert read > 12
    assert (failed, unreadable) == (0, 0)


def test_a_fuzzed_header_is_taken_or_refused_in_words(tmp_path):
    outcome = headers(100, tmp_path)

    assert outcome.examples == 100
    assert outcome.crashes == ()
    assert outcome.longest < HANG_SECONDS
    assert outcome.grown_mib < MEMORY_MIB


def test_each_kind_of_our_json_files_is_taken_or_refused_in_words(tmp_path):
    outcomes = json_files(4, tmp_path)

    assert len(outcomes) == 14
    for name, outcome in outcomes.items():
        assert outcome.examples == 4
        assert outcome.crashes == (), name
        assert outcome.longest < HANG_SECONDS, name


def test_a_fuzzed_grid_is_taken_or_refused_in_words():
    assert grid_fields(100).crashes == ()
