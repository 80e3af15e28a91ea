"""The user of this process, for messages about rights. Standard library only."""

import getpass
import os


def user_name() -> str:
    """Who this process runs as."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"number {os.getuid()}"
