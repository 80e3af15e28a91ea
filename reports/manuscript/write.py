"""The folder paper/ of a run: text, tables, checklists and references, as Markdown and LaTeX."""

from pathlib import Path

from reports.analysis.context import Context, build_context
from reports.load.run_folder import read_run
from reports.manuscript.checklists import checklists
from reports.manuscript.document import Part, as_latex, as_markdown, cited
from reports.manuscript.methods import methods, results
from reports.manuscript.references import bibliography
from reports.manuscript.tables import captions, tables
from reports.table import scores_table, trials_table
from trials.storage.atomic import write_text

FOLDER = "paper"


def write_manuscript(out: Path) -> Path:
    """Write paper.md, paper.tex and references.bib into a run's folder paper/ and return the
    folder. Both texts hold the same: methods, results, tables, checklists.

    Raises ValueError for a damaged run folder, or one whose results cannot be compared.
    """
    run = read_run(out)
    parts = manuscript(build_context(run, scores_table(run), trials_table(run), "none"))
    folder = out / FOLDER
    write_text(folder / "paper.md", as_markdown(parts))
    write_text(folder / "paper.tex", as_latex(parts))
    write_text(folder / "references.bib", bibliography(cited(parts)))
    return folder


def manuscript(context: Context) -> tuple[Part, ...]:
    """The parts of the text, in their order."""
    return tuple(part(context) for part in (methods, results, tables, captions, checklists))
