"""Small NIfTI files and data sets whose every voxel is known."""

from pathlib import Path

import nibabel as nib
import numpy as np

from trials.data.datasets.registry import Case, Dataset

# Axis 0 runs from the head down, axis 1 to the back, axis 2 to the left; 3 x 2 x 1.5 mm.
IPL = np.array([[0, 0, -1.5, 40.0], [0, -2.0, 0, 30.0], [-3.0, 0, 0, 20.0], [0, 0, 0, 1]])
CLASSES = ("background", "kidney", "tumor", "cyst")


def save(path: Path, voxels: np.ndarray, affine: np.ndarray = IPL, **fields: float) -> Path:
    """Write voxels as a NIfTI file; fields are set in the header as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(voxels, affine)
    for name, value in fields.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def turned(voxels: np.ndarray, affine: np.ndarray, codes: str) -> tuple[np.ndarray, np.ndarray]:
    """The same patient in a file whose axes run to `codes`, as nibabel turns it."""
    image = nib.Nifti1Image(voxels, affine)
    target = nib.orientations.axcodes2ornt(codes)
    done = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(affine), target))
    return np.asanyarray(done.dataobj), done.affine


def asymmetric(shape: tuple[int, int, int] = (11, 14, 9), seed: int = 0) -> np.ndarray:
    """An image (D, H, W) that no turn maps onto itself: a ramp along each axis, each of another
    slope, and noise.
    """
    d, h, w = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return (100 * d + 10 * h + w + np.random.default_rng(seed).integers(0, 50, shape)).astype(
        np.int16
    )


def blocks(shape: tuple[int, int, int] = (11, 14, 9), seed: int = 0) -> np.ndarray:
    """Labels (D, H, W) 0..3 without any symmetry."""
    return np.random.default_rng(seed + 1).integers(0, 4, shape).astype(np.uint8)


def dataset_of(root: Path, number: int = 3, name: str = "phantoms") -> Dataset:
    """Write that many small cases in the layout of KiTS23 and open them as a data set."""
    cases = []
    for index in range(number):
        folder = root / f"case_{index:05d}"
        image = save(folder / "imaging.nii.gz", asymmetric(seed=index))
        labels = save(folder / "segmentation.nii.gz", blocks(seed=index))
        cases.append(Case(case=folder.name, image=image, labels=labels))
    return Dataset(name=name, root=root, classes=CLASSES, cases=tuple(cases), licence="made here")
