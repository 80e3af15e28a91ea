"""Class probabilities on the cube to labels on the case's own grid, against torch's interpolate and
argmax.
"""

from functools import partial

import numpy as np
import torch
from torch.nn.functional import interpolate

from benchmarks.compare import compare, keep, table
from trials.inference.predict import on_native_grid

CLASSES, EDGE, NATIVE = 4, 128, (178, 512, 512)


def probabilities() -> torch.Tensor:
    """Two kidneys with a tumour and a cyst, soft at their borders: [K, n, n, n]."""
    axes = torch.meshgrid(*[torch.linspace(-1, 1, EDGE)] * 3, indexing="ij")
    centres = [
        (0.0, 0.1, -0.4, 0.22, 1),
        (0.05, 0.1, 0.4, 0.2, 1),
        (0.1, 0.2, 0.4, 0.1, 2),
        (-0.1, 0.1, -0.45, 0.06, 3),
    ]
    logits = torch.zeros(CLASSES, EDGE, EDGE, EDGE)
    noise = torch.Generator().manual_seed(0)
    for *centre, radius, label in centres:
        distance = sum((axis - at).square() for axis, at in zip(axes, centre, strict=True)).sqrt()
        logits[label] = torch.maximum(logits[label], 40 * (radius - distance).clamp(-0.1, 0.1) + 4)
    logits[0] = 4
    return torch.softmax(logits + 0.05 * torch.randn(logits.shape, generator=noise), 0)


def with_torch(probs: torch.Tensor) -> np.ndarray:
    """All classes at full size, then the argmax."""
    return (
        interpolate(probs[None], NATIVE, mode="trilinear", align_corners=False)[0]
        .argmax(0)
        .to(torch.uint8)
        .numpy()
    )


def main() -> None:
    """Print and keep the comparison."""
    torch.set_num_threads(1)
    probs = probabilities()
    ways = {
        "ours": partial(on_native_grid, probs, NATIVE),
        "torch interpolate + argmax": partial(with_torch, probs),
    }
    lines = table(compare(ways, 3), "ours")
    ours, theirs = on_native_grid(probs, NATIVE), with_torch(probs)
    different = int((ours != theirs).sum())
    lines += [f"{different} of {ours.size} voxels differ; {int((theirs > 0).sum())} are foreground"]
    keep("native", f"Probabilities {CLASSES} x {EDGE}^3 to labels on {NATIVE}, one thread", lines)


if __name__ == "__main__":
    main()
