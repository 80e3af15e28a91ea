"""The questions that a grid asks before it runs and its report answers, and the comparisons that
answer them: pure values.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

from trials.records.record import record
from trials.records.registry import unknown
from trials.records.spec import Cell

FACTORS = ("model", "loss", "sampling")
# The score of a question about no single class: the mean Dice of the classes.
MEAN_OF_CLASSES = "mean"
# What a factor interacts with most often: a loss that helps one network may harm another.
WITHIN = {"model": "loss", "loss": "model", "sampling": "model"}


@record
class Question:
    """Which level of a factor scores higher: asked before the run, answered on the first screen of
    its report.

    factor is "model", "loss" or "sampling". levels are compared with each other in pairs; None is
    every level in the grid. within names the factors for each level of which there is an answer of
    its own, a name or a tuple; () gives one answer over all of them, and None is the model for a
    loss or a sampling, the loss for a model, if the grid varies it. Two levels are compared over
    the settings of the remaining factors that both have. score is "mean", the mean Dice of the
    classes, or the name of a class.
    """

    factor: str
    levels: tuple[str, ...] | None = None
    within: str | tuple[str, ...] | None = None
    score: str = MEAN_OF_CLASSES

    def __post_init__(self) -> None:
        for field, names in (("factor", (self.factor,)), ("within", self.within_factors)):
            for name in names:
                if name not in FACTORS:
                    raise ValueError(unknown(f"Question.{field}", name, FACTORS))
        if self.factor in self.within_factors:
            raise ValueError(
                f"Question.within must name other factors than {self.factor!r}, the one that it "
                "compares"
            )
        if self.levels is not None and len(set(self.levels)) < max(2, len(self.levels)):
            raise ValueError(
                f"Question.levels must name two levels or more, each once; got {self.levels}"
            )

    @property
    def within_factors(self) -> tuple[str, ...]:
        """within as a tuple; empty if it is None."""
        return (self.within,) if isinstance(self.within, str) else self.within or ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two levels of a question's factor at one setting of the factors that it is asked within.

    at is that setting as (factor, level). pairs are places in the grid's cells, of first and of
    second: one pair for each setting of the remaining factors that both have.
    """

    question: Question
    first: str
    second: str
    at: tuple[tuple[str, str], ...]
    pairs: tuple[tuple[int, int], ...]


def asked(questions: Sequence[Question] | None, cells: Sequence[Cell]) -> tuple[Question, ...]:
    """The questions with all their levels and the factors they are asked within; for None, one
    question for each factor of which two levels can be compared.
    """
    if questions is not None:
        return tuple(_completed(question, cells) for question in questions)
    found = []
    for question in (_completed(Question(factor=factor), cells) for factor in FACTORS):
        several = comparisons(question, cells)
        compared = {level for one in several for level in (one.first, one.second)}
        levels = tuple(level for level in question.levels or () if level in compared)
        if several:
            found.append(replace(question, levels=levels))
    return tuple(found)


def comparisons(
    question: Question, cells: Sequence[Cell], scored: Sequence[bool] | None = None
) -> list[Comparison]:
    """Every comparison that a question asks for, in the order of the cells and levels. scored says
    which cells have a score; None is all of them.
    """
    one = _completed(question, cells)
    place = {cell: i for i, cell in enumerate(cells) if scored is None or scored[i]}
    settings = dict.fromkeys(_setting(cell, one.within_factors) for cell in place)
    found = []
    for at, (first, second) in product(settings, combinations(one.levels or (), 2)):
        pairs = tuple(
            (i, place[other])
            for cell, i in place.items()
            if getattr(cell, one.factor) == first
            and _setting(cell, one.within_factors) == at
            and (other := replace(cell, **{one.factor: second})) in place
        )
        if pairs:
            found.append(Comparison(question=one, first=first, second=second, at=at, pairs=pairs))
    return found


def check_questions(
    where: str, questions: Sequence[Question] | None, cells: Sequence[Cell]
) -> None:
    """Raise ValueError naming the question that these cells cannot answer, or that is asked
    twice.
    """
    complete = asked(questions, cells)
    for i, question in enumerate(complete if questions is not None else ()):
        place = f"{where}: questions[{i}]"
        known = _levels(cells, question.factor)
        for level in question.levels or ():
            if level not in known:
                raise ValueError(f"{place}: {unknown(question.factor, level, known)}")
        if question in complete[:i]:
            raise ValueError(f"{place} asks the same as questions[{complete.index(question)}]")
        if not comparisons(question, cells):
            raise ValueError(
                f"{place} compares the {question.factor}, but no two cells differ in it alone; add "
                "such cells, or remove the question"
            )


def check_scores(where: str, questions: Sequence[Question] | None, classes: Sequence[str]) -> None:
    """Raise ValueError naming the question whose score is neither "mean" nor a foreground class."""
    known = (MEAN_OF_CLASSES, *classes[1:])
    for i, question in enumerate(questions or ()):
        if question.score not in known:
            raise ValueError(f"{where}questions[{i}]: {unknown('score', question.score, known)}")


def _completed(question: Question, cells: Sequence[Cell]) -> Question:
    within = question.within_factors
    if question.within is None:
        other = WITHIN[question.factor]
        within = (other,) if len(_levels(cells, other)) > 1 else ()
    levels = question.levels or tuple(_levels(cells, question.factor))
    return replace(question, within=within, levels=levels if len(levels) > 1 else None)


def _levels(cells: Sequence[Cell], factor: str) -> list[str]:
    return list(dict.fromkeys(getattr(cell, factor) for cell in cells))


def _setting(cell: Cell, factors: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((factor, str(getattr(cell, factor))) for factor in factors)
