"""What every model promises with every loss and sampling: one step of a real trial at its smallest
width, and a training that resumes bit for bit. test_full_grid.py has the cells of the full grid.
"""

from dataclasses import replace
from itertools import product

import pytest
import torch
from small_jobs import CELL, RECIPE, SMALL, interrupt, make_job

from bench.grids import FULL
from trials.data.prepared.cache import open_cache
from trials.data.sampling import SAMPLINGS
from trials.losses import LOSSES
from trials.models.registry import MODELS
from trials.records.spec import Augmentation
from trials.training.build import make_network, make_segmentation
from trials.training.checkpoint import Checkpoints
from trials.training.loop import fit

OTHERS = [name for name in MODELS if name not in {cell.model for cell in FULL.cells}]
NNUNET = replace(
    RECIPE,
    epochs=2,
    steps_per_epoch=1,
    optimizer="sgd",
    schedule="poly",
    clip_gradient=12.0,
    augment=Augmentation(rotate=0.5, noise=0.5, gamma=0.5),
    log_frequency_bias=True,
    validate_every=2,
    train_cases_scored=0,
)
HYPER = {"lr": 0.01, "gamma": 2.0, "one_minus_beta": 1e-4}
PAIRS = list(product(OTHERS, LOSSES))


@pytest.mark.parametrize(("model", "loss"), PAIRS)
def test_every_model_takes_a_step_with_every_loss(small_cache, tmp_path, model, loss):
    # Along the pairs the samplings take turns, so that each model meets each.
    sampling = list(SAMPLINGS)[PAIRS.index((model, loss)) % len(SAMPLINGS)]
    cell = replace(CELL, model=model, loss=loss, sampling=sampling)
    network, progress = trained(small_cache, tmp_path, cell, replace(NNUNET, epochs=1))

    before = start_weights(small_cache, tmp_path, cell).values()
    assert progress.curve[0].train_loss > 0
    after = network.module.state_dict().values()
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    assert all(tensor.isfinite().all() for tensor in after)


@pytest.mark.parametrize("model", OTHERS)
def test_every_model_resumes_bit_for_bit(small_cache, tmp_path, on_cpu, model):
    cell = replace(CELL, model=model)

    straight, whole = trained(small_cache, tmp_path / "straight", cell, NNUNET)
    with pytest.raises(KeyboardInterrupt):
        trained(small_cache, tmp_path / "broken", cell, NNUNET, interrupt)
    resumed, rest = trained(small_cache, tmp_path / "broken", cell, NNUNET)

    weights, again = straight.module.state_dict(), resumed.module.state_dict()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert [epoch.train_loss for epoch in rest.curve] == [e.train_loss for e in whole.curve]


def start_weights(cache, out, cell):
    job = make_job(cache, out, cell, replace(NNUNET, **SMALL[cell.model]), hyper=HYPER)
    return make_network(job, open_cache(cache)).module.state_dict()


def trained(cache, out, cell, recipe, on_epoch=lambda: None):
    job = make_job(cache, out, cell, replace(recipe, **SMALL[cell.model]), hyper=HYPER)
    opened = open_cache(cache)
    task = replace(make_segmentation(job, opened)[0], val=job.val[:1])
    network = make_network(job, opened)
    kept = Checkpoints(folder=out, spec=job.spec)
    progress = fit(network, task, job.spec.recipe, 0, kept, lambda score, reached: on_epoch())
    return network, progress
