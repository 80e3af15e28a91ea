"""One case from its two files to cubes on disk, against MONAI, SimpleITK, TorchIO and against
inflating the files alone.

`python -m benchmarks.prepare CASE...` takes case folders in KiTS23's layout, best at full size.
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from isal import igzip

from benchmarks.compare import compare, keep, table
from trials.data.datasets.registry import Case
from trials.data.prepared.case_checks import Rules
from trials.data.prepared.case_store import Store, prepared_record
from trials.process.workers import keep_freed_memory
from trials.records.spec import Cube

EDGE = 128
PIECE = 1 << 16
OURS = "ours"
RULES = Rules(classes=("background", "kidney", "tumor", "cyst"))


def ours(case: Case, place: Path) -> None:
    """The case as the product prepares it, in a folder that does not know it: checked, resampled,
    digested, written whole.
    """
    folder = Path(tempfile.mkdtemp(dir=place))
    prepared_record(Store(folder=folder, preparation=Cube(edge=EDGE), rules=RULES), case)


def inflated(case: Case) -> None:
    """Both files through ISA-L in pieces, and nothing else."""
    for path in (case.image, case.labels):
        with igzip.open(path, "rb") as stream:
            while stream.read(PIECE):
                pass


def with_monai(case: Case, place: Path) -> None:
    """MONAI's transforms, and the two arrays saved."""
    from monai import transforms as t

    keys = ["image", "labels"]
    steps = [
        t.LoadImaged(keys),
        t.EnsureChannelFirstd(keys),
        t.Orientationd(keys, axcodes="IPL"),
        t.Resized(keys, (EDGE,) * 3, mode=("trilinear", "nearest-exact")),
        t.NormalizeIntensityd("image"),
    ]
    done = t.Compose(steps)({"image": str(case.image), "labels": str(case.labels)})
    save(place, done["image"].numpy(), done["labels"].numpy())


def with_simpleitk(case: Case, place: Path) -> None:
    """SimpleITK's resampling onto a grid of the same extent, z-scored, saved."""
    import SimpleITK as sitk

    arrays = []
    for path, how in ((case.image, sitk.sitkLinear), (case.labels, sitk.sitkNearestNeighbor)):
        image = sitk.ReadImage(str(path))
        size, spacing = np.array(image.GetSize()), np.array(image.GetSpacing())
        fine = spacing * size / EDGE
        shift = np.array(image.GetDirection()).reshape(3, 3) @ ((fine - spacing) / 2)
        grid = (
            tuple((np.array(image.GetOrigin()) + shift).tolist()),
            tuple(fine.tolist()),
            image.GetDirection(),
        )
        arrays.append(
            sitk.GetArrayFromImage(sitk.Resample(image, [EDGE] * 3, sitk.Transform(), how, *grid))
        )
    image = arrays[0].astype(np.float32)
    save(place, (image - image.mean()) / image.std(), arrays[1])


def with_torchio(case: Case, place: Path) -> None:
    """TorchIO's transforms, saved."""
    import torchio as tio

    subject = tio.Subject(image=tio.ScalarImage(case.image), labels=tio.LabelMap(case.labels))
    done = tio.Compose([tio.ToCanonical(), tio.Resize(EDGE), tio.ZNormalization()])(subject)
    save(place, done.image.numpy(), done.labels.numpy())


def save(place: Path, image: np.ndarray, labels: np.ndarray) -> None:
    """Cubes as float16 and uint8."""
    np.save(place / "image.npy", image.astype(np.float16))
    np.save(place / "labels.npy", labels.astype(np.uint8))


def installed(name: str) -> bool:
    """Whether an optional peer is there."""
    from importlib.util import find_spec

    return find_spec(name) is not None


def one_case(folder: Path) -> list[str]:
    """What the case is, and its table."""
    import nibabel

    case = Case(
        case=folder.name, image=folder / "imaging.nii.gz", labels=folder / "segmentation.nii.gz"
    )
    header = nibabel.load(case.image)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        ways: dict[str, Callable[[], object]] = {
            OURS: partial(ours, case, place),
            "inflating both files with ISA-L": partial(inflated, case),
            "MONAI": partial(with_monai, case, place),
        }
        if installed("SimpleITK"):
            ways["SimpleITK"] = partial(with_simpleitk, case, place)
        if installed("torchio"):
            ways["TorchIO"] = partial(with_torchio, case, place)
        return [
            f"{folder.name}, {header.shape} of {header.get_data_dtype()}",
            "",
            *table(compare(ways), OURS),
            "",
        ]


def main() -> None:
    """Print and keep the comparison."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("cases", type=Path, nargs="+", metavar="CASE")
    torch.set_num_threads(1)
    cases = [folder.absolute() for folder in options.parse_args().cases]
    lines = ["The C library as it is installed", "", *chain.from_iterable(map(one_case, cases))]
    keep_freed_memory()
    lines += ["As a worker prepares, keeping freed memory; the peers too", "", *one_case(cases[0])]
    keep("prepare", f"An image and its mask to cubes of {EDGE}^3 on disk, one thread", lines)


if __name__ == "__main__":
    main()
