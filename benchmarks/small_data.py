"""A few small cases in the layout of KiTS23, with noise that does not compress, for what is done
thousands of times.
"""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np

SHAPE = (11, 14, 9)
AFFINE = np.array([[0, 0, -1.5, 40.0], [0, -2.0, 0, 30.0], [-3.0, 0, 0, 20.0], [0, 0, 0, 1]])


def write_small_data(root: Path, num_cases: int) -> Path:
    """Write the cases and return root; the same bytes each time."""
    for number in range(num_cases):
        generator = np.random.default_rng(number)
        voxels = {
            "imaging": generator.integers(-1000, 1000, SHAPE).astype(np.int16),
            "segmentation": generator.integers(0, 4, SHAPE).astype(np.uint8),
        }
        folder = root / f"case_{number:05d}"
        folder.mkdir(parents=True)
        for name, values in voxels.items():
            content = nib.Nifti1Image(values, AFFINE).to_bytes()
            (folder / f"{name}.nii.gz").write_bytes(gzip.compress(content, 6, mtime=0))
    return root
