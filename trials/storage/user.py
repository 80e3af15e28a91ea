"""The user of this process: a name for messages about rights, and what a user lacks whom the system
does not know: a number without a name, as in `docker run --user 4242`, or without a home folder.
Standard library only.
"""

import getpass
import os
from pathlib import Path

from trials.storage.spool import scratch


def user_name() -> str:
    """Who this process runs as."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"number {os.getuid()}"


def complete_user() -> None:
    """Give this process and those that it starts what libraries ask for and the system lacks: a
    user name, a home folder, and a folder for caches where the home folder cannot be written.

    Nothing that is set is changed.
    """
    if not has_name():
        os.environ["LOGNAME"] = f"uid{os.getuid()}"
    if not has_home():
        os.environ["HOME"] = str(scratch())
    elif not os.access(Path.home(), os.W_OK):
        os.environ.setdefault("XDG_CACHE_HOME", str(scratch() / "caches"))
        os.environ.setdefault("TRITON_CACHE_DIR", str(scratch() / "caches" / "triton"))


def has_name() -> bool:
    """Whether the system or the environment knows this user's name."""
    try:
        return bool(getpass.getuser())
    except (KeyError, OSError):
        return False


def has_home() -> bool:
    """Whether this user has a home folder, as far as Python can tell."""
    try:
        return bool(os.environ.get("HOME", "unset")) and Path.home().is_absolute()
    except RuntimeError:
        return False
