"""What refuses a page, and what page one must say."""

import dataclasses
import shutil

import numpy as np
import pytest
from made_up import MadeUp, all_results, complete, failure, specification, write_run
from page_tables import agrees, frames, numbers

from reports.analysis.caveats import page_one_caveats
from reports.analysis.checks import refuse_infeasible, refuse_unsound
from reports.analysis.summary import ScoreSummary
from reports.build import build_report
from reports.formatting import cell_name
from reports.load.run_folder import Run, read_run
from reports.table import scores_table
from trials.records.codec import record_hash
from trials.records.result import PREPARED, TrialResult
from trials.records.spec import FINAL, TUNE, Spacing


def check(run: Run) -> None:
    refuse_unsound(run, scores_table(run))


def caveats_of(run: Run) -> dict[str, str]:
    return {
        caveat.title: " ".join([caveat.text, *caveat.names])
        for caveat in page_one_caveats(run, scores_table(run))
    }


def changed(result: TrialResult, **places: object) -> TrialResult:
    """The same result with its last score changed."""
    return dataclasses.replace(
        result, scores=(*result.scores[:-1], dataclasses.replace(result.scores[-1], **places))
    )


def test_a_sound_run_passes(tmp_path):
    check(read_run(write_run(tmp_path, MadeUp(tunings=2))))


def test_cells_scored_on_different_cases_are_refused_by_name(tmp_path):
    made = MadeUp()
    first, *others = all_results(made)
    short = dataclasses.replace(
        first, scores=tuple(score for score in first.scores if score.case != "case_00007")
    )

    with pytest.raises(
        ValueError,
        match=r"scored on different test cases \(\w+ space\): only the first has case_00007",
    ) as error:
        check(read_run(write_run(tmp_path, made, [short, *others])))

    assert "unet3d / combined / none seed 0" in str(error.value)


def test_a_case_that_counts_twice_is_refused(tmp_path):
    made = MadeUp()
    first, *others = all_results(made)
    double = dataclasses.replace(first, scores=(*first.scores, first.scores[0]))

    with pytest.raises(ValueError, match=f"trial {first.trial} counts case_00000 twice"):
        check(read_run(write_run(tmp_path, made, [double, *others])))


def test_a_case_without_all_its_labels_is_refused(tmp_path):
    made = MadeUp()
    first, *others = all_results(made)
    short = dataclasses.replace(first, scores=first.scores[1:])

    with pytest.raises(
        ValueError, match=f"trial {first.trial} scores 3 of 4 labels of val case case_00000"
    ):
        check(read_run(write_run(tmp_path, made, [short, *others])))


def test_two_final_trials_of_one_cell_and_seed_are_refused(tmp_path):
    made = MadeUp()
    spec = dataclasses.replace(specification(made, made.cells[0], 0, FINAL), hyper={"lr": 0.5})
    again = dataclasses.replace(
        complete(made, made.cells[0], 0), spec=spec, trial=record_hash(spec)
    )

    with pytest.raises(ValueError, match="unet3d / combined / none seed 0 has two final trials"):
        check(read_run(write_run(tmp_path, made, [*all_results(made), again])))


def test_different_references_are_refused(tmp_path):
    made = MadeUp()
    first, *others = all_results(made)
    odd = changed(first, true_voxels=first.scores[-1].true_voxels + 1)

    with pytest.raises(ValueError, match="reference voxels in one trial and"):
        check(read_run(write_run(tmp_path, made, [odd, *others])))


def on_patches(result: TrialResult) -> TrialResult:
    """The same result of a training on patches, whose grid has twice the voxels of the cube."""
    spacing, spec = Spacing(mm=(2.0, 2.0, 2.0)), result.spec
    recipe = dataclasses.replace(spec.recipe, preparation=spacing, patch=(32, 32, 32))
    spec = dataclasses.replace(spec, recipe=recipe, data="other")
    counts = ("true_voxels", "pred_voxels", "overlap_voxels")
    scores = tuple(
        dataclasses.replace(one, **{name: 2 * getattr(one, name) for name in counts})
        if one.space == PREPARED
        else one
        for one in result.scores
    )
    return dataclasses.replace(result, trial=record_hash(spec), spec=spec, scores=scores)


def test_a_configuration_on_patches_stands_beside_those_on_cubes_without_a_score_there(tmp_path):
    made = MadeUp()
    patched, *others = made.cells
    results = [on_patches(one) if one.spec.cell == patched else one for one in all_results(made)]

    page = build_report(write_run(tmp_path, made, results), "none").read_text()

    table = frames(page)["leaderboard-table"][0].set_index("configuration")["on the cube"]
    assert [table[cell_name(cell)] == "n/a" for cell in made.cells] == [True] + [False] * len(
        others
    )


def test_more_overlap_than_voxels_is_refused(tmp_path):
    made = MadeUp()
    first, *others = all_results(made)

    with pytest.raises(ValueError, match="has 2000 overlapping voxels, but"):
        check(read_run(write_run(tmp_path, made, [changed(first, overlap_voxels=2000), *others])))


def test_a_tuning_trial_that_saw_the_test_split_is_refused(tmp_path):
    made = MadeUp(tunings=1)
    first, *others = all_results(made)
    assert first.spec.phase == TUNE

    with pytest.raises(ValueError, match="only final trials may use the test split"):
        check(read_run(write_run(tmp_path, made, [changed(first, split="test"), *others])))


def test_a_mean_that_no_masks_could_give_is_refused(tmp_path):
    run = read_run(write_run(tmp_path, MadeUp()))
    numbers = dict.fromkeys(
        ("dice_low", "dice_high", "iou_low", "iou_high", "fp_share", "fp_voxels"), 0.0
    )
    summary = ScoreSummary(dice=0.4, iou=0.5, n=8, seeds=1, label_free=0, **numbers)

    with pytest.raises(ValueError, match="contradict each other"):
        refuse_infeasible(run, "native", {(0, 1): summary})


def test_page_one_names_missing_seeds_and_failures(tmp_path):
    made = MadeUp()
    results = [*all_results(made)[2:-1], failure(made, made.cells[3], 1, "oom", "out of memory")]

    caveats = caveats_of(read_run(write_run(tmp_path, made, results)))

    assert "3 of 8 final trials have no complete result" in caveats["Unfinished"]
    assert "unet3d / combined / none, seeds 0, 1" in caveats["Unfinished"]
    assert "vnet / focal / none, seed 1" in caveats["Unfinished"]
    assert "1 trial failed (1 oom)" in caveats["Failed trials"]


def test_page_one_names_trials_that_agree_everywhere(tmp_path):
    made = MadeUp(
        quality=lambda cell, seed, case, label: (
            0.5 if cell.loss == "focal" else 0.6 + 0.01 * (seed + len(cell.model))
        )
    )

    caveats = caveats_of(read_run(write_run(tmp_path, made)))

    twins = " = ".join(
        f"{model} / focal / none, seed {seed}" for model in ("unet3d", "vnet") for seed in (0, 1)
    )
    assert set(caveats["Identical trials"].split("effect. ")[1].split(" = ")) == set(
        twins.split(" = ")
    )


def test_page_one_names_a_model_that_predicts_background_only(tmp_path):
    made = MadeUp(seeds=(0,))
    first, *others = all_results(made)
    blind = tuple(
        dataclasses.replace(s, pred_voxels=0, overlap_voxels=0) if s.label else s
        for s in first.scores
    )

    caveats = caveats_of(
        read_run(write_run(tmp_path, made, [dataclasses.replace(first, scores=blind), *others]))
    )

    assert "unet3d / combined / none, seed 0" in caveats["Collapsed"]


def test_page_one_names_who_never_finds_a_class(tmp_path):
    made = MadeUp(seeds=(0,))
    first, *others = all_results(made)
    scores = tuple(
        dataclasses.replace(s, pred_voxels=0, overlap_voxels=0) if s.label == 3 else s
        for s in first.scores
    )

    caveats = caveats_of(
        read_run(write_run(tmp_path, made, [dataclasses.replace(first, scores=scores), *others]))
    )

    assert "Collapsed" not in caveats
    never_found = caveats["Class never found"]
    assert never_found.startswith("1 of 4 final trials predict no cyst in any patient.")
    assert never_found.endswith("unet3d / combined / none, seed 0")


def test_page_one_says_how_much_of_the_data_and_who_was_left_out(tmp_path):
    made = MadeUp(
        seeds=(0,), record={"dirty": True, "weights_notes": ["vnet starts from random weights"]}
    )
    out = write_run(tmp_path, made)
    run = read_run(out)
    data = dict(run.record["data"]) | {
        "published": 489,
        "excluded": {"case_00588": "is in no split"},
    }
    run = dataclasses.replace(run, record=dict(run.record) | {"data": data})

    caveats = caveats_of(run)

    assert "14 of 489 cases of the data set" in caveats["Part of the data"]
    assert "case_00588: is in no split" in caveats["Excluded cases"]
    assert "vnet starts from random weights" in caveats["Initial weights"]
    assert "abc1234" in caveats["Uncommitted changes"]
    assert "trained once" in caveats["One seed"]


def test_f84_page_one_says_which_class_nobody_holds(tmp_path):
    made = MadeUp(num_test=1, num_val=4)

    caveats = caveats_of(read_run(write_run(tmp_path, made)))

    assert "Absent class" not in caveats
    made = MadeUp(num_test=1, num_val=5)
    assert (
        "No test case has cyst"
        in caveats_of(read_run(write_run(tmp_path / "other", made)))["Absent class"]
    )


def without_cysts(result):
    """The same trial had no reference held a cyst: what it predicts of them is false everywhere."""
    none = {"true_voxels": 0, "overlap_voxels": 0}
    no_surface = none | {
        "true_mm2": 0.0,
        "true_within_mm2": 0.0,
        "pred_within_mm2": 0.0,
        "lesions": 0,
        "lesions_found": 0,
    }
    scores = [dataclasses.replace(one, **none) if one.label == 3 else one for one in result.scores]
    surfaces = [
        dataclasses.replace(one, **no_surface) if one.region == "cyst" else one
        for one in result.surfaces
    ]
    return dataclasses.replace(result, scores=tuple(scores), surfaces=tuple(surfaces))


def test_f84_a_class_that_no_case_has_is_not_available_in_the_tables_and_never_0(tmp_path):
    made = MadeUp(seeds=(0,))

    page = build_report(
        write_run(tmp_path, made, list(map(without_cysts, all_results(made)))), "none"
    ).read_text()

    texts = {name: text for name, (text, _) in frames(page).items()}
    answer = texts["answer-by-class"].set_index("class").loc["cyst"]
    assert list(answer[["Dice", "IoU", "patients with it"]]) == [
        "n/a (0 of 8 patients hold it)",
        "n/a",
        "0 of 8",
    ]
    assert set(texts["leaderboard-table"]["cyst"]) == {"n/a"}
    assert set(texts["grid-table"]["cyst Dice"]) == set(texts["grid-table"]["cyst IoU"]) == {"n/a"}
    assert set(texts["patients-table"]["cyst"]) == {"n/a"}
    # The mean is over the classes that are there, and no 0 enters it.
    row = texts["leaderboard-table"].iloc[0]
    agrees(row["mean of classes"], np.mean([numbers(row[name])[0] for name in ("kidney", "tumor")]))


def test_a_complete_clean_run_with_three_seeds_has_nothing_to_warn_of(tmp_path):
    made = MadeUp(
        seeds=(0, 1, 2),
        quality=lambda cell, seed, case, label: 0.5 + 0.01 * seed + 0.03 * place_of(cell),
    )

    assert caveats_of(read_run(write_run(tmp_path, made))) == {}


def place_of(cell) -> int:
    return ("unet3d", "vnet").index(cell.model) + 2 * ("combined", "focal").index(cell.loss)


def test_results_that_were_left_out_are_named(tmp_path):
    out = write_run(tmp_path, MadeUp(seeds=(0,)))
    other = write_run(tmp_path / "other", MadeUp(seeds=(7,)))
    for folder in (other / "trials").iterdir():
        shutil.copytree(folder, out / "trials" / folder.name)

    caveats = caveats_of(read_run(out))

    assert (
        "4 results in the run folder belong to another grid, seed or split"
        in caveats["Unused results"]
    )


def test_a_split_case_that_was_never_scored_is_named(tmp_path):
    made = MadeUp(num_test=3)
    out = write_run(tmp_path, made)
    run = read_run(out)
    splits = made.splits | {"test": [*made.splits["test"], "case_00099"]}
    run = dataclasses.replace(
        run,
        record=dict(run.record)
        | {"data": dict(run.record["data"]) | {"fold_cases": {"0": splits}}},
    )

    assert "case_00099" in caveats_of(run)["Unscored cases"]
