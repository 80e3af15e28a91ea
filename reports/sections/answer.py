"""What to use, how certain that is and what it costs: a few sentences and three numbers, then what
limits them.
"""

import math

from reports.analysis.caveats import missing_finals
from reports.analysis.context import Context
from reports.analysis.patients import patient_dice
from reports.analysis.selection import SAME, Selection, gap_to
from reports.analysis.summary import MEAN
from reports.elements import (
    Block,
    Caveats,
    Column,
    Numbers,
    Section,
    SideBySide,
    Table,
    TableCell,
    Text,
)
from reports.figures.cells import scored
from reports.figures.overview import overview_figure, patient_sheet
from reports.formatting import (
    cell_name,
    listed,
    many,
    many_patients,
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
from trials.records.duration import duration
from trials.records.result import NATIVE

MEANING = (
    "A lead is called resolved when three conditions hold: its 95 % interval over patients and "
    f"seeds excludes zero and reaches beyond ±{SAME}; the seeds alone show it (97.5 % t interval); "
    "and it remains after correction for the number of comparisons (Holm, over all pairs), or the "
    "configuration leads every rival. A lead that is not resolved does not prove that two "
    "configurations are equal."
)


def answer(context: Context) -> Section:
    """The first screen; without a selected configuration it gives the reason."""
    selection = context.selection
    question = "What should I use, and how sure is that?"
    caveats = Caveats(tuple((one.title, one.text, one.names) for one in context.caveats))
    if selection is None:
        return Section(
            id="answer",
            title="No answer yet",
            question=question,
            finding=_why_none(context),
            blocks=(caveats,),
        )
    blocks: tuple[Block, ...] = (
        _numbers(context, selection),
        _pictures(context, selection),
        Text(_sentences(context, selection)),
        caveats,
        _by_class(context, selection),
    )
    return Section(
        id="answer",
        title=_headline(context, selection),
        question=question,
        finding=_recommendation(context, selection),
        blocks=blocks,
    )


def _pictures(context: Context, selection: Selection) -> Block:
    """All configurations with intervals, and one patient beside them where slices are stored."""
    overview, patient = overview_figure(context, selection), patient_sheet(context, selection)
    return SideBySide((overview, patient)) if patient else overview


def _why_none(context: Context) -> str:
    if not context.run.finals:
        return (
            "No final trial has finished, so there is no score to compare yet. The sections below "
            "show what the run has so far."
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
        return (
            f"{name} is the only configuration with a result, so there is nothing to compare it "
            "with."
        )
    if selection.winner:
        return (
            f"{name} has the highest Dice on validation and leads {_all(len(rivals))} on the test "
            "patients."
        )
    unresolved = sum(not selection.resolved[i] for i in rivals)
    reason = (
        " With one seed per configuration, a real difference cannot be told from random variation "
        "between trainings."
        if _one_seed(context)
        else ""
    )
    return (
        f"{name} has the highest Dice on validation, but its lead on the test patients is not "
        f"resolved against {unresolved} of {many(len(rivals), 'rival')}.{reason}"
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
    size = f"{many(row.n, 'patient')}, {many(row.seeds, 'seed')}"
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
        items.append((signed(selection.lead[i]), "Lead over the runner-up, Dice", ahead))
        drawn = f"of {DRAWS:,} bootstrap samples of {_drawn(context)}"
        items.append(
            (
                percent(selection.first[selection.selected]),
                "Ranks first in",
                drawn,
            )
        )
    return Numbers(tuple(items))


def _drawn(context: Context) -> str:
    return "patients; one seed" if _one_seed(context) else "patients and seeds"


def _bounds(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"95 % interval {number(low)} to {number(high)}, "


def _sentences(context: Context, selection: Selection) -> tuple[str, ...]:
    first = f"{_validated(context, selection)} {_tested(context, selection)}"
    certainty = (_certainty(context, selection), MEANING) if _rivals(context, selection) else ()
    return (first, *certainty[:1], _cost(context, selection), *certainty[1:])


def _validated(context: Context, selection: Selection) -> str:
    classes = listed([context.run.classes[label] for label in context.run.labels])
    counts = context.validation
    return (
        f"On {many_patients(len(counts.patients), len(counts.cases), 'validation')}, "
        f"{_name(context, selection.selected)} has the highest mean Dice over {classes}: "
        f"{number(selection.validation[selection.selected])}."
    )


def _tested(context: Context, selection: Selection) -> str:
    row = context.summaries[NATIVE][selection.selected, MEAN]
    reached = ranged(row.dice, row.dice_low, row.dice_high)
    counts = context.test[NATIVE]
    patients = many_patients(len(counts.patients), len(counts.cases), "test")
    text = f"On {patients}, used for neither training nor selection, it reaches {reached}."
    if (i := selection.runner_up) is None:
        return text
    lead = signed_range(selection.lead[i], selection.low[i], selection.high[i])
    return (
        f"{text} Its difference to the runner-up on validation, {_name(context, i)}, is {lead}. "
        "The chance that it scores higher on a new patient is "
        f"{_chance(context, selection.selected, i)}."
    )


def _chance(context: Context, selected: int, rival: int) -> str:
    by_patient = nan_mean(patient_dice(context.test[NATIVE], MEAN), 1)
    share, low, high = (
        float(of[0]) for of in superiority((by_patient[selected] - by_patient[rival])[None])
    )
    return f"{percent(share)} ({percent(low)} to {percent(high)})"


def _more(context: Context, selection: Selection) -> str:
    """How many more patients or seeds would resolve the lead over the runner-up, "" where none is
    needed.
    """
    i, num_cases, num_seeds = (
        selection.runner_up,
        len(context.test[NATIVE].patients),
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
            (seeds, num_seeds, "seeds per configuration"),
        )
        if at_hand < count < math.inf
    ]
    if ways:
        return (
            " If the true difference to the runner-up equals the observed one, about "
            f"{' or '.join(ways)} would be needed to resolve it."
        )
    return (
        " Neither more patients alone nor more seeds alone would resolve the lead over the "
        "runner-up."
        if math.inf in (cases, seeds)
        else ""
    )


def _certainty(context: Context, selection: Selection) -> str:
    rivals = _rivals(context, selection)
    resolved = sum(bool(selection.resolved[i]) for i in rivals)
    aside = " (variance between seeds is not included)" if _one_seed(context) else ""
    drawn = "patients" if _one_seed(context) else "patients and seeds"
    return (
        f"It ranks first in {percent(selection.first[selection.selected])} of {DRAWS:,} bootstrap "
        f"samples of {drawn}{aside}. Its lead is resolved against {resolved} of "
        f"{many(len(rivals), 'rival')}. With 80 % power this run detects a difference of about "
        f"{number(selection.smallest_gap)} Dice{aside}.{_more(context, selection)}"
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
        f"One training took {duration(mean)} on {device} and at most {peak:.2g} GiB of memory; the "
        f"network has {quantity(trials[0].num_parameters)} parameters. "
        f"{_together(len(context.run.results))} took {duration(whole)}."
    )


def _together(count: int) -> str:
    return (
        "The one trial of this run" if count == 1 else f"All {count:,} trials of this run together"
    )


def _by_class(context: Context, selection: Selection) -> Table:
    num = len(context.test[NATIVE].patients)
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
            "false positives",
            True,
            "share of the patients without the class in whom it was predicted",
        ),
    )
    rows = []
    for label in context.run.labels:
        row = context.summaries[NATIVE][selection.selected, label]
        false = (
            f"{percent(row.fp_share)} of {row.label_free}"
            if row.label_free
            else "every patient has it"
        )
        dice = (
            scored(row.dice, row.dice_low, row.dice_high)
            if row.n
            else TableCell(f"n/a (0 of {num} patients hold it)")
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
