"""Object stores behind an fsspec URL: one PUT an object, read back whole, tried again while the
store is away.
"""

import random
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

# A store that stays away for longer than this is an error; a trial's work is kept on the node's own
# disk meanwhile.
PATIENCE_SECONDS = 1800.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
# What asking again does not mend.
FINAL = (FileNotFoundError, IsADirectoryError, NotADirectoryError)

T = TypeVar("T")


class StoreAway(OSError):
    """A store did not answer for as long as it was asked: no fault of whoever asked."""


def remote_path(url: str) -> Path:
    """The folder or object at a URL such as s3://bucket/run, with the methods of a Path that read.

    Listings are not kept, since other nodes write there too. Raises ValueError where the scheme or
    its package is unknown.
    """
    from upath import UPath

    try:
        path = UPath(url, use_listings_cache=False)
        path.fs  # noqa: B018 - loads the scheme's package
    except (ImportError, ValueError) as error:
        raise ValueError(
            f"{url}: {error}; give a folder, or install the package (for s3://: pip install s3fs)"
        ) from None
    return cast(Path, path)


def put(path: Path, content: bytes, patience: float = PATIENCE_SECONDS) -> None:
    """Store an object in one PUT: whole or not at all. Raises OSError once patience (seconds) is
    over.
    """
    patiently(partial(path.fs.pipe_file, path.path, content), str(path), patience)  # type: ignore[attr-defined]


def put_new(path: Path, content: bytes) -> bool:
    """Store an object unless there is one of this name; False where there is. Exclusive on stores
    that offer it, as S3 does.

    It is not tried again, since who gets no answer cannot tell its own object from another's.
    Raises StoreAway.
    """
    try:
        path.fs.pipe_file(path.path, content, mode="create")  # type: ignore[attr-defined]
    except FileExistsError:
        return False
    except Exception as error:  # the package of each store has errors of its own
        raise away(str(path), error) from error
    return True


def away(what: str, error: Exception) -> StoreAway:
    """The error that says which store, whatever its package raised."""
    return StoreAway(
        f"{what}: the store refuses or does not answer ({type(error).__name__}: {error})"
    )


def patiently(action: Callable[[], T], what: str, patience: float = PATIENCE_SECONDS) -> T:
    """What action() returns; where a store fails it is tried again after growing pauses for so many
    seconds.

    A file that is not there is an answer and raised at once. Raises StoreAway naming what in the
    end.
    """
    ends, pause = time.monotonic() + patience, FIRST_PAUSE_SECONDS
    while True:
        try:
            return action()
        except FINAL:
            raise
        except Exception as error:  # the package of each store has errors of its own
            if time.monotonic() + pause > ends:
                raise away(what, error) from error
            if pause == FIRST_PAUSE_SECONDS:
                print(
                    f"{what}: the store refuses or does not answer ({error}); trying again",
                    file=sys.stderr,
                    flush=True,
                )
        # Nodes that lost the store together do not come back to it together.
        time.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
