"""The numbers in the page's tables, counted by plain pandas from the files beside it."""

import json
from statistics import median

import numpy as np
import pandas as pd
import pytest
from page_tables import agrees, numbers
from printed_run import MADE

from reports.formatting import SPLITS

pytest_plugins = ("printed_fixture",)

CELL = ["model", "loss", "sampling"]
CLASSES = {1: "kidney", 2: "tumor", 3: "cyst"}


def means(scores, ratio, space="native", split="test"):
    """Mean over the patients that hold a class, then over seeds: a row a configuration, a column a
    class and their mean.
    """
    rows = scores[(scores.phase == "final") & (scores.split == split) & (scores.space == space)]
    rows = rows[(rows.label > 0) & (rows.true_voxels > 0)]
    whole = rows.true_voxels + rows.pred_voxels
    value = (
        2 * rows.overlap_voxels / whole
        if ratio == "dice"
        else rows.overlap_voxels / (whole - rows.overlap_voxels)
    )
    by_seed = rows.assign(value=value).groupby([*CELL, "seed", "class_name"]).value.mean().unstack()
    table = by_seed.groupby(level=CELL).mean()
    table["mean of classes"] = table.mean(axis=1)
    table.index = [" / ".join(key) for key in table.index]
    return table


def agree(printed, computed, digits=3):
    for name, text in printed.items():
        assert float(text) == pytest.approx(computed[name], abs=0.5001 * 10**-digits), name


def test_the_leaderboard_and_the_tables_by_class(printed):
    scores = printed.scores
    dice, iou, cube = means(scores, "dice"), means(scores, "iou"), means(scores, "dice", "prepared")

    context = printed.table("leaderboard-table")[0]
    for name in ("mean of classes", "kidney", "tumor", "cyst"):
        agree(context[name], dice[name])
        agree(printed.table("forest-table")[0][name], dice[name])
    agree(context["on the cube"], cube["mean of classes"])
    for label, name in enumerate(("kidney", "tumor", "cyst"), 1):
        table = printed.table(f"leaderboard-class-{label}")[0]
        agree(table["Dice"], dice[name])
        agree(table["IoU"], iou[name])
        agree(table["Dice on the cube"], cube[name])


def test_the_grid(printed):
    scores, table = printed.scores, printed.texts["grid-table"]
    table = table.set_axis([" / ".join(row) for row in table[CELL].itertuples(index=False)])

    for ratio, name in (("dice", "Dice"), ("iou", "IoU")):
        computed = means(scores, ratio)
        for column in computed.columns:
            agree(table[f"{column} {name}"].str.split(" ").str[0], computed[column])


def test_cost_and_tuning(printed):
    frames, scores, trials = printed.texts, printed.scores, printed.trials
    trials = trials.assign(name=trials[CELL].agg(" / ".join, axis=1))
    finals, tuned = (
        trials[trials.phase == "final"],
        trials[trials.phase == "tune"].sort_values("number"),
    )

    cost = frames["front-table"].set_index("configuration")
    agree(cost["validation Dice"], means(scores, "dice", split="val")["mean of classes"])
    agree(cost["core-minutes per training"], finals.groupby("name").seconds.mean() / 60, 2)
    agree(cost["core-minutes for tuning"], tuned.groupby("name").seconds.sum() / 60, 2)
    agree(cost["peak GiB"], finals.groupby("name").peak_gib.max(), 2)

    gain = frames["gain-table"].set_index("configuration")
    by_name = tuned.groupby("name").val_score
    agree(gain["default"], by_name.first())
    agree(gain["best"], by_name.max())
    agree(gain["gain"], by_name.max() - by_name.first())
    agree(gain["complete trials"], by_name.size(), 0)


def test_every_patient_and_every_trial(printed):
    frames, scores, trials = printed.texts, printed.scores, printed.trials
    selected = next(name for name in printed.names if f"{name}<span" in printed.page)
    worst = frames["patients-table"].set_index("patient")

    native = scores[
        (scores.phase == "final")
        & (scores.split == "test")
        & (scores.space == "native")
        & (scores.seed == 0)
    ]
    by_cell = {" / ".join(key): rows for key, rows in native.groupby(CELL)}
    fits = [
        name
        for name, rows in by_cell.items()
        if all(
            (text == "n/a") == (row.true_voxels == 0)
            and (
                text == "n/a"
                or abs(float(text) - 2 * row.overlap_voxels / (row.true_voxels + row.pred_voxels))
                < 5.1e-4
            )
            for row in rows[rows.label > 0].itertuples()
            for text in [worst.loc[row.case, row.class_name]]
        )
    ]
    assert len(fits) == 1
    assert selected in by_cell
    assert set(frames["trials-final"].trial) | set(frames["trials-tune"].trial) == set(trials.trial)
    seconds = pd.concat([frames["trials-final"], frames["trials-tune"]]).set_index("trial").seconds
    agree(seconds, trials.set_index("trial").seconds, 1)


def test_every_patient_that_holds_a_class_with_its_volume(printed):
    one = printed.texts["size-table"]
    test = printed.scores.query("phase == 'final' and split == 'test' and space == 'native'")

    for label, title in CLASSES.items():
        rows = one[one["class"] == title].set_index("patient")
        held = test[test.label == label].drop_duplicates("case")
        voxels = held[held.true_voxels > 0].set_index("case").true_voxels
        assert set(rows.index) == set(voxels.index)
        for case, count in voxels.items():
            edges = printed.record["data"]["geometry"][case]["spacing_mm"]
            assert numbers(rows.loc[case, "ml"])[0] == pytest.approx(
                count * np.prod(edges) / 1000, rel=5e-3
            )


def test_the_attainable_scores(printed):
    scores = means(printed.scores, "dice")
    texts, _ = printed.table("attainable-table")
    ceilings = {}
    for row in json.loads((printed.out / "ceiling.json").read_text())["ceilings"][0]["scores"]:
        if row["true_voxels"]:
            dice = 2 * row["overlap_voxels"] / (row["true_voxels"] + row["pred_voxels"])
            ceilings.setdefault(row["label"], []).append(dice)
    for label, title in CLASSES.items():
        column = texts.columns.get_loc(f"{title}, Dice") + 1
        for name in printed.names:
            score, ceiling = scores.loc[name, title], np.mean(ceilings[label])
            agrees(texts.loc[name, f"{title}, Dice"], score)
            agrees(texts.loc[name].iloc[column], ceiling)
            agrees(texts.loc[name].iloc[column + 1], score / ceiling, digits=2)


def test_every_study_and_its_best_setting(printed):
    tuned = printed.trials[printed.trials.phase == "tune"].sort_values("number")
    by_cell = {" / ".join(cell): rows for cell, rows in tuned.groupby(CELL)}
    gain, studies = printed.table("gain-table")[0], printed.texts["studies-table"]

    assert len(studies) == len(tuned) == 5 * len(printed.names)
    for name, rows in by_cell.items():
        best = rows.loc[rows.val_score.idxmax()]
        assert gain.loc[name, "number of the best trial"] == str(best.number)
        assert f"lr {best.lr:.3g}" in gain.loc[name, "best setting"]
        listed = studies[studies.study == name]
        for number, text in zip(listed.number.astype(int), listed["validation Dice"], strict=True):
            agrees(text, rows[rows.number == number].val_score.item())


def test_the_data_by_split_and_every_cases_grid(printed):
    data = printed.record["data"]
    texts, small = printed.table("splits", "split")
    grids = printed.texts["spacing-table"].set_index("case")
    for split, cases in data["fold_cases"]["0"].items():
        known = [data["geometry"][case] for case in cases]
        split = SPLITS[split]
        assert int(texts.loc[split, "cases"]) == len(cases)
        for label, title in CLASSES.items():
            assert int(texts.loc[split, f"with {title}"]) == sum(
                one["class_voxels"][label] > 0 for one in known
            )
        for column, digits, values in (
            ("slice spacing, mm", 2, [one["spacing_mm"][0] for one in known]),
            ("in-plane spacing, mm", 2, [one["spacing_mm"][2] for one in known]),
            ("slices", 0, [one["shape"][0] for one in known]),
        ):
            agrees(texts.loc[split, column], median(values), digits=digits)
            agrees(small.loc[split, column], min(values), max(values), digits=digits)
        for case in cases:
            assert (
                numbers(grids.loc[case, "spacing D, H, W, mm"].replace(", ", " "))
                == data["geometry"][case]["spacing_mm"]
            )
            assert numbers(grids.loc[case, "grid D, H, W"]) == data["geometry"][case]["shape"]


def test_the_curves_at_their_best_epochs(printed):
    """The curve of every epoch stands in the trials' own results."""
    for place, model in enumerate(MADE.models):
        texts, _ = printed.table(f"curves-{place}-table")
        for name, row in texts.iterrows():
            rows = printed.trials[
                (printed.trials.phase == "final")
                & (printed.trials[CELL].agg(" / ".join, axis=1) == name)
            ]
            results = [
                json.loads((printed.out / "trials" / trial / "result.json").read_text())
                for trial in rows.trial
            ]
            best = [result["curve"][result["best_epoch"]] for result in results]
            assert name.startswith(model)
            agrees(
                row["validation Dice at the best epoch"],
                np.mean([list(one["val_dice"].values()) for one in best]),
            )
            agrees(
                row["training Dice at the best epoch"],
                np.mean([list(one["train_dice"].values()) for one in best]),
            )
            for label, title in CLASSES.items():
                agrees(
                    row[f"validation {title} at the best epoch"],
                    np.mean([one["val_dice"][str(label)] for one in best]),
                )
