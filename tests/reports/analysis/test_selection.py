"""Choosing on validation and saying how sure: winners, no winners, and the null."""

import numpy as np
import pytest
from made_up import MadeUp, write_run

from reports.analysis.context import Context, build_context
from reports.analysis.contrasts import against
from reports.analysis.selection import Selection, judge_pairs, select
from reports.analysis.summary import MEAN, resample_ratio
from reports.load.counts import Counts
from reports.load.run_folder import Run, read_run
from reports.table import scores_table, trials_table
from trials.records.result import NATIVE, PREPARED
from trials.records.spec import Cell


def board_of(folder, made: MadeUp) -> Context:
    run = read_run(write_run(folder, made))
    return build_context(run, scores_table(run), trials_table(run), "none")


def by_loss(best: str, lead: float):
    """A quality in which one loss leads by so much, patients and seeds aside."""

    def quality(cell, seed, case, label):
        place = int(case.removeprefix("case_"))
        seed_effect = 0.001 * ((place * 7 + seed * 3 + len(cell.model)) % 5)
        return round(0.5 + 0.02 * (place % 4) + seed_effect + (lead if cell.loss == best else 0), 3)

    return quality


def test_means_are_those_of_the_made_up_dice(tmp_path):
    made = MadeUp(quality=lambda cell, seed, case, label: 0.8 - 0.2 * label + 0.1 * seed)

    summary = board_of(tmp_path, made).summaries[NATIVE]

    assert summary[0, 1].dice == pytest.approx(0.65)
    assert summary[0, 2].dice == pytest.approx(0.45)
    assert summary[0, MEAN].dice == pytest.approx((0.65 + 0.45 + 0.25) / 3)
    assert summary[0, 1].iou == pytest.approx((0.6 / 1.4 + 0.7 / 1.3) / 2)
    assert summary[0, 3].n == 4
    assert summary[0, 1].n == 8
    assert summary[0, 3].label_free == 4


def test_false_alarms_count_the_patients_without_the_class(tmp_path):
    # A false cyst of 7 voxels wherever the quality exceeds 0.4: in seed 1 alone.
    made = MadeUp(quality=lambda cell, seed, case, label: 0.3 + 0.2 * seed)

    summary = board_of(tmp_path, made).summaries[NATIVE][0, 3]

    assert summary.fp_share == 0.5
    assert summary.fp_voxels == 3.5


def test_a_clear_lead_in_every_seed_is_a_winner(tmp_path):
    context = board_of(
        tmp_path, MadeUp(models=("vnet",), seeds=(0, 1, 2), quality=by_loss("focal", 0.2))
    )

    assert context.selection.winner
    assert context.run.cells[context.selection.selected].loss == "focal"
    assert context.selection.lead[0] == pytest.approx(0.2)
    assert context.first.tolist() == [0, 1]


def test_the_same_lead_under_one_seed_is_no_winner(tmp_path):
    context = board_of(
        tmp_path, MadeUp(models=("vnet",), seeds=(0,), quality=by_loss("focal", 0.2))
    )

    assert not context.selection.winner
    assert context.run.cells[context.selection.selected].loss == "focal"


def test_a_lead_within_a_hundredth_is_no_winner(tmp_path):
    context = board_of(
        tmp_path, MadeUp(models=("vnet",), seeds=(0, 1, 2), quality=by_loss("focal", 0.006))
    )

    assert context.selection.low[0] > 0
    assert not context.selection.winner


def test_the_choice_is_made_on_validation_whatever_the_test_says(tmp_path):
    def quality(cell, seed, case, label):
        is_validation = int(case.removeprefix("case_")) < 4
        return 0.7 if (cell.loss == "focal") == is_validation else 0.5

    context = board_of(tmp_path, MadeUp(models=("vnet",), seeds=(0, 1, 2), quality=quality))

    assert context.run.cells[context.selection.selected].loss == "focal"
    assert context.selection.lead[0] == pytest.approx(-0.2)
    assert not context.selection.winner


def test_a_class_that_no_test_patient_holds_takes_no_part_in_the_mean(tmp_path):
    made = MadeUp(num_val=5, num_test=1, quality=lambda cell, seed, case, label: 0.9 - 0.2 * label)

    context = board_of(tmp_path, made)

    assert np.isnan(context.summaries[NATIVE][0, 3].dice)
    assert context.summaries[PREPARED][0, MEAN].dice == pytest.approx(0.6)
    assert np.isnan(context.summaries[NATIVE][0, MEAN].dice_low), "one patient gives no interval"


def test_p_values_are_paired_over_patients_and_adjusted(tmp_path):
    context = board_of(
        tmp_path, MadeUp(models=("vnet",), seeds=(0, 1, 2), quality=by_loss("focal", 0.2))
    )

    # Eight patients, all better: 2 / 2^8; four with a cyst: 2 / 2^4. Holm over three classes.
    p = against(1, context.all_predictions.counts, context.resampled)
    assert p[0, 1] == pytest.approx(3 * 2 / 2**8)
    assert p[0, 3] == pytest.approx(2 / 2**4)


def counts(rng: np.random.Generator, seed_effect: np.ndarray, num_cases: int) -> Counts:
    num_cells, num_seeds = seed_effect.shape
    true = np.full((num_cases, 2), 1000)
    patients, noise = (
        rng.normal(0, 0.1, num_cases),
        rng.normal(0, 0.04, (*seed_effect.shape, num_cases)),
    )
    quality = np.clip(0.7 + seed_effect[:, :, None] + patients + noise, 0, 1)
    overlap = np.zeros((*seed_effect.shape, num_cases, 2), np.int64)
    overlap[..., 1] = 1000 * quality
    pred, available = np.broadcast_to(true, overlap.shape), np.ones((num_cells, num_seeds), bool)
    return Counts(
        cases=tuple(map(str, range(num_cases))),
        true=true,
        pred=pred,
        overlap=overlap,
        available=available,
    )


def null_run(seed: int, num_cells: int, num_seeds: int) -> Selection | None:
    """Equal configurations whose seeds alone differ, alike on validation and test."""
    rng = np.random.default_rng(seed)
    cells = tuple(Cell(model=str(i), loss="", sampling="") for i in range(num_cells))
    fields = {
        "out": None,
        "record": {},
        "grid_text": "",
        "classes": ("background", "kidney"),
        "folds": (0,),
        "results": (),
        "other_trials": (),
    }
    run = Run(**fields, cells=cells, seeds=tuple(range(num_seeds)))
    seed_effect = rng.normal(0, 0.04, (num_cells, num_seeds))
    validation, test = counts(rng, seed_effect, 20), counts(rng, seed_effect, 30)
    resampled = resample_ratio(test, num_draws=1000)
    return select(run, validation, test, resampled, judge_pairs(test, resampled))


@pytest.mark.parametrize(("num_cells", "num_seeds"), [(2, 3), (12, 2)])
def test_equal_configurations_have_no_winner_and_no_resolved_rival(num_cells, num_seeds):
    choices = [null_run(seed, num_cells, num_seeds) for seed in range(40)]

    # A chance of 5 % makes more than 5 of 40 a matter of one in a hundred.
    assert sum(selection.winner for selection in choices) <= 5
    assert sum(bool(selection.resolved.any()) for selection in choices) <= 5
