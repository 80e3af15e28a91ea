"""What the page prints of patients, seeds, costs, studies and data, counted again from the files
beside it.
"""

import json
import re
from statistics import median

import numpy as np
import pytest
from page_tables import agrees, numbers
from printed_run import MADE
from recomputed import CELL, SEED, block, by_patient, luck_of, shares
from scipy import stats

pytest_plugins = ("printed_fixture",)

CLASSES = {1: "kidney", 2: "tumor", 3: "cyst"}


@pytest.fixture(scope="module")
def blocks(printed):
    return {label: block(printed, label) for label in CLASSES}


@pytest.fixture(scope="module")
def selected(printed):
    return printed.names.index(
        next(name for name in printed.names if f"{name}<span" in printed.page)
    )


def test_the_distribution_of_patients(printed, blocks):
    for table, scores in {"mean": by_patient(blocks), **blocks}.items():
        texts, _ = printed.table(f"distribution-{table}")
        for place, name in enumerate(printed.names):
            own = np.sort(scores[place][:, ~np.isnan(scores[place, 0])].mean(0))
            assert len(own) % 4 == 0, "the middle half is whole patients"
            middle = own[len(own) // 4 : -(len(own) // 4)]
            for column, value in (
                ("mean", own.mean()),
                ("middle half", middle.mean()),
                ("median", np.median(own)),
            ):
                agrees(texts.loc[name, column], value, what=(table, name, column))
            agrees(texts.loc[name, "worst"], own[0])
            for threshold in (0.5, 0.7, 0.9):
                agrees(
                    texts.loc[name, f"at least {threshold}"], (own >= threshold).mean(), digits=2
                )


def test_every_training_and_what_the_scatter_is_made_of(printed, blocks):
    values = shares(blocks)
    num_cells, num_seeds, num_cases = values.shape
    texts, _ = printed.table("seeds-table")
    for place, name in enumerate(printed.names):
        by_seed = values[place].mean(1)
        agrees(texts.loc[name, "seed 0"], by_seed[0])
        agrees(texts.loc[name, "seed 1"], by_seed[1])
        agrees(texts.loc[name, "highest minus lowest"], np.ptp(by_seed))

    cells, cases, mixed, seeds = (
        values.mean((1, 2)),
        values.mean((0, 1)),
        values.mean(1),
        values.mean(2),
    )
    rest = values - seeds[:, :, None] - mixed[:, None] + cells[:, None, None]
    mean_squares = {
        "cell": num_seeds * num_cases * cells.var(ddof=1),
        "case": num_seeds * num_cells * cases.var(ddof=1),
        "mix": num_seeds
        * ((mixed - cells[:, None] - cases + values.mean()) ** 2).sum()
        / ((num_cells - 1) * (num_cases - 1)),
        "seed": num_cases * ((seeds - cells[:, None]) ** 2).sum() / (num_cells * (num_seeds - 1)),
        "rest": (rest**2).sum() / (num_cells * (num_seeds - 1) * (num_cases - 1)),
    }
    ms = mean_squares
    parts = {
        "patient": (ms["case"] - ms["mix"]) / (num_seeds * num_cells),
        "configuration": (ms["cell"] - ms["mix"] - ms["seed"] + ms["rest"])
        / (num_seeds * num_cases),
        "patient by configuration": (ms["mix"] - ms["rest"]) / num_seeds,
        "seed": (ms["seed"] - ms["rest"]) / num_cases,
        "rest": ms["rest"],
    }
    parts = {name: max(0.0, part) for name, part in parts.items()}
    split, _ = printed.table("seeds-split", "source")
    for name, part in parts.items():
        agrees(split.loc[name, "standard deviation"], np.sqrt(part))
        agrees(split.loc[name, "share of the variance"], part / sum(parts.values()), digits=2)
    seed_effect, df = luck_of(values)
    said = re.search(
        r"differ by ([\d.]+) Dice .*deviation ([\d.]+) a training, (\d+) degrees",
        printed.section("seeds"),
    )
    for text, value in zip(
        said.groups(), (np.sqrt(2 * seed_effect), np.sqrt(seed_effect), df), strict=True
    ):
        agrees(text, value)


def test_how_many_patients_or_seeds_would_tell_rivals_apart(printed, blocks, selected):
    values, wanted = shares(blocks), stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    seed_effect = 2 * luck_of(values)[0]
    texts, _ = printed.table("seeds-needs", "rival")
    for place, name in enumerate(printed.names):
        if place == selected:
            continue
        lead = values[selected] - values[place]
        residue = lead - lead.mean(0) - lead.mean(1, keepdims=True) + lead.mean()
        rest = (residue**2).sum() / (lead.shape[1] - 1)
        mix = max(0.0, lead.mean(0).var(ddof=1) - rest / 2)
        agrees(texts.loc[name, "lead of the selected"], lead.mean())
        room = (lead.mean() / wanted) ** 2
        for column, at_hand, count in (
            ("patients for 80 % power", 16, (mix + rest / 2) / max(room - seed_effect / 2, 1e-30)),
            ("seeds for 80 % power", 2, (rest / 16 + seed_effect) / max(room - mix / 16, 1e-30)),
        ):
            text = texts.loc[name, column]
            expected = (
                "none would do"
                if count > 100_000
                else f"at most the {at_hand} at hand"
                if np.ceil(count) <= at_hand
                else None
            )
            assert text == expected if expected else numbers(text) == [np.ceil(count)], (
                name,
                column,
                count,
            )


def volumes_ml(printed, cases, label):
    """The class's reference volume in every case that holds it."""
    rows = printed.scores.query(
        "phase == 'final' and split == 'test' and space == 'native' and label == @label"
    )
    voxels = rows.drop_duplicates("case").set_index("case").true_voxels
    edges = {case: printed.record["data"]["geometry"][case]["spacing_mm"] for case in cases}
    return {case: voxels[case] * np.prod(edges[case]) / 1000 for case in cases if voxels[case]}


def test_size_by_quarter_and_patient_by_patient(printed, blocks, selected):
    cases = sorted(MADE.splits["test"])
    one = printed.texts["size-table"]
    for label, title in CLASSES.items():
        volumes = volumes_ml(printed, cases, label)
        bounds = np.quantile(list(volumes.values()), [0.25, 0.5, 0.75])
        quarter = {case: int((volume > bounds).sum()) for case, volume in volumes.items()}
        scores = dict(zip(cases, blocks[label].mean(1).T, strict=True))
        texts, _ = printed.table(f"size-class-{label}")
        for column, name in enumerate(("smallest quarter", "second", "third", "largest quarter")):
            inside = [scores[case] for case in volumes if quarter[case] == column]
            if inside:
                for place, of in enumerate(printed.names):
                    agrees(
                        texts.loc[of, name], np.mean(inside, axis=0)[place], what=(title, name, of)
                    )
        rows = one[one["class"] == title].set_index("patient")
        assert set(rows.index) == set(volumes)
        for case, volume in volumes.items():
            assert numbers(rows.loc[case, "ml"])[0] == pytest.approx(volume, rel=5e-3)
            agrees(rows.loc[case, "Dice"], scores[case][selected])


def test_groups_of_patients(printed, blocks, selected):
    cases, texts, small = (
        sorted(MADE.splits["test"]),
        printed.texts["size-groups"],
        printed.small["size-groups"],
    )
    data, whole = printed.record["data"], by_patient(blocks)
    words = ((2, "below 2 mm"), (5, "2 mm to below 5 mm"), (99, "5 mm and more"))
    thick = {
        case: next(name for bound, name in words if data["geometry"][case]["spacing_mm"][0] < bound)
        for case in cases
    }

    for row, (trait, group) in enumerate(zip(texts["by"], texts["patients"], strict=True)):
        of = thick if trait == "slice thickness" else data["case_metadata"][trait]
        for column, scores in (
            ("patient's mean", whole),
            *((CLASSES[label], of) for label, of in blocks.items()),
        ):
            held = [
                place
                for place, case in enumerate(cases)
                if of[case] == group and not np.isnan(scores[0, 0, place])
            ]
            own, num = scores[selected].mean(0)[held], len(held)
            agrees(texts[column][row], own.mean())
            if num == 1:
                assert small[column][row] == "n = 1"
                continue
            weights = (
                np.random.default_rng(SEED).multinomial(num, np.full(num, 1 / num), size=10_000)
                / num
            )
            draws = weights @ own
            stretch = stats.t.ppf(0.975, num - 1) / stats.norm.ppf(0.975) * np.sqrt(num / (num - 1))
            low, high = own.mean() + stretch * (np.quantile(draws, [0.025, 0.975]) - own.mean())
            agrees(small[column][row].replace("n = ", ""), max(low, 0), min(high, 1), num)
    assert len(texts) == 3 + 2


def test_the_ladder(printed, blocks):
    texts, _ = printed.table("ladder-table")
    rungs = {}
    for row in json.loads((printed.out / "ceiling.json").read_text())["ceilings"][0]["scores"]:
        if row["true_voxels"]:
            dice = 2 * row["overlap_voxels"] / (row["true_voxels"] + row["pred_voxels"])
            rungs.setdefault(row["label"], []).append(dice)
    for label, title in CLASSES.items():
        tops = texts.columns.get_loc(f"{title}, Dice") + 1
        for place, name in enumerate(printed.names):
            score, top = np.nanmean(blocks[label][place], axis=1).mean(), np.mean(rungs[label])
            agrees(texts.loc[name, f"{title}, Dice"], score)
            agrees(texts.loc[name].iloc[tops], top)
            agrees(texts.loc[name].iloc[tops + 1], score / top, digits=2)


def test_every_study_and_its_best_setting(printed):
    tuned = printed.trials[printed.trials.phase == "tune"].sort_values("number")
    by_cell = {" / ".join(cell): rows for cell, rows in tuned.groupby(CELL)}
    gain, studies = printed.table("gain-table")[0], printed.texts["studies-table"]

    assert len(studies) == len(tuned) == 5 * len(printed.names)
    for name, rows in by_cell.items():
        best = rows.loc[rows.val_score.idxmax()]
        assert gain.loc[name, "found at number"] == str(best.number)
        assert f"lr {best.lr:.3g}" in gain.loc[name, "best setting"]
        listed = studies[studies.study == name]
        for number, text in zip(listed.number.astype(int), listed["validation Dice"], strict=True):
            agrees(text, rows[rows.number == number].val_score.item())


def test_who_is_not_beaten_at_a_cost(printed):
    finals = printed.trials[printed.trials.phase == "final"].copy()
    finals["cell"] = finals[CELL].agg(" / ".join, axis=1)
    dice = np.mean(
        [np.nanmean(block(printed, label, split="val"), axis=2).mean(1) for label in CLASSES],
        axis=0,
    )
    of = finals.groupby("cell").agg(
        time=("seconds", "mean"), memory=("peak_gib", "max"), size=("num_parameters", "first")
    )
    of = of.loc[printed.names].assign(dice=dice)
    texts, _ = printed.table("front-table")

    for name in printed.names:
        for cost in ("time", "memory", "size"):
            beaten = (
                (of.dice >= of.dice[name]) & (of[cost] <= of[cost][name]) & (of.index != name)
            ).any()
            assert (cost in texts.loc[name, "not beaten for"]) == (not beaten), (name, cost)
        assert texts.loc[name, "parameters"] == "1.18 M"
        assert texts.loc[name, "multiply-adds"] == "4.2 G"


def test_the_data_by_split_and_every_cases_grid(printed):
    data = printed.record["data"]
    texts, small = printed.table("splits", "split")
    grids = printed.texts["spacing-table"].set_index("case")
    for split, cases in data["split_cases"].items():
        known = [data["geometry"][case] for case in cases]
        assert int(texts.loc[split, "cases"]) == len(cases)
        for label, title in CLASSES.items():
            assert int(texts.loc[split, f"holding {title}"]) == sum(
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
                row["validation Dice"], np.mean([list(one["val_dice"].values()) for one in best])
            )
            agrees(
                row["training Dice"], np.mean([list(one["train_dice"].values()) for one in best])
            )
            for label, title in CLASSES.items():
                agrees(
                    row[f"validation {title}"],
                    np.mean([one["val_dice"][str(label)] for one in best]),
                )
