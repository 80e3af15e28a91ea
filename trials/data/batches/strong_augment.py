"""nnU-Net's augmentation of a batch on the device it lies on, for given draws (draws.py).

In its order: rotation and zoom in one resampling, noise, blur, brightness, contrast, low
resolution, gamma of the inverted and of the plain image, mirroring. Only drawn items are computed,
all of one kind at once, and nothing waits for a GPU.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from trials.data.batches.augment import nearest, on_device, pieces, sampling_grid
from trials.data.batches.draws import Draws
from trials.data.prepared.resample import linear_taps, nearest_index

# Keeps a constant image from being divided by zero.
TINY = 1e-7
BLUR_REACH = 3.0


def augment_strongly(
    images: Tensor, labels: Tensor, draws: Draws, windows: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Change images [B, C, ...] float32 and labels [B, ...] as drawn; both are new tensors.

    windows holds images [n, C, ...] and labels [n, ...] of larger edges about the same centres, one
    for each item of draws.turned in its order (draws.window_edges); without them these items are
    sampled from themselves. Images are interpolated linearly, labels take the nearest voxel, and
    beyond the border the edge goes on.
    """
    images, labels = images.contiguous().clone(), labels.contiguous().clone()
    if len(draws.turned):
        turn(images, labels, draws, windows)
    rows = images.flatten(0, 1)
    add_noise(images, draws)
    shape = draws.blur.shape[2:]
    change(rows, draws.blur.reshape(-1, *shape), 0.0, blurred)
    change(rows, draws.brightness.reshape(-1), 1.0, brightened)
    change(rows, draws.contrast.reshape(-1), 1.0, contrasted)
    change(rows, draws.low_resolution.reshape(-1), 1.0, coarsened)
    change(rows, draws.inverted_gamma.reshape(-1), 1.0, lambda x, power: -raised(-x, power))
    change(rows, draws.gamma.reshape(-1), 1.0, raised)
    return mirrored(images, draws.mirrored), mirrored(labels, draws.mirrored)


def change(
    rows: Tensor,
    values: np.ndarray,
    neutral: float,
    work: Callable[[Tensor, np.ndarray], Tensor],
) -> None:
    """Replace the rows [N, ...] whose value differs from the neutral one by work(rows, values)."""
    is_drawn = (values != neutral).reshape(len(values), -1).any(1)
    if not is_drawn.any():
        return
    index = on_device([np.flatnonzero(is_drawn)[:, None]], rows.device)[:, 0].long()
    rows.index_copy_(0, index, work(rows.index_select(0, index), values[is_drawn]))


def turn(
    images: Tensor, labels: Tensor, draws: Draws, windows: tuple[Tensor, Tensor] | None
) -> None:
    """Resample the turned items, in place."""
    numbers = on_device([draws.turned[:, None]], images.device)
    index = numbers[:, 0].long()
    from_images, from_labels = windows or (images[index], labels[index])
    patch, window = np.array(labels.shape[1:]), np.array(from_labels.shape[1:])
    # From offsets in voxels to -1..1, x first.
    maps = (draws.maps * patch / window[:, None])[:, ::-1, ::-1]
    count, axes = maps.shape[:2]
    matrices = on_device([maps.reshape(count, -1)], images.device).to(images.dtype)
    for planes in pieces(labels[: len(index)]):
        grid = sampling_grid(matrices.unflatten(1, (axes, axes)), labels.shape[1:], planes)
        images[index, :, planes] = F.grid_sample(
            from_images, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        labels[index, planes] = nearest(from_labels, grid).to(labels.dtype)


def add_noise(images: Tensor, draws: Draws) -> None:
    """Add Gaussian noise to the drawn items, in place. A CPU and a GPU draw different numbers."""
    for item in np.flatnonzero(draws.noise).tolist():
        generator = torch.Generator(images.device).manual_seed(int(draws.noise_seeds[item]))
        noise = torch.randn(images[item].shape, generator=generator, device=images.device)
        images[item].add_(noise, alpha=float(draws.noise[item]))


def blurred(rows: Tensor, sigmas: np.ndarray) -> Tensor:
    """Rows [N, ...] smoothed by Gaussians of sigmas [N, axes]; the image is reflected at its
    border.
    """
    for axis, edge in enumerate(rows.shape[1:]):
        matrices = np.stack([blur_matrix(edge, float(sigma)) for sigma in sigmas[:, axis]])
        rows = along(rows, matrices, axis + 1)
    return rows


def coarsened(rows: Tensor, scales: np.ndarray) -> Tensor:
    """Rows [N, ...] taken to fewer voxels (nearest) and back (linear)."""
    for axis, edge in enumerate(rows.shape[1:]):
        matrices = np.stack([coarse_matrix(edge, round(edge * float(scale))) for scale in scales])
        rows = along(rows, matrices, axis + 1)
    return rows


def brightened(rows: Tensor, factors: np.ndarray) -> Tensor:
    """Rows [N, ...] times factors [N]."""
    return rows * by_row(factors, rows)


def contrasted(rows: Tensor, factors: np.ndarray) -> Tensor:
    """Rows [N, ...] spread about their mean by factors [N], within their own range."""
    axes = tuple(range(1, rows.dim()))
    mean = rows.mean(axes, keepdim=True)
    spread = (rows - mean) * by_row(factors, rows) + mean
    return spread.clamp(rows.amin(axes, keepdim=True), rows.amax(axes, keepdim=True))


def raised(rows: Tensor, powers: np.ndarray) -> Tensor:
    """Rows [N, ...], as shares of their range, to the powers [N]; mean and deviation are kept."""
    axes = tuple(range(1, rows.dim()))
    least = rows.amin(axes, keepdim=True)
    extent = rows.amax(axes, keepdim=True) - least
    shares = (rows - least) / extent.clamp_min(TINY)
    changed = shares.pow(by_row(powers, rows)) * extent + least
    centred = changed - changed.mean(axes, keepdim=True)
    scale = rows.std(axes, keepdim=True) / changed.std(axes, keepdim=True).clamp_min(TINY)
    return centred * scale + rows.mean(axes, keepdim=True)


def mirrored(batch: Tensor, is_mirrored: np.ndarray) -> Tensor:
    """A batch [B, (C,) ...] with the last axes of each item reversed where drawn, [B, axes]."""
    axes = is_mirrored.shape[1]
    for axis in range(axes):
        items = np.flatnonzero(is_mirrored[:, axis])
        if len(items):
            index = on_device([items[:, None]], batch.device)[:, 0].long()
            batch.index_copy_(0, index, batch.index_select(0, index).flip(axis - axes))
    return batch


def by_row(numbers: np.ndarray, rows: Tensor) -> Tensor:
    """Numbers [N] on the device of rows [N, ...], shaped to multiply them."""
    column = on_device([numbers[:, None]], rows.device).to(rows.dtype)
    return column.view(-1, *[1] * (rows.dim() - 1))


def along(rows: Tensor, matrices: np.ndarray, axis: int) -> Tensor:
    """Each row [N, ...] times its matrix [N, edge, edge] along an axis."""
    edge = rows.shape[axis]
    flat = on_device([matrices.reshape(len(matrices), -1)], rows.device).to(rows.dtype)
    first = rows.movedim(axis, 1)
    product = torch.bmm(flat.view(-1, edge, edge), first.flatten(2))
    return product.view(first.shape).movedim(1, axis)


def blur_matrix(edge: int, sigma: float) -> np.ndarray:
    """A Gaussian along an axis, cut at three sigmas and reflected at the border, [edge, edge]."""
    reach = min(max(1, round(BLUR_REACH * sigma)), edge - 1)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    places = np.abs(np.arange(edge)[:, None] + offsets)
    places = edge - 1 - np.abs(edge - 1 - places)
    matrix = np.zeros((edge, edge))
    np.add.at(matrix, (np.arange(edge)[:, None], places), weights / weights.sum())
    return matrix


def coarse_matrix(edge: int, coarse: int) -> np.ndarray:
    """An axis taken to `coarse` voxels by nearest-exact and back by linear interpolation."""
    low, high, share = linear_taps(coarse, edge)
    source = nearest_index(edge, coarse)
    matrix = np.zeros((edge, edge))
    np.add.at(matrix, (np.arange(edge), source[low]), 1 - share)
    np.add.at(matrix, (np.arange(edge), source[high]), share)
    return matrix
