"""What a file held when it was last read: its digest, and the size and time that spare reading it again."""

from dataclasses import dataclass
from pathlib import Path

from trials.files import fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file as it was: where, its size in bytes, when it was modified (ns), and the fingerprint of its bytes."""

    path: str
    size: int
    mtime_ns: int
    digest: str


def look_at(path: Path, known: Source | None = None) -> Source:
    """Describe a file; where path, size and time are the known ones its digest is believed, otherwise it is read.

    Raises ValueError if the file cannot be read.
    """
    path = path.absolute()
    try:
        stat = path.stat()
        if known and (known.path, known.size, known.mtime_ns) == (str(path), stat.st_size, stat.st_mtime_ns):
            return known
        return Source(path=str(path), size=stat.st_size, mtime_ns=stat.st_mtime_ns, digest=fingerprint(path))
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
