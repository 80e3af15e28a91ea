"""The ceiling of a preparation: what a perfect network's prediction scores after the way back."""

import numpy as np
import torch

from trials.data.prepared.cache import open_cache
from trials.inference.ceiling import ceiling_scores, class_shares
from trials.records.result import dice


def test_shares_of_a_voxel_that_covers_eight_are_eighths():
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[0, 0, :2], labels[2:, 2:, 2:] = 1, 2

    shares = torch.cat(list(class_shares(labels, (2, 2, 2), 3)), 1)

    assert shares[1, 0, 0, 0] == 2 / 8
    assert shares[2, 1, 1, 1] == 1
    assert torch.allclose(shares.sum(0), torch.ones(2, 2, 2))


def test_ignored_voxels_have_no_share():
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[:, :, 2:], labels[0, 0, 0] = 3, 1

    shares = torch.cat(list(class_shares(labels, (2, 2, 2), 3)), 1)

    assert shares.sum(0)[..., 0].tolist() == [[1, 1], [1, 1]]
    assert not shares[..., 1].any()


def test_shares_are_those_of_a_peer_at_any_size():
    labels = np.random.default_rng(0).integers(0, 3, (9, 14, 10)).astype(np.uint8)

    shares = torch.cat(list(class_shares(labels, (7, 6, 7), 3)), 1)

    # Every voxel cut into as many as the grid has: blocks of 9, 14 and 10 pieces are its voxels.
    fine = torch.from_numpy(labels.repeat(7, 0).repeat(6, 1).repeat(7, 2).astype(np.int64))
    for label in range(3):
        theirs = torch.nn.functional.avg_pool3d((fine == label).float()[None], (9, 14, 10))[0]
        assert torch.allclose(shares[label], theirs, atol=1e-5)


def test_ceilings_are_below_one_and_count_every_label_of_every_case(small_cache):
    cache = open_cache(small_cache)
    cases = sorted(cache.cases)[:3]

    scores = list(ceiling_scores(cache, cases))

    assert [(score.case, score.label) for score in scores] == [
        (case, label) for case in cases for label in range(4)
    ]
    for score in scores:
        assert score.true_voxels == cache.cases[score.case].class_voxels[score.label]
        if score.true_voxels:
            assert 0.8 < dice(score.true_voxels, score.pred_voxels, score.overlap_voxels) < 1
