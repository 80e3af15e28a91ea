"""What to use, how sure that is and what it costs: a few sentences and three numbers, then what
limits them.
"""

import math

from reports.analysis.caveats import missing_finals
from reports.analysis.context import Context
from reports.analysis.patients import patient_dice
from reports.analysis.selection import SAME, Selection, gap_to
from reports.analysis.summary import MEAN
from reports.elements import Block, Column, Notes, Numbers, Section, Table, TableCell, Text
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


def answer(context: Context) -> Section:
    """The first screen; without a selection it says why there is none."""
    selection = context.selection
    question = "What should I use, and how sure is that?"
    notes = Notes(tuple((note.title, note.text, note.names) for note in context.notes))
    if selection is None:
        return Section(
            id="answer",
            title="No answer yet",
            question=question,
            finding=_why_none(context),
            blocks=(notes,),
        )
    blocks: tuple[Block, ...] = (
        _numbers(context, selection),
        Text(_sentences(context, selection)),
        notes,
        _by_class(context, selection),
    )
    return Section(
        id="answer",
        title=_headline(context, selection),
        question=question,
        finding=_recommendation(context, selection),
        blocks=blocks,
    )


def _why_none(context: Context) -> str:
    if not context.run.finals:
        return (
            "No final trial has finished, so there is no score to compare yet. What there is so "
            "far stands below."
        )
    return (
        "No configuration has scores on both the validation and the test split, so none can be "
        "selected."
    )


def _name(context: Context, i: int) -> str:
    return cell_name(context.run.cells[i])


def _one_seed(context: Context) -> bool:
    return len(context.run.seeds) == 1


def _headline(context: Context, selection: Selection) -> str:
    if selection.winner:
        return f"{_name(context, selection.selected)} leads"
    if len(context.run.cells) == 1:
        return "One configuration, nothing to compare"
    unfinished = " yet" if missing_finals(context.run) else ""
    return f"No winner{unfinished} among {len(context.run.cells)} configurations"


def _recommendation(context: Context, selection: Selection) -> str:
    name, rivals = _name(context, selection.selected), _rivals(context, selection)
    if not rivals:
        return f"{name} is the only configuration with a result: its score stands alone."
    if selection.winner:
        return (
            f"{name} was selected on validation and is ahead of {_all(len(rivals))} on the test "
            "patients."
        )
    unresolved = sum(not selection.resolved[i] for i in rivals)
    reason = (
        " One seed a cell cannot tell a better configuration from a luckier one."
        if _one_seed(context)
        else ""
    )
    return (
        f"{name} scores highest on validation, but its lead is not resolved against {unresolved} "
        "of "
        f"{many(len(rivals), 'rival')}.{reason}"
    )


def _all(rivals: int) -> str:
    return "its rival" if rivals == 1 else f"all {rivals} rivals"


def _rivals(context: Context, selection: Selection) -> list[int]:
    return [
        i
        for i in range(len(context.run.cells))
        if i != selection.selected and not math.isnan(selection.lead[i])
    ]


def _numbers(context: Context, selection: Selection) -> Numbers:
    row = context.summaries[NATIVE][selection.selected, MEAN]
    size = f"n = {row.n}, {many(row.seeds, 'seed')}"
    items = [
        (
            number(row.dice),
            "Test Dice, mean of classes",
            _bounds(row.dice_low, row.dice_high) + size,
        )
    ]
    if (i := selection.runner_up) is not None:
        verdict = "resolved" if selection.resolved[i] else "not resolved"
        ahead = _bounds(float(selection.low[i]), float(selection.high[i])) + verdict
        items.append((signed(selection.lead[i]), "Dice ahead of the runner-up", ahead))
        drawn = f"{DRAWS:,} draws of {_drawn(context)}"
        items.append(
            (
                percent(selection.first[selection.selected]),
                "Share of draws that rank it first",
                drawn,
            )
        )
    return Numbers(tuple(items))


def _drawn(context: Context) -> str:
    return "patients; one seed" if _one_seed(context) else "patients and seeds"


def _bounds(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"95 % interval {number(low)} to {number(high)}, "


def _sentences(context: Context, selection: Selection) -> tuple[str, ...]:
    first = f"{_chosen(context, selection)} {_tested(context, selection)}"
    certainty = (_certainty(context, selection), MEANING) if _rivals(context, selection) else ()
    return (first, *certainty[:1], _cost(context, selection), *certainty[1:])


def _chosen(context: Context, selection: Selection) -> str:
    classes = listed([context.run.classes[label] for label in context.run.labels])
    return (
        f"On {many(len(context.validation.cases), 'validation case')}, "
        f"{_name(context, selection.selected)} "
        "has the highest mean Dice "
        f"over {classes}: {number(selection.validation[selection.selected])}."
    )


def _tested(context: Context, selection: Selection) -> str:
    row = context.summaries[NATIVE][selection.selected, MEAN]
    reached = ranged(row.dice, row.dice_low, row.dice_high)
    text = f"On {many(len(context.test[NATIVE].cases), 'unseen test case')} it reaches {reached}"
    if (i := selection.runner_up) is None:
        return f"{text}."
    lead = signed_range(selection.lead[i], selection.low[i], selection.high[i])
    return (
        f"{text}; its difference to the runner-up on validation, {_name(context, i)}, is {lead}, "
        "and "
        "on a new patient it scores "
        f"higher with a chance of {_chance(context, selection.selected, i)}."
    )


def _chance(context: Context, selected: int, rival: int) -> str:
    by_patient = nan_mean(patient_dice(context.test[NATIVE], MEAN), 1)
    share, low, high = (
        float(of[0]) for of in superiority((by_patient[selected] - by_patient[rival])[None])
    )
    return f"{percent(share)} ({percent(low)} to {percent(high)})"


def _more(context: Context, selection: Selection) -> str:
    """How many more patients or seeds would settle the lead over the runner-up, as the end of a
    sentence.
    """
    i, num_cases, num_seeds = (
        selection.runner_up,
        len(context.test[NATIVE].cases),
        len(context.run.seeds),
    )
    gap = (
        None
        if i is None or selection.resolved[i]
        else gap_to(context.test[NATIVE], selection.selected, i)
    )
    if gap is None or _one_seed(context):
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


def _certainty(context: Context, selection: Selection) -> str:
    rivals = _rivals(context, selection)
    resolved = sum(bool(selection.resolved[i]) for i in rivals)
    gap = (
        "The smallest gap that this run would see with 80 % power is about "
        f"{number(selection.smallest_gap)} Dice"
    )
    drawn = (
        "the patients (variance between seeds is not included)"
        if _one_seed(context)
        else "patients and seeds"
    )
    more = _more(context, selection)
    return (
        f"It ranks first in {percent(selection.first[selection.selected])} of {DRAWS:,} bootstrap "
        "draws of "
        f"{drawn}, and is "
        f"resolved against {resolved} of {many(len(rivals), 'rival')}. "
        f"{gap}{more}{', seeds aside.' if _one_seed(context) else '.'}"
    )


def _cost(context: Context, selection: Selection) -> str:
    trials = [
        result
        for result in context.run.finals
        if result.spec.cell == context.run.cells[selection.selected]
    ]
    mean = sum(result.seconds for result in trials) / len(trials)
    whole = sum(result.seconds for result in context.run.results)
    peak = max(result.peak_gib for result in trials)
    device = trials[0].facts.get("device", "an unnamed device")
    return (
        f"One training of it took {duration(mean)} on {device} and {peak:.2g} GiB at most, for "
        f"{quantity(trials[0].num_parameters)} parameters. "
        f"{_together(len(context.run.results))} took {duration(whole)} of training time."
    )


def _together(count: int) -> str:
    return (
        "The one trial of this run" if count == 1 else f"All {count:,} trials of this run together"
    )


def _by_class(context: Context, selection: Selection) -> Table:
    num = len(context.test[NATIVE].cases)
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
    for label in context.run.labels:
        row = context.summaries[NATIVE][selection.selected, label]
        false = (
            f"{percent(row.fp_share)} of {row.label_free}"
            if row.label_free
            else "no patient is free of it"
        )
        dice = (
            scored(row.dice, row.dice_low, row.dice_high)
            if row.n
            else TableCell(f"n/a (0 of {num} cases hold it)")
        )
        iou = scored(row.iou, row.iou_low, row.iou_high)
        rows.append(
            (
                TableCell(context.run.classes[label]),
                dice,
                iou,
                TableCell(f"{row.n} of {num}", row.n),
                TableCell(false, row.fp_share),
            )
        )
    caption = (
        f"{_name(context, selection.selected)} on the test split, native grid, with 95 % intervals."
    )
    return Table(id="answer-by-class", caption=caption, columns=columns, rows=tuple(rows))
