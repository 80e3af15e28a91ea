"""A run that was continued elsewhere or under other versions says so, with the trials that differ."""

import dataclasses

from made_up import MadeUp, all_results, write_run

from reports.build import build_report
from reports.conditions import differences
from reports.run_folder import read_run


def continued(tmp_path):
    """Eight trials: the second ran under another torch, the third from another commit on another processor."""
    results = all_results(MadeUp())
    results[1] = dataclasses.replace(results[1], versions={**results[1].versions, "torch": "3.0"})
    results[2] = dataclasses.replace(results[2], commit="def5678", facts={**results[2].facts, "device": "another cpu"})
    return write_run(tmp_path, MadeUp(), results), results


def test_f81_what_differs_is_named_with_its_trials(tmp_path):
    out, results = continued(tmp_path)

    assert differences(read_run(out)) == (
        f"commit: abc1234 in 7 trials; def5678 in {results[2].trial}",
        f"device: cpu in 7 trials; another cpu in {results[2].trial}",
        f"torch: 2.14.1 in 7 trials; 3.0 in {results[1].trial}",
    )


def test_the_page_says_it(tmp_path):
    out, results = continued(tmp_path)

    page = build_report(out, "none").read_text()

    assert "Mixed conditions" in page
    assert f"torch: 2.14.1 in 7 trials; 3.0 in {results[1].trial}" in page


def test_a_run_of_one_piece_has_nothing_to_say(tmp_path):
    assert differences(read_run(write_run(tmp_path, MadeUp()))) == ()
