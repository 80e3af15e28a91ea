"""What a run, or a grid before it runs, can resolve: the smallest p and the smallest difference
that its patients and seeds allow, and what would help.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from reports.analysis.context import Context
from reports.analysis.contrasts import spreads
from reports.analysis.patients import counted_cases
from reports.analysis.questions import Answered
from reports.analysis.summary import MEAN
from reports.answer.questions import question_text, setting
from reports.formatting import many, number, signed
from reports.load.run_folder import Run
from reports.stats.power import (
    MOST_SEEDS,
    Design,
    Spread,
    fewest_patients,
    patients_needed,
    seeds_needed,
    smallest_gap,
    smallest_p,
)
from trials.records.grouping import cases_by_patient
from trials.records.questions import MEAN_OF_CLASSES, Question, comparisons
from trials.records.result import NATIVE
from trials.records.spec import Cell

# What is assumed before a run: a difference of two configurations varies between patients by 0.10
# Dice, and a training by 0.01 between seeds. Large organs vary less, small lesions more.
BETWEEN_PATIENTS, BETWEEN_SEEDS = 0.10, 0.01
ASSUMED = Spread(mix=BETWEEN_PATIENTS**2, rest=0.0, seed_effect=2 * BETWEEN_SEEDS**2)
# The numbers of patients for which a grid without data is described.
EXAMPLES = (10, 20, 40, 80)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What a run can resolve. gaps [P] are the smallest differences that its comparisons resolve
    with 80 % power, largest is the largest comparison that is not resolved, with the components of
    its error. everyone is the number of patients in all parts of the split, None if unknown;
    num_folds that of the run, of which design may pool fewer.
    """

    design: Design
    everyone: int | None
    num_folds: int
    gaps: np.ndarray
    largest: Answered | None
    spread: Spread | None

    @property
    def gap(self) -> float:
        """The median of the gaps; inf if nothing can be resolved, NaN without a comparison."""
        return float(np.median(self.gaps)) if len(self.gaps) else math.nan


def resolution(context: Context) -> Resolution | None:
    """From this run's own spread; None for a run without a comparison."""
    counts = context.all_predictions.counts
    found = [one for answer in context.answers for one in answer.found]
    if not found:
        return None
    labels = [_label(context, one.comparison.question) for one in found]
    available = context.test[NATIVE].available.sum(axis=1)
    design = Design(
        patients=min(len(counted_cases(counts, label)) for label in labels),
        seeds=int(available.max(initial=0)),
        configurations=int((available > (len(context.run.folds) == 1)).sum()),
        folds=len(context.run.pooled_folds),
        comparisons=sum(
            len(comparisons(answer.question, context.run.cells)) for answer in context.answers
        ),
    )
    spread = [
        spreads(one.weights[None], counts, label)[0]
        for one, label in zip(found, labels, strict=True)
    ]
    still = [i for i, one in enumerate(found) if not one.resolved]
    widest = max(still, key=lambda i: abs(found[i].gap), default=None)
    return Resolution(
        design=design,
        everyone=_everyone(context.run),
        num_folds=len(context.run.folds),
        gaps=np.array([smallest_gap(of, design) for of in spread]),
        largest=None if widest is None else found[widest],
        spread=None if widest is None else spread[widest],
    )


def _everyone(run: Run) -> int | None:
    """The patients of all parts of the split."""
    parts = (part for parts in run.split_cases.values() for part in parts.values())
    return len(cases_by_patient(run.grouping, (case for part in parts for case in part))) or None


def resolution_sentences(found: Resolution) -> tuple[str, ...]:
    """What the patients allow, the smallest difference, and what would resolve the largest open
    one.
    """
    return (f"{_allowed(found.design)} {_seen(found)}", *filter(None, (_advice(found),)))


def _allowed(design: Design) -> str:
    needed = fewest_patients(design.comparisons)
    return (
        f"With {many(design.patients, 'test patient')} p cannot be smaller than "
        f"{p_limit(design.patients)} (Wilcoxon's signed-rank test, two-sided). The run declared "
        f"{many(design.comparisons, 'comparison')}; after Holm's correction for them, nothing can "
        f"be resolved with fewer than {needed} test patients."
    )


def p_limit(num_patients: int) -> str:
    """The smallest two-sided p of this many patients as text."""
    p = smallest_p(num_patients)
    return f"{p:.3g}" if p >= 0.0001 else f"{p:.6f}" if p >= 0.000001 else "0.000001"


def more_patients(comparisons: int, everyone: int | None, num_folds: int) -> str:
    """What brings the test patients that so many comparisons need: folds too, if there are none
    yet. everyone is the number of patients of the data set, None if it is unknown.
    """
    wanted = "more test patients are needed, by a larger data set"
    if num_folds > 1:
        return wanted
    if everyone is None:
        return f"{wanted}, a larger test split, or folds, which test each patient once"
    can = "can" if everyone >= fewest_patients(comparisons) else "still cannot"
    return (
        f"{wanted}, a larger test split, or folds. With folds each of the {everyone} patients is "
        f"tested once, and p {can} be small enough"
    )


def _seen(found: Resolution) -> str:
    design = found.design
    reasons = []
    if design.patients < fewest_patients(design.comparisons):
        reasons.append(
            f"So nothing can be resolved here: {_more(found)}. More seeds do not help, because the "
            "number of patients bounds p."
        )
    if design.training_df < 1:
        reasons.append(
            "With one seed of each configuration nothing can be resolved, because the variance "
            "between trainings is unknown: a second seed or several folds are needed."
        )
    return " ".join(reasons) or (
        f"With the spread between patients and seeds found here, a true difference of "
        f"{number(found.gap)} Dice is resolved with 80 % power in a typical comparison."
    )


def _more(found: Resolution) -> str:
    return more_patients(found.design.comparisons, found.everyone, found.num_folds)


def _advice(found: Resolution) -> str:
    """What would resolve the largest difference that is not resolved; "" if all are, and with one
    seed, where the variance between seeds is unknown.
    """
    design, one = found.design, found.largest
    if (
        one is None
        or found.spread is None
        or design.training_df < 1
        or math.isnan(found.spread.mix)
    ):
        return ""
    patients = patients_needed(one.gap, found.spread, design)
    seeds = seeds_needed(one.gap, found.spread, design)
    ways = []
    if patients is not None and patients > design.patients:
        ways.append(f"{patients:,} test patients (here {design.patients}{_folds_test(found)})")
    if seeds is not None and seeds > design.seeds:
        ways.append(f"{seeds} seeds of each configuration (here {design.seeds})")
    name = (
        f"The largest difference that is not resolved is {signed(abs(one.gap))} Dice, {one.higher} "
        f"minus {one.lower} {setting(one)}".rstrip()
    )
    if ways:
        return (
            f"{name}. If the true difference is as large, about {' or '.join(ways)} would resolve "
            "it with 80 % power."
        )
    if patients is None:
        return (
            f"{name}. Neither more test patients alone nor up to {MOST_SEEDS} seeds alone would "
            "resolve it."
        )
    return ""


def _folds_test(found: Resolution) -> str:
    """How many patients folds would test; "" if there are folds, or they would test no more."""
    if found.num_folds > 1 or (found.everyone or 0) <= found.design.patients:
        return ""
    return f"; folds would test all {found.everyone}"


def planned_lines(
    questions: Sequence[Question],
    cells: Sequence[Cell],
    num_seeds: int,
    patients: int | None,
    everyone: int | None = None,
    num_folds: int = 1,
) -> list[str]:
    """What a grid can resolve, before anything is trained. patients is the number of test patients,
    everyone that of all patients, None if it is not known yet. Empty for a grid without a
    comparison.
    """
    counts = [len(comparisons(question, cells)) for question in questions]
    if not sum(counts):
        return []
    design = Design(
        patients=0,
        seeds=num_seeds,
        configurations=len(cells),
        comparisons=sum(counts),
        folds=num_folds,
    )
    lines = [
        f"question: {question_text(question)} {many(count, 'comparison')}"
        for question, count in zip(questions, counts, strict=True)
    ]
    lines.append(
        f"{many(sum(counts), 'comparison')}: after Holm's correction for them, nothing can be "
        f"resolved with fewer than {fewest_patients(sum(counts))} test patients"
    )
    if design.training_df < 1:
        return [
            *lines,
            "one seed: nothing can be resolved, because the variance between trainings "
            "stays unknown; give two seeds or more, or several folds",
        ]
    lines += [_planned(replace(design, patients=n), everyone) for n in _sizes(patients)]
    lines.append(
        f"assumed: a difference varies by {BETWEEN_PATIENTS:.2f} Dice between patients, a training "
        f"by {BETWEEN_SEEDS:.2f} between seeds; the smallest difference grows in proportion"
    )
    return lines


def _sizes(patients: int | None) -> tuple[int, ...]:
    return EXAMPLES if patients is None else (patients,)


def _planned(design: Design, everyone: int | None) -> str:
    start = f"{many(design.patients, 'test patient')}, {many(design.seeds, 'seed')}: "
    if design.patients < fewest_patients(design.comparisons):
        return (
            f"{start}nothing can be resolved (smallest p {p_limit(design.patients)}); "
            f"{more_patients(design.comparisons, everyone, design.folds)}. Fewer comparisons need "
            "fewer patients"
        )
    return (
        f"{start}smallest p {p_limit(design.patients)}, smallest difference that 80 % power sees "
        f"{number(smallest_gap(ASSUMED, design), 2)} Dice"
    )


def _label(context: Context, question: Question) -> int:
    score = question.score
    return MEAN if score == MEAN_OF_CLASSES else context.run.classes.index(score)
