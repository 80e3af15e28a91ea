"""The first screen: the answers to the run's questions, what to use, how certain that is, what it
costs and what limits it.
"""

import math

from reports.analysis.context import Context
from reports.analysis.patients import patient_dice
from reports.analysis.questions import SAME
from reports.analysis.selection import Selection
from reports.analysis.summary import MEAN
from reports.answer.know_first import know_first
from reports.answer.questions import RULE, answered_numbers, answers_block, dependence
from reports.answer.resolution import Resolution, resolution, resolution_sentences
from reports.elements import (
    Block,
    Caveats,
    Column,
    Numbers,
    Section,
    SideBySide,
    Stated,
    Table,
    TableCell,
    Text,
)
from reports.estimands import states_mean, states_pair
from reports.figures.cells import dice_cell, prediction_name, scored, summary_of
from reports.figures.overview import overview_figure, patient_sheet
from reports.formatting import (
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
from reports.load.unfinished import missing_finals
from reports.stats.intervals import nan_mean
from trials.records.result import NATIVE, duration

MEANING = (
    "A configuration leads if its difference to every other one, and to every set of external "
    f"predictions, is resolved and has an interval that reaches above {SAME} Dice. Each pair has "
    "the same verdict everywhere on this page. The p value of a pair that no question compares is "
    "corrected for the number of all pairs."
)
# More external predictions than this have their place in the leaderboard alone.
MOST_EXTERNAL = 3


def answer(context: Context) -> Section:
    """The first screen; without a selected configuration it gives the reason."""
    selection = context.selection
    question = "What should I use, and how sure is that?"
    found = resolution(context)
    limits = know_first(context, found)
    caveats = Caveats(tuple((one.title, one.text, one.names) for one in limits))
    if selection is None:
        return Section(
            id="answer",
            title="No answer yet",
            question=question,
            finding=_why_none(context),
            blocks=(caveats,),
        )
    turned = _first(context)
    answers, numbers = answers_block(context, turned), _numbers(context, selection, found)
    overview, patient = overview_figure(context, selection), patient_sheet(context, selection)
    sentences = Text(_sentences(context, selection))
    blocks: tuple[Block, ...] = (
        *((SideBySide((answers, overview)), numbers) if answers else (numbers, overview)),
        *((Text(resolution_sentences(found)),) if found else ()),
        caveats,
        SideBySide((sentences, patient)) if patient else sentences,
        _by_class(context, selection),
    )
    return Section(
        id="answer",
        title=_headline(context, selection),
        question=question,
        finding=" ".join(filter(None, (turned, _recommendation(context, selection)))),
        blocks=blocks,
        states=(*answered_numbers(context), *_states(context, selection)),
    )


def _first(context: Context) -> str:
    """The first answer that depends on a setting, a resolved one before others; "" without one."""
    turned = [answer for answer in context.answers if answer.reversal]
    turned.sort(key=lambda answer: not answer.reversal.resolved if answer.reversal else True)
    return dependence(turned[0]) if turned else ""


def _states(context: Context, selection: Selection) -> tuple[Stated, ...]:
    """The numbers of the first screen's sentences."""
    i, selected = selection.runner_up, selection.selected
    row = context.summaries[NATIVE][selected, MEAN]
    rivals = [*([] if i is None else [i]), *_external(context)]
    return (
        states_mean(selected, row.dice),
        *(states_pair(selected, rival, float(selection.lead[rival])) for rival in rivals),
        *(states_mean(o, summary_of(context, o, MEAN).dice) for o in _external(context)),
    )


def _external(context: Context) -> list[int]:
    """The places of the external predictions that the first screen names."""
    num = len(context.run.cells)
    return list(range(num, len(context.all_predictions.names)))[:MOST_EXTERNAL]


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
    return prediction_name(context, i)


def _headline(context: Context, selection: Selection) -> str:
    for answer in context.answers:
        if answer.reversal and answer.reversal.resolved:
            factors = listed(answer.question.within_factors)
            return f"The better {answer.question.factor} depends on the {factors}"
    if selection.winner:
        return f"{_name(context, selection.selected)} leads"
    if len(context.all_predictions.names) == 1:
        return "One configuration, nothing to compare"
    unfinished = " yet" if missing_finals(context.run) else ""
    external = len(context.external.names)
    added = f" and {many(external, 'set')} of external predictions" if external else ""
    configurations = many(len(context.run.cells), "configuration")
    return f"No winner{unfinished} among {configurations}{added}"


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
        if context.run.is_trained_once
        else ""
    )
    return (
        f"{name} has the highest Dice on validation, but its lead on the test patients is not "
        f"resolved against {unresolved} of {many(len(rivals), 'rival')}.{reason}"
    )


def _all(rivals: int) -> str:
    return "its rival" if rivals == 1 else f"all {rivals} rivals"


def _rivals(context: Context, selection: Selection) -> list[int]:
    """The other configurations and the external predictions that have a score."""
    return [
        i
        for i in range(len(context.all_predictions.names))
        if i != selection.selected and not math.isnan(selection.lead[i])
    ]


def _numbers(context: Context, selection: Selection, found: Resolution | None) -> Numbers:
    row = context.summaries[NATIVE][selection.selected, MEAN]
    size = f"{many(row.n, 'patient')}, {many(row.seeds, 'seed')}"
    items = [
        (
            number(row.dice),
            f"Test Dice of {_name(context, selection.selected)}, mean of {context.run.nouns}",
            _bounds(row.dice_low, row.dice_high) + size,
        )
    ]
    if (i := selection.runner_up) is not None:
        verdict = "resolved" if selection.resolved[i] else "not resolved"
        low, high = float(selection.low[i]), float(selection.high[i])
        ahead = f"{_difference_bounds(low, high)}{verdict}"
        label = f"Its difference to {_name(context, i)}, second on validation"
        items.append((signed(selection.lead[i]), label, ahead))
    if found is not None and not math.isnan(found.gap):
        label = "Smallest difference that this run resolves, Dice"
        small = f"with 80 % power, {many(found.design.patients, 'test patient')}"
        items.append(("none" if math.isinf(found.gap) else number(found.gap), label, small))
    return Numbers(tuple(items))


def _bounds(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"95 % interval {number(low)} to {number(high)}, "


def _difference_bounds(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"95 % interval {signed(low)} to {signed(high)}, "


def _sentences(context: Context, selection: Selection) -> tuple[str, ...]:
    first = f"{_validated(context, selection)} {_tested(context, selection)}"
    rules = (f"{RULE} {MEANING}",) if _rivals(context, selection) else ()
    return (first, *_externally(context, selection), _cost(context, selection), *rules)


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
    if len(context.run.folds) > 1:
        seen = "each predicted by trainings that never saw it"
        text = f"Out of fold, on {patients}, {seen}, it reaches {reached}."
    if (i := selection.runner_up) is None:
        return text
    lead = signed_range(selection.lead[i], selection.low[i], selection.high[i])
    by_patient = nan_mean(patient_dice(counts, MEAN), 1)
    higher = int((by_patient[selection.selected] > by_patient[i] + 1e-12).sum())
    return (
        f"{text} Its difference to the second on validation, {_name(context, i)}, is {lead}. It "
        f"scores higher in {higher} of these {many(by_patient.shape[1], 'patient')}."
    )


def _externally(context: Context, selection: Selection) -> tuple[str, ...]:
    """A sentence on each set of external predictions."""
    sentences = []
    for o in _external(context):
        row = summary_of(context, o, MEAN)
        lead = signed_range(selection.lead[o], selection.low[o], selection.high[o])
        row_of = context.pairs.rows[selection.selected, o]
        verdict = "resolved" if context.pairs.verdicts.resolved[row_of] else "not resolved"
        sentences.append(
            f"The external predictions {context.all_predictions.names[o]} reach "
            f"{ranged(row.dice, row.dice_low, row.dice_high)} on the same patients; "
            f"{_name(context, selection.selected)} minus them is {lead}, {verdict}."
        )
    return (" ".join(sentences),) if sentences else ()


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
            f"share of the patients without the {context.run.noun} in whom it was predicted",
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
            dice_cell(context, selection.selected, label)
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
