"""The folder of the Ray that a run starts: a Unix socket's path is short, and that of a job's own
temporary folder often is not.
"""

import os
import tempfile
from pathlib import Path

from trials.storage.spool import private_folder

# The path of a Unix socket on Linux (unix(7)), and what Ray adds to its folder:
# /session_2026-11-28_03-22-52_123456_4194304/sockets/plasma_store.
SOCKET_BYTES = 107
ADDED_BYTES = 66
LONGEST = SOCKET_BYTES - ADDED_BYTES - len("/ray")
# A folder of our own is made in one of them.
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108


def ray_folder() -> str | None:
    """Where Ray keeps its sockets: a short folder if the temporary one has a long path, None where
    Ray's own choice will do.

    Raises ValueError naming RAY_TMPDIR where no folder is short.
    """
    chosen = os.environ.get("RAY_TMPDIR")
    folder = chosen or tempfile.gettempdir()
    if len(os.fsencode(os.path.abspath(folder))) <= LONGEST:
        return None
    short = next((path for path in SHORT_FOLDERS if os.access(path, os.W_OK | os.X_OK)), None)
    if chosen or short is None:
        name = "RAY_TMPDIR" if chosen else "TMPDIR"
        raise ValueError(
            f"Ray's sockets need a folder whose path has at most {LONGEST} bytes; {name} is "
            f"{folder}; set RAY_TMPDIR to a shorter folder on this machine, such as /tmp"
        )
    return str(private_folder(Path(short)) / "ray")
