"""segbench prepare: downloads, checks and prepares a data set, so that a run can start at once."""

import argparse
from typing import TYPE_CHECKING

from bench.verb import (
    FETCHED,
    FINISHED,
    NAMES,
    SKIP_BAD,
    WITH_FAILURES,
    Verbs,
    add_data,
    add_verb,
    add_workers,
    required_folder,
)
from trials.storage.probe import folder_or_url

if TYPE_CHECKING:
    from rich.console import Console


def add(verbs: Verbs) -> None:
    """The verb and its flags."""
    verb = add_verb(verbs, "prepare", "check a data set and prepare it for all trials", run)
    verb.add_argument("dataset", help=NAMES)
    add_data(verb)
    verb.add_argument(
        "--cache",
        type=folder_or_url,
        required=True,
        metavar="DIR|URL",
        help="the folder for prepared data",
    )
    verb.add_argument(
        "--cube",
        type=int,
        default=128,
        metavar="N",
        help="edge of the cube in voxels (default: 128)",
    )
    verb.add_argument(
        "--spacing",
        type=spacing_argument,
        metavar="RULE|MM",
        help="prepare for patches instead: lowres, fullres, or the spacing along D, H and W in mm, "
        "such as 3,2,2",
    )
    add_workers(verb)
    verb.add_argument("--skip-bad", action="store_true", help=SKIP_BAD)
    verb.add_argument(
        "--download",
        action="store_true",
        help=f"download missing files first; can be resumed ({FETCHED})",
    )


def spacing_argument(text: str) -> str | tuple[float, ...]:
    """A rule, or numbers separated by commas."""
    return text if text.isalpha() else tuple(float(number) for number in text.split(","))


def run(options: argparse.Namespace) -> int:
    """Prepare options.folder and print the path of the prepared folder; returns 0, or 3 if
    --skip-bad excluded cases.

    Raises ValueError if the folder is not a data set, and FaultyData listing the faults of its
    cases.
    """
    from rich.console import Console

    from bench.execution.data import (
        open_sound_part,
        prepare_with_bar,
        print_notes,
        print_patients,
    )
    from bench.run_folder.own_places import refuse_cache
    from trials.data.datasets.opening import open_dataset
    from trials.data.datasets.registry import DATASETS
    from trials.data.prepared.cache import open_cache
    from trials.records.faults import bad_cases
    from trials.records.registry import pick
    from trials.records.spec import Cube, Spacing

    console = Console(stderr=True, markup=False, emoji=False)
    pick(DATASETS, "data set", options.dataset)
    options.folder = required_folder(options)
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
    print_patients(dataset, console)
    preparation = Spacing(mm=options.spacing) if options.spacing else Cube(edge=options.cube)
    prepared = prepare_with_bar(dataset, preparation, options.cache, (), console, options.workers)
    print_notes(open_cache(prepared), console)
    print(prepared)
    return WITH_FAILURES if bad_cases(dataset.faults) else FINISHED


def download(options: argparse.Namespace, console: "Console") -> None:
    """Download the missing files of a data set to options.folder."""
    from trials.data.datasets.registry import DATASETS
    from trials.records.registry import Entry

    part = DATASETS[options.dataset]
    if not part.download:
        known = ", ".join(name for name, part in DATASETS.items() if part.download)
        raise ValueError(
            f"--download supports {known}; got {options.dataset}; copy its files to "
            f"{options.folder} yourself"
        )
    Entry(part.download).load()(
        options.folder,
        on_case=lambda done, total: console.print(f"downloaded {done} of {total}", highlight=False),
    )
