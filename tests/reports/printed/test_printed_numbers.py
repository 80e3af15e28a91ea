"""The numbers in the page's tables, recomputed by plain pandas from the Parquet files beside it."""

import pandas as pd
import pytest

pytest_plugins = ("printed_fixture",)

CELL = ["model", "loss", "sampling"]


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
    dice, iou, cube = means(scores, "dice"), means(scores, "iou"), means(scores, "dice", "cube")

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
    agree(cost["core-minutes a training"], finals.groupby("name").seconds.mean() / 60, 2)
    agree(cost["core-minutes of its search"], tuned.groupby("name").seconds.sum() / 60, 2)
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
