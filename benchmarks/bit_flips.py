"""Single bit flips over images, masks, cubes, records, checkpoints and results: every one is
detected or harmless.

python -m benchmarks.bit_flips [NUMBER]. Harmless: what is read is what was there. A damaged cube or
checkpoint is detected when it is made again, or gives way to the one before. Images and masks are
.nii.gz; a plain .nii carries no checksum.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.small_data import write_small_data
from benchmarks.write_faults import SPEC
from trials.data.datasets.opening import open_dataset
from trials.data.nifti.header import read_header
from trials.data.nifti.voxels import label_slabs, stored_slabs
from trials.data.prepared.cache import open_cache, prepare_dataset
from trials.records.codec import record_hash
from trials.records.result import COMPLETE, TrialResult
from trials.records.result_file import find_result, write_result
from trials.records.spec import Cube
from trials.training.checkpoint import Checkpoints

TRIAL = record_hash(SPEC)
# A reader tells what it read, to be compared; None says that it saw the damage.
Reader = Callable[[], object]


def read_image(path: Path) -> object:
    """Header and voxels of an image."""
    header = read_header(path)
    return (
        header.shape,
        header.affine.tolist(),
        header.slope,
        header.inter,
        [slab.tobytes() for slab in stored_slabs(header)],
    )


def read_mask(path: Path) -> object:
    """Header and voxels of a mask."""
    header = read_header(path)
    return header.shape, header.affine.tolist(), [slab.tobytes() for slab in label_slabs(header, 4)]


def read_cube(prepared: Path, case: str, kind: str) -> object:
    """A cube as a trial sees it; None where it had to be made again."""
    cache = open_cache(prepared)
    content = getattr(cache, kind)(case).tobytes()
    return None if cache.made_again else content


def read_newest(folder: Path) -> object:
    """The epoch of the checkpoint that training would go on from; None where the newest was passed
    over.
    """
    kept = Checkpoints(folder=folder, spec=SPEC)
    state = kept.load()
    return None if kept.notes or state is None else (state["epoch"], state["weights"].tolist())


def subjects(place: Path) -> dict[str, tuple[Path, Reader]]:
    """One file of every kind, and how it is read."""
    import torch

    dataset = open_dataset("phantoms", write_small_data(place / "data", 1))
    case = dataset.cases[0]
    prepared = prepare_dataset(dataset, Cube(edge=8), place / "cache", workers=1)
    cubes = {
        kind: next((prepared.parent / "cases").glob(f"*.{kind}.npy"))
        for kind in ("image", "labels")
    }
    kept = Checkpoints(folder=place / "trials" / TRIAL, spec=SPEC)
    for epoch in range(2):
        kept.save(epoch, {"epoch": epoch, "weights": torch.arange(20.0)})
    write_result(place, TrialResult(trial=TRIAL, spec=SPEC, state=COMPLETE, val_score=0.5))
    return {
        "image": (case.image, lambda: read_image(case.image)),
        "mask": (case.labels, lambda: read_mask(case.labels)),
        "cube of the image": (cubes["image"], lambda: read_cube(prepared, case.case, "image")),
        "cube of the mask": (cubes["labels"], lambda: read_cube(prepared, case.case, "labels")),
        "manifest": (prepared / "manifest.json", lambda: open_cache(prepared).cases),
        "checkpoint": (max(kept.folder.glob("checkpoint-*.pt")), lambda: read_newest(kept.folder)),
        "result": (place / "trials" / TRIAL / "result.json", lambda: find_result(place, TRIAL)),
    }


def flip(path: Path, read: Reader, number: int, generator: np.random.Generator) -> Counter[str]:
    """Flip so many bits of a file, one at a time, and count what became of it."""
    sound, right = path.read_bytes(), read()
    assert right is not None
    found: Counter[str] = Counter()
    for place in generator.choice(8 * len(sound), number, replace=number > 8 * len(sound)):
        changed = bytearray(sound)
        changed[place // 8] ^= 1 << (place % 8)
        path.write_bytes(changed)
        try:
            value = read()
            found["detected" if value is None else "harmless" if value == right else "missed"] += 1
        except ValueError:
            found["detected"] += 1
    path.write_bytes(sound)
    return found


def count_flips(number: int) -> dict[str, Counter[str]]:
    """Divide that many flips among all kinds of files and count, by kind."""
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        files = subjects(Path(place))
        return {
            name: flip(path, read, -(-number // len(files)), generator)
            for name, (path, read) in files.items()
        }


def main(number: int) -> int:
    """Print a table; the exit code is 1 if a flip was missed."""
    counts = count_flips(number)
    print(f"{'file':20}{'flips':>8}{'detected':>10}{'harmless':>10}{'missed':>8}")
    for name, found in counts.items():
        print(
            f"{name:20}{found.total():8}{found['detected']:10}{found['harmless']:10}{found['missed']:8}"
        )
    total = sum(counts.values(), Counter())
    print(
        f"{'all':20}{total.total():8}{total['detected']:10}{total['harmless']:10}{total['missed']:8}"
    )
    return bool(total["missed"])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
