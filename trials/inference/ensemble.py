"""An ensemble of trials scored on test cases: predicted as new scans are, counted as a trial's own
predictions are.
"""

from collections.abc import Iterator, Sequence

from trials.data.datasets.label_set import Region
from trials.data.datasets.registry import Case
from trials.data.nifti.volume import read_mask, spacing_dhw, to_dhw
from trials.data.prepared.case_checks import Rules
from trials.data.prepared.preprocess import matching_headers
from trials.inference.evaluate import Evaluated
from trials.inference.trained import Trained, predict_labels
from trials.records.result import NATIVE
from trials.scoring.case import surface_scores
from trials.scoring.ignored import find_ignored
from trials.scoring.overlap import case_scores, label_counts


def score_ensemble(
    trained: Sequence[Trained], cases: Sequence[Case], rules: Rules, regions: Sequence[Region]
) -> Iterator[Evaluated]:
    """Yield the counts of every test case on its native grid. Raises FileFault, a ValueError, for a
    case that cannot be used.
    """
    for case in cases:
        headers, label_header = matching_headers(case, rules)
        labels, _ = predict_labels(trained, headers, rules)
        mask = read_mask(label_header, rules.labels.num_labels)
        reference = to_dhw(mask.voxels, mask.affine)
        counts = label_counts(labels, reference, len(rules.classes), trained[0].targets.regions)
        edges, ignored = spacing_dhw(label_header), find_ignored(reference, rules.labels)
        yield Evaluated(
            scores=tuple(case_scores(counts, case.case, "test", NATIVE)),
            surfaces=tuple(
                surface_scores(reference, labels, edges, regions, case.case, "test", ignored)
            ),
        )
