"""A run folder to its report: tables, checks, sections, one page. Works on a run that is not
finished.
"""

from pathlib import Path

from reports.analysis.caveats import num_missing
from reports.analysis.context import Context, build_context
from reports.figures.cells import ranked
from reports.formatting import listed, many
from reports.latex import LATEX, leaderboard_latex
from reports.load.run_folder import Run, read_run
from reports.page import render
from reports.sections.registry import SECTIONS
from reports.table import write_table, write_tables
from trials.storage.atomic import write_text

IMAGES = ("none", "masks", "ct")


def build_report(out: Path, images: str | None = None) -> Path:
    """Read a run folder and write its report; report_run says what. Raises ValueError naming the
    file for a damaged folder.
    """
    return report_run(read_run(out), images)


def report_run(run: Run, images: str | None = None) -> Path:
    """Write scores, surfaces, trials (.parquet, .csv), leaderboard.tex and report.html into a run's
    folder; return its path.

    images: "masks" shows reference and prediction of some patients, "ct" the CT below them, "none"
    no pictures; None is "ct" where the data set's entry lets a page show its images, otherwise
    "masks". Pictures carry the data's licence. The page of a run that is not finished says so
    before all else. Raises ValueError naming the trial for results that must not be compared.
    """
    if images is None:
        images = "ct" if (run.record.get("data") or {}).get("shows_images") else "masks"
    if images not in IMAGES:
        raise ValueError(f"unknown images {images!r}; known: {', '.join(IMAGES)}")
    context = build_context(run, *write_tables(run), images)
    write_table(run.out, "surfaces", context.surface_rows)
    sections = [section for make in SECTIONS.values() if (section := make(context)) is not None]
    page = run.out / "report.html"
    if ranked(context):
        write_text(run.out / LATEX, leaderboard_latex(context))
    write_text(
        page,
        render(
            f"{run.record['grid']} on {run.record['dataset']}",
            _subtitle(context),
            sections,
            stamp(run),
        ),
    )
    return page


def stamp(run: Run) -> str:
    """What is missing of a run that is not finished; nothing where every planned trial has a
    result.
    """
    missing = num_missing(run)
    if not missing:
        return ""
    counts = listed([f"{many(count, f'{phase} trial')}" for phase, count in missing.items()])
    return (
        f"Unfinished: {counts} {'has' if sum(missing.values()) == 1 else 'have'} no result yet. "
        "This page shows what is there."
    )


def _subtitle(context: Context) -> str:
    record = context.run.record
    size = (
        f"{many(len(context.run.cells), 'configuration')}, {many(len(context.run.seeds), 'seed')}"
    )
    parts = [
        size,
        str(record.get("started", ""))[:16].replace("T", " "),
        f"commit {record['commit'][:10]}" if record.get("commit") else "",
    ]
    return " · ".join(part for part in parts if part)
