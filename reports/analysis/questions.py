"""The answers to the questions that a run declared: every comparison with its verdict, and whether
the answer depends on what it was asked within.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from reports.analysis.contrasts import Contrasts, compare, judge, pair_weights
from reports.analysis.summary import MEAN, Resampled
from reports.load.counts import Counts
from reports.load.run_folder import Run
from trials.records.codec import rebuild
from trials.records.questions import (
    MEAN_OF_CLASSES,
    Comparison,
    Question,
    asked,
    check_scores,
    comparisons,
)
from trials.records.spec import Cell

# Differences in Dice below this are not called a lead.
SAME = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One comparison: gap is the mean Dice of first minus second, with its 95 % interval and p
    before and after Holm's correction over all comparisons that the run declared.
    """

    comparison: Comparison
    weights: np.ndarray
    gap: float
    low: float
    high: float
    p: float
    adjusted: float
    resolved: bool

    @property
    def higher(self) -> str:
        """The level with the higher mean."""
        return self.comparison.first if self.gap >= 0 else self.comparison.second

    @property
    def lower(self) -> str:
        """The level with the lower mean."""
        return self.comparison.second if self.gap >= 0 else self.comparison.first


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """How much the difference of two levels changes from one setting to another: gap is the
    difference at one minus that at other, in which one is the setting with the larger difference.

    p is adjusted over the interactions of its question. reverses says that the level that scores
    higher changes, by more than SAME in both settings.
    """

    one: Answered
    other: Answered
    gap: float
    low: float
    high: float
    adjusted: float
    resolved: bool
    reverses: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A question with its comparisons, and the interactions between their settings."""

    question: Question
    found: tuple[Answered, ...]
    interactions: tuple[Interaction, ...]

    @property
    def reversal(self) -> Interaction | None:
        """The interaction with the smallest p of those that change which level scores higher."""
        turned = [one for one in self.interactions if one.reverses]
        return min(turned, key=lambda one: (not one.resolved, -one.gap), default=None)


def read_questions(
    record: Mapping[str, Any], cells: Sequence[Cell], classes: Sequence[str]
) -> tuple[Question, ...]:
    """The questions that run.json declares, those of the grid's shape if it declares none. Raises
    ValueError naming the key.
    """
    declared = record.get("questions")
    if declared is None:
        return asked(None, cells)
    questions = [rebuild(Question, of, f"run.json questions[{i}]") for i, of in enumerate(declared)]
    check_scores("run.json ", questions, classes)
    return asked(questions, cells)


def answer_questions(
    run: Run, questions: Sequence[Question], counts: Counts, resampled: Resampled
) -> tuple[Answer, ...]:
    """Answer every question from the native test scores, over the configurations that have one.

    Holm's correction is over every comparison that was declared, those without a score included.
    """
    scored = ~np.isnan(resampled.estimates[MEAN][: len(run.cells)])
    planned = sum(len(comparisons(question, run.cells)) for question in questions)
    made = [comparisons(question, run.cells, scored.tolist()) for question in questions]
    tested = [
        compare(_weights(several, len(counts.available)), counts, resampled, _label(run, question))
        for question, several in zip(questions, made, strict=True)
    ]
    verdicts = judge(tested, resampled, planned)
    answers = []
    for question, several, found, verdict in zip(questions, made, tested, verdicts, strict=True):
        answered = tuple(
            Answered(
                comparison=comparison,
                weights=found.weights[row],
                gap=float(found.gap[row]),
                low=float(verdict.low[row]),
                high=float(verdict.high[row]),
                p=float(found.p[row]),
                adjusted=float(verdict.adjusted[row]),
                resolved=bool(verdict.resolved[row]),
            )
            for row, comparison in enumerate(several)
        )
        changes = _interactions(answered, found, counts, resampled)
        answers.append(Answer(question=question, found=answered, interactions=changes))
    return tuple(answers)


def _interactions(
    answered: Sequence[Answered], found: Contrasts, counts: Counts, resampled: Resampled
) -> tuple[Interaction, ...]:
    """Every two settings of the same pair of levels: the difference of their differences, paired by
    patient, in the tests of contrasts.py.
    """
    pairs = [
        (one, other) if one.gap >= other.gap else (other, one)
        for one, other in combinations(answered, 2)
        if _levels(one) == _levels(other)
    ]
    if not pairs:
        return ()
    weights = np.array([one.weights - other.weights for one, other in pairs])
    tested = compare(weights, counts, resampled, found.label)
    (verdict,) = judge([tested], resampled)
    return tuple(
        Interaction(
            one=one,
            other=other,
            gap=float(tested.gap[row]),
            low=float(verdict.low[row]),
            high=float(verdict.high[row]),
            adjusted=float(verdict.adjusted[row]),
            resolved=bool(verdict.resolved[row]),
            reverses=one.gap >= SAME and other.gap <= -SAME,
        )
        for row, (one, other) in enumerate(pairs)
    )


def _weights(several: Sequence[Comparison], num: int) -> np.ndarray:
    """The mean over the shared settings of first minus second, [P, C]."""
    weights = [pair_weights(one.pairs, num).mean(axis=0) for one in several]
    return np.array(weights).reshape(-1, num)


def _label(run: Run, question: Question) -> int:
    return MEAN if question.score == MEAN_OF_CLASSES else run.classes.index(question.score)


def _levels(answered: Answered) -> tuple[str, str]:
    return answered.comparison.first, answered.comparison.second
