"""Cases at a physical spacing: what the way there and back costs in Dice, without a network, and
the memory and time of preparing the largest scans.

    python -m benchmarks.spacing --data FOLDER     of KiTS23's layout, for the first table
    python -m benchmarks.spacing                   the second alone
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

from benchmarks.compare import keep
from trials.data.datasets.opening import open_dataset
from trials.data.datasets.registry import Case
from trials.data.prepared.cache import Cache, open_cache, prepare_dataset
from trials.data.prepared.case_checks import Rules
from trials.data.prepared.case_store import Store, open_folder, prepared_record
from trials.data.prepared.native_grid import native_labels
from trials.inference.ceiling import certain_planes
from trials.inference.predict import slabs_on_native_grid
from trials.records.spec import Spacing
from trials.scoring.overlap import label_counts, mean_dice_by_label

CLASSES = ("background", "kidney", "tumor", "cyst")
GRIDS = ((4.0, 3.0, 3.0), (3.0, 2.0, 2.0))
FULLRES = (1.0, 0.78125, 0.78125)
# The cases of KiTS23 with the most slices, and with the most voxels at the full resolution: their
# sizes and spacings.
LARGE = {
    "most slices": ((1059, 512, 512), (0.5, 0.78125, 0.78125)),
    "most voxels": ((479, 512, 512), (3.0, 0.949, 0.949)),
}


def there_and_back(cache: Cache) -> dict[int, float | None]:
    """Mean native Dice of each label when every reference goes to the prepared grid and back."""
    counts = []
    for case in sorted(cache.cases):
        reference = native_labels(cache.cases[case])
        planes = certain_planes(cache.labels(case), len(CLASSES))
        back = slabs_on_native_grid(planes, cache.shape(case), reference.shape)
        counts.append(label_counts(back, reference, len(CLASSES)))
    return mean_dice_by_label(counts)


def geometry(data: Path, cache: Path) -> list[str]:
    """The table of the way there and back."""
    dataset = open_dataset("kits23", data)
    lines = [f"references of {len(dataset.cases)} cases there and back, mean native Dice", ""]
    lines += [f"{'grid, mm':<14}{'kidney':>8}{'tumour':>8}{'cyst':>8}"]
    for mm in GRIDS:
        prepared = prepare_dataset(dataset, Spacing(mm=mm), cache, workers=1)
        scores = [score for score in there_and_back(open_cache(prepared)).values() if score]
        name = " x ".join(f"{edge:g}" for edge in mm)
        lines.append(f"{name:<14}" + "".join(f"{score:8.3f}" for score in scores))
    return lines


def write_large(folder: Path, name: str) -> None:
    """A scan of noise with a mask, its slices the first axis as in KiTS23."""
    shape, mm = LARGE[name]
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = -np.array(mm)
    affine[3, 3] = 1
    image = np.empty(shape, np.int16)
    for number, plane in enumerate(image):
        plane[:] = np.random.default_rng(number).integers(-1000, 400, shape[1:])
    labels = np.zeros(shape, np.uint8)
    labels[100:300, 200:300, 150:250], labels[200:240, 220:260, 180:220] = 1, 2
    for array, kind in ((image, "image"), (labels, "labels")):
        nib.save(nib.Nifti1Image(array, affine), folder / f"{kind}.nii")


def prepare_large(folder: Path, name: str) -> None:
    """Prepare the large case at the full resolution in this process, and print its size, its
    seconds and the peak of memory.
    """
    case = Case(case="case_00000", image=folder / "image.nii", labels=folder / "labels.nii")
    store = Store(
        folder=folder / name, preparation=Spacing(mm=FULLRES), rules=Rules(classes=CLASSES)
    )
    open_folder(store.folder)
    clock = time.process_time()
    record = prepared_record(store, case)
    seconds = time.process_time() - clock
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    voxels = sum(record.cube_class_voxels) / 1e6
    peak = int(status["VmHWM"].split()[0]) / 2**20
    print(f"{name:<14}{voxels:16.0f}{seconds:8.0f}{peak:10.2f}")


def memory(place: Path) -> list[str]:
    """The table of preparing the large cases, each in a process of its own."""
    lines = ["large cases at 1 x 0.78 x 0.78 mm, one process", ""]
    lines += [f"{'case':<14}{'million voxels':>16}{'CPU s':>8}{'peak GiB':>10}"]
    for name in LARGE:
        with tempfile.TemporaryDirectory(dir=place) as folder:
            write_large(Path(folder), name)
            command = [sys.executable, "-m", "benchmarks.spacing", "--large", name, "--in", folder]
            ran = subprocess.run(command, capture_output=True, text=True, check=True)
            lines.append(ran.stdout.rstrip())
    return lines


def main() -> None:
    """Print and keep the tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, help="cases in KiTS23's layout")
    options.add_argument("--large", choices=LARGE, help=argparse.SUPPRESS)
    options.add_argument("--in", dest="folder", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.large:
        prepare_large(given.folder, given.large)
        return
    with tempfile.TemporaryDirectory() as place:
        lines = memory(Path(place))
        if given.data:
            lines = [*geometry(given.data, Path(place) / "cache"), "", *lines]
    keep("spacing", "Cases at a physical spacing", lines)


if __name__ == "__main__":
    main()
