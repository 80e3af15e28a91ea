"""The streamed cube is the one that torch's interpolate makes of the whole, oriented volume."""

import tracemalloc
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
import torch
from nifti_toys import IPL, asymmetric, blocks, save, turned
from test_volume import ALL_CODES

from trials.data.nifti.voxels import read_header
from trials.data.prepared.resample import (
    image_cube,
    label_cube,
    laid_out,
    linear_weights,
    nearest_index,
)

# Shapes of which some axes grow and some shrink to the edge of 8 or 16, by odd and by even ratios.
SHAPES = [(11, 14, 9), (16, 32, 8), (1, 24, 40)]


def torch_image(image, edge):
    tensor = torch.from_numpy(np.array(image, np.float32))[None, None]
    return torch.nn.functional.interpolate(
        tensor, size=(edge,) * 3, mode="trilinear", align_corners=False
    )[0, 0].numpy()


def torch_labels(labels, edge):
    tensor = torch.from_numpy(np.array(labels, np.float32))[None, None]
    return torch.nn.functional.interpolate(tensor, size=(edge,) * 3, mode="nearest-exact")[
        0, 0
    ].numpy()


@pytest.mark.parametrize("codes", ALL_CODES)
@pytest.mark.parametrize("shape", SHAPES)
def test_both_cubes_equal_torch_in_every_orientation(tmp_path, codes, shape):
    image_path = save(tmp_path / "image.nii", *turned(asymmetric(shape), IPL, codes))
    labels_path = save(tmp_path / "labels.nii", *turned(blocks(shape), IPL, codes))

    for edge in (8, 16):
        image = image_cube(read_header(image_path), edge)
        labels, class_voxels = label_cube(read_header(labels_path), edge, 4)

        assert np.allclose(image, torch_image(asymmetric(shape), edge), rtol=1e-6, atol=1e-3)
        assert np.array_equal(labels, torch_labels(blocks(shape), edge))
        assert class_voxels.tolist() == np.bincount(blocks(shape).ravel(), minlength=4).tolist()


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_cube_is_laid_out_as_it_is_seen(order):
    seen = np.flip(
        np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32).transpose(order), axis=1
    )

    out = laid_out(seen, np.float16)

    assert out.flags.c_contiguous
    assert out.dtype == np.float16
    assert np.array_equal(out, seen.astype(np.float16))


def test_the_window_is_applied_before_resampling(tmp_path):
    path = save(tmp_path / "a.nii.gz", asymmetric())

    cube = image_cube(read_header(path), 8, (200.0, 700.0))

    assert np.allclose(cube, torch_image(asymmetric().clip(200, 700), 8), rtol=1e-6, atol=1e-3)
    assert not np.allclose(cube, torch_image(asymmetric(), 8).clip(200, 700), atol=1)


@pytest.mark.parametrize("source", [1, 5, 29, 104, 448, 512, 1059])
@pytest.mark.parametrize("target", [8, 96, 128])
def test_nearest_reads_the_voxel_that_holds_the_exact_centre(source, target):
    centres = [(Fraction(2 * index + 1, 2) * source) / target for index in range(target)]

    assert nearest_index(source, target).tolist() == [
        centre.numerator // centre.denominator for centre in centres
    ]


def test_a_tie_goes_to_the_later_voxel_of_the_patient_whichever_way_the_file_runs():
    assert nearest_index(8, 2).tolist() == [2, 6]
    assert nearest_index(8, 2, flip=True).tolist() == [5, 1]


def test_linear_taps_halve_between_two_voxels_and_stay_inside_at_the_rim():
    taps = linear_weights(4, 2)
    assert (taps.low.tolist(), taps.high.tolist(), taps.weight.tolist()) == (
        [0, 2],
        [1, 3],
        [0.5, 0.5],
    )

    rim = linear_weights(2, 8)
    assert (rim.low[0], rim.weight[0]) == (0, 0)
    assert (rim.low[-1], rim.high[-1]) == (1, 1)


def test_a_ball_keeps_its_centre_and_its_volume(tmp_path):
    d, h, w = np.meshgrid(*map(np.arange, (40, 64, 96)), indexing="ij")
    ball = ((d / 40 - 0.4) ** 2 + (h / 64 - 0.55) ** 2 + (w / 96 - 0.6) ** 2 < 0.25**2).astype(
        np.uint8
    )

    cube, class_voxels = label_cube(read_header(save(tmp_path / "a.nii.gz", ball)), 32, 2)

    centre = (np.argwhere(cube).mean(axis=0) + 0.5) / 32
    assert np.allclose(centre, (np.argwhere(ball).mean(axis=0) + 0.5) / ball.shape, atol=0.5 / 32)
    assert cube.mean() == pytest.approx(class_voxels[1] / ball.size, rel=0.05)


def peak_of(work):
    tracemalloc.start()
    work()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_number_of_slices(tmp_path):
    ras = np.diag([1.0, 1, 1, 1])
    short = save(tmp_path / "short.nii.gz", np.zeros((64, 64, 100), np.float64), ras)
    tall = save(tmp_path / "tall.nii.gz", np.zeros((64, 64, 600), np.float64), ras)
    volume_bytes = 64 * 64 * 600 * 8

    peaks = [peak_of(lambda path=path: image_cube(read_header(path), 16)) for path in (short, tall)]

    assert peaks[1] < peaks[0] + 200_000
    assert peaks[1] < volume_bytes / 4
