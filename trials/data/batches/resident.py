"""The training set on the GPU itself, where it fits: batches are gathered there and
nothing is copied at a step.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trials.data.batches.loading import Batch, Items, Source, pinned
from trials.data.spacing.intensities import Scaling

# The rest of the GPU is the model's: activations of 3D networks take far more than the images.
SHARE_OF_GPU = 0.25


@dataclass(frozen=True, slots=True)
class GpuDataset:
    """Items on a device: images float16 [N, C, D, H, W], or [N, S, C, ...] of slices, labels uint8
    the same without channels; index as in Items.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    of_slices: bool

    def batch(self, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        """Gather items on the device that holds them."""
        case, number = self.index[torch.from_numpy(chosen).to(self.index.device)].unbind(1)
        if not self.of_slices:
            return self.images[case], self.labels[case]
        return self.images[case, number], self.labels[case, number]


def num_bytes(items: Items) -> int:
    """What a set takes: two bytes a voxel of image, one a voxel of labels."""
    return sum(volume.nbytes for volumes in (items.images, items.labels) for volume in volumes)


def fits(items: Items, free_bytes: int) -> bool:
    """Whether a set may lie on a GPU with that much free memory, and leave most of it to the
    model.
    """
    return num_bytes(items) <= SHARE_OF_GPU * free_bytes


def source_on(items: Items, device: torch.device) -> Source:
    """The items as they should be read by a trial on this device: on the GPU where they fit, else
    from their maps.
    """
    if device.type != "cuda" or not fits(items, free_share(device)):
        return items
    return resident(items, device)


def free_share(device: torch.device) -> int:
    """Bytes of a GPU that this process may still take: what is free there, and no more than its own
    share of it.
    """
    free, total = torch.cuda.mem_get_info(device)
    return min(free, int(torch.cuda.get_per_process_memory_fraction(device) * total))


def process_share(device: torch.device) -> int:
    """Bytes of a GPU that this process may have in all: what it holds and what is free there, and
    no more than its own share.
    """
    free, total = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_reserved(device)
    return min(free + held, int(torch.cuda.get_per_process_memory_fraction(device) * total))


def resident(items: Items, device: torch.device) -> GpuDataset:
    """Copy a set to a device, once."""
    of_slices = bool(len(items.index)) and items.index[0, 1] >= 0
    images, labels = (
        torch.stack(
            [torch.from_numpy(np.array(volume, order="C")).to(device) for volume in volumes]
        )
        for volumes in (items.images, items.labels)
    )
    return GpuDataset(images, labels, torch.from_numpy(items.index).to(device), of_slices)


def ahead(
    batches: Iterator[Batch], device: torch.device, scalings: Sequence[Scaling] = ()
) -> Iterator[Batch]:
    """Batches on the device, images scaled and as float32; on a GPU the next one's copy is under
    way while one is computed with.
    """
    for images, labels in _on_device(batches, device):
        yield network_input(images, scalings), labels


def network_input(images: Tensor, scalings: Sequence[Scaling]) -> Tensor:
    """Stored intensities [B, C, ...] as a network takes them, float32, on their device; without
    scalings they are normalised.
    """
    values = images.float()
    for channel, scaling in zip(values.unbind(1), scalings, strict=False):
        channel.clamp_(scaling.low, scaling.high).sub_(scaling.mean).div_(scaling.sd)
    return values


def _on_device(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    if device.type != "cuda":
        yield from batches
        return
    stream = torch.cuda.Stream(device)
    waiting = None
    for batch in batches:
        with torch.cuda.stream(stream):
            parts = [pinned(part, device).to(device, non_blocking=True) for part in batch]
            copied = stream.record_event()
        if waiting is not None:
            yield _received(*waiting)
        waiting = parts, copied
    if waiting is not None:
        yield _received(*waiting)


def _received(parts: list[Tensor], copied: torch.cuda.Event) -> tuple[Tensor, Tensor]:
    """Let the computing stream wait for this copy alone, and keep its memory until that stream is
    done with it.
    """
    current = torch.cuda.current_stream(parts[0].device)
    current.wait_event(copied)
    for part in parts:
        part.record_stream(current)
    images, labels = parts
    return images, labels
