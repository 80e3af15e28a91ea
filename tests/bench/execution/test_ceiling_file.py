"""ceiling.json: once a preparation, and not again."""

from dataclasses import replace

from bench.execution.ceilings import write_ceilings
from bench.execution.data import Prepared
from trials.data.datasets.registry import Split
from trials.data.prepared.cache import open_cache
from trials.records.codec import from_json
from trials.records.result import Ceilings
from trials.records.spec import Cube
from trials.storage.checksum import add_checksum, check_checksum


def test_ceilings_are_kept_by_the_digest_that_trials_carry_and_not_computed_again_unless_damaged(
    small_cache, tmp_path
):
    cache = open_cache(small_cache)
    cases, preparation = tuple(sorted(cache.cases)), Cube(edge=32)
    prepared = Prepared(
        dataset=cache.dataset,
        scheme="sequential",
        split=Split(train=cases[:8], val=cases[8:10], test=cases[10:]),
        folders={preparation: small_cache},
        digests={preparation: cache.digest},
        counts={},
        geometry={},
    )

    write_ceilings(tmp_path, {0: prepared})

    (ceiling,) = from_json(Ceilings, (tmp_path / "ceiling.json").read_text()).ceilings
    assert (ceiling.data, ceiling.preparation) == (cache.digest, preparation)
    assert [(score.case, score.label) for score in ceiling.scores] == [
        (case, label) for case in cases[10:] for label in range(4)
    ]
    path, known = tmp_path / "ceiling.json", (tmp_path / "ceiling.json").read_text()
    path.write_text(add_checksum(check_checksum(known).replace('"edge": 32', '"edge": 33')))
    write_ceilings(tmp_path, {0: prepared})
    assert from_json(Ceilings, path.read_text()).ceilings[0].preparation.edge == 33
    path.write_text(known.replace('"overlap_voxels": 1', '"overlap_voxels": 2', 1))
    write_ceilings(tmp_path, {0: prepared})
    assert path.read_text() == known

    other = replace(prepared, split=Split(train=cases[:8], val=cases[10:], test=cases[8:10]))
    write_ceilings(tmp_path, {0: prepared, 1: other})
    (both,) = from_json(Ceilings, path.read_text()).ceilings
    assert both.scores[: len(ceiling.scores)] == ceiling.scores
    assert {score.case for score in both.scores} == {*cases[8:]}
