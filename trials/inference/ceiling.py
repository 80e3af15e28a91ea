"""The best that a preparation lets a network score: references brought down to the cube and back up
to their own grid.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from trials.data.prepared.cache import Cache
from trials.data.prepared.native_grid import native_labels
from trials.inference.predict import on_native_grid
from trials.records.result import NATIVE, CaseScore, dice
from trials.scoring.overlap import case_scores, label_counts


def ceiling_scores(cache: Cache, cases: Sequence[str]) -> Iterator[CaseScore]:
    """Yield the ceiling of every label of the cases on their native grids.

    It is the better of two networks that know the reference, each taken back up as a prediction is
    (probabilities linear, then argmax): one that gives every voxel of the cube its resampled label,
    one that gives it each class's share of what the voxel covers. A network cannot know more of a
    voxel; single scores may still exceed it by luck.
    """
    for case in cases:
        reference, cube = native_labels(cache.cases[case]), cache.labels(case)
        num_classes = len(cache.classes)
        # The last are ignored voxels: of no class, as those of class_shares.
        one_hots = one_hot(torch.from_numpy(cube.astype(np.int64)), num_classes + 1)
        labels = one_hots.movedim(-1, 0)[:num_classes].float()
        attempts = [
            case_scores(
                label_counts(on_native_grid(probs, reference.shape), reference, num_classes),
                case,
                "test",
                NATIVE,
            )
            for probs in (labels, class_shares(reference, cube.shape[0], num_classes))
        ]
        yield from (max(pair, key=_dice_or_zero) for pair in zip(*attempts, strict=True))


def class_shares(labels: np.ndarray, edge: int, num_classes: int) -> Tensor:
    """The share of each class in what every voxel of a cube covers: uint8 [D, H, W] to float32 [K,
    edge, edge, edge]; voxels labelled K are ignored.

    Plane by plane, so that its memory is that of the cube.
    """
    depth, height, width = (_cover(size, edge) for size in labels.shape)
    shares = torch.zeros(num_classes + 1, edge, edge, edge)
    for index, plane in enumerate(labels):
        targets = depth[:, index].nonzero()[:, 0]
        for label in np.unique(plane[plane > 0]):
            covered = height @ torch.from_numpy((plane == label).astype(np.float32)) @ width.T
            shares[int(label), targets] += depth[targets, index][:, None, None] * covered
    shares[0] = 1 - shares[1:].sum(0)
    return shares[:num_classes]


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
