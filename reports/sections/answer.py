"""What to use, how sure that is and what it costs: a few sentences and three numbers, then what
limits them.
"""

import math

from reports.analysis.caveats import missing_finals
from reports.analysis.context import Board
from reports.analysis.patients import patient_dice
from reports.analysis.selection import SAME, Choice, gap_to
from reports.analysis.summary import MEAN
from reports.elements import Block, Column, Entry, Notes, Numbers, Section, Table, Text
from reports.figures.cells import scored
from reports.formatting import (
    cell_name,
    duration,
    listed,
    many,
    number,
    percent,
    quantity,
    ranged,
    signed,
    signed_range,
)
from reports.stats.intervals import DRAWS, nan_mean
from reports.stats.pairs import superiority
from reports.stats.power import cases_needed, seeds_needed
from trials.records.result import NATIVE

MEANING = (
    "Resolved means ahead with a 95 % interval over patients and seeds that clears zero and does "
    f"not lie within ±{SAME}, "
    "ahead over the seeds alone in a 97.5 % t interval, and beyond what chance does among so many "
    "(Holm over all pairs, or "
    "ahead of every rival); a gap that is not resolved is no proof of equality."
)


def answer(board: Board) -> Section:
    """The first screen; without a choice it says why there is none."""
    choice = board.choice
    question = "What should I use, and how sure is that?"
    notes = Notes(tuple((note.title, note.text, note.names) for note in board.notes))
    if choice is None:
        return Section(
            id="answer",
            title="No answer yet",
            question=question,
            finding=_why_none(board),
            blocks=(notes,),
        )
    blocks: tuple[Block, ...] = (
        _numbers(board, choice),
        Text(_sentences(board, choice)),
        notes,
        _by_class(board, choice),
    )
    return Section(
        id="answer",
        title=_headline(board, choice),
        question=question,
        finding=_recommendation(board, choice),
        blocks=blocks,
    )


def _why_none(board: Board) -> str:
    if not board.run.finals:
        return (
            "No final trial has finished, so there is no score to compare yet. What there is so "
            "far stands below."
        )
    return (
        "No configuration has scores on both the validation and the test split, so none can be "
        "chosen."
    )


def _name(board: Board, i: int) -> str:
    return cell_name(board.run.cells[i])


def _one_seed(board: Board) -> bool:
    return len(board.run.seeds) == 1


def _headline(board: Board, choice: Choice) -> str:
    if choice.winner:
        return f"{_name(board, choice.chosen)} leads"
    if len(board.run.cells) == 1:
        return "One configuration, nothing to compare"
    unfinished = " yet" if missing_finals(board.run) else ""
    return f"No winner{unfinished} among {len(board.run.cells)} configurations"


def _recommendation(board: Board, choice: Choice) -> str:
    name, rivals = _name(board, choice.chosen), _rivals(board, choice)
    if not rivals:
        return f"{name} is the only configuration with a result: its score stands alone."
    if choice.winner:
        return (
            f"{name} was chosen on validation and is ahead of {_all(len(rivals))} on the test "
            "patients."
        )
    unresolved = sum(not choice.resolved[i] for i in rivals)
    reason = (
        " One seed a cell cannot tell a better configuration from a luckier one."
        if _one_seed(board)
        else ""
    )
    return (
        f"{name} scores highest on validation, but its lead is not resolved against {unresolved} "
        "of "
        f"{many(len(rivals), 'rival')}.{reason}"
    )


def _all(rivals: int) -> str:
    return "its rival" if rivals == 1 else f"all {rivals} rivals"


def _rivals(board: Board, choice: Choice) -> list[int]:
    return [
        i
        for i in range(len(board.run.cells))
        if i != choice.chosen and not math.isnan(choice.lead[i])
    ]


def _numbers(board: Board, choice: Choice) -> Numbers:
    row = board.standings[NATIVE][choice.chosen, MEAN]
    size = f"n = {row.n}, {many(row.seeds, 'seed')}"
    items = [
        (
            number(row.dice),
            "Test Dice, mean of classes",
            _bounds(row.dice_low, row.dice_high) + size,
        )
    ]
    if (i := choice.runner_up) is not None:
        verdict = "resolved" if choice.resolved[i] else "not resolved"
        ahead = _bounds(float(choice.low[i]), float(choice.high[i])) + verdict
        items.append((signed(choice.lead[i]), "Dice ahead of the runner-up", ahead))
        drawn = f"{DRAWS:,} draws of {_drawn(board)}"
        items.append(
            (percent(choice.first[choice.chosen]), "Share of draws that rank it first", drawn)
        )
    return Numbers(tuple(items))


def _drawn(board: Board) -> str:
    return "patients; one seed" if _one_seed(board) else "patients and seeds"


def _bounds(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"95 % interval {number(low)} to {number(high)}, "


def _sentences(board: Board, choice: Choice) -> tuple[str, ...]:
    first = f"{_chosen(board, choice)} {_tested(board, choice)}"
    certainty = (_certainty(board, choice), MEANING) if _rivals(board, choice) else ()
    return (first, *certainty[:1], _cost(board, choice), *certainty[1:])


def _chosen(board: Board, choice: Choice) -> str:
    classes = listed([board.run.classes[label] for label in board.run.labels])
    return (
        f"On {many(len(board.validation.cases), 'validation case')}, {_name(board, choice.chosen)} "
        "has the highest mean Dice "
        f"over {classes}: {number(choice.validation[choice.chosen])}."
    )


def _tested(board: Board, choice: Choice) -> str:
    row = board.standings[NATIVE][choice.chosen, MEAN]
    reached = ranged(row.dice, row.dice_low, row.dice_high)
    text = f"On {many(len(board.test[NATIVE].cases), 'unseen test case')} it reaches {reached}"
    if (i := choice.runner_up) is None:
        return f"{text}."
    lead = signed_range(choice.lead[i], choice.low[i], choice.high[i])
    return (
        f"{text}; its difference to the runner-up on validation, {_name(board, i)}, is {lead}, and "
        "on a new patient it scores "
        f"higher with a chance of {_chance(board, choice.chosen, i)}."
    )


def _chance(board: Board, chosen: int, rival: int) -> str:
    by_patient = nan_mean(patient_dice(board.test[NATIVE], MEAN), 1)
    share, low, high = (
        float(of[0]) for of in superiority((by_patient[chosen] - by_patient[rival])[None])
    )
    return f"{percent(share)} ({percent(low)} to {percent(high)})"


def _more(board: Board, choice: Choice) -> str:
    """How many more patients or seeds would settle the lead over the runner-up, as the end of a
    sentence.
    """
    i, num_cases, num_seeds = choice.runner_up, len(board.test[NATIVE].cases), len(board.run.seeds)
    gap = None if i is None or choice.resolved[i] else gap_to(board.test[NATIVE], choice.chosen, i)
    if gap is None or _one_seed(board):
        return ""
    cases, seeds = cases_needed(gap, num_seeds), seeds_needed(gap, num_cases)
    ways = [
        f"{count - at_hand:,.0f} more {word}"
        for count, at_hand, word in (
            (cases, num_cases, "patients"),
            (seeds, num_seeds, "seeds a configuration"),
        )
        if at_hand < count < math.inf
    ]
    if ways:
        return (
            "; to separate it from the runner-up at the gap seen would take about "
            f"{' or '.join(ways)}"
        )
    return (
        "; no number of patients or of seeds alone would separate it from the runner-up"
        if math.inf in (cases, seeds)
        else ""
    )


def _certainty(board: Board, choice: Choice) -> str:
    rivals = _rivals(board, choice)
    resolved = sum(bool(choice.resolved[i]) for i in rivals)
    gap = (
        "The smallest gap that this run would see with 80 % power is about "
        f"{number(choice.smallest_gap)} Dice"
    )
    drawn = (
        "the patients (variance between seeds is not included)"
        if _one_seed(board)
        else "patients and seeds"
    )
    more = _more(board, choice)
    return (
        f"It ranks first in {percent(choice.first[choice.chosen])} of {DRAWS:,} bootstrap draws of "
        f"{drawn}, and is "
        f"resolved against {resolved} of {many(len(rivals), 'rival')}. "
        f"{gap}{more}{', seeds aside.' if _one_seed(board) else '.'}"
    )


def _cost(board: Board, choice: Choice) -> str:
    trials = [
        result for result in board.run.finals if result.spec.cell == board.run.cells[choice.chosen]
    ]
    mean = sum(result.seconds for result in trials) / len(trials)
    whole = sum(result.seconds for result in board.run.results)
    peak = max(result.peak_gib for result in trials)
    device = trials[0].facts.get("device", "an unnamed device")
    return (
        f"One training of it took {duration(mean)} on {device} and {peak:.2g} GiB at most, for "
        f"{quantity(trials[0].num_parameters)} parameters. "
        f"{_together(len(board.run.results))} took {duration(whole)} of training time."
    )


def _together(count: int) -> str:
    return (
        "The one trial of this run" if count == 1 else f"All {count:,} trials of this run together"
    )


def _by_class(board: Board, choice: Choice) -> Table:
    num = len(board.test[NATIVE].cases)
    columns = (
        Column("class"),
        Column(
            "Dice",
            True,
            "mean over the patients whose reference holds the class, with its 95 % interval",
        ),
        Column("IoU", True, "the same"),
        Column("patients with it", True),
        Column(
            "false alarms", True, "share of the patients without the class in whom it was predicted"
        ),
    )
    rows = []
    for label in board.run.labels:
        row = board.standings[NATIVE][choice.chosen, label]
        false = (
            f"{percent(row.fp_share)} of {row.label_free}"
            if row.label_free
            else "no patient is free of it"
        )
        dice = (
            scored(row.dice, row.dice_low, row.dice_high)
            if row.n
            else Entry(f"n/a (0 of {num} cases hold it)")
        )
        iou = scored(row.iou, row.iou_low, row.iou_high)
        rows.append(
            (
                Entry(board.run.classes[label]),
                dice,
                iou,
                Entry(f"{row.n} of {num}", row.n),
                Entry(false, row.fp_share),
            )
        )
    caption = f"{_name(board, choice.chosen)} on the test split, native grid, with 95 % intervals."
    return Table(id="answer-by-class", caption=caption, columns=columns, rows=tuple(rows))
