"""Cases at another spacing: equal to torch on whole arrays, whatever the axes of the file, in
little memory.
"""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from nifti_toys import CLASSES, IPL, asymmetric, blocks, save, turned
from torch.nn.functional import interpolate

from trials.data.datasets.registry import Case
from trials.data.prepared.case_checks import Rules
from trials.data.prepared.spaced import class_voxel_index, kept_voxels, prepare_spaced
from trials.data.spacing.intensities import train_scaling
from trials.data.spacing.resample import linear_filter
from trials.records.spec import Spacing

RULES = Rules(classes=CLASSES)
# Coarser along D, finer along H, and as it is along W: 11 x 14 x 9 voxels of 3 x 2 x 1.5 mm.
TARGET = Spacing(mm=(6.6, 1.4, 1.5))
SIZE = (5, 20, 9)


def case_of(folder, image, labels, affine=IPL):
    return Case(
        case="case_00000",
        image=save(folder / "imaging.nii.gz", image, affine),
        labels=save(folder / "segmentation.nii.gz", labels, affine),
    )


def by_torch(volume: np.ndarray, size=SIZE) -> np.ndarray:
    """Linear with antialiasing along one axis after the other, which torch has in 2D."""
    values = torch.from_numpy(volume.astype(np.float32))
    for axis, target in enumerate(size):
        lines = values.movedim(axis, -1)
        flat = lines.reshape(1, 1, -1, lines.shape[-1])
        made = interpolate(flat, (flat.shape[2], target), mode="bilinear", antialias=True)
        values = made.reshape(*lines.shape[:-1], target).movedim(-1, axis)
    return values.numpy()


@pytest.mark.parametrize("codes", ["IPL", "LPS", "RAS", "PIR"])
def test_image_and_labels_are_those_of_torch_in_any_axes(tmp_path, codes):
    image, affine = turned(asymmetric(), IPL, codes)
    labels, _ = turned(blocks(), IPL, codes)

    prepared = prepare_spaced(case_of(tmp_path, image, labels, affine), RULES, TARGET)

    shares = np.stack([by_torch(blocks() == label) for label in range(4)])
    best = np.sort(shares, 0)
    clear = best[-1] - best[-2] > 1e-5
    assert (prepared.image.dtype, prepared.image.shape) == (np.int16, (1, *SIZE))
    assert np.abs(prepared.image[0] - by_torch(asymmetric())).max() <= 0.501
    assert np.array_equal(prepared.labels[clear], shares.argmax(0)[clear])
    assert clear.mean() > 0.95
    assert prepared.class_voxels.tolist() == np.bincount(blocks().ravel(), minlength=4).tolist()


@pytest.mark.parametrize(("source", "target"), [(10, 7), (7, 10), (100, 33), (1, 4), (4, 1)])
def test_the_filter_is_torchs_and_reads_backwards_when_flipped(source, target):
    line = torch.randn(1, 1, 1, source, generator=torch.Generator().manual_seed(0))

    filtered = linear_filter(source, target) @ line.flatten().numpy()

    theirs = interpolate(line, (1, target), mode="bilinear", antialias=True).flatten().numpy()
    assert filtered == pytest.approx(theirs, abs=1e-5)
    flipped = linear_filter(source, target, flip=True) @ line.flatten().numpy()[::-1]
    assert flipped == pytest.approx(filtered, abs=1e-6)


def test_a_channel_of_another_unit_is_normalised_by_its_own_volume(tmp_path):
    image = asymmetric().astype(np.float32) / 1e4
    case = case_of(tmp_path, asymmetric(seed=1), blocks())
    other = save(tmp_path / "other.nii.gz", image)
    rules = Rules(classes=CLASSES, channels=("CT", "T1"))

    prepared = prepare_spaced(
        replace(case, other_images=(other,)), rules, Spacing(mm=(3.0, 2.0, 1.5))
    )

    expected = (image - image.mean()) / image.std()
    values, counts = np.unique(asymmetric(seed=1)[blocks() > 0], return_counts=True)
    assert np.array_equal(prepared.image[0], asymmetric(seed=1))
    assert prepared.image[1] / 1000 == pytest.approx(expected, abs=1e-3)
    assert np.array_equal(prepared.foreground, np.stack([0 * values, values, counts], 1))


def test_a_ct_whose_values_whole_hu_would_lose_is_refused_and_a_cut_is_told(tmp_path):
    shares = case_of(tmp_path / "shares", asymmetric().astype(np.float32) / 2000, blocks())
    hot = np.pad(np.full((1, 1, 1), 2000.0, np.float32), [(0, 10), (0, 13), (0, 8)])
    uptake = case_of(tmp_path / "uptake", hot, blocks())

    with pytest.raises(ValueError, match=r"whole HU, but its values run from .* to 0\.\d+; store"):
        prepare_spaced(shares, RULES, TARGET)
    (note,) = prepare_spaced(uptake, Rules(classes=CLASSES, channels=("PET",)), TARGET).notes

    assert note.code == "cut"
    # The deviation of one voxel of 2000 among 1386 is 53.7; int16 holds 32.767 of them.
    assert "values run from 0 to 2000; those beyond -1758.27 and 1761.1 are cut" in note.message


def test_memory_is_that_of_the_result_and_some_planes(tmp_path):
    shape = (300, 96, 96)
    image = np.zeros(shape, np.int16)
    image[::7] = np.arange(96)
    case = case_of(tmp_path, image, (image > 90).astype(np.uint8))

    tracemalloc.start()
    prepared = prepare_spaced(case, RULES, Spacing(mm=(3.0, 4.0, 3.0)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    native = 4 * np.prod(shape)
    assert prepared.image.shape == (1, 300, 48, 48)
    assert peak < prepared.image.nbytes + prepared.labels.nbytes + native / 2


def test_the_image_is_put_aside_before_the_labels_are_made(tmp_path):
    case, aside = case_of(tmp_path, asymmetric(), blocks()), []

    prepared = prepare_spaced(case, RULES, TARGET, lambda *given: aside.append(given))

    whole = prepare_spaced(case, RULES, TARGET)
    ((image, digests),) = aside
    assert prepared.image is None
    assert np.array_equal(image, whole.image)
    assert np.array_equal(prepared.labels, whole.labels)
    assert (*digests, whole.digests[-1]) == prepared.digests == whole.digests


def test_the_index_names_voxels_of_each_class_and_at_most_ten_thousand():
    labels = np.zeros((30, 40, 50), np.uint8)
    labels[2:, :, :20], labels[:2, 5, 3:9] = 1, 3

    index = class_voxel_index(labels, 4)

    kept = kept_voxels(np.bincount(labels.ravel(), minlength=4))
    assert kept.tolist() == [0, 10_000, 0, 12]
    assert index.dtype == np.int16
    assert labels[tuple(index.T)].tolist() == [1] * 10_000 + [3] * 12
    assert len({tuple(place) for place in index.tolist()}) == 10_012
    assert np.array_equal(index, class_voxel_index(labels, 4))


def test_every_case_weighs_the_same_in_the_scaling():
    # 200 HU in a large foreground, 0 and 100 HU in a small one; the third has none.
    large, small = np.array([[200, 10_000]], np.int32), np.array([[0, 5], [100, 5]], np.int32)

    scaling = train_scaling([large, small, np.empty((0, 2), np.int32)])

    assert (scaling.low, scaling.high, scaling.pad) == (0, 200, 0)
    assert scaling.mean == pytest.approx(0.5 * 200 + 0.25 * 0 + 0.25 * 100)
    assert scaling.sd == pytest.approx(np.std([200, 200, 0, 100]), rel=1e-5)
    with pytest.raises(ValueError, match="intensity must vary"):
        train_scaling([large])
