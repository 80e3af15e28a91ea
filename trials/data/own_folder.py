"""Whether a command may fill a folder: one that is missing or empty, or that holds a file which
only this program writes there.

Every command asks here before it writes its first file. What such a file is, the caller knows.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from trials.records.faults import printable, user_name
from trials.storage.atomic import is_remote, is_unfinished
from trials.storage.object_store import patiently

# What file managers and file systems leave by themselves. Any other hidden file counts: a home
# folder may hold nothing else.
LITTER = re.compile(
    r"\.DS_Store|\._.+|\.localized|\.directory|Thumbs\.db|desktop\.ini|\.nfs[0-9a-f]+|lost\+found",
    re.IGNORECASE,
)
SHOWN = 3


def contents(folder: Path) -> list[str]:
    """The names in a folder or below a URL, sorted; none where it is missing.

    Our own unfinished files do not count, nor what file managers leave. Raises ValueError for what
    is no folder, or cannot be listed.
    """
    names = _objects(folder) if is_remote(folder) else _entries(folder)
    return sorted(name for name in names if not is_unfinished(name) and not LITTER.fullmatch(name))


def refuse_foreign(folder: Path, foreign: Sequence[str], ours: str, fix: str) -> None:
    """Raise ValueError where a folder holds foreign names. ours completes "must be missing or
    empty, or ...".
    """
    if foreign:
        more = f" and {len(foreign) - SHOWN} more" if len(foreign) > SHOWN else ""
        found = ", ".join(printable(name) for name in foreign[:SHOWN]) + more
        raise ValueError(f"{folder} must be missing or empty, or {ours}; it holds {found}; {fix}")


def is_inside(folder: Path, other: Path) -> bool:
    """Whether a folder is the other one or lies in it, links followed; a URL and a local folder
    never do.
    """
    if is_remote(folder) or is_remote(other):
        return (str(folder).rstrip("/") + "/").startswith(str(other).rstrip("/") + "/")
    return Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(other))


def _entries(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        if os.path.islink(folder):
            raise ValueError(
                f"{folder} must be a folder; it is a link that leads nowhere; name another"
            ) from None
        return []
    except NotADirectoryError:
        # A file above it is told by whoever makes the folder.
        if os.path.lexists(folder):
            raise ValueError(f"{folder} must be a folder; it is a file; name another") from None
        return []
    except OSError as error:
        text = (
            f"{folder} must be a folder that user {user_name()} may list; it is not "
            f"({error.strerror})"
        )
        raise ValueError(f"{text}; change its permissions or name another") from None


def _objects(folder: Path) -> list[str]:
    """What lies directly below a URL; some stores list an empty object for the folder itself, which
    does not count.
    """
    try:
        found = patiently(lambda: list(folder.iterdir()), str(folder), patience=0)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [
        path.name
        for path in found
        if path.name and str(path).rstrip("/") != str(folder).rstrip("/")
    ]
