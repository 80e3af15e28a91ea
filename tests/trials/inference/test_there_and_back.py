"""Real KiTS23 references to a physical spacing and back to their own grid, without a network."""

import nibabel as nib
import numpy as np
import pytest

from trials.data.nifti.header import read_header
from trials.data.nifti.voxels import StreamStats
from trials.data.spacing.plan import native_grid, resized
from trials.data.spacing.resample import resample_labels
from trials.inference.ceiling import certain_planes
from trials.inference.predict import slabs_on_native_grid
from trials.records.result import dice
from trials.scoring.overlap import label_counts

CASES = ("case_00416",)


@pytest.fixture(scope="module")
def masks(fixtures, tmp_path_factory):
    """Every second voxel in plane of one of the prototype's test cases, with kidneys, tumours and
    cysts.
    """
    place, paths = tmp_path_factory.mktemp("masks"), []
    for case in CASES:
        (source,) = fixtures.glob(f"data/kits23_masks*/{case}.nii.gz")
        image = nib.load(source)
        affine = image.affine.copy()
        affine[:3, 1:3] *= 2
        labels = np.asanyarray(image.dataobj).astype(np.uint8)[:, ::2, ::2]
        paths.append(place / f"{case}.nii.gz")
        nib.save(nib.Nifti1Image(labels, affine), paths[-1])
    return paths


@pytest.mark.parametrize(
    ("mm", "least"),
    [((4.0, 3.0, 3.0), (0.955, 0.89, 0.83)), ((3.0, 2.0, 2.0), (0.97, 0.94, 0.91))],
)
def test_references_keep_their_dice_at_a_spacing(masks, mm, least):
    scores = []
    for path in masks:
        header = read_header(path)
        reference = np.asanyarray(nib.load(path).dataobj)
        size = resized(native_grid(header), mm)
        labels, _ = resample_labels(header, size, 4, StreamStats())
        back = slabs_on_native_grid(certain_planes(labels, 4), size, reference.shape)
        scores.append([dice(*counts) for counts in label_counts(back, reference, 4)[1:].tolist()])

    assert (np.mean(scores, 0) >= least).all(), np.mean(scores, 0)
