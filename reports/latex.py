"""The leaderboard as a LaTeX table (booktabs) for a paper."""

import math

from reports.analysis.context import Context
from reports.analysis.summary import MEAN, ScoreSummary
from reports.figures.cells import class_name, ranked
from reports.formatting import MINUS
from trials.records.result import NATIVE

LATEX = "leaderboard.tex"
SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    MINUS: "$-$",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}


def leaderboard_latex(context: Context) -> str:
    """Test Dice with its 95 % interval, native grid: one row per configuration, one column per
    class, highest mean first.
    """
    labels, summaries = (MEAN, *context.run.labels), context.summaries[NATIVE]
    order = ranked(context)
    names = [
        f"{escape_latex(class_name(context, label))} ($n = {summaries[order[0], label].n}$)"
        for label in labels
    ]
    rows = []
    for i in order:
        cell = context.run.cells[i]
        scores = [_score(summaries[i, label]) for label in labels]
        rows.append(
            [*(escape_latex(name) for name in (cell.model, cell.loss, cell.sampling)), *scores]
        )
    lines = [" & ".join(row) + r" \\" for row in (["Model", "Loss", "Sampling", *names], *rows)]
    return "\n".join(
        [
            "% Mean test Dice with 95 % bootstrap interval over patients; needs "
            "\\usepackage{booktabs}.",
            r"\begin{tabular}{lll" + "r" * len(labels) + "}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def escape_latex(name: str) -> str:
    """A name as LaTeX text on one line, in which nothing is a command."""
    return "".join(SPECIAL.get(letter, letter) for letter in " ".join(name.split()))


def _score(summary: ScoreSummary) -> str:
    if math.isnan(summary.dice):
        return "--"
    if math.isnan(summary.dice_low):
        return f"{summary.dice:.3f}"
    return f"{summary.dice:.3f} [{summary.dice_low:.3f}, {summary.dice_high:.3f}]"
