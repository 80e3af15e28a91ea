"""The best that a preparation lets a network score: references resampled to the prepared grid and
back to their own, a plane at a time.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from trials.data.prepared.cache import Cache
from trials.data.prepared.native_grid import native_labels
from trials.inference.predict import Size, slabs_on_native_grid
from trials.records.result import NATIVE, CaseScore, dice
from trials.records.targets import TargetRegion, Targets
from trials.scoring.overlap import case_scores, label_counts


def ceiling_scores(
    cache: Cache, cases: Sequence[str], regions: tuple[TargetRegion, ...] = ()
) -> Iterator[CaseScore]:
    """Yield the ceiling of every label, or of every region where networks predict these, of the
    cases on their native grids.

    It is the better of two networks that know the reference, each taken back up as a prediction is
    (probabilities linear, then labels): one that gives every prepared voxel its resampled label,
    one that gives it each class's share of what the voxel covers. A network cannot know more of a
    voxel; single scores may still exceed it by luck.
    """
    targets = Targets(len(cache.classes), regions)
    for case in cases:
        reference, labels = native_labels(cache.cases[case]), cache.labels(case)
        num_classes, size = len(cache.classes), cache.shape(case)
        attempts = []
        for planes in (
            certain_planes(labels, num_classes),
            class_shares(reference, size, num_classes),
        ):
            known = certainties(planes, targets)
            back = slabs_on_native_grid(known, size, reference.shape, targets.order)
            counts = label_counts(back, reference, num_classes, regions)
            attempts.append(case_scores(counts, case, "test", NATIVE))
        yield from (max(pair, key=_dice_or_zero) for pair in zip(*attempts, strict=True))


def certainties(planes: Iterable[Tensor], targets: Targets) -> Iterator[Tensor]:
    """What a network says that gives classes these probabilities [K, 1, H, W]: the same, or the
    certainty of each region.
    """
    for probs in planes:
        if not targets.regions:
            yield probs
        else:
            of_regions = [probs[list(region.labels)].sum(0) for region in targets.regions]
            yield torch.stack(of_regions) - 0.5


def certain_planes(labels: np.ndarray, num_classes: int) -> Iterator[Tensor]:
    """Labels [D, H, W] as probabilities of 0 and 1, float32 [K, 1, H, W] for each plane; voxels
    labelled K, which are ignored, are of no class.
    """
    for plane in labels:
        one_hots = one_hot(torch.from_numpy(plane.astype(np.int64)), num_classes + 1)
        yield one_hots.movedim(-1, 0)[:num_classes].float()[:, None]


def class_shares(labels: np.ndarray, size: Size, num_classes: int) -> Iterator[Tensor]:
    """The share of each class in what every voxel of a grid of this size covers: uint8 [D, H, W] to
    float32 [K, 1, H, W] for each of its planes. Voxels labelled K are ignored.
    """
    depth, height, width = (
        _cover(source, target) for source, target in zip(labels.shape, size, strict=True)
    )
    for reached in depth:
        shares = torch.zeros(num_classes + 1, 1, *size[1:])
        for index in reached.nonzero()[:, 0].tolist():
            plane = labels[index]
            for label in np.unique(plane[plane > 0]):
                covered = height @ torch.from_numpy((plane == label).astype(np.float32)) @ width.T
                shares[int(label), 0] += reached[index] * covered
        shares[0] = 1 - shares[1:].sum(0)
        yield shares[:num_classes]


def _cover(size: int, edge: int) -> Tensor:
    """How much of each of edge equal stretches each of size equal voxels fills, [edge, size]; rows
    sum to one.
    """
    voxel, stretch = np.arange(size + 1) / size, np.arange(edge + 1) / edge
    upper = np.minimum(stretch[1:, None], voxel[None, 1:])
    lower = np.maximum(stretch[:-1, None], voxel[None, :-1])
    return torch.from_numpy((np.maximum(upper - lower, 0) * edge).astype(np.float32))


def _dice_or_zero(score: CaseScore) -> float:
    return (
        dice(score.true_voxels, score.pred_voxels, score.overlap_voxels)
        if score.true_voxels
        else 0.0
    )
