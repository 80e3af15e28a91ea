"""segbench export: writes prepared data as files of single slices."""

import argparse

from bench.commands.verb import Verbs, add_verb
from bench.exit_codes import FINISHED
from trials.storage.probe import folder_or_url, local_path_argument


def add(verbs: Verbs) -> None:
    """The verb and its flags."""
    verb = add_verb(
        verbs,
        "export",
        "write prepared data as one .npy file per slice",
        run,
    )
    verb.add_argument("what", choices=["slices"], help="what to export")
    verb.add_argument(
        "prepared", type=folder_or_url, help="a prepared folder, as `segbench prepare` prints it"
    )
    verb.add_argument("out", type=local_path_argument, help="the folder to write to")
    verb.add_argument(
        "--axis",
        choices=["axial", "coronal", "sagittal"],
        default="axial",
        help="the direction of the slices (default: axial)",
    )


def run(options: argparse.Namespace) -> int:
    """segbench export."""
    from bench.run_folder.own_places import refuse_overlap
    from trials.data.batches.slices import export_slices
    from trials.data.prepared.cache import open_cache

    cache = open_cache(options.prepared)
    refuse_overlap("OUT", options.out, "PREPARED", options.prepared.parent)
    export_slices(cache, options.out, options.axis)
    print(options.out)
    return FINISHED
