"""The data of the run: cases by split, their spacing and classes, and excluded cases."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from math import prod
from statistics import median
from typing import Any

from reports.analysis.context import Context
from reports.elements import Block, Column, Figure, Section, Table, TableCell
from reports.formatting import SPLITS, listed, many, number, percent
from trials.records.grouping import cases_by_patient
from trials.records.targets import targets_text

COLOURS = ("var(--m0)", "var(--m2)", "var(--m4)")


def data(context: Context) -> Section | None:
    """Counts and spacing by split; None if the run recorded no split."""
    record = context.run.record.get("data") or {}
    several = len(context.run.folds) > 1
    splits = {
        f"fold {fold}, {word}" if several else word: tuple(parts[name])
        for fold, parts in context.run.split_cases.items()
        for name, word in SPLITS.items()
        if name in parts
    }
    if not splits:
        return None
    geometry = record.get("geometry") or {}
    blocks: list[Block] = [_table(context, splits, geometry)]
    if geometry:
        # Of a cross-validation each case is shown once, where it is tested.
        shown = {name: of for name, of in splits.items() if not several or name.endswith("test")}
        blocks.append(_figure(shown, geometry))
    if notes := record.get("notes"):
        blocks.append(
            Table(
                id="data-notes",
                caption="What the data set names or holds and this run does not use as it stands.",
                columns=(Column("note"),),
                rows=tuple((TableCell(note),) for note in notes),
            )
        )
    excluded = record.get("excluded") or {}
    if excluded:
        rows = tuple(
            (TableCell(case), TableCell(str(reason))) for case, reason in sorted(excluded.items())
        )
        blocks.append(
            Table(
                id="excluded",
                caption="Excluded cases.",
                columns=(Column("case"), Column("reason")),
                rows=rows,
            )
        )
    return Section(
        id="data",
        title="Data",
        question="Which cases were used for training, validation and test?",
        finding=_finding(context, splits, excluded) + _targets(context),
        blocks=tuple(blocks),
    )


def _finding(
    context: Context, splits: Mapping[str, Sequence[str]], excluded: Mapping[str, str]
) -> str:
    record: Mapping[str, Any] = context.run.record.get("data") or {}
    grouping = context.run.grouping
    sizes = listed([f"{len(cases)} {name}" for name, cases in splits.items()])
    used, whole = record.get("cases", 0), record.get("published")
    of_whole = f" of {whole}" if whole and whole != used else ""
    out = (
        "none was excluded"
        if not excluded
        else f"{many(len(excluded), 'case')} excluded: {listed(sorted(excluded))}"
    )
    channels = record.get("channels") or ()
    of_images = f" Images have {len(channels)} channels: {listed(channels)}." * (len(channels) > 1)
    ignored = _ignored(record) if record.get("has_ignore") else ""
    rule = f" Split: {record['split_rule']}." if record.get("split_rule") else ""
    scans = ""
    if grouping.patients:
        patients = [cases_by_patient(grouping, cases) for cases in splits.values()]
        each = listed([f"{len(of)} {name}" for name, of in zip(splits, patients, strict=True)])
        scans = f" They are scans of {sum(map(len, patients))} patients ({each}): {grouping.rule}."
    counts = f"{many(used, 'case')}{of_whole}: {sizes}; {out}."
    return f"{counts}{scans}{of_images}{ignored}{rule}"


def _targets(context: Context) -> str:
    if not context.run.target_regions:
        return ""
    masks = [
        f"{region.name} as label {region.label}, {context.run.label_names[region.label]}"
        for region in context.run.target_regions
    ]
    return (
        f" Networks predict {targets_text(context.run.target_regions)}. Where this page says class "
        "it means region, and selection, tuning and ranks are by the mean of the regions. In a "
        f"mask a voxel takes the label of its last region: {'; '.join(masks)}."
    )


def _ignored(record: Mapping[str, Any]) -> str:
    grids = (record.get("geometry") or {}).values()
    total = sum(prod(grid["shape"]) for grid in grids)
    annotated = sum(sum(grid["class_voxels"]) for grid in grids)
    share = f"{percent(1 - annotated / total)} of the voxels" if total else "Some voxels"
    return f" {share} have the ignore label and count in no loss and in no score."


def _table(
    context: Context, splits: Mapping[str, Sequence[str]], geometry: Mapping[str, Any]
) -> Table:
    grouping = context.run.grouping
    columns = [Column("split"), Column("cases", True)]
    if grouping.patients:
        columns.append(Column("patients", True, grouping.rule))
    if geometry:
        columns += [
            Column(f"with {context.run.classes[label]}", True) for label in context.run.labels
        ]
        columns += [
            Column("slice spacing, mm", True),
            Column("in-plane spacing, mm", True),
            Column("slices", True),
        ]
    rows = []
    for name, cases in splits.items():
        known = [geometry[case] for case in cases if case in geometry]
        voxels = context.run.class_voxels(cases)
        row = [TableCell(name), TableCell(str(len(cases)), len(cases))]
        if grouping.patients:
            num = len(cases_by_patient(grouping, cases))
            row.append(TableCell(str(num), num))
        if geometry:
            for label in context.run.labels:
                holding = sum(one[label] > 0 for one in voxels)
                row.append(TableCell(str(holding), holding))
            row += [
                _spread([one["spacing_mm"][0] for one in known], 2),
                _spread([one["spacing_mm"][2] for one in known], 2),
                _spread([one["shape"][0] for one in known], 0),
            ]
        rows.append(tuple(row))
    caption = (
        "Cases by split; the median, with the smallest and largest value in brackets."
        if geometry
        else "Cases by split."
    )
    return Table(id="splits", caption=caption, columns=tuple(columns), rows=tuple(rows))


def _spread(values: Sequence[float], digits: int) -> TableCell:
    if not values:
        return TableCell("n/a", float("nan"), look="quiet")
    middle = float(median(values))
    return TableCell(
        number(middle, digits),
        middle,
        small=f"[{number(min(values), digits)}, {number(max(values), digits)}]",
    )


def _figure(splits: Mapping[str, Sequence[str]], geometry: Mapping[str, Any]) -> Figure:
    traces: list[dict[str, Any]] = []
    for colour, (name, cases) in zip(cycle(COLOURS), splits.items(), strict=False):
        known = [geometry[case]["spacing_mm"][0] for case in cases if case in geometry]
        traces.append(
            {
                "type": "box",
                "name": name,
                "x": known,
                "orientation": "h",
                "boxpoints": "all",
                "jitter": 0.6,
                "pointpos": 0,
                "fillcolor": "rgba(0,0,0,0)",
                "line": {"color": "var(--muted)", "width": 1.25},
                "marker": {"color": colour, "size": 6, "opacity": 0.6},
                "hovertemplate": "%{x:.2f} mm<extra></extra>",
            }
        )
    medians = [
        f"{name} {number(float(median(trace['x'])), 2)}"
        for name, trace in zip(splits, traces, strict=True)
        if trace["x"]
    ]
    caption = (
        f"Median slice spacing: {listed(medians)} mm. One point per case on its own grid; the box "
        "spans the quartiles. If the spacing of the test split differs from that of the training "
        "split, the network is tested outside the range it was trained on."
    )
    columns = (
        Column("split"),
        Column("case"),
        Column("spacing D, H, W, mm"),
        Column("grid D, H, W"),
    )
    rows = tuple(
        (
            TableCell(name),
            TableCell(case),
            TableCell(", ".join(f"{edge:.3g}" for edge in geometry[case]["spacing_mm"])),
            TableCell(" x ".join(map(str, geometry[case]["shape"]))),
        )
        for name, cases in splits.items()
        for case in cases
        if case in geometry
    )
    table = Table(
        id="spacing-table",
        caption=("Spacing and size of every case's own grid."),
        columns=columns,
        rows=rows,
    )
    layout = {
        "showlegend": False,
        "margin": {"l": 56, "r": 10, "t": 10, "b": 44},
        "xaxis": {"title": {"text": "slice spacing, mm"}, "rangemode": "tozero"},
        "yaxis": {"autorange": "reversed"},
    }
    return Figure(
        id="spacing", caption=caption, data=tuple(traces), layout=layout, table=table, height=250
    )
