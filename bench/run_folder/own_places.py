"""Which folders a command may fill: a run folder, a cache and the data keep apart, and none is put
among somebody's files.
"""

import re
from pathlib import Path

from bench.execution.jobs import Places
from bench.run_folder.lock import LOCK
from trials.data.datasets.registry import DATASETS
from trials.data.own_folder import is_inside, list_contents, refuse_foreign
from trials.records.run_record import OF_A_RUN, OtherFormat, read_run_record

# How a trial's folder is named.
TRIAL = re.compile(r"[0-9a-f]{12}")


def refuse_places(places: Places) -> None:
    """Raise ValueError unless a run may fill its run folder and its cache. Nothing is written.

    The cache may lie in the run folder; the data may not, and neither of them in the data.
    """
    refuse_overlap("--out", places.out, "--cache", places.cache)
    if places.data is not None:
        refuse_overlap("--out", places.out, "--data", places.data)
        refuse_overlap("--data", places.data, "--out", places.out)
    refuse_run_folder(places.out, places.cache)
    refuse_cache(places.cache, places.data)


def refuse_run_folder(out: Path, cache: Path) -> None:
    """Raise ValueError unless a folder is missing, empty, or holds a run, or what a start leaves
    before its run.json.
    """
    names = list_contents(out)
    if is_run(out, names):
        return
    foreign = [
        name for name in names if not LOCK.fullmatch(name) and not is_inside(cache, out / name)
    ]
    refuse_foreign(out, foreign, "hold the run.json of a run", "name a new or empty folder")


def is_run(out: Path, names: list[str]) -> bool:
    """Whether a folder with these names is a run's: by its run.json or, where that is damaged or
    lost, by its trials.
    """
    if "run.json" in names and _has_record(out):
        return True
    return "trials" in names and any(map(TRIAL.fullmatch, list_contents(out / "trials")))


def refuse_cache(cache: Path, data: Path | None) -> None:
    """Raise ValueError unless a folder outside the data is missing, empty, or holds
    prepared data."""
    if data is not None:
        refuse_overlap("--cache", cache, "--data", data)
    names = list_contents(cache)
    # Prepared data lie in folders named by data set and content; a grid file may have brought a
    # data set of its own.
    own = re.compile(
        rf"({'|'.join(map(re.escape, DATASETS))})-((foreground|checked)-)?[0-9a-f]{{12}}"
    )
    foreign = [] if any(map(own.fullmatch, names)) else names
    refuse_foreign(cache, foreign, "hold prepared data", "name a new or empty folder with --cache")


def refuse_overlap(flag: str, folder: Path, other_flag: str, other: Path) -> None:
    """Raise ValueError where a folder is the other one or lies in it."""
    if is_inside(folder, other):
        raise ValueError(
            f"{flag} must lie outside of {other_flag}; got {folder} in {other}; name a folder "
            "beside it"
        )


def _has_record(out: Path) -> bool:
    """Whether the run.json of a folder is a run's. Raises OtherFormat for another version's."""
    try:
        return read_run_record(out).keys() >= OF_A_RUN
    except OtherFormat:
        raise
    except (ValueError, FileNotFoundError, IsADirectoryError):
        return False
