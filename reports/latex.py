"""The leaderboard as a LaTeX table (booktabs) for a paper."""

import math

from reports.analysis.context import Context
from reports.analysis.summary import MEAN, ScoreSummary
from reports.figures.cells import (
    DAGGER,
    NEVER_FOUND,
    class_name,
    is_external,
    never_found,
    ranked_all,
    summary_of,
)
from reports.formatting import MINUS, ranged

LATEX = "leaderboard.tex"
SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    MINUS: "$-$",
    DAGGER: r"$^\dagger$",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}


def leaderboard_latex(context: Context) -> str:
    """Test Dice with its 95 % interval, native grid: one row per configuration or set of external
    predictions, one column per class, highest mean first.
    """
    labels, order = (MEAN, *context.run.labels), ranked_all(context)
    sizes = {label: summary_of(context, order[0], label).n for label in labels}
    names = [
        f"{escape_latex(class_name(context, label))} ($n = {size}$)"
        for label, size in sizes.items()
    ]
    rows = [
        [
            *(escape_latex(name) for name in names_of(context, i)),
            *(_score(summary_of(context, i, label)) for label in labels),
        ]
        for i in order
    ]
    lines = [" & ".join(row) + r" \\" for row in (["Model", "Loss", "Sampling", *names], *rows)]
    of_zero = (
        [f"% {NEVER_FOUND}"] if any(r"\dagger" in cell for row in rows for cell in row) else []
    )
    return "\n".join(
        [
            "% Mean test Dice with 95 % bootstrap interval over patients and seeds; needs "
            "\\usepackage{booktabs}.",
            *of_zero,
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


def names_of(context: Context, i: int) -> tuple[str, str, str]:
    """Model, loss and sampling; external predictions have a name alone."""
    if is_external(context, i):
        return context.all_predictions.names[i], "external", "--"
    cell = context.run.cells[i]
    return cell.model, cell.loss, cell.sampling


def escape_latex(name: str) -> str:
    """A name as LaTeX text on one line, in which nothing is a command."""
    return "".join(SPECIAL.get(letter, letter) for letter in " ".join(name.split()))


def _score(summary: ScoreSummary) -> str:
    if math.isnan(summary.dice):
        return "--"
    mark = DAGGER if never_found(summary.dice, summary.dice_high) else ""
    return escape_latex(ranged(summary.dice, summary.dice_low, summary.dice_high) + mark)
