"""segbench export: writes prepared data as files of single slices, a data set and its split as
folders of nnU-Net, or trials of a run as a MONAI bundle.
"""

import argparse
from collections.abc import Callable

from bench.commands.predict import add_trials
from bench.verb import FINISHED, NAMES, Verbs, add_verb
from trials.storage.probe import folder_or_url, local_path_argument


def add(verbs: Verbs) -> None:
    """The verb and what it exports, each with its flags."""
    verb = add_verb(
        verbs,
        "export",
        "write prepared data as slices, a data set for nnU-Net, or trials as a MONAI bundle",
        run,
    )
    kinds = verb.add_subparsers(metavar="WHAT", required=True)
    add_slices(kinds.add_parser("slices", help="one .npy file for each slice of prepared cubes"))
    add_nnunet(kinds.add_parser("nnunet", help="a data set and one of its splits for nnU-Net v2"))
    add_bundle(kinds.add_parser("bundle", help="final trials of a run as a MONAI bundle"))


def add_slices(kind: argparse.ArgumentParser) -> None:
    """The flags of `export slices`."""
    kind.set_defaults(export=export_slices)
    kind.add_argument(
        "prepared", type=folder_or_url, help="a prepared folder, as `segbench prepare` prints it"
    )
    kind.add_argument("out", type=local_path_argument, help="the folder to write to")
    kind.add_argument(
        "--axis",
        choices=["axial", "coronal", "sagittal"],
        default="axial",
        help="the direction of the slices (default: axial)",
    )


def add_nnunet(kind: argparse.ArgumentParser) -> None:
    """The flags of `export nnunet`."""
    kind.set_defaults(export=export_nnunet)
    kind.add_argument("data", type=local_path_argument, help="the data set's folder")
    kind.add_argument(
        "out", type=local_path_argument, help="the folder to write, nnUNet_raw/DatasetNNN_NAME"
    )
    kind.add_argument("--dataset", help=f"what DATA holds (default: found out): {NAMES}")
    kind.add_argument("--splits", metavar="NAME", help="the split (default: the data set's)")
    kind.add_argument("--fold", type=int, default=0, metavar="K", help="its fold (default: 0)")
    kind.add_argument(
        "--patients",
        default="",
        metavar="FILE.csv|REGEX",
        help="which cases are scans of one patient, as in a grid",
    )
    kind.add_argument(
        "--regions", action="store_true", help="train on the regions that the challenge scores"
    )
    kind.add_argument("--copy", action="store_true", help="copy the files instead of linking them")


def add_bundle(kind: argparse.ArgumentParser) -> None:
    """The flags of `export bundle`."""
    kind.set_defaults(export=export_bundle)
    kind.add_argument("run", type=folder_or_url, help="the run folder, or its URL")
    kind.add_argument("out", type=local_path_argument, metavar="OUT", help="a new or empty folder")
    add_trials(kind)


def run(options: argparse.Namespace) -> int:
    """segbench export."""
    export: Callable[[argparse.Namespace], None] = options.export
    export(options)
    print(options.out)
    return FINISHED


def export_slices(options: argparse.Namespace) -> None:
    """segbench export slices."""
    from bench.run_folder.own_places import refuse_overlap
    from trials.data.batches.slices import export_slices
    from trials.data.prepared.cache import open_cache

    cache = open_cache(options.prepared)
    refuse_overlap("OUT", options.out, "PREPARED", options.prepared.parent)
    export_slices(cache, options.out, options.axis)


def export_nnunet(options: argparse.Namespace) -> None:
    """segbench export nnunet."""
    from bench.run_folder.own_places import refuse_overlap
    from trials.data.datasets.nnunet.export import export_nnunet
    from trials.data.datasets.opening import open_dataset
    from trials.data.datasets.registry import (
        default_scheme,
        detect_dataset,
        official_regions,
        split_cases,
    )

    name = options.dataset or detect_dataset(options.data)
    dataset = open_dataset(name, options.data, options.patients)
    refuse_overlap("OUT", options.out, "DATA", options.data)
    split = split_cases(dataset, options.splits or default_scheme(dataset), options.fold)
    regions = official_regions(name) if options.regions else ()
    if options.regions and not regions:
        raise ValueError(
            f"--regions needs a data set whose challenge scores regions; {name} has none; leave "
            "it out"
        )
    export_nnunet(dataset, split, options.out, regions, options.copy)


def export_bundle(options: argparse.Namespace) -> None:
    """segbench export bundle: the trials that `segbench predict` takes with the same flags."""
    from bench.predictions.finals import chosen_finals, rules_of_run
    from bench.run_folder.own_places import refuse_overlap
    from reports.load.run_folder import read_run
    from reports.load.unfinished import num_missing
    from trials.data.own_folder import list_contents, refuse_foreign
    from trials.inference.bundle_files import write_bundle

    refuse_overlap("OUT", options.out, "RUN", options.run)
    refuse_foreign(options.out, list_contents(options.out), "a new folder", "name an empty folder")
    run = read_run(options.run)
    lacking = num_missing(run).get("final")
    if lacking and not options.cell:
        raise ValueError(
            f"{run.out} must be finished, since it may still select another configuration; "
            f"{lacking} final trials have no result; run its grid to the end, or name the "
            "configuration with --cell"
        )
    finals = chosen_finals(run, options.cell, options.seed, options.fold)
    licence = (run.record.get("data") or {}).get("licence") or "not stated"
    data = {"dataset": run.record["dataset"], "title": run.title, "licence": licence}
    write_bundle(run.out, finals, data, rules_of_run(run), options.out)
