"""What the report says of the precision that trials were trained in."""

import dataclasses

from made_up import MadeUp, all_results, write_run

from reports.analysis.conditions import precision_check
from reports.load.run_folder import read_run

CHECKED = {
    "precision": "bfloat16",
    "arithmetic_right": True,
    "arithmetic": "largest error 0.31 in down.0.weight, limit 1.8",
}
FELL_BACK = {
    "precision": "float32",
    "arithmetic_right": False,
    "arithmetic": "largest error not finite in up.0.weight, limit 1.8",
    "precision_note": "vnet trained in float32, since bfloat16 is wrong here: largest error not "
    "finite in up.0.weight",
}


def checked(tmp_path, facts_of):
    """The check over a run whose results have the facts that facts_of(result) gives."""
    made = MadeUp()
    results = [
        dataclasses.replace(result, facts={**result.facts, **facts_of(result)})
        for result in all_results(made)
    ]
    return precision_check(read_run(write_run(tmp_path, made, results)))


def test_a_run_in_float32_passes_and_says_so(tmp_path):
    check = checked(tmp_path, lambda result: {"precision": "float32"})

    assert check.holds is True
    assert check.detail.startswith("float32 in 8 trials of unet3d and vnet")


def test_low_precision_that_was_compared_passes_with_the_error_of_each_model(tmp_path):
    check = checked(tmp_path, lambda result: CHECKED)

    assert check.holds is True
    assert "bfloat16 in 8 trials" in check.detail
    assert "unet3d: largest error 0.31 in down.0.weight" in check.detail


def test_low_precision_that_nothing_was_compared_with_fails_and_its_cells_are_named(tmp_path):
    check = checked(
        tmp_path,
        lambda result: CHECKED if result.spec.cell.model == "unet3d" else {"precision": "bfloat16"},
    )

    assert check.holds is False
    assert "not compared with float32: vnet / combined / none" in check.detail
    assert "unet3d / combined / none" not in check.detail


def test_a_model_that_went_back_to_float32_is_named_with_the_tensor_and_the_error(tmp_path):
    check = checked(
        tmp_path, lambda result: FELL_BACK if result.spec.cell.model == "vnet" else CHECKED
    )

    assert check.holds is True
    assert FELL_BACK["precision_note"] in check.detail


def test_results_that_name_no_precision_leave_the_check_open(tmp_path):
    made = MadeUp()
    results = [dataclasses.replace(result, facts={}) for result in all_results(made)]

    assert precision_check(read_run(write_run(tmp_path, made, results))).holds is None
