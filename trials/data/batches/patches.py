"""Patches as batches: read from the maps of prepared cases, or gathered from the same volumes on a
GPU.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from trials.data.batches.loading import Batch, Source, pinned
from trials.data.batches.patch_draws import PatchCases, PatchDraws, Places, Size, crop, overlap_box
from trials.data.batches.resident import process_share
from trials.data.prepared.cache import Cache

# Threads that read batches, and batches that wait to be trained on: of a GPU, whose step takes
# about as long as a map gives ten patches of 128^3.
THREADS, WAITING = 2, 4
# A validation's windows and the allocator's gaps need some memory too.
PEAK_MARGIN = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchReader:
    """A Source of patches from maps: images int16 [C, D, H, W] and labels uint8 [D, H, W], one map
    a case. pads int16 [C, 1, 1, 1] is the intensity beyond a border.
    """

    images: Sequence[np.ndarray]
    labels: Sequence[np.ndarray]
    patch: Size
    pads: np.ndarray

    def batch(self, chosen: np.ndarray) -> Batch:
        """Patches [B, C, d, h, w] int16 and their labels uint8, at places [B, 4]."""
        images, labels = (
            np.stack([crop(volumes[place[0]], place[1:], self.patch, fill) for place in chosen])
            for volumes, fill in ((self.images, self.pads), (self.labels, 0))
        )
        return torch.from_numpy(images), torch.from_numpy(labels)

    @property
    def num_bytes(self) -> int:
        """What the volumes take."""
        return sum(volume.nbytes for volume in (*self.images, *self.labels))


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchesOnGpu:
    """The same from tensors on a device: the batch is gathered there."""

    images: Sequence[Tensor]
    labels: Sequence[Tensor]
    patch: Size
    pads: Tensor

    def batch(self, chosen: np.ndarray) -> Batch:
        """Patches and their labels at places [B, 4], on the device."""
        images, labels = (
            torch.stack([self._crop(volumes[place[0]], place[1:], fill) for place in chosen])
            for volumes, fill in ((self.images, self.pads), (self.labels, 0))
        )
        return images, labels

    def _crop(self, volume: Tensor, start: np.ndarray, fill: Tensor | int) -> Tensor:
        (d, h, w), at = overlap_box(start, self.patch, volume.shape[-3:])
        inside = volume[..., d, h, w]
        if tuple(inside.shape[-3:]) == self.patch:
            return inside
        patch = inside.new_empty((*volume.shape[:-3], *self.patch))
        patch[:] = fill
        patch[..., at[0], at[1], at[2]] = inside
        return patch


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchFeed:
    """A Feed of patches: where the draws say, from the source. threads read ahead of the training,
    0 reads each batch when it is asked for; what is drawn is the same.
    """

    source: Source
    draws: PatchDraws
    device: torch.device
    threads: int = 0

    @property
    def is_on_gpu(self) -> bool:
        """Whether the training set lies on the GPU."""
        return isinstance(self.source, PatchesOnGpu)

    def epoch(self, steps: int, generator: np.random.Generator) -> Iterator[Batch]:
        """The batches of one epoch, in the order of its steps."""
        seed = int(generator.integers(2**62))
        if not self.threads:
            yield from (self._read(self.draws.batch(seed, step)) for step in range(steps))
            return
        with ThreadPoolExecutor(self.threads, thread_name_prefix="patches") as pool:
            waiting: deque[Future[Batch]] = deque()
            for step in range(steps):
                waiting.append(pool.submit(self._drawn, seed, step))
                if len(waiting) == WAITING:
                    yield waiting.popleft().result()
            yield from (done.result() for done in waiting)

    def _drawn(self, seed: int, step: int) -> Batch:
        return self._read(self.draws.batch(seed, step))

    def _read(self, places: Places) -> Batch:
        images, labels = self.source.batch(places)
        return pinned(images, self.device), pinned(labels, self.device)


def beside_model(feed: PatchFeed, peak_bytes: int) -> PatchFeed:
    """The feed with its training set on the GPU, where it fits beside a model that needs so much
    memory at its peak, measured; otherwise unchanged.
    """
    reader, device = feed.source, feed.device
    if not isinstance(reader, PatchReader) or device.type != "cuda":
        return feed
    if reader.num_bytes + int(PEAK_MARGIN * peak_bytes) > process_share(device):
        return feed
    return replace(feed, source=on_gpu(reader, device), threads=0)


def patch_cases(cache: Cache, cases: Sequence[str]) -> PatchCases:
    """The cases of a set at a spacing, to draw patches from."""
    return PatchCases(
        labels=[np.asarray(cache.labels(case)) for case in cases],
        index=[np.asarray(cache.index(case)) for case in cases],
        class_voxels=np.array([cache.cases[case].cube_class_voxels for case in cases], np.int64),
    )


def patch_reader(cache: Cache, cases: Sequence[str], patch: Size, pads: np.ndarray) -> PatchReader:
    """A reader of patches of these cases."""
    images, labels = (
        [np.asarray(of(case)) for case in cases] for of in (cache.image, cache.labels)
    )
    return PatchReader(images=images, labels=labels, patch=patch, pads=pads)


def on_gpu(reader: PatchReader, device: torch.device) -> PatchesOnGpu:
    """Copy a reader's volumes to a device, once."""
    images, labels = (
        [torch.from_numpy(np.array(volume)).to(device) for volume in volumes]
        for volumes in (reader.images, reader.labels)
    )
    pads = torch.from_numpy(reader.pads).to(device)
    return PatchesOnGpu(images=images, labels=labels, patch=reader.patch, pads=pads)
