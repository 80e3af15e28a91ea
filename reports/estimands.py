"""The numbers that the page states in several places: how each is printed, and the check that
computes every one again and compares its places.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from reports.analysis.context import Context
from reports.analysis.summary import MEAN
from reports.elements import (
    Block,
    Check,
    Figure,
    Section,
    SideBySide,
    Stated,
    Switch,
    Table,
)
from reports.formatting import MINUS, many, number, percent, signed
from reports.load.counts import Counts
from reports.table import dice_of

MEAN_DICE, DIFFERENCE, FIRST = "mean", "difference", "first"
CLAIM = "A number that stands in several places is the same in all, and a second calculation agrees"
# Half of the last printed digit, and the rounding errors of the sums.
SLACK = 0.000501


def states_mean(i: int, value: float, label: int = MEAN) -> Stated:
    """The mean Dice of a prediction in a class, or of the classes."""
    return Stated(MEAN_DICE, ((i, 1.0),), number(value), label)


def states_first(i: int, share: float) -> Stated:
    """The share of bootstrap samples in which a prediction ranks first."""
    return Stated(FIRST, ((i, 1.0),), percent(share))


def states_difference(weights: np.ndarray, value: float) -> Stated:
    """A difference of means of predictions, weights [C], in the mean Dice of the classes."""
    of = tuple((i, round(float(weights[i]), 6)) for i in np.flatnonzero(weights).tolist())
    return Stated(DIFFERENCE, of, signed(value))


def states_pair(first: int, second: int, value: float) -> Stated:
    """The mean Dice of one prediction minus another's."""
    ordered = sorted(((first, 1.0), (second, -1.0)))
    return Stated(DIFFERENCE, tuple(ordered), signed(value))


def estimand_check(context: Context, sections: Sequence[Section]) -> Check:
    """Whether every number has one value on the page, and is what a second calculation gives: plain
    sums over the patients' counts, without the arrays that the page is made of.
    """
    places: dict[tuple[str, int, tuple[tuple[int, float], ...]], list[str]] = defaultdict(list)
    for stated in all_stated(sections):
        if stated.text != "n/a":
            of, text = _in_order(stated)
            places[stated.what, stated.label, of].append(text)
    means = mean_dice_again(context.all_predictions.counts)
    wrong = [
        f"{_in_words(context, *key)}: {', '.join(sorted(set(texts)))}"
        for key, texts in places.items()
        if len(set(texts)) > 1 or not _agrees(means, *key, texts[0])
    ]
    num = sum(map(len, places.values()))
    counted = f"{many(len(places), 'number')} in {many(num, 'place')}"
    return Check(CLAIM, not wrong if places else None, "; ".join(wrong) or counted)


def all_stated(sections: Sequence[Section]) -> Iterator[Stated]:
    """Every number that the sections state, in their order."""
    for section in sections:
        yield from section.states
        yield from _in_blocks(section.blocks)


def mean_dice_again(counts: Counts) -> dict[tuple[int, int], float]:
    """The mean Dice by (prediction, class), and of its classes by (prediction, MEAN), by loops over
    patients; what has no score is left out.
    """
    means: dict[tuple[int, int], float] = {}
    for i in range(len(counts.available)):
        classes = {}
        for label in range(1, counts.true.shape[1]):
            scans: dict[str, list[int]] = defaultdict(list)
            for n in np.flatnonzero(counts.true[:, label] > 0).tolist():
                scans[(counts.patient_of or counts.cases)[n]].append(n)
            seeds = np.flatnonzero(counts.available[i]).tolist()
            if scans and seeds:
                patients = [_patient_mean(counts, i, label, seeds, of) for of in scans.values()]
                classes[label] = math.fsum(patients) / len(patients)
        if classes:
            classes[MEAN] = math.fsum(classes.values()) / len(classes)
        means |= {(i, label): mean for label, mean in classes.items()}
    return means


def _patient_mean(counts: Counts, i: int, label: int, seeds: list[int], scans: list[int]) -> float:
    values = [
        float(
            dice_of(
                counts.true[n, label], counts.pred[i, s, n, label], counts.overlap[i, s, n, label]
            )
        )
        for s in seeds
        for n in scans
    ]
    return math.fsum(values) / len(values)


def _in_blocks(blocks: Sequence[Block]) -> Iterator[Stated]:
    for block in blocks:
        if isinstance(block, Figure):
            block = block.table
        if isinstance(block, Table):
            yield from (cell.states for row in block.rows for cell in row if cell.states)
        elif isinstance(block, SideBySide):
            yield from _in_blocks(block.blocks)
        elif isinstance(block, Switch):
            for _, _, inner in block.options:
                yield from _in_blocks(inner)


def _in_order(stated: Stated) -> tuple[tuple[tuple[int, float], ...], str]:
    """A difference with its first weight above zero, so that both directions are one number."""
    if stated.of[0][1] > 0:
        return stated.of, stated.text
    turned = -float(stated.text.replace(MINUS, "-"))
    return tuple((i, -weight) for i, weight in stated.of), signed(turned)


def _agrees(
    means: Mapping[tuple[int, int], float],
    what: str,
    label: int,
    of: tuple[tuple[int, float], ...],
    text: str,
) -> bool:
    """Whether a printed mean or difference is the second calculation's; a share of bootstrap
    samples is compared between its places alone.
    """
    if what == FIRST:
        return True
    again = math.fsum(weight * means[i, label] for i, weight in of)
    return abs(float(text.replace(MINUS, "-")) - again) <= SLACK


def _in_words(context: Context, what: str, label: int, of: tuple[tuple[int, float], ...]) -> str:
    names = context.all_predictions.names
    words = {MEAN_DICE: "mean Dice", DIFFERENCE: "difference", FIRST: "ranks first"}
    of_class = "" if label == MEAN else f" in {context.run.classes[label]}"
    return f"{words[what]}{of_class} of {' and '.join(names[i] for i, _ in of)}"
