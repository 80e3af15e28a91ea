"""Which differences between configurations are resolved: a map of every pair, and a table of
differences, probabilities and p values.
"""

from typing import Any

import numpy as np

from reports.analysis.context import Context
from reports.analysis.contrasts import by_patient
from reports.analysis.patients import patient_dice, patient_parts
from reports.analysis.selection import Pairs
from reports.analysis.summary import MEAN
from reports.elements import Column, Figure, Section, Table, TableCell, Text
from reports.estimands import states_pair
from reports.figures.cells import p_cell, prediction, prediction_name, ranked_all
from reports.formatting import many, number, plain, signed, signed_interval
from reports.stats.intervals import nan_mean
from reports.stats.pairs import hodges_lehmann
from reports.stats.tests import sign_flip
from trials.records.result import NATIVE

# The table shows at most this many pairs, those with the smallest p.
MOST_ROWS = 300
# With at most this many configurations the map shows the differences as text.
PRINTED = 14
RULE = (
    "The difference is in the mean Dice of the classes, as everywhere on this page. Each pair has "
    "two tests, paired by patient: Wilcoxon's signed-rank test (zeros by Pratt) on what each "
    "patient adds to the difference, which asks whether these trainings differ, and a t test that "
    "allows for differences between trainings, which asks whether new trainings would differ. The "
    "table shows the larger of the two p values. Holm's correction is over all pairs; a pair that "
    "a declared question compares has the p value and the verdict of that question. A pair is "
    "resolved if its corrected p is below 0.05, its 95 % interval excludes zero and at least one "
    "configuration has two seeds. External predictions count as one training. Two further columns "
    "say other things: the median difference (Hodges and Lehmann) is less sensitive to single "
    "patients than the mean, and the number of patients in whom the first scores higher compares "
    "their own means over the classes that they have. As a check of Wilcoxon's test, the last p "
    "flips the sign of every patient's difference at random 10,000 times; it is not corrected."
)


def pairs(context: Context) -> Section | None:
    """The map and the table of every pair of predictions; None without a pair with scores."""
    if not context.pairs.rows or np.isnan(context.pairs.found.p).all():
        return None
    table, agreeing = _table(context)
    return Section(
        id="pairs",
        title="Pairwise differences",
        question="Which differences between configurations are resolved?",
        finding=_finding(context.pairs, agreeing),
        blocks=(_figure(context, table), Text((RULE,))),
    )


def _finding(pairs: Pairs, agreeing: str) -> str:
    resolved, num = int(pairs.verdicts.resolved.sum()), len(pairs.rows)
    if not pairs.found.seeds_known:
        return (
            f"None of {many(num, 'pair')} is resolved: with one seed each, a difference cannot be "
            f"told from random variation between trainings. {agreeing}"
        )
    verb = "is" if resolved == 1 or num == 1 else "are"
    return f"{resolved} of {many(num, 'pair')} {verb} resolved. {agreeing}"


def _figure(context: Context, table: Table) -> Figure:
    num, patients = len(ranked_all(context)), len(context.test[NATIVE].patients)
    resolved = int(context.pairs.verdicts.resolved.sum())
    side = max(13, min(34, 700 // num))
    caption = (
        f"{resolved} of {many(len(context.pairs.rows), 'pair')} resolved, n = {patients} patients. "
        "Rows and columns are in order of the mean, the highest first; column numbers are the row "
        "numbers. Blue: the row scores higher; orange: lower; grey: not resolved. Holm-corrected "
        "signed-rank and t tests."
    )
    drawn = _map(context)
    axis = {"showgrid": False, "zeroline": False, "ticks": ""}
    return Figure(
        id="pairs-map",
        caption=caption,
        data=(drawn,),
        layout={
            "margin": {"l": 10, "r": 10, "t": 30, "b": 10},
            "xaxis": axis
            | {"side": "top", "tickmode": "linear", "dtick": 1 if num <= 32 else 4, "tick0": 1},
            "yaxis": axis | {"autorange": "reversed", "categoryarray": drawn["y"]},
        },
        table=table,
        height=60 + side * num,
        least_width=260 + min(side, 10) * num,
    )


def _map(context: Context) -> dict[str, Any]:
    """Every pair in both directions as a plotly heatmap: 1 if the row scores higher, -1 if lower, 0
    if not resolved.
    """
    order, found, verdicts = ranked_all(context), context.pairs.found, context.pairs.verdicts
    names, num = [plain(prediction_name(context, i)) for i in order], len(order)
    colours, texts, hovers = (np.full((num, num), blank, object) for blank in (None, "", ""))
    for (i, j), at in context.pairs.rows.items():
        row, column, gap = order.index(i), order.index(j), float(found.gap[at])
        verdict = "resolved" if verdicts.resolved[at] else "not resolved"
        p = number(verdicts.adjusted[at], 4)
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


def _table(context: Context) -> tuple[Table, str]:
    """The pairs with the smallest p, the higher mean first, and how often the sign-flip test agrees
    with Wilcoxon's test.
    """
    pairs, found = context.pairs, context.pairs.found
    places = list(pairs.rows)
    kept = sorted(range(len(places)), key=lambda row: (found.p[row], places[row]))[:MOST_ROWS]
    signs = np.where(found.gap[kept] < 0, -1, 1)
    weights = found.weights[kept] * signs[:, None]
    counts = context.all_predictions.counts
    parts = by_patient(weights, patient_parts(counts, MEAN))
    own = nan_mean(patient_dice(counts, MEAN), 1)
    shift, flips = hodges_lehmann(parts), sign_flip(parts)
    columns = (
        Column("higher"),
        Column("lower"),
        Column("mean difference", True, "mean Dice of the classes, with its 95 % interval"),
        Column("median difference", True, "Hodges and Lehmann, with its 95 % interval"),
        Column("patients with a higher score", True, "patients in whom the first scores higher"),
        Column("p", True),
        Column("Holm p", True, "over all pairs, or over the questions for a declared pair"),
        Column("sign-flip p", True),
        Column("asked", False, "whether a declared question compares this pair"),
        Column("verdict"),
    )
    rows = []
    for row, (at, sign) in enumerate(zip(kept, signs.tolist(), strict=True)):
        i, j = places[at] if sign > 0 else places[at][::-1]
        mean, moved = float(sign * found.gap[at]), float(shift[0][row])
        bounds = sorted(sign * float(of[at]) for of in (pairs.verdicts.low, pairs.verdicts.high))
        higher = int((own[i] > own[j] + 1e-12).sum())
        verdict = "resolved" if pairs.verdicts.resolved[at] else "not resolved"
        rows.append(
            (
                prediction(context, i),
                prediction(context, j),
                TableCell(
                    signed(mean),
                    mean,
                    small=signed_interval(*bounds),
                    states=states_pair(i, j, mean),
                ),
                TableCell(
                    signed(moved),
                    moved,
                    small=signed_interval(*(float(end[row]) for end in shift[1:])),
                ),
                TableCell(f"{higher} of {own.shape[1]}", higher),
                *(p_cell(float(p)) for p in (found.p[at], pairs.verdicts.adjusted[at], flips[row])),
                TableCell("yes" if pairs.declared[at] else "", look="quiet"),
                TableCell(verdict, look="" if verdict == "resolved" else "quiet"),
            )
        )
    left = len(places) - len(kept)
    caption = f"{many(len(kept), 'pair')}, smallest p first" + (
        f"; {left} more with larger p are not shown." if left else "."
    )
    agree = int(((found.over_cases[kept] < 0.05) == (flips < 0.05)).sum())
    words = (
        f"A sign-flip permutation test agrees with Wilcoxon's test in {agree} of "
        f"{many(len(kept), 'pair')} (significant or not at 5 %, both uncorrected)."
    )
    return Table(id="pairs-table", caption=caption, columns=columns, rows=tuple(rows)), words
