"""What to use, how sure that is and what it costs: five sentences and three numbers."""

import numpy as np

from reports.board import Board
from reports.choice import SAME, Choice
from reports.counts import Counts
from reports.notes import missing_finals
from reports.section import Column, Entry, Notes, Numbers, Section, Table, Text
from reports.stats.intervals import DRAWS
from reports.summary import MEAN
from reports.wording import cell_name, duration, listed, many, number, percent, quantity, ranged, signed_range
from trials.result import NATIVE

MEANING = (
    f"Resolved means: ahead with a 95 % interval over patients and seeds that clears zero and does not lie within ±{SAME}, "
    "and ahead over the seeds alone in a t interval. A gap that is not resolved is not a proof of equality."
)


def answer(board: Board) -> Section:
    """The first screen."""
    notes = Notes(tuple((note.title, note.text, note.names) for note in board.notes))
    choice = board.choice
    if choice is None:
        return Section(
            id="answer", title="No answer yet", question="What should I use?", finding=_why_no_choice(board), blocks=(notes,)
        )
    return Section(
        id="answer",
        title=_headline(board, choice),
        question="What should I use, and how sure is that?",
        finding=_recommendation(board, choice),
        blocks=(_numbers(board, choice), Text(_sentences(board, choice)), notes, _by_class(board, choice)),
    )


def _why_no_choice(board: Board) -> str:
    if not board.run.finals:
        return "No final trial has finished, so no configuration has a score that may be compared. What there is so far stands below."
    return "No configuration has scores on both the validation and the test split, so none can be chosen."


def _headline(board: Board, choice: Choice) -> str:
    num = len(board.run.cells)
    if choice.winner:
        return f"{cell_name(board.run.cells[choice.chosen])} leads"
    if num == 1:
        return "One configuration, nothing to compare"
    unfinished = " yet" if missing_finals(board.run) else ""
    return f"No winner{unfinished} among {num} configurations"


def _recommendation(board: Board, choice: Choice) -> str:
    name, rivals = cell_name(board.run.cells[choice.chosen]), _rivals(board, choice)
    if not rivals:
        return f"{name} is the only configuration with a result: its score stands alone."
    if choice.winner:
        return f"{name} was chosen on validation and is ahead of all {len(rivals)} rivals on the test patients."
    open_rivals = sum(not choice.resolved[i] for i in rivals)
    reason = " One seed a cell cannot tell a better configuration from a luckier one." if len(board.run.seeds) == 1 else ""
    verdict = f"its lead is not resolved against {open_rivals} of {many(len(rivals), 'rival')}"
    return f"{name} scores highest on validation, but {verdict}.{reason}"


def _rivals(board: Board, choice: Choice) -> list[int]:
    return [i for i in range(len(board.run.cells)) if i != choice.chosen and not np.isnan(choice.lead[i])]


def _numbers(board: Board, choice: Choice) -> Numbers:
    row = board.standings[NATIVE][choice.chosen, MEAN]
    items = [
        (
            number(row.dice),
            "test Dice, mean of classes",
            f"{_bounds(row.dice_low, row.dice_high)}n = {row.n}, {many(row.seeds, 'seed')}",
        )
    ]
    if choice.runner_up is not None:
        i = choice.runner_up
        items.append(
            (
                signed_range(choice.lead[i], float("nan"), float("nan")),
                "Dice ahead of the runner-up",
                _bounds(choice.low[i], choice.high[i]) + ("resolved" if choice.resolved[i] else "not resolved"),
            )
        )
        items.append(
            (percent(choice.first[choice.chosen]), "of resamples rank it first", f"{DRAWS:,} draws of test patients and seeds")
        )
    return Numbers(tuple(items))


def _bounds(low: float, high: float) -> str:
    return "" if np.isnan(low) else f"95 % interval {number(low)} to {number(high)}, "


def _sentences(board: Board, choice: Choice) -> tuple[str, ...]:
    first = f"{_chosen(board, choice)} {_tested(board, choice)}"
    return tuple(text for text in (first, _certainty(board, choice), _cost(board, choice)) if text)


def _chosen(board: Board, choice: Choice) -> str:
    classes = listed([board.run.classes[label] for label in board.run.labels])
    return (
        f"On {many(len(board.validation.cases), 'validation case')}, {cell_name(board.run.cells[choice.chosen])} has the highest mean Dice over {classes}: "
        f"{number(choice.validation[choice.chosen])}."
    )


def _tested(board: Board, choice: Choice) -> str:
    row = board.standings[NATIVE][choice.chosen, MEAN]
    text = f"On {many(len(board.test[NATIVE].cases), 'unseen test case')} it reaches {ranged(row.dice, row.dice_low, row.dice_high)}"
    if choice.runner_up is None:
        return f"{text}."
    i = choice.runner_up
    lead = signed_range(choice.lead[i], choice.low[i], choice.high[i])
    return f"{text}; its difference to the runner-up on validation, {cell_name(board.run.cells[i])}, is {lead}."


def _certainty(board: Board, choice: Choice) -> str:
    rivals = _rivals(board, choice)
    if not rivals:
        return ""
    resolved = sum(choice.resolved[i] for i in rivals)
    return (
        f"It ranks first in {percent(choice.first[choice.chosen])} of the resamples and is resolved against {resolved} of "
        f"{many(len(rivals), 'rival')}. The smallest gap that this run would see with 80 % power is about "
        f"{number(choice.smallest_gap)} Dice. {MEANING}"
    )


def _cost(board: Board, choice: Choice) -> str:
    cell = board.run.cells[choice.chosen]
    trials = [result for result in board.run.finals if result.spec.cell == cell]
    mean = sum(result.seconds for result in trials) / len(trials)
    whole = sum(result.seconds for result in board.run.results)
    model = trials[0]
    return (
        f"One training of it took {duration(mean)} on {model.facts.get('device', 'an unnamed device')} and "
        f"{max(result.peak_gib for result in trials):.2g} GiB at most, for {quantity(model.num_parameters)} parameters. "
        f"All {many(len(board.run.results), 'trial')} together took {duration(whole)} of training time."
    )


def _by_class(board: Board, choice: Choice) -> Table:
    counts: Counts = board.test[NATIVE]
    rows = []
    for label in board.run.labels:
        row = board.standings[NATIVE][choice.chosen, label]
        held = f"{row.n} of {len(counts.cases)}"
        false = "none is free of it" if not row.label_free else f"{percent(row.fp_share)} of {row.label_free}"
        score = ranged(row.dice, row.dice_low, row.dice_high) if row.n else f"n/a (0 of {len(counts.cases)} cases hold it)"
        rows.append(
            (
                Entry(board.run.classes[label]),
                Entry(score, row.dice),
                Entry(number(row.iou), row.iou),
                Entry(held, row.n),
                Entry(false, row.fp_share),
            )
        )
    columns = (
        Column("class"),
        Column("Dice [95 % interval]", True, "mean over the patients whose reference holds the class"),
        Column("IoU", True),
        Column("patients with it", True),
        Column("false alarms", True, "share of the patients without the class in whom it was predicted"),
    )
    return Table(
        id="answer-by-class",
        caption=f"{cell_name(board.run.cells[choice.chosen])} on the test split, native grid.",
        columns=columns,
        rows=tuple(rows),
    )
