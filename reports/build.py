"""A run folder to its report: tables, checks, sections, one page. Works on a run that is not finished."""

from pathlib import Path

from reports.board import Board, build_board
from reports.page import render
from reports.run_folder import read_run
from reports.sections.registry import SECTIONS
from reports.table import write_table, write_tables
from reports.wording import many
from trials.files import write_text

IMAGES = ("none", "masks", "ct")


def build_report(out: Path, images: str = "ct") -> Path:
    """Write scores, surfaces and trials (.parquet, .csv) and report.html into a run folder; return the path of the page.

    images: "ct" shows slices of the worst patients, "masks" without the CT, "none" no slices; pictures carry the data's
    licence. Raises ValueError naming the file for a damaged folder, or the trial for results that must not be compared.
    """
    if images not in IMAGES:
        raise ValueError(f"unknown images {images!r}; known: {', '.join(IMAGES)}")
    run = read_run(out)
    board = build_board(run, *write_tables(run), images)
    write_table(out, "surfaces", board.surface_rows)
    sections = [section for make in SECTIONS.values() if (section := make(board)) is not None]
    page = out / "report.html"
    write_text(page, render(f"{run.record['grid']} on {run.record['dataset']}", _subtitle(board), sections))
    return page


def _subtitle(board: Board) -> str:
    record = board.run.record
    size = f"{many(len(board.run.cells), 'configuration')}, {many(len(board.run.seeds), 'seed')}"
    parts = [
        size,
        str(record.get("started", ""))[:16].replace("T", " "),
        f"commit {record['commit'][:10]}" if record.get("commit") else "",
    ]
    return " · ".join(part for part in parts if part)
