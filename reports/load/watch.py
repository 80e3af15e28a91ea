"""Rebuild a page while its run is in progress."""

from collections.abc import Callable
from pathlib import Path

from trials.storage.atomic import find_files, modified_ns


def watch(
    out: Path,
    rebuild: Callable[[], Path],
    is_running: Callable[[], bool],
    wait: Callable[[], object],
) -> Path:
    """Rebuild the page whenever the run folder has changed, until the run ends; return its path.

    wait() is called between two checks. The last files of the run are on the final page. Raises
    what rebuild raises.
    """
    seen = None
    while True:
        is_last = not is_running()
        if (now := _fingerprint(out)) != seen:
            page, seen = rebuild(), now
        if is_last:
            return page
        wait()


def _fingerprint(out: Path) -> frozenset[tuple[str, int]]:
    """Every result and run.json, by name and time of change."""
    paths = (*find_files(out, "trials/*/result.json"), *find_files(out, "run.json"))
    return frozenset((str(path), modified_ns(path)) for path in paths)
