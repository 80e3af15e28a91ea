"""The sections in reading order. Each is a function (context) -> Section, or None if a run has
nothing to show in it. Those of PARTS answer; the others stand below them, closed, as details.
"""

from collections.abc import Callable

from reports.analysis.context import Context
from reports.answer.section import answer
from reports.elements import Section
from reports.sections.attainable import attainable
from reports.sections.conventions import conventions
from reports.sections.curves import curves
from reports.sections.data import data
from reports.sections.distribution import distribution
from reports.sections.downloads import downloads
from reports.sections.effects import effects
from reports.sections.figures import figures
from reports.sections.folds import folds
from reports.sections.grid import grid
from reports.sections.hpo import hpo
from reports.sections.leaderboard import leaderboard
from reports.sections.metrics import metrics
from reports.sections.pairs import pairs
from reports.sections.paper import paper
from reports.sections.pareto import pareto
from reports.sections.provenance import provenance
from reports.sections.seeds import seeds
from reports.sections.size import size
from reports.sections.stability import ranking_stability
from reports.sections.trials import trials
from reports.sections.validity import validity
from reports.sections.worst import worst

PARTS = ("answer", "leaderboard", "pairs", "data", "validity")
SECTIONS: dict[str, Callable[[Context], Section | None]] = {
    "answer": answer,
    "leaderboard": leaderboard,
    "pairs": pairs,
    "data": data,
    "validity": validity,
    "metrics": metrics,
    "paper": paper,
    "grid": grid,
    "effects": effects,
    "stability": ranking_stability,
    "conventions": conventions,
    "distribution": distribution,
    "folds": folds,
    "seeds": seeds,
    "size": size,
    "worst": worst,
    "figures": figures,
    "curves": curves,
    "pareto": pareto,
    "hpo": hpo,
    "trials": trials,
    "attainable": attainable,
    "provenance": provenance,
    "downloads": downloads,
}


def make_sections(context: Context) -> dict[str, Section]:
    """The sections of a page by name, in their order; the checks are made last, because one of them
    compares the numbers of all the others.
    """
    made = {name: make(context) for name, make in SECTIONS.items() if name != "validity"}
    others = [section for section in made.values() if section is not None]
    made["validity"] = validity(context, others)
    return {name: section for name in SECTIONS if (section := made[name]) is not None}
