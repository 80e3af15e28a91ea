"""The challenge's scores: its own figures on real masks, and every case of an empty
mask by hand."""

import csv
import subprocess
import sys

import numpy as np
import pytest

from trials.data.datasets.registry import KITS23_REGIONS as KITS23
from trials.scoring.case import official_scores
from trials.scoring.regions import label_regions

REGIONS = ("kidney_and_mass", "mass", "tumor")
KIDNEY, TUMOR, CYST = 1, 2, 3


def labels_of(*found):
    """A small patient; each label found fills a box of its own."""
    labels = np.zeros((8, 16, 16), np.uint8)
    for label in found:
        labels[2:6, 2:6, 4 * label - 2 : 4 * label + 1] = label
    return labels


def scores(true, pred, measure):
    found = official_scores(true, pred, (2.0, 1.0, 1.0), KITS23)
    return [found[f"{measure}_{region}"] for region in REGIONS]


@pytest.mark.parametrize("measure", ["dice", "surface_dice"])
@pytest.mark.parametrize(
    ("true", "pred", "answer"),
    [
        ((), (), [1, 1, 1]),
        ((KIDNEY,), (KIDNEY,), [1, 1, 1]),
        ((KIDNEY,), (), [0, 1, 1]),
        ((), (KIDNEY,), [0, 1, 1]),
        ((), (TUMOR,), [0, 0, 0]),
        ((TUMOR,), (), [0, 0, 0]),
        ((CYST,), (), [0, 0, 1]),
        ((), (CYST,), [0, 0, 1]),
        ((KIDNEY, TUMOR, CYST), (KIDNEY, TUMOR, CYST), [1, 1, 1]),
    ],
)
def test_both_empty_is_one_and_one_empty_is_zero(true, pred, answer, measure):
    assert scores(labels_of(*true), labels_of(*pred), measure) == answer


def test_a_tumour_called_cyst_costs_the_tumour_alone():
    true, pred = labels_of(KIDNEY, TUMOR), labels_of(KIDNEY, TUMOR)
    pred[pred == TUMOR] = CYST

    assert scores(true, pred, "dice") == [1, 1, 0]
    assert scores(true, pred, "surface_dice") == [1, 1, 0]


def test_columns_stand_in_the_challenges_order():
    found = official_scores(labels_of(1), labels_of(1), (1.0, 1.0, 1.0), KITS23)

    assert list(found) == [
        f"{measure}_{region}" for measure in ("dice", "surface_dice") for region in REGIONS
    ]


def test_a_label_takes_the_tolerance_of_the_smallest_region_that_holds_it():
    regions = label_regions(("background", "kidney", "tumor", "cyst"), KITS23)

    by_name = {region.name: region.tolerance_mm for region in regions}
    assert by_name == {
        "kidney": 1.0330772532390826,
        "tumor": 1.1498198361434828,
        "cyst": 1.1328796488598762,
    }


def test_a_label_of_no_region_has_a_tolerance_of_one_millimetre():
    assert [region.tolerance_mm for region in label_regions(("background", "liver"), ())] == [1.0]


def test_scores_of_real_masks_are_the_challenges_own_to_the_ninth_place(tmp_path, fixtures):
    from trials.data.datasets.label_set import LabelSet
    from trials.scoring.folders import find_pairs, score_pair

    labels = LabelSet(classes=("background", "kidney", "tumor", "cyst"))

    make = [
        sys.executable,
        fixtures / "tools" / "perturb_masks.py",
        fixtures / "data" / "kits23_masks",
        tmp_path,
    ]
    subprocess.run(
        [*map(str, make), "--shrink", "4", "--cases", "12"], check=True, capture_output=True
    )
    with (fixtures / "data" / "kits23_official_metrics.csv").open() as file:
        official = {
            row.pop("case"): {name: float(value) for name, value in row.items()}
            for row in csv.DictReader(file)
        }

    pairs = find_pairs(tmp_path / "reference", tmp_path / "prediction", "kits23")

    assert [pair.case for pair in pairs] == list(official)
    for pair in pairs:
        ours = score_pair(pair, labels, KITS23)
        theirs = official[pair.case]
        assert {name: ours[name] for name in theirs} == pytest.approx(theirs, rel=0, abs=1e-9)
