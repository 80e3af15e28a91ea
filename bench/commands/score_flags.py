"""The flags of segbench score."""

import argparse
from pathlib import Path

from bench.commands.verb import DEFAULT, NAMES, OWN_METRICS, Verbs, add_verb, add_workers
from bench.exit_codes import FINISHED
from trials.data.datasets.patients import checked_rule
from trials.storage.probe import local_path_argument


def add(verbs: Verbs) -> None:
    """The verb and its flags."""
    verb = add_verb(
        verbs,
        "score",
        "score a folder of predicted masks, made by any program, against the reference",
        run,
    )
    verb.add_argument(
        "--reference",
        type=local_path_argument,
        required=True,
        metavar="DIR",
        help="reference masks, as CASE.nii.gz (or .nrrd, .mha, ...) or CASE/segmentation.nii.gz",
    )
    verb.add_argument(
        "--prediction",
        type=local_path_argument,
        required=True,
        metavar="DIR",
        help="predicted masks, named the same way, on the native grid of each case",
    )
    verb.add_argument(
        "--dataset",
        default=DEFAULT,
        help=f"the data set that defines the classes: {NAMES} (default: {DEFAULT})",
    )
    verb.add_argument(
        "--cases",
        nargs="+",
        metavar="CASE",
        help="score only these cases (default: all; each needs a prediction)",
    )
    verb.add_argument(
        "--patients",
        type=patients_rule,
        default="",
        metavar="FILE.csv|REGEX",
        help="which cases are scans of one patient, in the form of Grid.patients (default: "
        "patients.csv beside the references, or the convention of the names)",
    )
    verb.add_argument(
        "--csv",
        type=local_path_argument,
        metavar="FILE",
        help="write all scores of all cases to this file",
    )
    verb.add_argument("--grid", metavar="FILE.py", help=OWN_METRICS)
    add_workers(verb)


def patients_rule(text: str) -> str:
    """An argparse type: a rule for patients; a file's path is taken from the working folder."""
    try:
        return (
            str(Path(checked_rule(text)).absolute())
            if text.endswith(".csv")
            else checked_rule(text)
        )
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(options: argparse.Namespace) -> int:
    """segbench score."""
    from bench.commands.score import score_folders
    from reports.stats.score_means import means_text, score_means

    table, patients = score_folders(options)
    print(means_text(score_means(table.rows, table.official, table.labels, patients)))
    return FINISHED
