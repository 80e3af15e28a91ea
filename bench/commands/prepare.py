"""segbench prepare: fetch, check and prepare a data set, so that a run starts at once."""

import argparse

from rich.console import Console

from bench.execution.data import open_sound_part, prepare_with_bar, print_notes
from bench.exit_codes import FINISHED, WITH_FAILURES
from bench.run_folder.own_places import refuse_cache
from trials.data.datasets.registry import DATASETS, open_dataset
from trials.data.prepared.cache import open_cache
from trials.records.faults import bad_cases
from trials.records.registry import Entry, pick
from trials.records.spec import Cube


def prepare_folder(options: argparse.Namespace) -> int:
    """Prepare options.folder and print the prepared folder's path; returns 0, or 3 if --skip-bad
    left cases out.

    Raises ValueError for what is wrong with it, FaultyData for the faults of its cases.
    """
    console = Console(stderr=True)
    pick(DATASETS, "data set", options.dataset)
    refuse_cache(options.cache, options.folder)
    if options.download:
        download(options, console)
    if options.skip_bad:
        dataset = open_sound_part(
            options.dataset, options.folder, options.cache, console, options.workers
        )
    else:
        dataset = open_dataset(options.dataset, options.folder)
    of = f" of {dataset.published}" if dataset.published else ""
    console.print(
        f"{len(dataset.cases)}{of} cases in {options.folder}", highlight=False, soft_wrap=True
    )
    prepared = prepare_with_bar(
        dataset, Cube(edge=options.cube), options.cache, (), console, options.workers
    )
    print_notes(open_cache(prepared), console)
    print(prepared)
    return WITH_FAILURES if bad_cases(dataset.faults) else FINISHED


def download(options: argparse.Namespace, console: Console) -> None:
    """Fetch what is missing of a data set into options.folder."""
    part = DATASETS[options.dataset]
    if not part.download:
        known = ", ".join(name for name, part in DATASETS.items() if part.download)
        raise ValueError(
            f"--download knows where {known} is published; {options.dataset} has to be put into "
            f"{options.folder} by you"
        )
    Entry(part.download).load()(
        options.folder,
        on_case=lambda done, total: console.print(f"fetched {done} of {total}", highlight=False),
    )
