"""Checkpoints of a training run: one file, whole or absent, with all that a bit-exact continuation on a CPU takes.

The random numbers of an epoch are seeded from (seed, epoch), so no generator's state needs to be kept.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trials.files import write_whole


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and plain values whole."""
    write_whole(path, lambda file: torch.save(dict(state), file))


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Read what save_checkpoint wrote, or None where there is none yet. Loads tensors and plain values only, never code."""
    if not path.is_file():
        return None
    return torch.load(path, map_location="cpu", weights_only=True)
