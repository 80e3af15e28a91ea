"""The folder paper/ of a run, as Markdown and LaTeX: text, tables, checklists and references."""

from pathlib import Path

from reports.analysis.context import Context, build_context
from reports.analysis.summary import MEAN
from reports.figures.cells import DAGGER, NEVER_FOUND, class_name, ranked_all, summary_of
from reports.formatting import many, many_patients
from reports.latex import names_of
from reports.load.run_folder import read_run
from reports.manuscript.checklists import checklists
from reports.manuscript.document import DataTable, Paragraph, Part, as_latex, as_markdown, cited
from reports.manuscript.methods import in_words, methods, results, score_text
from reports.manuscript.references import bibliography
from reports.table import scores_table, trials_table
from trials.records.result import NATIVE, TrialResult
from trials.records.spec import Cell
from trials.storage.atomic import write_text

FACTORS = ("Model", "Loss", "Sampling")


def tables(context: Context) -> Part:
    """Both tables; the settings only where a final trial is complete."""
    made = [_scores(context), _settings(context)]
    return Part("Tables", tuple(table for table in made if table.rows))


def _scores(context: Context) -> DataTable:
    labels, counts = (MEAN, *context.run.labels), context.test[NATIVE]
    order = ranked_all(context)
    rows = []
    for i in order:
        found = [summary_of(context, i, label) for label in labels]
        scores = [score_text(one) for one in found]
        rows.append((*names_of(context, i), *scores))
    patients = many_patients(len(counts.patients), len(counts.cases), "test")
    heads = [
        f"{class_name(context, label)} (n = {summary_of(context, order[0], label).n})"
        if order
        else ""
        for label in labels
    ]
    return DataTable(
        label="scores",
        caption=(
            f"Mean Dice of {patients} on the grid of the scan, "
            f"{many(len(context.run.seeds), 'seed')}, with 95 % bootstrap intervals. n is the "
            "number of patients whose reference holds the class."
            + (f" {NEVER_FOUND}" if any(DAGGER in cell for row in rows for cell in row) else "")
        ),
        columns=(*FACTORS, *heads),
        rows=tuple(rows),
        names=3,
    )


def _settings(context: Context) -> DataTable:
    """The hyperparameters of each configuration's final trials; every seed has the same."""
    finals: dict[Cell, TrialResult] = {}
    for result in context.run.finals:
        finals.setdefault(result.spec.cell, result)
    names = sorted({name for result in finals.values() for name in result.spec.hyper})
    rows = tuple(
        (
            *_names(cell),
            *(_value(finals[cell].spec.hyper.get(name)) for name in names),
        )
        for cell in context.run.cells
        if cell in finals
    )
    return DataTable(
        label="settings",
        caption="The hyperparameters of each configuration as tuned or by default.",
        columns=(*FACTORS, *(in_words(name).removeprefix("the ") for name in names)),
        rows=rows,
        names=3,
    )


def _names(cell: Cell) -> tuple[str, str, str]:
    return cell.model, cell.loss, cell.sampling


def _value(value: float | tuple[float, ...] | None) -> str:
    if value is None:
        return ""
    numbers = value if isinstance(value, tuple) else (value,)
    return ", ".join(f"{one:.3g}" for one in numbers)


def captions(context: Context) -> Part:
    """What the figures of the report show, ready to stand below them."""
    counts = context.test[NATIVE]
    patients = many_patients(len(counts.patients), len(counts.cases), "test")
    seeds = many(len(context.run.seeds), "seed")
    texts = [
        f"All configurations: mean Dice over the {context.run.nouns} of {patients}, {seeds}, with "
        "95 % bootstrap intervals. The filled mark is the configuration selected on the validation "
        "patients.",
        "One test patient: contours of the reference and of the prediction of the selected "
        "configuration, in axial slices on the grid of the scan.",
    ]
    return Part("Figure captions", tuple(Paragraph(text) for text in texts))


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
