"""The numbers of this page as files, and how to load them."""

from reports.analysis.context import Context
from reports.elements import Code, Links, Section
from reports.figures.cells import ranked
from reports.latex import LATEX

FILES = (
    ("scores.csv", "a row per trial, patient, label and space: counts, Dice, IoU"),
    ("scores.parquet", "the same, with column types"),
    (
        "surfaces.csv",
        "a row per final trial, test patient and region: surface areas, voxels, lesions, and "
        "every metric",
    ),
    ("surfaces.parquet", "the same, with column types"),
    ("trials.csv", "a row per trial: settings, state, cost"),
    ("trials.parquet", "the same, with column types"),
    ("run.json", "the grid and the settings of the run"),
)
NOTEBOOK = """from reports.table import load_run

frame = load_run("FOLDER OF THIS PAGE")
finals = frame.query("phase == 'final' and split == 'test' and space == 'native'")
finals.groupby(["model", "loss", "sampling", "class_name"]).dice.mean()"""


def downloads(context: Context) -> Section:
    """Links to the tables and, once there is a leaderboard, to its LaTeX table."""
    latex = ((LATEX, "the leaderboard as a LaTeX table (booktabs)"),) if ranked(context) else ()
    return Section(
        id="downloads",
        title="Downloads",
        question="Where are the numbers?",
        finding="Every score and every trial is in plain files beside this page, from which its "
        "numbers were computed.",
        blocks=(Links((*FILES, *latex)), Code("In a notebook", NOTEBOOK)),
    )
