"""Whole cases by windows: equal to MONAI, plane by plane in order, in the memory of a patch."""

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference

from trials.data.spacing.intensities import Scaling
from trials.inference.network import Network
from trials.inference.predict import on_native_grid, slabs_on_native_grid
from trials.inference.whole_cases import Slab, case_logits, window_slabs, window_starts

SCALING = Scaling(-100.0, 300.0, 100.0, 50.0, -100)


def network_of(patch, scaled=True):
    torch.manual_seed(0)
    module = torch.nn.Conv3d(1, 3, 3, padding=1)
    return Network(
        module=module,
        dims=3,
        slice_axis="axial",
        device=torch.device("cpu"),
        autocast=None,
        patch=patch,
        scalings=(SCALING,) if scaled else (),
    )


def image_of(shape):
    return np.random.default_rng(0).integers(-400, 600, (1, *shape)).astype(np.int16)


@pytest.mark.parametrize("overlap", [0.5, 0.25, 0.0])
@pytest.mark.parametrize(
    "shape", [(33, 20, 41), (16, 16, 16), (9, 31, 12), (40, 5, 7), (17, 24, 8)]
)
def test_windows_give_what_monais_give(shape, overlap):
    network, image = network_of((16, 8, 16)), image_of(shape)

    slabs = list(window_slabs(network, image, (16, 8, 16), 1, overlap))

    ready = torch.from_numpy(image).float().clamp(-100, 300).sub(100).div(50)[None]
    with torch.inference_mode():
        theirs = sliding_window_inference(
            ready,
            (16, 8, 16),
            2,
            network.module.eval(),
            overlap=overlap,
            mode="gaussian",
            cval=(SCALING.pad - SCALING.mean) / SCALING.sd,
        )[0]
    assert torch.cat([slab.logits for slab in slabs], 1) == pytest.approx(theirs, abs=1e-5)
    ends = np.cumsum([slab.logits.shape[1] for slab in slabs])
    assert [slab.first for slab in slabs] == [0, *ends[:-1]]
    assert max(slab.logits.shape[1] for slab in slabs) <= 16


@pytest.mark.parametrize(
    ("size", "edge", "overlap", "starts"),
    [
        (16, 16, 0.5, [0]),
        (5, 8, 0.5, [-1]),
        (33, 16, 0.5, [0, 8, 16, 17]),
        (32, 16, 0.0, [0, 16]),
    ],
)
def test_windows_start_where_one_expects(size, edge, overlap, starts):
    assert window_starts(size, edge, overlap) == starts


def test_a_cube_is_one_slab():
    images = [image_of((8, 8, 8)), image_of((8, 8, 8))]

    cases = [list(slabs) for slabs in case_logits(network_of(None, False), images, 2, 0.5)]

    assert [(slab.first, slab.logits.shape) for (slab,) in cases] == [(0, (3, 8, 8, 8))] * 2


def test_slabs_reach_the_native_grid_as_the_whole_does():
    generator = torch.Generator().manual_seed(0)
    probs = torch.randn(3, 12, 7, 9, generator=generator).softmax(0)
    slabs = [Slab(0, probs[:, :1]), Slab(1, probs[:, 1:7]), Slab(7, probs[:, 7:])]

    for shape in ((30, 20, 10), (5, 7, 9), (12, 7, 9)):
        labels = slabs_on_native_grid((slab.logits for slab in slabs), (12, 7, 9), shape)

        assert np.array_equal(labels, on_native_grid(probs, shape))
