"""The GPU against the CPU on the same tensors: losses, voxel counts, and the predictions of a small
trained network.
"""

import numpy as np
import torch

from benchmarks.gpu.bare import Batch, train_bare
from benchmarks.gpu.rows import COUNTS_ROW, LOSS_ROWS, VOXELS_ROW, Sheet
from benchmarks.gpu.sizes import CLASSES, Sizes
from trials.data.prepared.cache import Cache
from trials.data.sampling import ClassCounts
from trials.inference.network import pick_device
from trials.losses import build_loss
from trials.models.build import build
from trials.scoring.decision import labels_of
from trials.scoring.overlap import device_counts, label_counts, read_counts
from trials.voxel_losses import Combined

COUNTS = ClassCounts(
    voxels=(10**6, 10**4, 3000, 500), slices=(900, 300, 90, 40), cases=(30, 30, 28, 15)
)
EDGE, WIDTH, CASES = 64, 8, 4


def compare_devices(sheet: Sheet, sizes: Sizes, cache: Cache) -> None:
    """Write the rows that compare devices."""
    torch.manual_seed(0)
    logits, labels = (
        3 * torch.randn(2, CLASSES, 48, 48, 48),
        torch.randint(0, CLASSES, (2, 48, 48, 48), dtype=torch.uint8),
    )
    for name, row in LOSS_ROWS.items():
        loss = build_loss(name, COUNTS, {"gamma": 2.0})
        there, here = (
            float(loss(logits.to(device), labels.to(device)))
            for device in (pick_device(), torch.device("cpu"))
        )
        sheet.write(row, abs(there - here) / abs(here))
    counted = read_counts(
        device_counts(logits.to(pick_device()), labels.to(pick_device()), CLASSES)
    )
    pairs = zip(logits, labels, strict=True)
    by_hand = [
        label_counts(labels_of(scores).numpy(), true.numpy(), CLASSES) for scores, true in pairs
    ]
    sheet.write(COUNTS_ROW, int((counted != np.stack(by_hand)).sum()), f"of {counted.size}")
    sheet.write(
        VOXELS_ROW,
        100 * equal_share(cache, sizes.compared_steps),
        f"unet3d of width {WIDTH}, {sizes.compared_steps} steps",
    )


def equal_share(cache: Cache, steps: int) -> float:
    """The share of voxels 0..1 to which a network gives one label on both devices, after it was
    trained on the GPU.
    """
    device, cases = pick_device(), list(cache.cases)[:CASES]
    stride = -(-len(cache.labels(cases[0])) // EDGE)
    images, labels = (
        torch.from_numpy(np.stack([of(case)[..., ::stride, ::stride, ::stride] for case in cases]))
        for of in (cache.image, cache.labels)
    )
    batch = Batch(images=images.float().to(device), labels=labels.to(device))
    module = build("unet3d", CLASSES, width=WIDTH).to(device)
    train_bare(module, Combined(), batch, None, steps, 1e-3)
    module.eval()
    with torch.inference_mode():
        there = module(batch.images).argmax(1).cpu()
        here = module.cpu()(batch.images.cpu()).argmax(1)
    return float((there == here).double().mean())
