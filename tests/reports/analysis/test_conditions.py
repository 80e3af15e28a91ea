"""A run that was continued elsewhere or under other versions says so, with the trials
that differ."""

import dataclasses

from made_up import MadeUp, all_results, write_run
from made_up_record import CODE

from reports.analysis.conditions import differences
from reports.analysis.context import build_context
from reports.build import build_report
from reports.load.run_folder import read_run
from reports.sections.validity import validity
from reports.table import write_tables


def continued(tmp_path):
    """Eight trials: the second ran under another torch, the third from another commit on another
    processor.
    """
    results = all_results(MadeUp())
    results[1] = dataclasses.replace(results[1], versions={**results[1].versions, "torch": "3.0"})
    results[2] = dataclasses.replace(
        results[2], commit="def5678", facts={**results[2].facts, "device": "another cpu"}
    )
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


CHECK = "All trials ran the same code"


def same_code(out):
    """Whether the page's check of that name holds, and what it says."""
    run = read_run(out)
    (checklist, *_) = validity(build_context(run, *write_tables(run), "none")).blocks
    return next((check.holds, check.detail) for check in checklist.checks if check.claim == CHECK)


def with_code(results, place, **changes):
    """The results with other digests in one of them."""
    changed = dataclasses.replace(results[place], code={**results[place].code, **changes})
    return [changed if i == place else result for i, result in enumerate(results)]


def test_trials_of_one_code_pass_and_name_it(tmp_path):
    holds, detail = same_code(write_run(tmp_path, MadeUp()))

    assert (holds, detail) == (True, "commit abc1234 and segbench 0.1.0 0123456789abcdef")


def test_one_result_of_another_digest_fails_the_check_and_is_named(tmp_path):
    results = with_code(all_results(MadeUp()), 2, segbench="0.1.0 fedcba9876543210")

    holds, detail = same_code(write_run(tmp_path, MadeUp(), results))

    assert holds is False
    assert (
        detail == "segbench: 0.1.0 0123456789abcdef in 7 trials; 0.1.0 fedcba9876543210 in "
        f"{results[2].trial}"
    )


def test_a_part_is_compared_over_the_trials_that_use_it(tmp_path):
    made = MadeUp(
        losses=("combined", "own"), seeds=(0,), record={"code": {**CODE, "loss own": "aa"}}
    )
    own = [i for i, result in enumerate(all_results(made)) if result.spec.cell.loss == "own"]
    results = all_results(made)
    for place in own:
        results = with_code(results, place, **{"loss own": "aa"})

    assert same_code(write_run(tmp_path / "one", made, results))[0]

    results = with_code(results, own[1], **{"loss own": "bb"})
    assert same_code(write_run(tmp_path / "two", made, results)) == (
        False,
        f"loss own: aa in 1 trial; bb in {results[own[1]].trial}",
    )


def test_trials_of_one_code_that_is_not_the_grids_fail_the_check(tmp_path):
    made = MadeUp(losses=("own",), seeds=(0,), record={"code": {**CODE, "loss own": "bb"}})
    results = all_results(made)
    for place in range(len(results)):
        results = with_code(results, place, **{"loss own": "aa"})

    assert same_code(write_run(tmp_path, made, results)) == (
        False,
        "loss own: aa in the trials; bb in the grid of this page",
    )


def test_where_a_result_names_no_code_the_check_cannot_pass(tmp_path):
    results = all_results(MadeUp())
    results[3] = dataclasses.replace(results[3], code={})

    assert same_code(write_run(tmp_path, MadeUp(), results)) == (
        None,
        "1 trial did not record the code that ran",
    )
