"""Which folders a command may write to: run folder, cache and data must not overlap, and none may
contain other files of the user.
"""

import re
from pathlib import Path

from bench.execution.ready import Places
from bench.run_folder.lock import LOCK
from trials.data.datasets.registry import DATASETS
from trials.data.own_folder import is_inside, list_contents, refuse_foreign
from trials.records.run_record import OF_A_RUN, OtherFormat, read_run_record

# The name of a trial's folder.
TRIAL = re.compile(r"[0-9a-f]{12}")


def refuse_places(places: Places) -> None:
    """Raise ValueError unless a run may write to its run folder and its cache. Writes nothing.

    The cache may be inside the run folder. The data may not, and neither of the two may be inside
    the data.
    """
    refuse_overlap("--out", places.out, "--cache", places.cache)
    if places.data is not None:
        refuse_overlap("--out", places.out, "--data", places.data)
        refuse_overlap("--data", places.data, "--out", places.out)
    refuse_run_folder(places.out, places.cache)
    refuse_cache(places.cache, places.data)


def refuse_run_folder(out: Path, cache: Path) -> None:
    """Raise ValueError unless a folder is missing, empty, or holds a run or the files that a start
    writes before run.json.
    """
    names = list_contents(out)
    if is_run(out, names):
        return
    foreign = [
        name for name in names if not LOCK.fullmatch(name) and not is_inside(cache, out / name)
    ]
    refuse_foreign(out, foreign, "hold the run.json of a run", "choose a new or empty folder")


def is_run(out: Path, names: list[str]) -> bool:
    """Whether a folder with these names holds a run: by its run.json or, if that is damaged or
    lost, by its trials.
    """
    if "run.json" in names and _has_record(out):
        return True
    return "trials" in names and any(map(TRIAL.fullmatch, list_contents(out / "trials")))


def refuse_cache(cache: Path, data: Path | None) -> None:
    """Raise ValueError unless a folder is outside the data and is missing, empty, or holds prepared
    data.
    """
    if data is not None:
        refuse_overlap("--cache", cache, "--data", data)
    names = list_contents(cache)
    # Folders of prepared data are named by data set and content; a grid file may have registered a
    # data set of its own.
    own = re.compile(
        rf"({'|'.join(map(re.escape, DATASETS))})-((foreground|checked)-)?[0-9a-f]{{12}}"
    )
    foreign = [] if any(map(own.fullmatch, names)) else names
    refuse_foreign(
        cache, foreign, "hold prepared data", "choose a new or empty folder with --cache"
    )


def refuse_overlap(flag: str, folder: Path, other_flag: str, other: Path) -> None:
    """Raise ValueError if a folder is the other one or inside it."""
    if is_inside(folder, other):
        raise ValueError(
            f"{flag} must be outside of {other_flag}; got {folder} in {other}; choose a folder "
            "beside it"
        )


def _has_record(out: Path) -> bool:
    """Whether a folder has the run.json of a run. Raises OtherFormat for another version."""
    try:
        return read_run_record(out).keys() >= OF_A_RUN
    except OtherFormat:
        raise
    except (ValueError, FileNotFoundError, IsADirectoryError):
        return False
