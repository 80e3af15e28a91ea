"""Which differences between configurations are resolved: a map of every pair, and a table of
differences, probabilities and p values.
"""

from typing import Any

import numpy as np

from reports.analysis.comparisons import FamilyResult
from reports.analysis.context import Context
from reports.analysis.patients import patient_dice
from reports.analysis.summary import MEAN
from reports.elements import Column, Figure, Section, Table, TableCell, Text
from reports.figures.cells import p_cell, ranked
from reports.formatting import cell_name, interval, many, number, percent, plain, signed
from reports.stats.intervals import nan_mean
from reports.stats.pairs import hodges_lehmann, superiority
from reports.stats.tests import sign_flip
from trials.records.comparisons import PATIENTS, SELECTED
from trials.records.result import NATIVE

# The table shows at most this many pairs, those with the smallest p.
MOST_ROWS = 300
# With at most this many configurations the map shows the differences as text.
PRINTED = 14
RULE = (
    "A patient's score is the mean Dice of the classes its reference has, averaged over seeds. "
    "Each pair has two tests: Wilcoxon's signed-rank test over patients (zeros by Pratt), which "
    "asks whether these trainings differ, and a t test that treats patients and trainings as "
    "random, which asks whether new trainings would differ. Each is corrected by Holm within the "
    "family that the run declared, and the table shows the larger p value. A pair is resolved if "
    "its corrected p is below 0.05 and any configuration has two seeds. The shift is the "
    "Hodges-Lehmann estimate. The probability of a higher score is the share of patients on "
    "which the first configuration scores higher (ties count half), with Wilson's interval. As a "
    "check of Wilcoxon's test, the last p flips the sign of every patient's difference at random "
    "10,000 times; it is not corrected."
)


def pairs(context: Context) -> Section | None:
    """The map of the first declared family that compares patients' means; None if no family has a
    pair with scores.
    """
    tested = next((of for of in context.families if of.family.score == PATIENTS and of.p), None)
    if tested is None:
        return None
    table, agreeing = _table(context, tested)
    return Section(
        id="pairs",
        title="Pairwise differences",
        question="Which differences between configurations are resolved?",
        finding=_finding(tested, agreeing),
        blocks=(_figure(context, tested, table), Text((RULE,))),
    )


def _resolved(tested: FamilyResult) -> list[tuple[int, int, int]]:
    return [key for key in tested.p if tested.resolved(*key)]


def _finding(tested: FamilyResult, agreeing: str) -> str:
    resolved = len(_resolved(tested))
    kind = (
        "against the selected configuration"
        if tested.family.pairs == SELECTED
        else "of configurations"
    )
    if not tested.seed_variance_known:
        return (
            f"None of {many(len(tested.p), 'pair')} {kind} is resolved: with one seed each, a "
            f"difference cannot be told from random variation between trainings. {agreeing}"
        )
    verb = "is" if resolved == 1 or len(tested.p) == 1 else "are"
    return f"{resolved} of {many(len(tested.p), 'pair')} {kind} {verb} resolved. {agreeing}"


def _by_patient(context: Context) -> np.ndarray:
    return nan_mean(patient_dice(context.test[NATIVE], MEAN), 1)


def _figure(context: Context, tested: FamilyResult, table: Table) -> Figure:
    num, patients, resolved = (
        len(ranked(context)),
        _by_patient(context).shape[1],
        len(_resolved(tested)),
    )
    side = max(13, min(34, 700 // num))
    caption = (
        f"{resolved} of {many(len(tested.p), 'pair')} resolved (family '{tested.family.name}'), n "
        f"= {patients} patients. Rows and columns are in order of the mean, the highest first; "
        "column numbers are the row numbers. Blue: the row scores higher; orange: lower; grey: "
        "not resolved. Holm-corrected signed-rank and t tests."
    )
    axis = {"showgrid": False, "zeroline": False, "ticks": ""}
    return Figure(
        id="pairs-map",
        caption=caption,
        data=(_map(context, tested),),
        layout={
            "margin": {"l": 10, "r": 10, "t": 30, "b": 10},
            "xaxis": axis
            | {"side": "top", "tickmode": "linear", "dtick": 1 if num <= 32 else 4, "tick0": 1},
            "yaxis": axis | {"autorange": "reversed", "automargin": True},
        },
        table=table,
        height=60 + side * num,
        least_width=260 + side * num,
    )


def _map(context: Context, tested: FamilyResult) -> dict[str, Any]:
    """Every pair in both directions as a plotly heatmap: 1 if the row scores higher, -1 if lower, 0
    if not resolved.
    """
    order, scores = ranked(context), _by_patient(context)
    names, num = [plain(cell_name(context.run.cells[i])) for i in order], len(order)
    colours, texts, hovers = (np.full((num, num), blank, object) for blank in (None, "", ""))
    for i, j, label in tested.p:
        row, column = order.index(i), order.index(j)
        gap = float((scores[i] - scores[j]).mean())
        verdict = "resolved" if tested.resolved(i, j, label) else "not resolved"
        p = number(tested.adjusted[i, j, label], 4)
        for y, x, way in ((row, column, 1), (column, row, -1)):
            colours[y, x] = int(np.sign(gap)) * way if verdict == "resolved" else 0
            texts[y, x] = signed(way * gap, 2) if num <= PRINTED else ""
            hovers[y, x] = (
                f"{names[y]}<br>against {names[x]}<br>{signed(way * gap)}, Holm p {p}, {verdict}"
            )
    shades = [
        [0, "var(--m1)"],
        [0.33, "var(--m1)"],
        [0.33, "var(--band)"],
        [0.67, "var(--band)"],
        [0.67, "var(--m0)"],
    ]
    grid = {
        "showscale": False,
        "xgap": 1 if num > PRINTED else 2,
        "ygap": 1 if num > PRINTED else 2,
    }
    return grid | {
        "type": "heatmap",
        "z": colours.tolist(),
        "text": texts.tolist(),
        "texttemplate": "%{text}",
        "customdata": hovers.tolist(),
        "hovertemplate": "%{customdata}<extra></extra>",
        "x": list(range(1, num + 1)),
        "y": [f"{name}  {place}" for place, name in enumerate(names, 1)],
        "colorscale": [*shades, [1, "var(--m0)"]],
        "zmin": -1,
        "zmax": 1,
    }


def _table(context: Context, tested: FamilyResult) -> tuple[Table, str]:
    """The pairs with the smallest p, the higher mean first, and how often the sign-flip test agrees
    with Wilcoxon's test.
    """
    scores = _by_patient(context)
    kept = sorted(tested.p, key=lambda key: (tested.p[key], key))[:MOST_ROWS]
    better = [
        (i, j, label) if scores[i].mean() >= scores[j].mean() else (j, i, label)
        for i, j, label in kept
    ]
    differences = np.array([scores[i] - scores[j] for i, j, _ in better])
    shift, share, flips = (
        hodges_lehmann(differences),
        superiority(differences),
        sign_flip(differences),
    )
    columns = (
        Column("higher"),
        Column("lower"),
        Column("mean difference", True),
        Column("shift", True, "Hodges-Lehmann, with its 95 % interval"),
        Column("probability of a higher score", True, "on a new patient, with its 95 % interval"),
        Column("p", True),
        Column("Holm p", True),
        Column("sign-flip p", True),
        Column("verdict"),
    )
    rows = []
    for row, ((i, j, _), key) in enumerate(zip(better, kept, strict=True)):
        verdict = "resolved" if tested.resolved(*key) else "not resolved"
        mean, moved, chance = (
            float(differences[row].mean()),
            float(shift[0][row]),
            float(share[0][row]),
        )
        rows.append(
            (
                TableCell(cell_name(context.run.cells[i])),
                TableCell(cell_name(context.run.cells[j])),
                TableCell(signed(mean), mean),
                TableCell(
                    signed(moved), moved, small=interval(float(shift[1][row]), float(shift[2][row]))
                ),
                TableCell(
                    percent(chance),
                    chance,
                    small=f"{percent(float(share[1][row]))} to {percent(float(share[2][row]))}",
                ),
                *(p_cell(p) for p in (tested.p[key], tested.adjusted[key], float(flips[row]))),
                TableCell(verdict, look="" if verdict == "resolved" else "quiet"),
            )
        )
    left = len(tested.p) - len(kept)
    caption = f"{many(len(kept), 'pair')}, smallest p first" + (
        f"; {left} more with larger p are not shown." if left else "."
    )
    agree = sum(
        (tested.over_cases[key] < 0.05) == (p < 0.05)
        for key, p in zip(kept, flips.tolist(), strict=True)
    )
    words = (
        f"A sign-flip permutation test agrees with Wilcoxon's test in {agree} of "
        f"{many(len(kept), 'pair')} (significant or not at 5 %, both uncorrected)."
    )
    return Table(id="pairs-table", caption=caption, columns=columns, rows=tuple(rows)), words
