"""The sections that weigh evidence: what they find, what they count, and what they say where a run
cannot tell.
"""

import dataclasses

import numpy as np
import pytest
from made_up import MODELS, MadeUp, all_results, plausible_quality, write_run

from reports.analysis.context import Context, build_context
from reports.elements import Figure, Section, Table
from reports.load.run_folder import read_run
from reports.sections.distribution import distribution
from reports.sections.effects import effects
from reports.sections.pairs import pairs
from reports.sections.seeds import describe_needed, seeds
from reports.sections.size import size
from reports.sections.stability import ranking_stability
from reports.table import scores_table, trials_table

ALL = (effects, pairs, ranking_stability, distribution, seeds, size)


def board_of(folder, made: MadeUp, results=None) -> Context:
    run = read_run(write_run(folder, made, results))
    return build_context(run, scores_table(run), trials_table(run), "none")


def added(cell, seed, case, label):
    """Dice as a sum: vnet 0.1 above unet3d, focal 0.04 above combined; patients and seeds differ a
    little.
    """
    place = int(case.removeprefix("case_"))
    seed_effect = 0.002 * ((seed * 7 + place * 3 + len(cell.model) + 2 * len(cell.loss)) % 5)
    return round(
        0.5
        + 0.02 * (place % 6)
        + seed_effect
        + 0.1 * (cell.model == "vnet")
        + 0.04 * (cell.loss == "focal"),
        3,
    )


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> Context:
    made = MadeUp(seeds=(0, 1, 2), num_test=16, quality=added, record={"data": None})
    return board_of(tmp_path_factory.mktemp("run"), made)


def table_of(section: Section | None, name: str) -> Table:
    assert section is not None
    tables = [block for block in section.blocks if isinstance(block, Table)]
    tables += [block.table for block in section.blocks if isinstance(block, Figure)]
    return next(table for table in tables if table.id == name)


def texts(table: Table) -> list[list[str]]:
    return [[entry.text for entry in row] for row in table.rows]


def test_effects_of_a_sum_are_its_terms(context):
    found = effects(context)

    rows = table_of(found, "effects-pairs").rows
    assert [[entry.text for entry in row[:5]] for row in rows] == [
        ["model", "combined", "vnet", "unet3d", "1"],
        ["model", "focal", "vnet", "unet3d", "1"],
        ["loss", "unet3d", "focal", "combined", "1"],
        ["loss", "vnet", "focal", "combined", "1"],
    ]
    assert [row[5].sort for row in rows] == pytest.approx([0.1, 0.1, 0.04, 0.04], abs=0.003)
    assert {row[8].text for row in rows} == {"resolved"}
    # Sixteen patients, every one better: 2 / 2^16, four comparisons asked.
    assert [row[7].sort for row in rows] == pytest.approx([4 * 2 / 2**16] * 4, rel=0.01)
    assert found.finding.startswith("The largest difference is between the models vnet and unet3d")


def test_every_pair_stands_in_the_map_both_ways_and_none_with_itself(context):
    found = pairs(context)

    (figure,) = (block for block in found.blocks if isinstance(block, Figure))
    shades = np.array(figure.data[0]["z"], float)
    assert np.isnan(np.diag(shades)).all()
    np.testing.assert_array_equal(np.nan_to_num(shades), -np.nan_to_num(shades).T)
    assert found.finding.startswith("6 of 6 pairs are resolved")
    first = table_of(found, "pairs-table").rows[0]
    assert first[0].text != first[1].text
    assert first[2].sort > 0


def test_a_sure_ranking_is_the_same_in_every_draw(context):
    found = ranking_stability(context)

    assert "first in 100 % of 10,000 bootstrap samples" in found.finding
    assert [row[2] for row in texts(table_of(found, "stability-table"))] == ["1", "2", "3", "4"]


def test_the_distribution_counts_the_patients_above_a_threshold(context):
    rows = table_of(distribution(context), "distribution-mean").rows

    own = [added(context.run.cells[3], 0, case, 1) for case in context.test["native"].cases]
    # The last cell, vnet with focal, leads: all reach 0.5; places 2 to 5 of 6 reach 0.7 whatever
    # their seed_effect, some of place 1.
    assert rows[0][0].text == "vnet / focal / none"
    assert rows[0][5].sort == 1
    assert rows[0][6].sort == pytest.approx(np.mean([dice >= 0.7 for dice in own]), abs=0.2)
    assert rows[0][7].sort == 0


def test_the_seeds_section_names_every_training_and_splits_the_variance(context):
    found = seeds(context)

    assert len(table_of(found, "seeds-table").rows[0]) == 1 + 3 + 1
    shares = [row[2].sort for row in table_of(found, "seeds-split").rows]
    assert sum(shares) == pytest.approx(1)
    assert shares[1] > 0.4, "the configurations differ most"
    assert "that differ only in the seed typically differ by 0.00" in found.finding


def test_what_would_separate_is_said_in_words_where_no_number_does():
    assert describe_needed(None, 81) == "more do not help"
    assert describe_needed(120, 81) == "120"
    assert describe_needed(12, 81) == "at most the present 81"


def test_size_bins_by_this_splits_quartiles_in_ml_where_voxels_are_known(tmp_path, monkeypatch):
    made = MadeUp(num_test=16, quality=added)
    results = []
    for result in all_results(made):
        grown = tuple(
            dataclasses.replace(
                score,
                **{
                    name: getattr(score, name) * factor
                    for name in ("true_voxels", "pred_voxels", "overlap_voxels")
                },
            )
            for score in result.scores
            for factor in [1 + int(score.case.removeprefix("case_"))]
        )
        results.append(dataclasses.replace(result, scores=grown, surfaces=()))
    grid = {"shape": [9, 9, 9], "spacing_mm": [2.0, 1.0, 1.0], "class_voxels": [1, 1, 1, 1]}
    data = {"geometry": dict.fromkeys(made.splits["test"], grid)}
    context = board_of(tmp_path, dataclasses.replace(made, record={"data": data}), results)

    found = size(context)

    # Kidneys of (1 + place) x 1000 voxels of 2 mm3, places 4 to 19: 10 to 40 ml, four patients a
    # quarter.
    columns = [column.hint for column in table_of(found, "size-class-1").columns[1:]]
    assert columns == [
        "10 to 16 ml, n = 4",
        "18 to 24 ml, n = 4",
        "26 to 32 ml, n = 4",
        "34 to 40 ml, n = 4",
    ]
    assert len(table_of(found, "size-table").rows) == 16 + 16 + 8


def test_patients_are_grouped_by_thickness_and_by_what_the_run_recorded_of_them(tmp_path):
    context = board_of(tmp_path, MadeUp(num_test=12, quality=added))

    rows = table_of(size(context), "size-groups").rows

    # Slices of 1 to 5 mm in turn; every third patient is of the new cohort.
    of_group = {row[1].text: row for row in rows}
    assert [row[1].text for row in rows] == [
        "below 2 mm",
        "2 mm to below 5 mm",
        "5 mm and more",
        "new",
        "old",
    ]
    shown = context.selection.selected
    new = context.test["native"].ratio(1)[shown].mean(axis=0)[::3]
    assert of_group["new"][3].sort == pytest.approx(new.mean())
    assert of_group["new"][3].small.endswith("n = 4")
    assert sum(int(row[3].small.split("n = ")[1]) for row in rows) == 2 * 12


def test_one_seed_is_said_to_resolve_nothing(tmp_path):
    context = board_of(tmp_path, MadeUp(seeds=(0,), num_test=16, quality=added))

    assert pairs(context).finding.startswith("None of 6 pairs is resolved: with one seed each")
    assert seeds(context).finding.startswith("Each configuration was trained once")
    assert {row[-1] for row in texts(table_of(effects(context), "effects-pairs"))} == {
        "not resolved"
    }


@pytest.mark.parametrize(
    "made",
    [
        MadeUp(models=("vnet",), losses=("focal",)),
        MadeUp(models=("vnet",), num_test=1),
        MadeUp(num_test=0),
        MadeUp(classes=("air", "lung"), num_test=2, seeds=(0,)),
    ],
    ids=["one cell", "one patient", "no patient", "two patients"],
)
def test_small_runs_leave_out_what_they_cannot_say(tmp_path, made):
    context = board_of(tmp_path, made)

    found = [section for make in ALL if (section := make(context)) is not None]

    assert all("nan" not in section.finding for section in found)
    assert len(made.cells) > 1 or {"effects", "pairs", "stability"}.isdisjoint(
        section.id for section in found
    )


def test_a_grid_with_holes_compares_what_is_shared(tmp_path):
    made = MadeUp(
        models=MODELS[:3],
        losses=("combined", "focal"),
        seeds=(0, 1),
        num_test=10,
        quality=plausible_quality,
    )
    results = [
        result
        for result in all_results(made)
        if (result.spec.cell.model, result.spec.cell.loss)
        not in {("unet3d", "focal"), ("vnet", "combined")}
    ]

    found = effects(board_of(tmp_path, made, results))

    assert found.finding.endswith("No setting of the other factors has a score for every model.")
    assert {
        frozenset(row[2:4]) for row in texts(table_of(found, "effects-pairs")) if row[0] == "model"
    } == {
        frozenset({"unet3d", "segresnet"}),
        frozenset({"vnet", "segresnet"}),
    }
