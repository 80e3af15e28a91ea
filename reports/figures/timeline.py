"""When each trial ran, on which host, and how it ended, as bars in lanes."""

from datetime import datetime
from typing import Any

from reports.analysis.context import Context
from reports.elements import LONGEST_TABLE, Column, Figure, Table, TableCell
from reports.formatting import cell_name, listed, many, number, percent, plain, training_name
from trials.records.result import COMPLETE, FAILED, PRUNED, TrialResult, duration
from trials.records.spec import FINAL, PRETRAIN, TUNE

ROW, MOST_ROWS = 24, 24
# Name and colour of a bar by the trial's state and, if complete, its phase.
LOOKS = {
    (COMPLETE, FINAL): ("final, complete", "var(--m0)"),
    (COMPLETE, TUNE): ("tuning, complete", "var(--m5)"),
    (COMPLETE, PRETRAIN): ("pretraining, complete", "var(--m2)"),
    (PRUNED, TUNE): ("pruned", "var(--m1)"),
    (FAILED, ""): ("failed", "var(--m4)"),
}
Timed = tuple[float, str, TrialResult]


def timeline(context: Context) -> Figure | None:
    """Every trial that recorded its start, one lane per worker of each host; None if no trial
    did.
    """
    timed = _timed(context.run.results)
    if not timed:
        return None
    end = max(start + result.seconds for start, _, result in timed)
    unit, name = (
        (1, "seconds") if end < 300 else (60, "minutes") if end < 18_000 else (3600, "hours")
    )
    lanes = sorted({lane for _, lane, _ in timed}, key=_lane_order)
    return Figure(
        id="timeline",
        caption=_caption(context, timed, end, lanes),
        data=tuple(trace for look in LOOKS.values() if (trace := _bars(timed, look, unit))["y"]),
        layout={
            "barmode": "overlay",
            "bargap": 0.25,
            "margin": {"l": 56, "r": 10, "t": 40, "b": 44},
            "legend": {
                "orientation": "h",
                "x": 0,
                "y": 1,
                "yanchor": "bottom",
                "traceorder": "normal",
            },
            "xaxis": {
                "title": {"text": f"{name} since the first trial began"},
                "rangemode": "tozero",
            },
            "yaxis": {
                "type": "category",
                "categoryorder": "array",
                "categoryarray": [plain(lane) for lane in lanes][::-1],
            },
        },
        table=_table(timed),
        height=130 + ROW * min(len(lanes), MOST_ROWS),
    )


def _caption(context: Context, timed: list[Timed], end: float, lanes: list[str]) -> str:
    busy = sum(result.seconds for _, _, result in timed) / (end * len(lanes)) if end else 0.0
    hosts = listed(sorted({_host(result) for _, _, result in timed})[:6])
    text = (
        f"{many(len(timed), 'trial')} in {duration(end)} on {hosts}: up to "
        f"{many(len(lanes), 'trial')} at a time; on average {percent(busy)} of these places were "
        "in use. Each bar is a trial from start to end; trials of one host that ran at the same "
        "time stand in separate rows."
    )
    without = len(context.run.results) - len(timed)
    return text + (
        f" {many(without, 'trial')} without a recorded start {'is' if without == 1 else 'are'} "
        "not shown."
        if without
        else ""
    )


def _timed(results: tuple[TrialResult, ...]) -> list[Timed]:
    """Trials by start: seconds since the first, the lowest free lane of their host, the trial.
    Trials without a start time are left out.
    """
    starts = [
        (start, one)
        for one in results
        if (start := _clock(one.started)) is not None and one.seconds > 0
    ]
    starts.sort(key=lambda pair: (pair[0], pair[1].trial))
    free_at: dict[str, list[float]] = {}
    timed = []
    for start, result in starts:
        lanes = free_at.setdefault(_host(result), [])
        # Starts are stored in whole seconds, so a trial may appear to start up to one second
        # before its worker was free.
        lane = next((i for i, free in enumerate(lanes) if free <= start + 1), len(lanes))
        lanes[lane : lane + 1] = [start + result.seconds]
        timed.append((start - starts[0][0], f"{_host(result)} {lane + 1}", result))
    return timed


def _clock(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _host(result: TrialResult) -> str:
    return str(result.facts.get("host", "unnamed host"))


def _lane_order(lane: str) -> tuple[str, int]:
    host, _, place = lane.rpartition(" ")
    return host, int(place)


def _look(result: TrialResult) -> tuple[str, str]:
    return LOOKS.get((result.state, result.spec.phase), LOOKS[FAILED, ""])


def _bars(timed: list[Timed], look: tuple[str, str], unit: int) -> dict[str, Any]:
    mine = [(start, lane, result) for start, lane, result in timed if _look(result) == look]
    name, colour = look
    folds = sorted({result.spec.fold for _, _, result in timed})
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "base": [round(start / unit, 3) for start, _, _ in mine],
        "x": [round(result.seconds / unit, 3) for _, _, result in mine],
        "y": [plain(lane) for _, lane, _ in mine],
        "customdata": [
            plain(f"{result.spec.phase} {training_name(result.spec, folds)}")
            for _, _, result in mine
        ],
        "marker": {"color": colour, "line": {"color": "var(--page)", "width": 1}},
        "hovertemplate": "%{customdata}<br>%{x:.3g}<extra></extra>",
    }


def _table(timed: list[Timed]) -> Table:
    columns = (
        *(Column(name) for name in ("trial", "configuration", "phase", "state", "host and lane")),
        *(Column(name, True) for name in ("start, s", "seconds")),
    )
    rows = tuple(
        (
            TableCell(result.trial, look="code"),
            TableCell(cell_name(result.spec.cell)),
            TableCell(result.spec.phase),
            TableCell(result.state.lower()),
            TableCell(lane),
            TableCell(f"{start:.0f}", start),
            TableCell(number(result.seconds, 1), result.seconds),
        )
        for start, lane, result in timed[:LONGEST_TABLE]
    )
    rest = (
        f"; the first {LONGEST_TABLE:,} of them, all are in trials.csv"
        if len(timed) > LONGEST_TABLE
        else ""
    )
    return Table(
        id="timeline-table",
        caption=f"Start and duration of each trial{rest}.",
        columns=columns,
        rows=rows,
    )
