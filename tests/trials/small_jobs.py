"""Trials small enough to run whole in a test, and what of a result is the same from run to run."""

from dataclasses import replace
from pathlib import Path

from trials.data.prepared.cache import open_cache
from trials.identity.code_identity import code_of
from trials.records.codec import record_hash
from trials.records.job import Job
from trials.records.result import TrialResult
from trials.records.spec import FINAL, Cell, Cube, Recipe, TrialSpec
from trials.records.targets import TargetRegion

RECIPE = Recipe(
    epochs=3,
    steps_per_epoch=2,
    batch_size=2,
    preparation=Cube(edge=32),
    width=4,
    pretrain_epochs=3,
    pretrain_lr=3e-3,
    optimizer="adamw",
    schedule="onecycle",
    clip_gradient=5.0,
    augment=True,
    train_cases_scored=1,
    # Noise of an untrained network has surfaces that take seconds to measure.
    log_frequency_bias=True,
)
# What makes each model small.
SMALL = {
    "unet3d": {"width": 4},
    "vnet": {"width": 4, "model_options": (("kernel", 3.0),)},
    "segresnet": {"width": 8},
    "dynunet": {"width": 4},
    "resenc_m": {"width": 4},
    "segresnet_ds": {"width": 4},
    "mednext_s": {"width": 4},
    "unet2d_resnet18": {"width": None, "weights": "random", "model_options": (("depth", 3.0),)},
}
# Those of KiTS23, whose labels are kidney, tumour and cyst.
NESTED = (
    TargetRegion(name="kidney_and_mass", labels=(1, 2, 3), label=1),
    TargetRegion(name="mass", labels=(2, 3), label=3),
    TargetRegion(name="tumor", labels=(2,), label=2),
)
CELL = Cell(model="unet3d", loss="combined", sampling="none")
# A trial that is named and never trained.
SPEC = TrialSpec(
    dataset="phantoms",
    data="d",
    splits="s",
    fold=0,
    cell=Cell(model="unet3d", loss="focal", sampling="none"),
    hyper={"lr": 0.01, "gamma": 2.0},
    recipe=Recipe(epochs=4, batch_size=2, optimizer="adamw", schedule="onecycle"),
    seed=0,
    phase=FINAL,
)


def make_job(
    cache: Path, out: Path, cell=CELL, recipe=RECIPE, phase=FINAL, hyper=None, regions=(), **more
) -> Job:
    cases = sorted(open_cache(cache).cases)
    spec = TrialSpec(
        dataset="phantoms",
        data=open_cache(cache).digest,
        splits="sequential",
        fold=0,
        cell=cell,
        hyper=hyper or {"lr": 0.01},
        recipe=recipe,
        seed=0,
        phase=phase,
        regions=regions,
    )
    test = tuple(cases[10:]) if phase == FINAL else ()
    trial = record_hash(spec)
    return Job(
        trial=trial,
        spec=spec,
        out=str(out),
        cache=str(cache),
        train=tuple(cases[:8]),
        val=tuple(cases[8:10]),
        test=test,
        code=code_of(spec),
        **more,
    )


def comparable(result: TrialResult) -> TrialResult:
    """A result without what differs from run to run: clocks and memory."""
    curve = tuple(replace(score, seconds=0.0) for score in result.curve)
    return replace(result, curve=curve, seconds=0.0, peak_gib=0.0, started="", facts={})


def interrupt():
    """What Ctrl-C does."""
    raise KeyboardInterrupt
