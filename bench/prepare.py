"""segbench prepare: fetch, check and prepare a data set, so that a run starts at once."""

import argparse

from rich.console import Console

from bench.prepared import prepare_with_bar
from trials.data.datasets import DATASETS, open_dataset
from trials.parts import pick
from trials.spec import Preparation


def prepare_folder(options: argparse.Namespace) -> int:
    """Prepare options.folder and print the prepared folder's path; returns 0. Raises ValueError for what is wrong with it."""
    console = Console(stderr=True)
    pick(DATASETS, "data set", options.dataset)
    if options.download:
        download(options, console)
    dataset = open_dataset(options.dataset, options.folder)
    of = f" of {dataset.published}" if dataset.published else ""
    console.print(f"{len(dataset.cases)}{of} cases in {options.folder}", highlight=False)
    print(prepare_with_bar(dataset, Preparation(cube=options.cube), options.cache, (), console))
    return 0


def download(options: argparse.Namespace, console: Console) -> None:
    """Fetch what is missing of KiTS23 into options.folder."""
    if options.dataset != "kits23":
        raise ValueError(
            f"--download knows where kits23 is published; {options.dataset} has to be put into {options.folder} by you"
        )
    from trials.data.download import download_kits23

    download_kits23(options.folder, on_case=lambda done, total: console.print(f"fetched {done} of {total}", highlight=False))
