"""Whether a command may write to a folder: it must be missing, empty, or hold a file that only this
program writes.

Every command checks this before it writes its first file. The caller decides which file identifies
its folder.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from trials.records.faults import printable
from trials.storage.atomic import is_remote, is_unfinished
from trials.storage.object_store import retry
from trials.storage.user import user_name

# Files that file managers and file systems create themselves. Other hidden files count: a home
# folder may contain only those.
LITTER = re.compile(
    r"\.DS_Store|\._.+|\.localized|\.directory|Thumbs\.db|desktop\.ini|\.nfs[0-9a-f]+|lost\+found",
    re.IGNORECASE,
)
SHOWN = 3


def list_contents(folder: Path) -> list[str]:
    """The names in a folder or below a URL, sorted; empty if it is missing.

    Our temporary files and those of file managers are ignored. Raises ValueError for a path that is
    not a folder or cannot be listed.
    """
    names = _objects(folder) if is_remote(folder) else _entries(folder)
    return sorted(name for name in names if not is_unfinished(name) and not LITTER.fullmatch(name))


def refuse_foreign(folder: Path, foreign: Sequence[str], ours: str, fix: str) -> None:
    """Raise ValueError if a folder holds foreign names. ours completes "must be missing or empty,
    or ...".
    """
    if foreign:
        more = f" and {len(foreign) - SHOWN} more" if len(foreign) > SHOWN else ""
        found = ", ".join(printable(name) for name in foreign[:SHOWN]) + more
        raise ValueError(f"{folder} must be missing or empty, or {ours}; it holds {found}; {fix}")


def is_inside(folder: Path, other: Path) -> bool:
    """Whether a folder is the other one or inside it, links resolved; False for a URL and a local
    folder.
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
                f"{folder} must be a folder; it is a broken link; name another"
            ) from None
        return []
    except NotADirectoryError:
        # A file in place of a parent is reported when the folder is created.
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
    """The names directly below a URL; an empty object for the folder itself, which some stores
    list, is ignored.
    """
    try:
        found = retry(lambda: list(folder.iterdir()), str(folder), patience=0)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [
        path.name
        for path in found
        if path.name and str(path).rstrip("/") != str(folder).rstrip("/")
    ]
