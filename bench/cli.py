"""The command line: every verb in a few lines. Heavy packages are imported by the verb that needs
them.
"""

import argparse
import sys
from collections.abc import Sequence

from bench.commands.passwords import refuse_passwords
from bench.commands.run_flags import SKIP_BAD, add_plan_flags, add_run_flags, processes
from bench.doctor.flags import add_doctor_flags
from bench.exit_codes import FINISHED, INTERRUPTED, MENDABLE
from trials.data.datasets.registry import DATASETS, default_dataset
from trials.process.versions import own_version
from trials.storage.probe import folder_or_url, local_path_argument

NAMES, DEFAULT = ", ".join(DATASETS), default_dataset()
FETCHED = ", ".join(name for name, part in DATASETS.items() if part.download)
OWN_METRICS = "a grid file, whose own metrics are shown too; it is run"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return the exit code: 0; 2 what the user can mend; 3 finished with failures;
    130, 143 stopped.
    """
    try:
        refuse_passwords(sys.argv[1:] if arguments is None else arguments)
    except ValueError as error:
        print(f"segbench: {error}", file=sys.stderr)
        return MENDABLE
    options = parser().parse_args(arguments)
    try:
        return options.verb(options)
    except (ValueError, OSError) as error:
        if options.debug:
            raise
        print("segbench:", "\n".join(lines_of(error)), file=sys.stderr)
        return MENDABLE
    except KeyboardInterrupt as error:
        print("segbench: stopped; the same command goes on from here", file=sys.stderr)
        return getattr(error, "code", INTERRUPTED)


def lines_of(error: Exception) -> list[str]:
    """An error as it is printed: one line, or several where it lists the faults of a data set;
    foreign names spelled out.
    """
    from trials.records.faults import FaultyData, printable

    lines = error.lines() if isinstance(error, FaultyData) else [str(error) or type(error).__name__]
    return [printable(line) for line in lines]


def parser() -> argparse.ArgumentParser:
    """All verbs and their flags."""
    top = argparse.ArgumentParser(
        prog="segbench",
        description="Benchmark volumetric segmentation: each cell of model x loss x sampling "
        "tuned, trained, scored.",
        epilog="Start with `segbench run --grid demo`: no data, no GPU, about five minutes.",
    )
    top.add_argument("--version", action="version", version=f"segbench {own_version()}")
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True)
    add_run(verbs)
    add_plan(verbs)
    add_status(verbs)
    add_ls(verbs)
    add_check(verbs)
    add_prepare(verbs)
    add_report(verbs)
    add_export(verbs)
    add_audit(verbs)
    add_score(verbs)
    add_doctor(verbs)
    return top


def add_verb(verbs, name: str, summary: str, verb) -> argparse.ArgumentParser:
    """A verb with the flag that all share."""
    sub = verbs.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
    sub.set_defaults(verb=verb)
    return sub


def add_run(verbs) -> None:
    sub = add_verb(
        verbs,
        "run",
        "run a grid from data to report; the same command again runs what is missing",
        run,
    )
    add_run_flags(sub)


def run(options: argparse.Namespace) -> int:
    """segbench run."""
    from bench.run import run_grid

    return run_grid(options)


def add_plan(verbs) -> None:
    sub = add_verb(
        verbs,
        "plan",
        "what a grid will cost here: time, memory and disk by cell, from steps really taken",
        plan,
    )
    add_plan_flags(sub)


def plan(options: argparse.Namespace) -> int:
    """segbench plan."""
    from bench.plan.plan import plan_grid

    return plan_grid(options)


def add_status(verbs) -> None:
    sub = add_verb(
        verbs,
        "status",
        "what a run has done, what runs now and when it ends, from another shell",
        status,
    )
    sub.add_argument("run", type=folder_or_url, help="the run folder, or its URL")


def status(options: argparse.Namespace) -> int:
    """segbench status."""
    from datetime import datetime

    from bench.run_folder.status import status_text

    print(status_text(options.run, datetime.now()))
    return FINISHED


def add_ls(verbs) -> None:
    add_verb(
        verbs, "ls", "list models, losses, samplings, grids and data sets, with what each tunes", ls
    )


def ls(options: argparse.Namespace) -> int:
    """segbench ls."""
    from bench.commands.list import listing

    print(listing())
    return FINISHED


def add_check(verbs) -> None:
    sub = add_verb(verbs, "check", "list every fault of a data set at once", check)
    sub.epilog = "Exit code: 0 with warnings or without; 2 with faults."
    sub.add_argument(
        "folder", type=local_path_argument, metavar="DATA", help="the data set's folder"
    )
    sub.add_argument("--dataset", help=f"{NAMES} (default: told by the folder)")
    sub.add_argument(
        "--json",
        action="store_true",
        help='print {"faults": [{case, file, code, message, fix, level}, ...]} instead',
    )
    sub.add_argument(
        "--workers", type=processes, metavar="N", help="processes (default: one a core)"
    )


def check(options: argparse.Namespace) -> int:
    """segbench check."""
    from bench.commands.check import check_folder

    return check_folder(options)


def add_prepare(verbs) -> None:
    sub = add_verb(
        verbs, "prepare", "check a data set and prepare it once for every trial", prepare
    )
    sub.add_argument("dataset", help=NAMES)
    sub.add_argument("folder", type=local_path_argument, help="the data set's folder")
    sub.add_argument(
        "--cache",
        type=folder_or_url,
        required=True,
        metavar="DIR|URL",
        help="where the prepared data go",
    )
    sub.add_argument(
        "--cube",
        type=int,
        default=128,
        metavar="N",
        help="edge of the cube in voxels (default: 128)",
    )
    sub.add_argument(
        "--workers", type=processes, metavar="N", help="processes (default: one a core)"
    )
    sub.add_argument("--skip-bad", action="store_true", help=SKIP_BAD)
    sub.add_argument(
        "--download",
        action="store_true",
        help=f"first fetch what is missing, resumable ({FETCHED})",
    )


def prepare(options: argparse.Namespace) -> int:
    """segbench prepare."""
    from bench.commands.prepare import prepare_folder

    return prepare_folder(options)


def add_report(verbs) -> None:
    sub = add_verb(
        verbs, "report", "write tables and report of a run folder again, finished or not", report
    )
    sub.add_argument("run", type=folder_or_url, help="the run folder, or its URL")
    sub.add_argument(
        "--images",
        choices=["none", "masks", "ct"],
        help="pictures of patients in the page: none, masks alone, masks on the CT (default: ct "
        "for phantoms, else masks)",
    )
    sub.add_argument(
        "--watch",
        action="store_true",
        help="write it again whenever the run has got further, until it ends or Ctrl-C",
    )
    sub.add_argument(
        "--add",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="show somebody else's predictions of the test cases beside the run's, as CASE.nii.gz; "
        "may be repeated",
    )
    sub.add_argument(
        "--data",
        type=local_path_argument,
        metavar="DIR",
        help="where the run's data lie now, for --add (default: as in the run)",
    )
    sub.add_argument("--grid", metavar="FILE.py", help=OWN_METRICS)


def report(options: argparse.Namespace) -> int:
    """segbench report."""
    from bench.run import report_folder

    return report_folder(options)


def add_export(verbs) -> None:
    sub = add_verb(
        verbs,
        "export",
        "write the prepared data as one .npy file a slice, as the study did",
        export,
    )
    sub.add_argument("what", choices=["slices"])
    sub.add_argument(
        "prepared", type=folder_or_url, help="a prepared folder, as `segbench prepare` prints it"
    )
    sub.add_argument("out", type=local_path_argument, help="where the files go")
    sub.add_argument("--axis", choices=["axial", "coronal", "sagittal"], default="axial")


def export(options: argparse.Namespace) -> int:
    """segbench export."""
    from bench.run_folder.own_places import refuse_overlap
    from trials.data.batches.slices import export_slices
    from trials.data.prepared.cache import open_cache

    cache = open_cache(options.prepared)
    refuse_overlap("OUT", options.out, "PREPARED", options.prepared.parent)
    export_slices(cache, options.out, options.axis)
    print(options.out)
    return FINISHED


def add_audit(verbs) -> None:
    sub = add_verb(verbs, "audit", "check anybody's printed tables of Dice and IoU by rule", audit)
    sub.epilog = "Exit code: 0 with or without findings; 2 where the file cannot be read as tables."
    sub.add_argument(
        "tables",
        type=local_path_argument,
        metavar="TABLES.csv",
        help="columns table, class_name or class_index (0: background), iou, dice",
    )
    sub.add_argument(
        "--json",
        action="store_true",
        help='print {"findings": [{table, row, rule, message}, ...]} instead',
    )
    floor = (
        "background {} of an empty prediction on the table's cases (default: that of KiTS23's "
        "published test split)"
    )
    sub.add_argument("--floor-dice", metavar="DICE", help=floor.format("Dice"))
    sub.add_argument("--floor-iou", metavar="IOU", help=floor.format("IoU"))


def audit(options: argparse.Namespace) -> int:
    """segbench audit."""
    from reports.audit.rules import audit_file

    print(audit_file(options.tables, options.floor_dice, options.floor_iou, options.json))
    return FINISHED


def add_score(verbs) -> None:
    sub = add_verb(
        verbs,
        "score",
        "score a folder of predicted masks against the reference, made by any program",
        score,
    )
    sub.add_argument(
        "--reference",
        type=local_path_argument,
        required=True,
        metavar="DIR",
        help="masks as CASE.nii.gz or CASE/segmentation.nii.gz",
    )
    sub.add_argument(
        "--prediction",
        type=local_path_argument,
        required=True,
        metavar="DIR",
        help="the same of the predictions, on the case's own grid",
    )
    sub.add_argument(
        "--dataset",
        default=DEFAULT,
        help=f"which classes there are: {NAMES} (default: {DEFAULT})",
    )
    sub.add_argument(
        "--cases",
        nargs="+",
        metavar="CASE",
        help="score these alone (default: all, and none may lack)",
    )
    sub.add_argument(
        "--csv", type=local_path_argument, metavar="FILE", help="write every score of every case"
    )
    sub.add_argument("--grid", metavar="FILE.py", help=OWN_METRICS)
    sub.add_argument(
        "--workers", type=processes, metavar="N", help="processes (default: one a core)"
    )


def score(options: argparse.Namespace) -> int:
    """segbench score."""
    from bench.commands.score import score_folders
    from reports.stats.score_means import means_text, score_means

    table = score_folders(options)
    print(means_text(score_means(table.rows, table.official, table.labels)))
    return FINISHED


def add_doctor(verbs) -> None:
    add_doctor_flags(
        add_verb(
            verbs,
            "doctor",
            "look for what stands in the way of a run, and say how to fix it",
            doctor,
        )
    )


def doctor(options: argparse.Namespace) -> int:
    """segbench doctor."""
    from bench.doctor.run import doctor as examine

    return examine(options)


if __name__ == "__main__":
    sys.exit(main())
