"""Other ways to predict with what was trained, the seeds of a configuration as an ensemble and
mirroring: shown beside the configuration, never selected, compared or ranked.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from reports.analysis.external import counts_like, refuse_other_ground
from reports.analysis.summary import ScoreSummary, resample_ratio, summarise
from reports.formatting import cell_name
from reports.load.counts import Counts
from reports.load.run_folder import Run, refuse_overlaps
from trials.records.codec import from_json
from trials.records.result import EnsembleScores
from trials.storage.atomic import find_files, read_text


def ensemble_summaries(run: Run, test: Counts) -> dict[tuple[int, int], ScoreSummary]:
    """The test scores of RUN/ensembles by (configuration, label), MEAN included; the interval is
    over patients alone.

    An ensemble of other trials than the configuration has now is left out. Raises ValueError for a
    damaged file, and for one about other test cases.
    """
    found = [read_ensemble(path) for path in find_files(run.out, "ensembles/*.json")]
    current = [one for one in found if test.cases and one.trials == members(run, one)]
    for one in current:
        what = f"the ensemble of {cell_name(one.cell)}: its predictions"
        refuse_other_ground(what, one.scores, test, run)
    if not current:
        return {}
    counts = counts_like(test, [one.scores for one in current])
    places = [run.cells.index(one.cell) for one in current]
    return {
        (places[i], label): replace(summary, seeds=len(current[i].trials))
        for (i, label), summary in summarise(counts, resample_ratio(counts)).items()
    }


def mirrored_summaries(run: Run, test: Counts) -> dict[tuple[int, int], ScoreSummary]:
    """The test scores with mirroring by (configuration, label), MEAN included, over the seeds that
    have them. Raises ValueError for scores on other test cases.
    """
    made = [result for result in run.finals if test.cases and result.mirrored]
    for result in made:
        what = f"trial {result.trial}: its mirrored predictions"
        refuse_overlaps(result.mirrored)
        refuse_other_ground(what, result.mirrored, test, run)
    if not made:
        return {}
    found = counts_like(test, [result.mirrored for result in made])
    counts = replace(
        test,
        pred=np.zeros_like(test.pred),
        overlap=np.zeros_like(test.overlap),
        available=np.zeros_like(test.available),
    )
    for number, result in enumerate(made):
        at = run.cells.index(result.spec.cell), run.seeds.index(result.spec.seed)
        counts.pred[at], counts.overlap[at] = found.pred[number, 0], found.overlap[number, 0]
        counts.available[at] = True
    summaries = summarise(counts, resample_ratio(counts))
    return {at: one for at, one in summaries.items() if counts.available[at[0]].any()}


def members(run: Run, ensemble: EnsembleScores) -> dict[str, str]:
    """The pooled final trials of an ensemble's configuration, each with its weights' digest."""
    return {
        result.trial: str(result.facts.get("weights_sha256"))
        for result in run.pooled
        if result.spec.cell == ensemble.cell
    }


def read_ensemble(path: Path) -> EnsembleScores:
    """Read one file of an ensemble's scores. Raises ValueError naming the file and the key."""
    try:
        found = from_json(EnsembleScores, read_text(path))
        refuse_overlaps(found.scores)
        return found
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path}: not a file of an ensemble's scores ({error}); delete it and score the "
            "ensembles again"
        ) from None
