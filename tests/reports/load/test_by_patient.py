"""Scans averaged by patient, and the statistics that follow, against values known by hand and by
scipy.
"""

import dataclasses

import numpy as np
import pytest
from made_up import MadeUp, write_run
from made_up_record import run_record
from page_tables import frames
from scipy import stats

from reports.analysis.contrasts import compare, pair_weights
from reports.analysis.groups import MIXED, group_of_patients
from reports.analysis.patients import counted_cases, patient_dice, patient_shares
from reports.analysis.summary import resample_ratio, summarise
from reports.build import build_report
from reports.load.by_patient import by_patient, patients_of, sum_by_patient
from reports.load.counts import Counts, count
from reports.load.run_folder import read_run
from reports.stats.conventions import CONVENTIONS
from reports.stats.intervals import case_weights
from reports.table import scores_table
from trials.records.grouping import Grouping

# Patient a has three scans, b one and c two; the last scan of c lacks the label.
SCANS = ("a", "b", "a", "c", "a", "c")
DICE = np.array([0.9, 0.5, 0.6, 0.8, 0.3, 0.0])


def counts_of(dice, patients, held=None):
    """Counts of one class whose Dice is given, [C, S, N]: masks of 1000 voxels."""
    dice = np.asarray(dice)
    held = np.ones(dice.shape[2], bool) if held is None else np.asarray(held)
    true = np.stack([np.full(len(held), 9000), np.where(held, 1000, 0)], axis=1)
    pred = np.broadcast_to(np.array([9000, 1000]), (*dice.shape, 2))
    overlap = np.stack([np.full(dice.shape, 9000), np.rint(1000 * dice * held)], axis=3)
    return Counts(
        cases=tuple(f"case_{n}" for n in range(dice.shape[2])),
        true=true,
        pred=pred,
        overlap=overlap.astype(np.int64),
        available=np.ones(dice.shape[:2], bool),
        patient_of=patients,
    )


def test_scans_are_averaged_by_patient_in_the_order_of_first_appearance():
    values = np.array([0.9, 0.5, 0.6, 0.8, 0.3, np.nan])

    assert by_patient(values, SCANS) == pytest.approx([0.6, 0.5, 0.8])
    assert by_patient(values[:, None], SCANS, axis=0).shape == (3, 1)
    assert sum_by_patient(DICE, SCANS) == pytest.approx([1.8, 0.5, 0.8])
    assert np.isnan(by_patient(np.array([np.nan, 1.0]), ("x", "y"))[0])
    assert by_patient(np.array([np.inf, 1.0, 1.0]), ("x", "y", "y")).tolist() == [np.inf, 1]


def test_values_of_one_scan_a_patient_are_untouched():
    grouping = Grouping(rule="", state="known", patients={"case_1": "one", "case_2": "two"})

    assert patients_of(grouping, ["case_1", "case_2"]) == ()
    assert by_patient(DICE, ()) is DICE
    assert sum_by_patient(DICE, ()) is DICE


def test_a_mean_is_over_patients_and_n_counts_them():
    counts = counts_of([[DICE]], SCANS, held=[1, 1, 1, 1, 1, 0])

    row = summarise(counts, resample_ratio(counts, num_draws=200))[0, 1]

    # Not the mean of the five scans with the label, 0.62.
    assert row.dice == pytest.approx((0.6 + 0.5 + 0.8) / 3)
    assert (row.n, row.label_free, row.fp_share, row.fp_voxels) == (3, 1, 1.0, 1000.0)
    assert (counts.patients, counts.num_cases_holding(1)) == (("a", "b", "c"), 5)
    assert counted_cases(counts, 1).tolist() == [0, 1, 2]
    assert patient_shares(counts)[0, 0] == pytest.approx(patient_dice(counts, 1)[0, 0])
    assert counts.volumes(1, np.arange(6)) == pytest.approx([2000, 1000, 3000])


def test_the_interval_is_that_of_a_bootstrap_of_whole_patients():
    rng = np.random.default_rng(0)
    patients = tuple(str(n) for n in np.repeat(np.arange(12), 1 + np.arange(12) % 3))
    dice = rng.uniform(0.2, 0.9, len(patients)).round(3)
    means = np.array([dice[np.array(patients) == name].mean() for name in dict.fromkeys(patients)])

    resampled = resample_ratio(counts_of([[dice]], patients), num_draws=2000)

    assert resampled.draws[1][:, 0] == pytest.approx(case_weights(12, 2000) @ means)
    assert resampled.df[1] == (11, 0)
    low, high = resampled.interval(1)
    # A t interval of the patients' means has nearly the same width.
    assert high[0] - low[0] == pytest.approx(
        np.ptp(stats.t.interval(0.95, 11, means.mean(), stats.sem(means))), rel=0.05
    )


def test_equal_scans_of_a_patient_add_no_certainty():
    dice = np.random.default_rng(1).uniform(0.2, 0.9, (2, 2, 10)).round(3)
    names = tuple("abcdefghij")
    single, fourfold = counts_of(dice, ()), counts_of(np.tile(dice, 4), names * 4)

    one, four = (resample_ratio(of, num_draws=500) for of in (single, fourfold))
    weights = pair_weights([(0, 1)], 2)
    p_one = compare(weights, single, one, 1)
    p_four = compare(weights, fourfold, four, 1)

    assert four.interval(1)[0] == pytest.approx(one.interval(1)[0])
    assert four.interval(1)[1] == pytest.approx(one.interval(1)[1])
    assert p_four.p == pytest.approx(p_one.p)
    by_seed = dice.mean(axis=1)
    expected = stats.wilcoxon(by_seed[0] - by_seed[1], zero_method="pratt", method="exact").pvalue
    assert p_four.over_cases[0] == pytest.approx(expected)


def test_a_convention_averages_scans_of_a_patient_first():
    counts = counts_of([[DICE]], SCANS, held=[1, 1, 1, 1, 1, 0])
    true = np.broadcast_to(counts.true[:, 1:], counts.pred[..., 1:].shape)
    blocks = (true, counts.pred[..., 1:], counts.overlap[..., 1:])

    kits = CONVENTIONS["kits"].by_label(*blocks, SCANS)

    # The scan without the label was predicted in: 0 by the rule of the challenge.
    assert kits[0, 0, 0] == pytest.approx((0.6 + 0.5 + (0.8 + 0) / 2) / 3)
    assert CONVENTIONS["monai"].over_all(*blocks, SCANS)[0, 0] == pytest.approx(1.9 / 3)


def test_a_patient_whose_scans_are_in_two_groups_is_in_neither():
    counts = counts_of([[DICE]], SCANS)
    values = dict(zip(counts.cases, ["1 mm", "1 mm", "1 mm", "5 mm", "5 mm", "5 mm"], strict=True))

    assert group_of_patients(counts, values) == {"a": MIXED, "b": "1 mm", "c": "5 mm"}


def test_the_page_of_a_run_with_several_scans_says_patients_and_scans(tmp_path):
    made = MadeUp(num_test=16, tunings=1)
    patients = {case: f"p{i // 2}" for i, case in enumerate(made.splits["test"])}
    grouping = {"rule": "patients.csv", "state": "known", "patients": patients}
    record = {"data": run_record(made)["data"] | {"grouping": grouping}}
    out = write_run(tmp_path, dataclasses.replace(made, record=record))

    page = build_report(out, "none").read_text().replace("\N{NO-BREAK SPACE}", " ")

    run = read_run(out)
    counts = count(run, scores_table(run), "test", "native")
    assert counts.patients == tuple(f"p{n}" for n in range(8))
    assert "8 test patients, 16 scans" in page
    assert "n = 8 test patients, 16 scans hold it" in page
    assert "No patient is in two splits" in page
    worst = frames(page)["patients-table"][0]
    assert list(worst.columns)[:2] == ["patient", "scan"]
    assert worst.patient.tolist() == worst.scan.map(patients).tolist()
    assert f"the worst is {worst.scan[0]} of patient {worst.patient[0]} with" in page
    num = sum(map(len, made.splits.values()))
    assert f"{num - 8} patients, {num} scans: patients.csv" in page
    table = scores_table(run)
    assert table.patient.tolist() == [patients.get(case, case) for case in table.case]
    texts = frames(page)["leaderboard-class-1"][0]
    splits = frames(page)["splits"][0].set_index("split")
    assert splits.loc["test", ["cases", "patients"]].tolist() == ["16", "8"]
    best = texts.set_index("configuration").loc["unet3d / combined / none", "Dice"]
    scores = scores_table(run).query(
        "split == 'test' and space == 'native' and label == 1 and phase == 'final'"
        " and model == 'unet3d' and loss == 'combined'"
    )
    by_hand = scores.groupby(["seed", scores["case"].map(patients)]).dice.mean().mean()
    assert float(best.split()[0]) == pytest.approx(by_hand, abs=5e-4)
