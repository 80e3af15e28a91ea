"""Means of scores over cases, on rows whose means are known by hand."""

import math

import pytest

from reports.stats.score_means import means_text, score_means


def row(dice, true, pred, lesions=(0, 0, 0), hd95=math.nan):
    """One case of one label, "t"."""
    ratios = {f"{name}_t": dice for name in ("dice", "iou", "surface_dice")}
    found = {"lesion_recall_t": lesions[1] / lesions[0] if lesions[0] else math.nan}
    counts = {
        "true_voxels_t": true,
        "pred_voxels_t": pred,
        "volume_error_ml_t": (pred - true) / 1000,
    }
    return (
        ratios
        | counts
        | dict(zip(("lesions_t", "lesions_found_t", "lesions_false_t"), lesions, strict=True))
        | {"hd95_mm_t": hd95}
        | found
    )


def by_measure(rows, official=()):
    return {mean.measure.partition(",")[0]: mean for mean in score_means(rows, official, ["t"])}


def test_a_labels_ratios_are_over_the_cases_whose_reference_holds_it():
    rows = [row(0.5, 100, 90), row(1.0, 100, 100), row(0.0, 0, 7), row(math.nan, 0, 0)]

    means = by_measure(rows)

    assert [(means[name].value, means[name].cases) for name in ("Dice", "IoU", "Surface Dice")] == [
        (0.75, 2)
    ] * 3
    assert means["volume error"].value == pytest.approx((-10 + 0 + 7 + 0) / 4 / 1000)
    assert means["volume error"].cases == 4


def test_a_missed_label_counts_as_zero_dice_and_has_no_distance():
    means = by_measure(
        [row(0.0, 100, 0, hd95=math.inf), row(0.8, 100, 90, hd95=3.0), row(0.6, 100, 90, hd95=5.0)]
    )

    assert means["Dice"].value == pytest.approx(1.4 / 3)
    assert (means["HD95"].value, means["HD95"].cases) == (4.0, 2)


def test_lesions_are_pooled_over_cases():
    means = score_means([row(1, 9, 9, (3, 1, 0)), row(1, 9, 9, (1, 1, 4)), row(1, 9, 9)], (), ["t"])

    found, false = means[-1], means[-2]
    assert (found.measure, found.value, found.cases) == ("lesions found, 2 of 4", 0.5, 2)
    assert (false.measure, false.value, false.cases) == (
        "false lesions a case",
        pytest.approx(4 / 3),
        3,
    )


def test_an_interval_holds_its_mean_and_lies_within_the_scores():
    mean = by_measure([row(value / 10, 9, 9) for value in range(11)])["Dice"]

    assert 0 < mean.low < mean.value < mean.high < 1


def test_one_case_has_a_mean_and_no_interval_and_none_has_neither():
    one, none = by_measure([row(0.5, 9, 9)])["Dice"], by_measure([row(math.nan, 0, 0)])["Dice"]

    assert (one.value, one.cases) == (0.5, 1)
    assert math.isnan(one.low)
    assert (math.isnan(none.value), none.cases) == (True, 0)


def test_official_means_are_over_all_cases_and_end_with_the_mean_of_their_regions():
    rows = [official_row(a=1.0, b=0.0), official_row(a=0.5, b=1.0)]

    means = score_means(rows, ["a", "b"], [])

    assert [(mean.region, mean.value, mean.cases) for mean in means] == [
        ("a", 0.75, 2),
        ("b", 0.5, 2),
        ("mean of 2", 0.625, 2),
    ] * 2
    assert {mean.measure for mean in means[:3]} == {"Dice, official"}
    assert {mean.measure for mean in means[3:]} == {"Surface Dice, official"}
    # Of one region the cases differ by 0.5 and of the other by 1, of their mean by 0.25 alone.
    assert means[2].high - means[2].low == pytest.approx(0.25)


def official_row(**values):
    return {
        f"{measure}_{region}": value
        for measure in ("dice", "surface_dice")
        for region, value in values.items()
    }


def test_the_text_has_a_line_a_mean_and_says_which_cases_count():
    lines = means_text(score_means([row(0.5, 9, 9), row(0.5, 9, 9)], (), ["t"])).splitlines()

    assert lines[0].split() == ["score", "mean", "95", "%", "interval", "cases"]
    assert lines[1].split() == ["t", "Dice", "0.500", "0.500", "to", "0.500", "2"]
    assert any("reference holds it" in line for line in lines)


def test_scans_of_a_patient_are_averaged_and_their_lesions_added_up():
    rows = [row(0.9, 9, 9, (3, 1, 0)), row(0.5, 9, 9, (1, 1, 0)), row(0.3, 9, 9, (1, 0, 0))]

    found = score_means(rows, (), ["t"], ("a", "b", "a"))
    means = {mean.measure: mean for mean in found}
    text = means_text(found)

    assert means["Dice"].value == pytest.approx((0.6 + 0.5) / 2)
    assert (means["Dice"].low, means["Dice"].high) == pytest.approx((0.5, 0.6))
    assert (means["Dice"].cases, means["Dice"].patients) == (3, 2)
    assert means["lesions found, 2 of 5"].value == pytest.approx(2 / 5)
    assert text.splitlines()[0].split()[-2:] == ["cases", "patients"]
    assert "bootstrap over patients, whose cases are averaged first" in text
