"""ceiling.json: the highest score that each preparation of a run allows on the test cases, one
entry per preparation.
"""

from collections.abc import Sequence
from pathlib import Path

from bench.execution.data import Prepared
from trials.data.prepared.cache import open_cache
from trials.inference.ceiling import ceiling_scores
from trials.records.codec import from_json, to_json
from trials.records.result import Ceiling, Ceilings
from trials.storage.atomic import read_text, write_text
from trials.storage.checksum import add_checksum


def write_ceilings(out: Path, prepared: Prepared) -> None:
    """Write RUN/ceiling.json, keeping the ceilings that it holds for the same prepared data."""
    path = out / "ceiling.json"
    known = {ceiling.data: ceiling for ceiling in read_ceilings(path)}
    ceilings = []
    for preparation, folder in prepared.folders.items():
        digest = prepared.digests[preparation]
        if digest not in known:
            cache = open_cache(folder)
            scores = tuple(ceiling_scores(cache, prepared.split.test, prepared.regions))
            known[digest] = Ceiling(data=digest, preparation=cache.preparation, scores=scores)
        ceilings.append(known[digest])
    write_ceiling_file(path, ceilings)


def write_ceiling_file(path: Path, ceilings: Sequence[Ceiling]) -> None:
    """Write the ceilings of a run."""
    write_text(path, add_checksum(to_json(Ceilings(ceilings=tuple(ceilings)))))


def read_ceilings(path: Path) -> tuple[Ceiling, ...]:
    """The ceilings that an earlier run wrote; empty if they cannot be read, so that they are
    computed again.
    """
    try:
        return from_json(Ceilings, read_text(path)).ceilings
    except (FileNotFoundError, ValueError):
        return ()
