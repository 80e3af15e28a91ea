"""Random flips, turns, scalings, shifts and intensity changes of a batch, on whatever device it
lies.

All items go through at once and nothing waits for a GPU: numbers are drawn on the CPU and cross in
one pinned copy.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from trials.data.batches.loading import pinned

SHIFT_SHARE = 0.06
SCALE_DEVIATION, OFFSET_DEVIATION = 0.08, 0.08
TURN_DEGREES, ZOOM = 15.0, 0.15
# Voxels computed at a time: on a CPU what its cache holds, on a GPU enough to keep it busy.
PIECE, PIECE_ON_GPU = 2**19, 2**22


def augment(
    images: Tensor, labels: Tensor, generator: np.random.Generator, rotate_zoom_prob: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Flip the last axis of half the items, shift each by up to 6 % of an edge, scale and offset
    its intensities.

    A share rotate_zoom_prob of the items, drawn by chance, is first turned and zoomed (see turned).
    images [B, C, ...] float32, labels [B, ...] of any type; both move together. Shifts wrap around,
    which for CT means that air meets air. All draws come from the generator, so an epoch is
    repeatable.
    """
    images, labels = (
        part.contiguous() for part in turned(images, labels, generator, rotate_zoom_prob)
    )
    batch, *edges = labels.shape
    sources = moves(batch, edges, generator)
    intensities = np.array([1, 0]) + [
        SCALE_DEVIATION,
        OFFSET_DEVIATION,
    ] * generator.standard_normal((batch, 2))
    numbers = on_device([intensities, *sources], images.device)
    scale, offset = numbers[:, :2].to(images.dtype).view(batch, 2, *[1] * len(edges)).unbind(1)
    *rows_from, columns = numbers[:, 2:].long().split(edges, 1)
    rows = row_numbers(rows_from)
    moved_images, moved_labels = torch.empty_like(images), torch.empty_like(labels)
    # Of one channel this is a view.
    channels = [channel.contiguous() for channel in images.unbind(1)]
    for planes in pieces(labels):
        take(labels, rows[:, planes], columns, moved_labels[:, planes])
        for channel, moved in zip(channels, moved_images.unbind(1), strict=True):
            take(channel, rows[:, planes], columns, moved[:, planes])
            moved[:, planes].mul_(scale).add_(offset)
    return moved_images, moved_labels


def moves(batch: int, edges: Sequence[int], generator: np.random.Generator) -> list[np.ndarray]:
    """Draw flips of the last axis and shifts: for each axis, where along it an item's voxels come
    from, [B, edge].
    """
    is_flipped = generator.random((batch, 1)) < 0.5
    reach = np.array([int(edge * SHIFT_SHARE) for edge in edges])
    shifts = generator.integers(-reach, reach + 1, (batch, len(edges)))
    sources = [
        (np.arange(edge) - shift[:, None]) % edge
        for edge, shift in zip(edges, shifts.T, strict=True)
    ]
    sources[-1] = np.where(is_flipped, edges[-1] - 1 - sources[-1], sources[-1])
    return sources


def on_device(columns: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """Arrays [B, n] of any n side by side as one float64 tensor on a device, by one copy that
    nothing waits for.
    """
    together = torch.from_numpy(np.concatenate(columns, 1, dtype=np.float64))
    return pinned(together, device).to(device, non_blocking=True)


def row_numbers(sources: Sequence[Tensor]) -> Tensor:
    """Which rows of a batch [B, ..., W], counted item by item, the sources [B, edge] of all axes
    but W name: int64 [B, ...].
    """
    rows = torch.arange(len(sources[0]), device=sources[0].device)
    for source in sources:
        rows = rows[..., None] * source.shape[1] + source.view(
            len(rows), *[1] * (rows.dim() - 1), -1
        )
    return rows


def take(voxels: Tensor, rows: Tensor, columns: Tensor, into: Tensor) -> None:
    """Write rows of voxels [..., W] by their numbers [B, n, ...], each in the order of its item's
    columns [B, W].
    """
    # Whole rows first: a CPU copies them several times faster than single voxels by an index of
    # every axis.
    whole = (
        voxels.view(-1, voxels.shape[-1])
        .index_select(0, rows.flatten())
        .view(len(rows), -1, voxels.shape[-1])
    )
    torch.gather(whole, 2, columns[:, None].expand_as(whole), out=into.view(whole.shape))


def turned(
    images: Tensor, labels: Tensor, generator: np.random.Generator, share: float
) -> tuple[Tensor, Tensor]:
    """Turn a share of the items by up to 15 degrees about each axis and zoom them by up to 15 %, in
    one resampling.

    Images are interpolated linearly, labels take the nearest voxel; beyond the border the edge goes
    on. Angles are those of the cube, whose voxels need not be cubes in the patient. Items that are
    not drawn are not touched.
    """
    if share <= 0:
        return images, labels
    chosen = np.flatnonzero(generator.random(len(images)) < share)
    if not len(chosen):
        return images, labels
    dims = images.dim() - 2
    matrices = inverse_maps(len(chosen), dims, generator)
    numbers = on_device([chosen[:, None], matrices.reshape(len(chosen), -1)], images.device)
    index, inverse = (
        numbers[:, 0].long(),
        numbers[:, 1:].to(images.dtype).unflatten(1, (dims, dims)),
    )
    still_images, still_labels = images[index], labels[index]
    images, labels = images.clone(), labels.clone()
    for planes in pieces(still_labels):
        grid = sampling_grid(inverse, still_labels.shape[1:], planes)
        moved = F.grid_sample(
            still_images, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        images[index, :, planes] = moved
        labels[index, planes] = nearest(still_labels, grid)
    return images, labels


def pieces(labels: Tensor) -> Iterator[slice]:
    """Which planes of the first axis of labels [B, ...] are computed at a time."""
    planes = labels.shape[1]
    most = PIECE if labels.device.type == "cpu" else PIECE_ON_GPU
    step = max(1, most * planes // labels.numel())
    for first in range(0, planes, step):
        yield slice(first, min(first + step, planes))


def sampling_grid(matrices: Tensor, shape: Sequence[int], planes: slice) -> Tensor:
    """Where output voxels lie in the input, for grid_sample: matrices [B, dims, dims] to [B, n,
    *shape[1:], dims], in -1..1.

    n counts the planes of the first axis that are asked for. What torch's affine_grid computes with
    half-pixel centres, from sums along the axes: three times faster on a CPU. A coordinate's
    numbers lie together in memory.
    """
    parts = []
    # Coordinates come x first, the axes of an array last first.
    for axis, edge in enumerate(reversed(shape)):
        centres = (
            2 * torch.arange(edge, device=matrices.device, dtype=matrices.dtype) + 1
        ) / edge - 1
        wanted = centres[planes] if axis == len(shape) - 1 else centres
        by_item = matrices[..., axis].T.reshape(-1, len(matrices), *[1] * len(shape))
        parts.append(by_item * wanted.view(-1, *[1] * axis))
    return sum(parts[1:], parts[0]).movedim(0, -1)


def nearest(labels: Tensor, grid: Tensor) -> Tensor:
    """Labels [B, ...] at the voxel nearest to each point of a sampling grid; beyond the border, the
    border's.
    """
    flat = torch.zeros(grid.shape[:-1], dtype=torch.int64, device=grid.device)
    for axis, edge in enumerate(labels.shape[1:]):
        place = grid[..., -1 - axis].add(1).mul_(edge / 2).sub_(0.5).round_().clamp_(0, edge - 1)
        flat = flat.mul_(edge).add_(place.long())
    return labels.flatten(1).gather(1, flat.flatten(1)).view(flat.shape)


def inverse_maps(count: int, dims: int, generator: np.random.Generator) -> np.ndarray:
    """Draw turns and zooms, as maps from output to input coordinates [count, dims, dims]."""
    limit = math.radians(TURN_DEGREES)
    zooms = 1 + generator.uniform(-ZOOM, ZOOM, (count, 1, 1))
    axes = [(0, 1)] if dims == 2 else [(0, 1), (0, 2), (1, 2)]
    angles = generator.uniform(-limit, limit, (count, len(axes)))
    matrices = np.eye(dims) / zooms
    for number, plane in enumerate(axes):
        matrices = matrices @ turns(dims, plane, angles[:, number])
    return matrices


def turns(dims: int, plane: Sequence[int], angles: np.ndarray) -> np.ndarray:
    """The rotation matrices [N, dims, dims] by angles [N] (radians) within the plane of
    two axes."""
    matrices = np.tile(np.eye(dims), (len(angles), 1, 1))
    a, b = plane
    matrices[:, a, a] = matrices[:, b, b] = np.cos(angles)
    matrices[:, a, b], matrices[:, b, a] = -np.sin(angles), np.sin(angles)
    return matrices
