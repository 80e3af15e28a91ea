"""ceiling.json: the highest score that each preparation of a run allows on the test cases, one
entry per prepared set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.execution.data import Prepared
from trials.data.prepared.cache import open_cache
from trials.inference.ceiling import ceiling_scores
from trials.records.codec import from_json, to_json
from trials.records.result import Ceiling, Ceilings
from trials.storage.atomic import read_text, write_text
from trials.storage.checksum import add_checksum


def write_ceilings(out: Path, folds: Mapping[int, Prepared]) -> None:
    """Write RUN/ceiling.json: of each prepared set the scores of the test cases of every fold that
    uses it. The scores that the file holds of the same sets are kept.
    """
    path = out / "ceiling.json"
    wanted: dict[str, tuple[Path, list[str]]] = {}
    regions = next(iter(folds.values())).regions
    for prepared in folds.values():
        for preparation, folder in prepared.folders.items():
            _, cases = wanted.setdefault(prepared.digests[preparation], (folder, []))
            cases += prepared.split.test
    found = []
    for digest, (folder, cases) in wanted.items():
        known = [one for one in read_ceilings(path) if one.data == digest]
        scored = {score.case for one in known for score in one.scores}
        cache = open_cache(folder)
        missing = tuple(case for case in cases if case not in scored)
        scores = tuple(ceiling_scores(cache, missing, regions))
        found += [*known, Ceiling(data=digest, preparation=cache.preparation, scores=scores)]
    write_ceiling_file(path, found)


def write_ceiling_file(path: Path, found: Sequence[Ceiling]) -> None:
    """Write the ceilings of a run, those of one prepared set as one; each case counts once."""
    joined: dict[str, Ceiling] = {}
    for one in found:
        before = joined.setdefault(one.data, replace(one, scores=()))
        scored = {score.case for score in before.scores}
        more = tuple(score for score in one.scores if score.case not in scored)
        joined[one.data] = replace(before, scores=before.scores + more)
    write_text(path, add_checksum(to_json(Ceilings(ceilings=tuple(joined.values())))))


def read_ceilings(path: Path) -> tuple[Ceiling, ...]:
    """The ceilings that an earlier run wrote; empty if they cannot be read, so that they are
    computed again.
    """
    try:
        return from_json(Ceilings, read_text(path)).ceilings
    except (FileNotFoundError, ValueError):
        return ()
