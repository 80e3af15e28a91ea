"""Where the cases of a data set are if not in the folder that was named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from trials.records.faults import printable

# How many entries of a folder are searched for a data set one level deeper.
MAX_ENTRIES_SEARCHED = 100


def found_instead(find: Callable[[Path], Any], root: Path) -> str:
    """Where the cases are, if one level higher or deeper; otherwise the folder's first entries.
    find returns the data set in a folder.
    """
    entries = sorted(root.iterdir())[:MAX_ENTRIES_SEARCHED]
    for other in (root.absolute().parent, *(entry for entry in entries if entry.is_dir())):
        try:
            if find(other).cases:
                return f", but {other} does: point there"
        except (ValueError, OSError):
            continue
    return (
        f", but {', '.join(printable(entry.name) for entry in entries[:3])}"
        if entries
        else ": it is empty"
    )
