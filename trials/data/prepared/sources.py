"""What the file of a volume held when it was last read: its digest, and the size and time that
spare reading it again.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from trials.data.nifti.header import volume_files, volume_fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file as it was: where, its size in bytes, when it was modified (ns), and the fingerprint of
    its bytes. If its voxels lie in another file, size and time are sums over both.
    """

    path: str
    size: int
    mtime_ns: int
    digest: str


def look_at(path: Path, known: Source | None = None) -> Source:
    """Describe a file; where path, size and time are the known ones its digest is believed,
    otherwise it is read.

    Raises ValueError if the file cannot be read.
    """
    now = unread(path)
    if known and (known.path, known.size, known.mtime_ns) == (now.path, now.size, now.mtime_ns):
        return known
    try:
        return replace(now, digest=volume_fingerprint(path))
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None


def unchanged(known: Source) -> Path:
    """The path of a file that still is what it was when a case was prepared from it. Raises
    ValueError if it is not.
    """
    path = Path(known.path)
    if look_at(path, known).digest != known.digest:
        raise ValueError(f"{path} has changed since it was prepared; prepare the data set again")
    return path


def unread(path: Path) -> Source:
    """Describe a file before it is read: its digest is "" until it has been. Raises ValueError if
    there is none.
    """
    path = path.absolute()
    try:
        stats = [file.stat() for file in volume_files(path)]
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    return Source(
        path=str(path),
        size=sum(stat.st_size for stat in stats),
        mtime_ns=sum(stat.st_mtime_ns for stat in stats),
        digest="",
    )
