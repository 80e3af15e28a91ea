"""segbench score: the flags. The work is in bench/predictions."""

import argparse
from pathlib import Path

from bench.verb import FINISHED, NAMES, OWN_METRICS, Verbs, add_verb, add_workers
from trials.data.datasets.patients import checked_rule
from trials.storage.probe import folder_or_url, local_path_argument


def add(verbs: Verbs) -> None:
    """The verb and its flags."""
    verb = add_verb(
        verbs,
        "score",
        "score a folder of predicted masks, made by any program, against the reference",
        run,
    )
    add_masks(verb)
    verb.add_argument(
        "--csv",
        type=local_path_argument,
        metavar="FILE",
        help="write all scores of all cases to this file",
    )
    verb.add_argument("--grid", metavar="FILE.py", help=OWN_METRICS)
    add_workers(verb)


def add_masks(verb: argparse.ArgumentParser) -> None:
    """The flags that say which masks are scored, and of which data set and patients they are."""
    verb.add_argument(
        "--reference",
        type=local_path_argument,
        metavar="DIR",
        help="reference masks, as CASE.nii.gz (or .nrrd, .mha, ...), CASE/segmentation.nii.gz or "
        "CASE/CLASS.nii.gz; with --run the data set's folder, if it has moved",
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
        help=f"the data set that defines the classes: {NAMES} (default: told by the layout)",
    )
    verb.add_argument(
        "--run",
        type=folder_or_url,
        metavar="RUN",
        help="score exactly the test cases of this run, against its data",
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
    from bench.predictions.folders import score_folders
    from reports.stats.score_means import means_text, score_means

    found = score_folders(options)
    table = found.table
    print(found.text)
    print(means_text(score_means(table.rows, table.official, table.labels, found.patients)))
    return FINISHED
