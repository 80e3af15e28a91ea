"""The numbers of this page as files beside it, and how to load them."""

from reports.analysis.context import Context
from reports.elements import Code, Links, Section
from reports.figures.cells import ranked
from reports.latex import LATEX

FILES = (
    ("scores.csv", "a row a trial, patient, label and space: counts, Dice, IoU"),
    ("scores.parquet", "the same, typed"),
    (
        "surfaces.csv",
        "a row a final trial, test patient and region: surface areas, voxels, lesions, and every "
        "metric",
    ),
    ("surfaces.parquet", "the same, typed"),
    ("trials.csv", "a row a trial: settings, state, cost"),
    ("trials.parquet", "the same, typed"),
    ("run.json", "what was asked"),
)
NOTEBOOK = """from reports.table import load_run

frame = load_run("FOLDER OF THIS PAGE")
finals = frame.query("phase == 'final' and split == 'test' and space == 'native'")
finals.groupby(["model", "loss", "sampling", "class_name"]).dice.mean()"""


def downloads(context: Context) -> Section:
    """Links to the tables, and the leaderboard for a paper once there is one."""
    latex = ((LATEX, "the leaderboard as a LaTeX table (booktabs)"),) if ranked(context) else ()
    return Section(
        id="downloads",
        title="Downloads",
        question="May I have the numbers?",
        finding="Every score and every trial stands in plain files beside this page: its numbers "
        "were computed from them.",
        blocks=(Links((*FILES, *latex)), Code("In a notebook", NOTEBOOK)),
    )
