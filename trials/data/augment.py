"""Random flips, turns, scalings, shifts and intensity changes of a batch, on whatever device it lies."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SHIFT_SHARE = 0.06
SCALE_DEVIATION, OFFSET_DEVIATION = 0.08, 0.08
TURN_DEGREES, ZOOM = 15.0, 0.15
# Voxels turned at a time on a processor: what its cache holds. A card turns all at once.
PIECE = 2**17


def augment(images: Tensor, labels: Tensor, generator: np.random.Generator, turned_share: float = 0.0) -> tuple[Tensor, Tensor]:
    """Flip the last axis of half the items, shift each by up to 6 % of an edge, scale and offset its intensities.

    A share turned_share of the items, drawn by chance, is first turned and zoomed (see turned). images [B, 1, ...] float32,
    labels [B, ...] of any type; both move together. Shifts wrap around, which for CT means that air meets air. All draws
    come from the generator, so an epoch is repeatable.
    """
    images, labels = turned(images, labels, generator, turned_share)
    moved_images, moved_labels = torch.empty_like(images), torch.empty_like(labels)
    for item in range(len(images)):
        image, label = images[item], labels[item]
        if generator.random() < 0.5:
            image, label = image.flip(-1), label.flip(-1)
        reach = [int(edge * SHIFT_SHARE) for edge in label.shape]
        shift = [int(generator.integers(-far, far + 1)) for far in reach]
        axes = list(range(-len(shift), 0))
        scale = 1 + SCALE_DEVIATION * generator.standard_normal()
        moved_images[item] = image.roll(shift, axes) * scale + OFFSET_DEVIATION * generator.standard_normal()
        moved_labels[item] = label.roll(shift, axes)
    return moved_images, moved_labels


def turned(images: Tensor, labels: Tensor, generator: np.random.Generator, share: float) -> tuple[Tensor, Tensor]:
    """Turn a share of the items by up to 15 degrees about each axis and zoom them by up to 15 %, in one resampling.

    Images are interpolated linearly, labels take the nearest voxel; beyond the border the edge goes on. Angles are those
    of the cube, whose voxels need not be cubes in the patient. Items that are not drawn are not touched.
    """
    if share <= 0:
        return images, labels
    chosen = np.flatnonzero(generator.random(len(images)) < share)
    if not len(chosen):
        return images, labels
    matrices = np.stack([inverse_map(images.dim() - 2, generator) for _ in chosen])
    index = torch.from_numpy(chosen).to(images.device)
    inverse = torch.from_numpy(matrices).to(images.device, images.dtype)
    still_images, still_labels = images[index], labels[index]
    images, labels = images.clone(), labels.clone()
    for planes in pieces(still_labels):
        grid = sampling_grid(inverse, still_labels.shape[1:], planes)
        moved = F.grid_sample(still_images, grid, mode="bilinear", padding_mode="border", align_corners=False)
        images[index, :, planes] = moved
        labels[index, planes] = nearest(still_labels, grid)
    return images, labels


def pieces(labels: Tensor) -> Iterator[slice]:
    """Which planes of the first axis of labels [B, ...] are turned at a time."""
    planes = labels.shape[1]
    step = planes if labels.device.type != "cpu" else max(1, PIECE * planes // labels.numel())
    for first in range(0, planes, step):
        yield slice(first, min(first + step, planes))


def sampling_grid(matrices: Tensor, shape: Sequence[int], planes: slice) -> Tensor:
    """Where output voxels lie in the input, for grid_sample: matrices [B, dims, dims] to [B, n, *shape[1:], dims], in -1..1.

    n counts the planes of the first axis that are asked for. What torch's affine_grid computes with half-pixel centres, from
    sums along the axes: three times faster on a CPU.
    """
    dims = len(shape)
    # Coordinates come x first, the axes of an array last first.
    axes = [torch.arange(edge, device=matrices.device, dtype=matrices.dtype) for edge in reversed(shape)]
    centres = [(2 * axis + 1) / len(axis) - 1 for axis in axes]
    centres[-1] = centres[-1][planes]
    grid = matrices.new_empty(len(matrices), len(centres[-1]), *shape[1:], dims)
    for item, matrix in enumerate(matrices):
        for row in range(dims):
            parts = [matrix[row, axis] * centres[axis].view(-1, *[1] * axis) for axis in range(dims)]
            grid[item, ..., row] = sum(parts[1:], parts[0])
    return grid


def nearest(labels: Tensor, grid: Tensor) -> Tensor:
    """Labels [B, ...] at the voxel nearest to each point of a sampling grid; beyond the border, the border's."""
    flat = torch.zeros(grid.shape[:-1], dtype=torch.int64, device=grid.device)
    for axis, edge in enumerate(labels.shape[1:]):
        place = grid[..., -1 - axis].add(1).mul_(edge / 2).sub_(0.5).round_().clamp_(0, edge - 1)
        flat = flat.mul_(edge).add_(place.long())
    return labels.flatten(1).gather(1, flat.flatten(1)).view(flat.shape)


def inverse_map(dims: int, generator: np.random.Generator) -> np.ndarray:
    """A random turn and zoom from output to input coordinates, [dims, dims]."""
    limit = math.radians(TURN_DEGREES)
    matrix = np.eye(dims) / (1 + generator.uniform(-ZOOM, ZOOM))
    for plane in [(0, 1)] if dims == 2 else [(0, 1), (0, 2), (1, 2)]:
        matrix = matrix @ turn(dims, plane, generator.uniform(-limit, limit))
    return matrix


def turn(dims: int, plane: Sequence[int], angle: float) -> np.ndarray:
    """The rotation matrix by an angle (radians) within the plane of two axes."""
    matrix = np.eye(dims)
    a, b = plane
    matrix[a, a] = matrix[b, b] = math.cos(angle)
    matrix[a, b], matrix[b, a] = -math.sin(angle), math.sin(angle)
    return matrix
