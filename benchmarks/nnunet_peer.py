"""What this project does as nnU-Net does, against nnunetv2 itself on the same cases: the spacing
that its planner gives, the intensities it normalises by, its resampling, the weights of its windows
and the sum of its deep supervision.

    python -m benchmarks.nnunet_peer --data FOLDER [--cases 24]

FOLDER holds cases in KiTS23's layout. nnunetv2 is part of the extra `bench`; the cases reach it as
`segbench export nnunet` writes them.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.compare import keep
from trials.data.datasets.nnunet.export import export_nnunet
from trials.data.datasets.opening import open_dataset
from trials.data.datasets.registry import Dataset, Split
from trials.data.nifti.volume import read_image, to_dhw
from trials.data.prepared.cache import open_cache, prepare_dataset
from trials.data.spacing.plan import fullres_mm, lowres_mm, native_grids
from trials.inference.predict import interpolation
from trials.inference.whole_cases import importance
from trials.records.spec import Spacing
from trials.training.tasks import downsampled, output_weights, supervised_loss

# Intensities of the foreground are measured on the native grid: the spacing does not matter.
COARSE = Spacing(mm=(10.0, 10.0, 10.0))
NAME = "Dataset001_Peer"
HEADER = f"{'what':<66}{'nnunetv2':>28}{'ours':>28}{'difference':>13}"


def line(what: str, theirs: object, ours: object, difference: float) -> str:
    """A row of the table."""
    return f"{what:<66}{theirs!s:>28}{ours!s:>28}{difference:13.2g}"


def largest(one: np.ndarray | Tensor, other: np.ndarray | Tensor) -> float:
    """The largest difference between two arrays."""
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).max())


def in_words(mm: np.ndarray) -> str:
    """A spacing in mm."""
    return " x ".join(f"{edge:.4f}" for edge in mm)


def planned(dataset: Dataset, place: Path) -> Iterator[str]:
    """Rows of spacings and intensities: nnU-Net reads the same cases and plans."""
    cases = tuple(case.case for case in dataset.cases)
    export_nnunet(dataset, Split(train=cases, val=(), test=()), place / "raw" / NAME)
    os.environ |= {"nnUNet_raw": str(place / "raw"), "nnUNet_preprocessed": str(place / "done")}
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import (
        DatasetFingerprintExtractor,
    )
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import (
        ExperimentPlanner,
    )

    found = DatasetFingerprintExtractor(NAME, num_processes=1).run()
    planner = ExperimentPlanner(NAME)
    grids = native_grids(dataset.cases, 1)
    # SimpleITK's axes are those of the file, reversed.
    theirs, ours = planner.determine_fullres_target_spacing()[::-1], fullres_mm(grids)
    yield line("full resolution, mm", in_words(theirs), in_words(ours), largest(theirs, ours))
    configurations = planner.plan_experiment()["configurations"]
    if "3d_lowres" in configurations:
        theirs = np.array(configurations["3d_lowres"]["spacing"])
        theirs, ours = np.sort(theirs), np.sort(lowres_mm(grids))
        what = "low resolution, mm, sorted"
        yield line(what, in_words(theirs), in_words(ours), largest(theirs, ours))
    cache = open_cache(prepare_dataset(dataset, COARSE, place / "cache", workers=1))
    (scaling,) = cache.scalings(cases)
    properties = found["foreground_intensity_properties_per_channel"]
    of = properties.get(0) or properties["0"]
    for what, key, value in (
        ("0.5 percentile of the foreground, HU", "percentile_00_5", scaling.low),
        ("99.5 percentile, HU", "percentile_99_5", scaling.high),
        ("mean, HU", "mean", scaling.mean),
        ("standard deviation, HU", "std", scaling.sd),
    ):
        yield line(what, f"{of[key]:.2f}", f"{value:.2f}", abs(of[key] - value))


def resampled(dataset: Dataset) -> str:
    """The row of linear resampling of one image, in its standard deviations."""
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg

    volume = read_image(dataset.cases[0].image)
    image = np.ascontiguousarray(to_dhw(volume.voxels, volume.affine)[:40, 60:190, 60:200], float)
    size = (57, 81, 170)
    theirs = resample_data_or_seg(image[None], size, order=1, do_separate_z=False)[0]
    ours = image
    for axis, edge in enumerate(size):
        matrix = interpolation(edge, image.shape[axis]).numpy().astype(float)
        ours = np.moveaxis(np.tensordot(matrix, ours, (1, axis)), 0, axis)
    of = f"{' x '.join(map(str, image.shape))} to {' x '.join(map(str, size))}, order 1, deviations"
    return line(f"resampling {of}", "", "", largest(theirs, ours) / image.std())


def windows() -> Iterator[str]:
    """The rows of the weights of a window's voxels."""
    from nnunetv2.inference.sliding_window_prediction import compute_gaussian

    for size in ((128, 128, 128), (48, 40, 56), (65, 65, 65)):
        device = torch.device("cpu")
        theirs = compute_gaussian(size, dtype=torch.float64, device=device).numpy()
        name = " x ".join(map(str, size))
        yield line(f"weights of a window of {name}", "", "", largest(theirs, importance(size)))
        # nnU-Net's Gaussian lies on voxel n // 2; ours, as MONAI's, in the middle of the window.
        odd = tuple(edge - 1 + edge % 2 for edge in size)
        same = compute_gaussian(odd, dtype=torch.float64, device=device).numpy()
        floor = same.clip(float(importance(odd).min()))
        what = f"the same where both have one centre, {' x '.join(map(str, odd))}"
        yield line(what, "", "", largest(floor, importance(odd)))


def supervised() -> Iterator[str]:
    """The rows of deep supervision, under nnU-Net's own loss, and of its labels."""
    from batchgeneratorsv2.transforms.utils.deep_supervision_downsampling import (
        DownsampleSegForDSTransform,
    )
    from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
    from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
    from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (2, 32, 48, 40), generator=generator)
    sizes = [tuple(edge // 2**level for edge in labels.shape[1:]) for level in range(4)]
    outputs = [torch.randn(2, 4, *size, generator=generator) for size in sizes]
    dice = {"batch_dice": True, "smooth": 1e-5, "do_bg": False, "ddp": False}
    loss = DC_and_CE_loss(dice, {}, dice_class=MemoryEfficientSoftDiceLoss)
    weights = np.array([0.5**level for level in range(4)])
    weights[-1] = 0
    weights /= weights.sum()
    scales = tuple((0.5**level,) * 3 for level in range(4))
    lowered = DownsampleSegForDSTransform(scales)(segmentation=labels[:1])["segmentation"]
    theirs_labels = [part[0] for part in lowered]
    ours_labels = [downsampled(labels, size)[0] for size in sizes]
    pairs = zip(theirs_labels, ours_labels, strict=True)
    differing = sum(int((one != other).sum()) for one, other in pairs)
    yield line("labels of lower outputs, voxels that differ", "", "", differing)
    yield line("weights of the outputs", "", "", largest(weights, np.array(output_weights(4))))
    targets = [downsampled(labels, size)[:, None] for size in sizes]
    theirs = float(DeepSupervisionWrapper(loss, weights)(outputs, targets))
    ours = float(supervised_loss(lambda out, of: loss(out, of[:, None]), outputs, labels))
    what = "deep supervision of four outputs under its Dice and cross-entropy"
    yield line(what, f"{theirs:.6f}", f"{ours:.6f}", abs(theirs - ours))


def main() -> None:
    """Print and keep the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, required=True, help="cases in KiTS23's layout")
    options.add_argument("--cases", type=int, default=24, help="how many of them")
    given = options.parse_args()
    dataset = open_dataset("kits23", given.data)
    dataset = replace(dataset, cases=dataset.cases[: given.cases])
    with tempfile.TemporaryDirectory() as place:
        lines = [HEADER, *planned(dataset, Path(place)), resampled(dataset)]
    lines += [*windows(), *supervised()]
    about = f"Against nnunetv2 {version('nnunetv2')}, {len(dataset.cases)} cases"
    keep("nnunet_peer", about, lines)


if __name__ == "__main__":
    main()
