"""This run's tables as a reader sees them, rounded as printed, under the same audit as other
tables.
"""

from collections.abc import Mapping

import numpy as np

from reports.analysis.summary import MEAN, ScoreSummary
from reports.audit.floor import Floor
from reports.audit.printed_number import read_number
from reports.audit.printed_table import PrintedRow
from reports.audit.rules import AuditFinding, audit
from reports.formatting import cell_name
from reports.load.by_patient import by_patient
from reports.load.ceilings import background_floor
from reports.load.counts import Counts
from reports.load.run_folder import Run
from reports.stats.intervals import nan_mean
from reports.table import dice_of, iou_of

# The decimals that the page prints, of the classes and of the background.
DECIMALS, BACKGROUND_DECIMALS = 3, 4


def own_tables(
    run: Run, test: Counts, summaries: Mapping[tuple[int, int], ScoreSummary]
) -> dict[str, tuple[PrintedRow, ...]]:
    """One table per configuration with a test score: the background, every class and their mean,
    native grid, as printed.
    """
    tables = {}
    for i, cell in enumerate(run.cells):
        if np.isnan(summaries[i, MEAN].dice):
            continue
        named = {label: run.classes[label] for label in run.labels if summaries[i, label].n} | {
            MEAN: f"mean of {run.nouns}"
        }
        rows = [
            _row(line, name, summaries[i, label].dice, summaries[i, label].iou)
            for line, (label, name) in enumerate(named.items(), 2)
        ]
        tables[cell_name(cell)] = (_background_row(run, test, i), *rows)
    return tables


def audit_own_tables(
    run: Run, test: Counts, summaries: Mapping[tuple[int, int], ScoreSummary]
) -> list[AuditFinding]:
    """The audit's findings for this run's tables; the floor is that of its own test patients.

    Raises ValueError for a row that no masks can have: such a table is not printed.
    """
    tables = own_tables(run, test, summaries)
    if not tables:
        return []
    floor = background_floor(test, run.annotated_voxels(test.cases))
    dice, iou = (
        read_number(f"{value:.{BACKGROUND_DECIMALS}f}") for value in (floor.dice, floor.iou)
    )
    findings = audit(tables, Floor(dice=dice, iou=iou, source="this run's test patients"))
    for finding in findings:
        if finding.rule == "infeasible":
            raise ValueError(
                f"{finding.table}, {finding.row}: {finding.message}; the counts are damaged"
            )
    return findings


def _row(
    line: int,
    name: str,
    dice: float,
    iou: float,
    decimals: int = DECIMALS,
    is_background: bool = False,
) -> PrintedRow:
    dice_text, iou_text = f"{dice:.{decimals}f}", f"{iou:.{decimals}f}"
    return PrintedRow(
        line=line,
        class_name=name,
        is_background=is_background,
        dice=read_number(dice_text),
        iou=read_number(iou_text),
    )


def _background_row(run: Run, test: Counts, i: int) -> PrintedRow:
    """Label 0 of one configuration: the mean over all test patients, then over its seeds."""
    counts = (
        np.broadcast_to(test.true[:, 0], test.pred.shape[1:3]),
        test.pred[i, ..., 0],
        test.overlap[i, ..., 0],
    )
    held = test.available[i]
    dice, iou = (
        float(nan_mean(nan_mean(by_patient(ratio(*counts)[held], test.patient_of), 1), 0))
        for ratio in (dice_of, iou_of)
    )
    return _row(1, run.classes[0], dice, iou, BACKGROUND_DECIMALS, is_background=True)
