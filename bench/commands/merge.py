"""segbench merge: runs of several machines on the same data, splits and code become one report."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bench.verb import FINISHED, Verbs, add_verb
from trials.storage.probe import folder_or_url

if TYPE_CHECKING:
    from bench.run_folder.merging import Part, Whole


def add(verbs: Verbs) -> None:
    """The verb and its flags."""
    verb = add_verb(
        verbs,
        "merge",
        "make one run of several that have the same data, splits, code and settings",
        run,
    )
    verb.add_argument(
        "runs", type=folder_or_url, nargs="+", metavar="RUN", help="a run folder, or its URL"
    )
    verb.add_argument(
        "--out",
        type=folder_or_url,
        required=True,
        metavar="DIR|URL",
        help="a new folder, to which the trials are copied with their weights",
    )


def run(options: argparse.Namespace) -> int:
    """Merge options.runs into options.out, write its report and print its path.

    Raises ValueError saying what differs in runs that cannot be one, before anything is written.
    """
    import shlex

    from bench.run import write_report
    from bench.run_folder.merging import merge, read_part
    from bench.run_folder.own_places import refuse_overlap
    from trials.data.own_folder import list_contents, refuse_foreign

    if len(options.runs) < 2:
        raise ValueError("merge needs two runs or more; got one")
    for out in options.runs:
        refuse_overlap("--out", options.out, "RUN", out)
    foreign = list_contents(options.out)
    refuse_foreign(options.out, foreign, "be named anew", "choose a new or empty folder")
    parts = [read_part(out) for out in options.runs]
    words = ["segbench", "merge", *map(str, options.runs), "--out", str(options.out)]
    copy_trials(options.out, merge(parts, shlex.join(words)), parts)
    print(write_report(options.out))
    return FINISHED


def copy_trials(out: Path, whole: "Whole", parts: "list[Part]") -> None:
    """Write the merged run's run.json, grid.py, trials, pictures, ceilings and the predictions that
    were added to one of the runs.
    """
    from bench.execution.progress_bar import progress_bar
    from bench.run_folder.reuse import copy_folder
    from trials.records.job import trial_folder
    from trials.records.run_record import write_run_record

    write_run_record(out, {k: v for k, v in whole.record.items() if k not in ("format", "sha256")})
    write_grids(out, parts)
    with progress_bar("copying trials", len(whole.trials)) as tick:
        for trial, part in whole.trials.items():
            copy_folder(trial_folder(part.out, trial), trial_folder(out, trial))
            tick()
    for part in parts:
        for name in ("cases", "external", "ensembles"):
            copy_folder(part.out / name, out / name)
    write_all_ceilings(out, parts)


def write_grids(out: Path, parts: "list[Part]") -> None:
    """Write grid.py: the grid of the runs or, if they differ, all of them one after the other."""
    from bench.run_folder.continuing import read_stored_grid
    from trials.storage.atomic import write_text

    texts = list(dict.fromkeys(read_stored_grid(part.out) for part in parts))
    write_text(out / "grid.py", "\n\n".join(texts))


def write_all_ceilings(out: Path, parts: "list[Part]") -> None:
    """Write ceiling.json with the ceilings of every run, if any has them."""
    from bench.execution.ceilings import read_ceilings, write_ceiling_file

    found = [one for part in parts for one in read_ceilings(part.out / "ceiling.json")]
    if found:
        write_ceiling_file(out / "ceiling.json", found)
