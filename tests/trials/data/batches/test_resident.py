"""A training set held on a device gives the batches that its files give."""

import numpy as np
import pytest
import torch

from trials.data.batches.loading import slice_items, volume_items
from trials.data.batches.resident import SHARE_OF_GPU, ahead, fits, num_bytes, resident, source_on
from trials.data.prepared.cache import open_cache

CPU = torch.device("cpu")


def items_of(small_cache, kind):
    cache = open_cache(small_cache)
    cases = sorted(cache.cases)[:3]
    return volume_items(cache, cases) if kind == "volumes" else slice_items(cache, cases, kind)


@pytest.mark.parametrize("kind", ["volumes", "axial", "coronal", "sagittal"])
def test_batches_of_a_resident_set_are_those_of_the_files(small_cache, kind):
    items = items_of(small_cache, kind)
    chosen = np.random.default_rng(0).permutation(len(items.index))[:5]

    ours, theirs = resident(items, CPU).batch(chosen), items.batch(chosen)

    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def test_a_set_takes_three_bytes_a_voxel_and_fits_where_it_leaves_most_of_the_card(small_cache):
    items = items_of(small_cache, "volumes")

    assert num_bytes(items) == 3 * 32**3 * 3
    assert fits(items, int(num_bytes(items) / SHARE_OF_GPU))
    assert not fits(items, int(num_bytes(items) / SHARE_OF_GPU) - 4)


def test_on_a_processor_the_files_are_read_where_they_lie(small_cache):
    items = items_of(small_cache, "axial")

    assert source_on(items, CPU) is items


def test_batches_ahead_are_the_same_batches_as_float32(small_cache):
    items = items_of(small_cache, "axial")
    batches = [items.batch(np.arange(start, start + 4)) for start in (0, 4)]

    for (images, labels), (half, same) in zip(ahead(iter(batches), CPU), batches, strict=True):
        assert images.dtype == torch.float32
        assert torch.equal(images, half.float())
        assert torch.equal(labels, same)
