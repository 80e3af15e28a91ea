"""The state of every trial and its reason, failed trials first, and the facts that each
recorded.
"""

import math

from reports.analysis.context import Context
from reports.elements import LONGEST_TABLE, Block, Column, Section, Table, TableCell
from reports.figures.colours import trial_colour
from reports.figures.timeline import timeline
from reports.formatting import cell_name, listed, number
from reports.load.unfinished import num_states
from reports.table import compact_json
from trials.records.result import COMPLETE, FAILED, PRUNED, TrialResult
from trials.records.spec import FINAL, PRETRAIN, TUNE, TrialSpec

PHASES = {PRETRAIN: "pretraining", TUNE: "tuning", FINAL: "final"}
LONGEST = 160


def trials(context: Context) -> Section:
    """Every trial with its state and reason."""
    results = context.run.results
    blocks: list[Block] = []
    if drawn := timeline(context):
        blocks.append(drawn)
    failed = [result for result in results if result.state == FAILED]
    if failed:
        blocks.append(_table(context, failed, "trials-failed", "Trials that failed", False))
    if any(result.spec.phase == TUNE for result in results):
        blocks.append(_budgets(context))
    for phase, word in reversed(PHASES.items()):
        of_phase = [result for result in results if result.spec.phase == phase]
        if of_phase:
            blocks.append(
                _table(
                    context,
                    of_phase,
                    f"trials-{phase}",
                    f"All {word} trials ({len(of_phase)})",
                    True,
                )
            )
    if context.run.finals:
        blocks.append(_facts(context))
    return Section(
        id="trials",
        title="Trials",
        question="How did each trial end?",
        finding=_finding(context),
        blocks=tuple(blocks),
    )


def _states(context: Context, phase: str) -> str:
    counts = num_states(context.run, phase)
    return listed([f"{count} {state.lower()}" for state, count in counts.items()])


def _finding(context: Context) -> str:
    if not context.run.results:
        return "No trial has ended."
    phases = [f"{word}: {_states(context, phase)}" for phase, word in PHASES.items()]
    ended = [
        text for phase, text in zip(PHASES, phases, strict=True) if num_states(context.run, phase)
    ]
    text = f"{'; '.join(ended)}."
    return text[0].upper() + text[1:]


def _budgets(context: Context) -> Table:
    """The tuning trials of each configuration: how many were planned and started, and how they
    ended.
    """
    planned = (context.run.record.get("tuning") or {}).get("trials", 0) * len(context.run.folds)
    names = ("planned", "started", "complete", "pruned", "failed", "epochs trained", "seconds")
    rows = []
    for cell in context.run.cells:
        tuned = [
            result
            for result in context.run.results
            if result.spec.phase == TUNE and result.spec.cell == cell
        ]
        states = [result.state for result in tuned]
        counts = [
            planned,
            len(tuned),
            *(states.count(state) for state in (COMPLETE, PRUNED, FAILED)),
        ]
        counts.append(sum(len(result.curve) for result in tuned))
        seconds = sum(result.seconds for result in tuned)
        head = TableCell(cell_name(cell), swatch=trial_colour(context.run, cell.model))
        rows.append(
            (
                head,
                *(TableCell(f"{count:,}", count) for count in counts),
                TableCell(number(seconds, 1), seconds),
            )
        )
    caption = (
        "Tuning by configuration: the trials that were planned and started, how they ended, and "
        "what they trained."
    )
    columns = (Column("configuration"), *(Column(name, True) for name in names))
    return Table(
        id="trials-budgets", caption=caption, columns=columns, rows=tuple(rows), folded=True
    )


def _table(
    context: Context, results: list[TrialResult], name: str, caption: str, folded: bool
) -> Table:
    hypers = sorted({key for result in results for key in result.spec.hyper})
    with_reason = any(result.reason or result.error for result in results)
    columns = (
        *(
            Column(text)
            for text in (
                "trial",
                "state",
                *(("reason",) if with_reason else ()),
                "configuration",
                "seed",
                *(("fold",) if len(context.run.folds) > 1 else ()),
                "number",
            )
        ),
        *(Column(key.replace("_", " "), True) for key in hypers),
        *(
            Column(text, True)
            for text in ("validation", "best epoch", "epochs", "seconds", "peak GiB")
        ),
    )
    order = sorted(
        results,
        key=lambda result: (
            result.state == COMPLETE,
            result.state,
            cell_name(result.spec.cell),
            result.spec.fold,
            result.spec.seed,
            result.spec.number,
        ),
    )
    rows = tuple(_trial(context, result, hypers, with_reason) for result in order[:LONGEST_TABLE])
    caption += (
        f": the first {LONGEST_TABLE:,} of them, all are in trials.csv"
        if len(order) > LONGEST_TABLE
        else ""
    )
    return Table(id=name, caption=caption, columns=columns, rows=rows, folded=folded)


def _trial(
    context: Context, result: TrialResult, hypers: list[str], with_reason: bool
) -> tuple[TableCell, ...]:
    spec = result.spec
    score = math.nan if result.val_score is None else result.val_score
    reason = ": ".join(part for part in (result.reason, result.error) if part)
    why = TableCell(_short(reason), hint=reason if len(reason) > LONGEST else "")
    return (
        TableCell(result.trial, look="code"),
        TableCell(
            result.state.lower(),
            look="" if result.state == COMPLETE else "bad" if result.state == FAILED else "quiet",
        ),
        *((why,) if with_reason else ()),
        TableCell(cell_name(spec.cell), swatch=trial_colour(context.run, spec.cell.model)),
        TableCell(str(spec.seed), spec.seed),
        *_fold(context, spec),
        TableCell(str(spec.number), spec.number),
        *(_hyper(spec.hyper.get(key)) for key in hypers),
        TableCell("" if math.isnan(score) else number(score), score),
        TableCell("" if result.best_epoch is None else str(result.best_epoch), result.best_epoch),
        TableCell(str(len(result.curve)), len(result.curve)),
        TableCell(number(result.seconds, 1), result.seconds),
        TableCell(f"{result.peak_gib:.2f}", result.peak_gib),
    )


def _fold(context: Context, spec: TrialSpec) -> list[TableCell]:
    """The fold of a trial, in a run of several."""
    return [TableCell(str(spec.fold), spec.fold)] if len(context.run.folds) > 1 else []


def _hyper(value: float | tuple[float, ...] | None) -> TableCell:
    if value is None:
        return TableCell("")
    if isinstance(value, tuple):
        return TableCell(", ".join(f"{part:.3g}" for part in value))
    return TableCell(f"{value:.3g}", value)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _facts(context: Context) -> Table:
    """Every fact that the final trials recorded."""
    names = sorted({name for result in context.run.finals for name in result.facts})
    columns = (
        Column("configuration"),
        Column("seed", True),
        *((Column("fold", True),) if len(context.run.folds) > 1 else ()),
        *(Column(name.replace("_", " ")) for name in names),
    )
    rows = tuple(
        (
            TableCell(
                cell_name(result.spec.cell),
                swatch=trial_colour(context.run, result.spec.cell.model),
            ),
            TableCell(str(result.spec.seed), result.spec.seed),
            *_fold(context, result.spec),
            *(_fact(result.facts.get(name)) for name in names),
        )
        for result in sorted(
            context.run.finals,
            key=lambda result: (
                context.run.cells.index(result.spec.cell),
                result.spec.seed,
                result.spec.fold,
            ),
        )
    )
    return Table(
        id="trials-facts",
        caption="Facts recorded by the final trials",
        columns=columns,
        rows=rows,
        folded=True,
    )


def _fact(value: object) -> TableCell:
    if value is None:
        return TableCell("")
    if isinstance(value, float):
        return TableCell(f"{value:.4g}", value)
    text = value if isinstance(value, str) else compact_json(value)
    return TableCell(_short(text), hint=text if len(text) > LONGEST else "")
