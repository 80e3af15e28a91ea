"""segbench export: writes prepared data as files of single slices, or a data set and its split as
folders of nnU-Net.
"""

import argparse
from collections.abc import Callable

from bench.commands.verb import NAMES, Verbs, add_verb
from bench.exit_codes import FINISHED
from trials.storage.probe import folder_or_url, local_path_argument


def add(verbs: Verbs) -> None:
    """The verb and what it exports, each with its flags."""
    verb = add_verb(
        verbs,
        "export",
        "write prepared data as one .npy file per slice, or a data set for nnU-Net",
        run,
    )
    kinds = verb.add_subparsers(metavar="WHAT", required=True)
    add_slices(kinds.add_parser("slices", help="one .npy file for each slice of prepared cubes"))
    add_nnunet(kinds.add_parser("nnunet", help="a data set and one of its splits for nnU-Net v2"))


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
    from trials.data.datasets.registry import (
        default_scheme,
        detect_dataset,
        official_regions,
        open_dataset,
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
