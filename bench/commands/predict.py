"""segbench predict: the flags. The work is in bench/predictions."""

import argparse

from bench.verb import Verbs, add_verb
from trials.storage.probe import folder_or_url, local_path_argument


def add(verbs: Verbs) -> None:
    """The verb and its flags."""
    verb = add_verb(verbs, "predict", "predict new scans with the final trials of a run", run)
    verb.epilog = (
        "Exit code: 0 if every scan has a prediction; 3 if a scan could not be used. The same "
        "command again predicts what is missing. A run with models of its own has its grid.py "
        "executed."
    )
    verb.add_argument("run", type=folder_or_url, help="the run folder, or its URL")
    verb.add_argument(
        "images",
        type=local_path_argument,
        metavar="IMAGES",
        help="a NIfTI, NRRD or MetaImage file, or a folder with such files, imagesTs, or "
        "CASE/imaging.nii.gz",
    )
    verb.add_argument(
        "out",
        type=local_path_argument,
        metavar="OUT",
        help="the folder for CASE.nii.gz, labels.txt (ITK-SNAP) and labels.ctbl (3D Slicer)",
    )
    add_trials(verb)


def add_trials(verb: argparse.ArgumentParser) -> None:
    """The flags that choose final trials of a run."""
    verb.add_argument(
        "--cell",
        action="append",
        default=[],
        metavar="MODEL/LOSS/SAMPLING",
        help="a configuration; may be repeated, then all are averaged (default: the one that the "
        "report selects on validation)",
    )
    verb.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="the trials of this seed alone (default: all seeds, averaged)",
    )
    verb.add_argument(
        "--fold",
        type=int,
        metavar="K",
        help="the trials of this fold alone (default: all folds, averaged)",
    )


def run(options: argparse.Namespace) -> int:
    """segbench predict."""
    from bench.predictions.finals import predict_folder

    return predict_folder(options)
