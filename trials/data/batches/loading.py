"""The cache as batches: which items a trial trains on, in which order they are drawn, and the
tensors they become.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from trials.data.batches.occurrence import slice_class_voxels
from trials.data.batches.slices import SLICE_AXES, slices
from trials.data.prepared.cache import Cache
from trials.data.sampling import draw

Batch = tuple[Tensor, Tensor]


class Source(Protocol):
    """What batches are drawn from: maps of files, or tensors on a GPU."""

    def batch(self, chosen: np.ndarray) -> Batch:
        """Images [B, C, ...] as they are stored and labels [B, ...] uint8 of the chosen items, or
        of patches at the chosen places.
        """


class Feed(Protocol):
    """The batches that a training loop asks for: of cubes, of slices or of patches."""

    def epoch(self, steps: int, generator: np.random.Generator) -> Iterator[Batch]:
        """One epoch of so many batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFeed:
    """A Feed of whole cubes or slices, drawn by the weights [N] of the source's items."""

    source: Source
    weights: np.ndarray
    batch_size: int

    def epoch(self, steps: int, generator: np.random.Generator) -> Iterator[Batch]:
        """The batches of one epoch."""
        return epoch_batches(self.source, self.weights, self.batch_size, steps, generator)


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """What a trial trains on: memory maps of whole cases, and which of their volumes or slices are
    items.

    images and labels hold one map a case: volumes [C, D, H, W] and [D, H, W], or slices [S, C, ...]
    and [S, ...]; index [N, 2] is (case, slice), slice -1 for the whole volume; class_voxels int64
    [N, K] counts each item's voxels.
    """

    images: Sequence[np.ndarray]
    labels: Sequence[np.ndarray]
    index: np.ndarray
    class_voxels: np.ndarray

    def batch(self, chosen: np.ndarray) -> Batch:
        """Gather items into images [B, C, ...] float16 and labels [B, ...] uint8 of their own."""
        rows = self.index[chosen].tolist()
        # np.array copies equal shapes as np.stack does, at a third less an item.
        images, labels = (
            np.array(
                [volumes[case] if number < 0 else volumes[case][number] for case, number in rows]
            )
            for volumes in (self.images, self.labels)
        )
        return torch.from_numpy(images), torch.from_numpy(labels)


def volume_items(cache: Cache, cases: Sequence[str]) -> Items:
    """Each case is one item, but for cases without an annotated voxel."""
    voxels = np.array([cache.cases[case].cube_class_voxels for case in cases], np.int64)
    index = np.stack([np.arange(len(cases)), np.full(len(cases), -1)], axis=1)
    images = [np.asarray(cache.image(case)) for case in cases]
    labels = [np.asarray(cache.labels(case)) for case in cases]
    return _annotated(images, labels, index, voxels)


def slice_items(cache: Cache, cases: Sequence[str], slice_axis: str) -> Items:
    """Each slice of each case with an annotated voxel is one item; slice_axis is axial, coronal or
    sagittal.
    """
    axis = SLICE_AXES[slice_axis]
    counts = [slice_class_voxels(cache.labels(case), cache.dataset.labels, axis) for case in cases]
    index = np.array(
        [(case, number) for case, slices in enumerate(counts) for number in range(len(slices))]
    )
    # Plain views: an index into a np.memmap makes a np.memmap, which costs more than to copy the
    # slice.
    images, labels = (
        [slices(np.asarray(of(case)), slice_axis) for case in cases]
        for of in (cache.image, cache.labels)
    )
    return _annotated(images, labels, index, np.concatenate(counts))


def _annotated(
    images: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    index: np.ndarray,
    class_voxels: np.ndarray,
) -> Items:
    held = class_voxels.any(axis=1)
    if not held.any():
        raise ValueError("no training voxel is annotated: all are labelled 'ignore'; annotate some")
    return Items(images=images, labels=labels, index=index[held], class_voxels=class_voxels[held])


def epoch_batches(
    source: Source,
    weights: np.ndarray,
    batch_size: int,
    steps: int | None,
    generator: np.random.Generator,
) -> Iterator[Batch]:
    """Draw one epoch: steps batches, or by default as many as there are items with a weight above
    zero.

    Batches are full: the last one is filled up by further draws, since batch statistics of a single
    item mislead.
    """
    kept = int((weights > 0).sum())
    steps = steps or -(-kept // batch_size)
    drawn = draw(weights, steps * batch_size, generator)
    for start in range(0, len(drawn), batch_size):
        yield source.batch(drawn[start : start + batch_size])


def pinned(batch: Tensor, device: torch.device) -> Tensor:
    """The batch in page-locked memory where it goes to a GPU from this machine's, so that the copy
    overlaps the arithmetic.
    """
    return batch.pin_memory() if device.type == "cuda" and batch.device.type == "cpu" else batch
