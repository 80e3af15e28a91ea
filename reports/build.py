"""Build the report of a run folder: tables, checks, sections, one page. Also for an unfinished
run.
"""

from pathlib import Path

from reports.analysis.context import Context, build_context
from reports.figures.cells import ranked
from reports.formatting import listed, many
from reports.latex import LATEX, leaderboard_latex
from reports.load.run_folder import Run, read_run
from reports.load.unfinished import num_missing
from reports.page import render
from reports.sections.registry import PARTS, make_sections
from reports.table import write_table, write_tables
from trials.storage.atomic import write_text

IMAGES = ("none", "masks", "ct")


def build_report(out: Path, images: str | None = None) -> Path:
    """Read a run folder and write its report, see report_run. Raises ValueError naming the file for
    a damaged folder.
    """
    return report_run(read_run(out), images)


def report_run(run: Run, images: str | None = None) -> Path:
    """Write scores, surfaces, trials (.parquet, .csv), leaderboard.tex and report.html into a run's
    folder; return the path of the page.

    images: "masks" shows reference and prediction of some patients, "ct" also the CT, "none" no
    images; None means "ct" if the data set allows its images to be shown, otherwise "masks". Images
    carry the data's licence. The page of an unfinished run says so at the top. Raises ValueError
    naming the trial for results that cannot be compared.
    """
    if images is None:
        images = "ct" if (run.record.get("data") or {}).get("shows_images") else "masks"
    if images not in IMAGES:
        raise ValueError(f"unknown images {images!r}; known: {', '.join(IMAGES)}")
    context = build_context(run, *write_tables(run), images)
    write_table(run.out, "surfaces", context.surface_rows)
    shown = make_sections(context)
    page = run.out / "report.html"
    if ranked(context):
        write_text(run.out / LATEX, leaderboard_latex(context))
    write_text(
        page,
        render(
            f"{run.record['grid']} on {run.title}",
            _subtitle(context),
            [section for name, section in shown.items() if name in PARTS],
            stamp(run),
            [section for name, section in shown.items() if name not in PARTS],
        ),
    )
    return page


def stamp(run: Run) -> str:
    """A sentence on the planned trials without a result; "" if there are none."""
    missing = num_missing(run)
    if not missing:
        return ""
    counts = listed([f"{many(count, f'{phase} trial')}" for phase, count in missing.items()])
    return (
        f"Unfinished: {counts} {'has' if sum(missing.values()) == 1 else 'have'} no result yet. "
        "This page shows the results so far."
    )


def _subtitle(context: Context) -> str:
    record = context.run.record
    run = context.run
    folds = f", {len(run.folds)} folds" if len(run.folds) > 1 else ""
    size = f"{many(len(run.cells), 'configuration')}, {many(len(run.seeds), 'seed')}{folds}"
    parts = [
        size,
        str(record.get("started", ""))[:16].replace("T", " "),
        f"commit {record['commit'][:10]}" if record.get("commit") else "",
    ]
    return " · ".join(part for part in parts if part)
