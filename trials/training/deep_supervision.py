"""Deep supervision: any loss over the outputs of a network at several resolutions, weighted as in
nnU-Net. Lee et al. 2015; Isensee et al. 2021.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def supervised_loss(loss: Loss, outputs: Sequence[Tensor], labels: Tensor) -> Tensor:
    """The weighted sum of a loss over outputs [B, K, ...], the full resolution first.

    Each output is compared with labels [B, ...] of its own size. A network with one output is
    trained on that alone.
    """
    weighted = [
        weight * loss(logits, downsampled(labels, logits.shape[2:]))
        for weight, logits in zip(output_weights(len(outputs)), outputs, strict=True)
        if weight > 0
    ]
    return sum(weighted[1:], weighted[0])


def output_weights(count: int) -> list[float]:
    """The weight of each output: half that of the one before, 0 for the lowest resolution of
    several; they sum to 1.
    """
    weights = [0.5**number for number in range(max(1, count - 1))]
    return [weight / sum(weights) for weight in weights] + [0.0] * (count - len(weights))


def downsampled(labels: Tensor, edges: Sequence[int]) -> Tensor:
    """Labels [B, ...] at other edges: each voxel takes the label at its centre, torch's
    "nearest-exact".
    """
    for axis, edge in enumerate(edges, start=1):
        size = labels.shape[axis]
        if size != edge:
            places = (2 * torch.arange(edge, device=labels.device) + 1) * size // (2 * edge)
            labels = labels.index_select(axis, places)
    return labels
