"""Two mask files to the KiTS23 challenge's six scores, against its own way: SimpleITK and
google-deepmind/surface-distance.

    python -m benchmarks.official_scores MASK.nii.gz

MASK is a KiTS23 segmentation; predictions are made of it: shifted a little, and the same with 200
specks far apart. The peers are not among the project's dependencies: pip install -e '.[bench]'.
"""

import sys
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy import ndimage

from benchmarks.compare import compare, keep, table
from trials.data.datasets.kits23 import CLASSES
from trials.data.datasets.label_set import LabelSet
from trials.data.datasets.registry import KITS23_REGIONS as KITS23
from trials.data.nifti.volume import read_labels, write_labels
from trials.scoring.case import official_scores
from trials.scoring.folders import MaskPair, read_pair, score_pair


def specked(labels: np.ndarray) -> np.ndarray:
    """Two hundred boxes of 2 x 5 x 5 voxels, of any label, anywhere in the scan."""
    rng, out = np.random.default_rng(0), labels.copy()
    for _ in range(200):
        d, h, w = (int(rng.integers(0, edge - 6)) for edge in labels.shape)
        out[d : d + 2, h : h + 5, w : w + 5] = rng.integers(1, 4)
    return out


def ours(pair: MaskPair) -> dict[str, float]:
    """The six official scores of a pair of files."""
    return official_scores(*read_pair(pair, LabelSet(classes=CLASSES)), KITS23)


def theirs(pair: MaskPair) -> dict[str, float]:
    """The same as kits23 0.1.4 computes them, step by step, with the libraries it calls."""
    import SimpleITK
    from surface_distance import metrics

    # surface-distance 0.1 was written for older numpy and scipy.
    np.Inf = np.inf
    metrics.ndimage = SimpleNamespace(filters=ndimage, morphology=ndimage)
    images = [SimpleITK.ReadImage(str(path)) for path in (pair.reference, pair.prediction)]
    spacing = images[1].GetSpacing()[::-1]
    true, pred = (SimpleITK.GetArrayFromImage(image) for image in images)
    dice, surface_dice = {}, {}
    for region in KITS23:
        true_mask, pred_mask = np.isin(true, region.labels), np.isin(pred, region.labels)
        voxels = np.count_nonzero(true_mask) + np.count_nonzero(pred_mask)
        dice[f"dice_{region.name}"] = 2 * np.count_nonzero(true_mask & pred_mask) / voxels
        distances = metrics.compute_surface_distances(true_mask, pred_mask, spacing)
        agreement = metrics.compute_surface_dice_at_tolerance(distances, region.tolerance_mm)
        surface_dice[f"surface_dice_{region.name}"] = agreement
    return dice | surface_dice


def main() -> None:
    """Print and keep the comparison."""
    mask, lines = Path(sys.argv[1]), []
    volume = read_labels(mask, len(CLASSES))
    shifted = np.roll(volume.voxels, (0, 1, 2), (0, 1, 2))
    with tempfile.TemporaryDirectory() as place:
        for name, labels in (("good", shifted), ("far false positives", specked(shifted))):
            prediction = Path(place) / f"{name}.nii.gz"
            write_labels(prediction, np.ascontiguousarray(labels), volume.affine)
            pair = MaskPair(case=name, reference=mask, prediction=prediction)
            ways = {
                "ours, Dice and Surface Dice": partial(ours, pair),
                "the challenge's way": partial(theirs, pair),
            }
            ways["ours, all of segbench score (HD95, lesions)"] = partial(
                score_pair, pair, LabelSet(classes=CLASSES), KITS23
            )
            measured = compare(ways, 1)
            theirs_found = theirs(pair)
            gap = max(abs(value - theirs_found[score]) for score, value in ours(pair).items())
            lines += [
                f"{name}: largest difference of a score {gap:.1e}",
                *table(measured, "ours, Dice and Surface Dice"),
                "",
            ]
    shape = "x".join(map(str, volume.voxels.shape))
    keep("official_scores", f"Two mask files of {shape} to official scores, one thread", lines)


if __name__ == "__main__":
    main()
