"""Object stores behind an fsspec URL: one PUT per object, whole reads, and retries while the store
fails.
"""

import random
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

# A store that fails for longer than this is an error; meanwhile a trial's result is kept on the
# node's disk.
PATIENCE_SECONDS = 1800.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
# Errors that a retry does not fix.
NOT_RETRIED = (FileNotFoundError, IsADirectoryError, NotADirectoryError)

T = TypeVar("T")


class StoreUnavailable(OSError):
    """A store did not answer within the retry time; the caller is not at fault."""


def remote_path(url: str) -> Path:
    """The folder or object at a URL such as s3://bucket/run, with the reading methods of a Path.

    Listings are not cached, since other nodes write there too. Raises ValueError if the scheme is
    unknown or its package is not installed.
    """
    from upath import UPath

    try:
        path = UPath(url, use_listings_cache=False)
        path.fs  # noqa: B018 - loads the scheme's package
    except (ImportError, ValueError) as error:
        raise ValueError(
            f"{url}: {error}; name a local folder, or install the package (for s3://: "
            "pip install s3fs)"
        ) from None
    return cast(Path, path)


def put(path: Path, content: bytes, patience: float = PATIENCE_SECONDS) -> None:
    """Store an object in one atomic PUT. Raises OSError after `patience` seconds of retries."""
    retry(partial(path.fs.pipe_file, path.path, content), str(path), patience)  # type: ignore[attr-defined]


def put_new(path: Path, content: bytes) -> bool:
    """Store an object unless one of this name exists, in which case return False. Atomic on stores
    that support exclusive creation, such as S3.

    It is not retried: without an answer, our own object cannot be told from another writer's.
    Raises StoreUnavailable.
    """
    try:
        path.fs.pipe_file(path.path, content, mode="create")  # type: ignore[attr-defined]
    except FileExistsError:
        return False
    except Exception as error:  # each store's package has its own errors
        raise store_error(str(path), error) from error
    return True


def store_error(what: str, error: Exception) -> StoreUnavailable:
    """The error that names the store, whatever its package raised."""
    return StoreUnavailable(
        f"{what}: the store refuses or does not answer ({type(error).__name__}: {error})"
    )


def retry(action: Callable[[], T], what: str, patience: float = PATIENCE_SECONDS) -> T:
    """Return what action() returns; if the store fails, retry with growing pauses for `patience`
    seconds.

    A missing file is an answer, so it is raised at once. Raises StoreUnavailable, naming `what`,
    when the time is over.
    """
    ends, pause = time.monotonic() + patience, FIRST_PAUSE_SECONDS
    while True:
        try:
            return action()
        except NOT_RETRIED:
            raise
        except Exception as error:  # each store's package has its own errors
            if time.monotonic() + pause > ends:
                raise store_error(what, error) from error
            if pause == FIRST_PAUSE_SECONDS:
                print(
                    f"{what}: the store refuses or does not answer ({error}); retrying",
                    file=sys.stderr,
                    flush=True,
                )
        # Jitter, so that nodes that lost the store together do not retry together.
        time.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
