"""Everything that a grid file imports: the records of a grid, the registries that it can extend,
and the built-in grids. Does not load torch.

To define a grid of your own, write a Python file that defines one Grid (and may add entries to the
registries): `python -m bench.run --grid my_grid.py`.
"""

from collections.abc import Mapping
from dataclasses import field, replace
from itertools import product as cartesian
from typing import Annotated

from pydantic import AfterValidator, Field

from bench.spaces import Range
from trials.data.datasets.patients import checked_rule
from trials.data.datasets.registry import DATASETS, Case, Dataset, DatasetEntry
from trials.data.sampling import SAMPLINGS
from trials.losses import LOSSES
from trials.models.registry import MODELS, ModelEntry
from trials.records.metrics import METRICS, MetricEntry
from trials.records.questions import Question
from trials.records.record import OneOf, record
from trials.records.registry import Entry
from trials.records.run_record import folder_name
from trials.records.spec import Augmentation, Cell, Cube, Hyper, Recipe, Spacing, Times

__all__ = [
    "DATASETS",
    "DEMO",
    "FULL",
    "GRIDS",
    "LOSSES",
    "METRICS",
    "MODELS",
    "PAPER",
    "SAMPLINGS",
    "STRONG",
    "STRONG_FULLRES",
    "Augmentation",
    "Case",
    "Cell",
    "Cube",
    "Dataset",
    "DatasetEntry",
    "Entry",
    "Grid",
    "MetricEntry",
    "ModelEntry",
    "Question",
    "Range",
    "Recipe",
    "Spacing",
    "Tuning",
    "product",
]

MOST_TRIALS = 10_000
# The seeds that both numpy and torch accept.
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Trials = Annotated[int, Field(ge=1, le=MOST_TRIALS)]
Fold = Annotated[int, Field(ge=0)]


@record
class Tuning:
    """How each cell is tuned: `trials` settings under one seed, first the default, then Optuna's
    proposals.

    epochs is the length of a tuning trial; None means that of a final trial. Every cell has the
    same budget. prune stops trials early by successive halving among the trials of their own cell
    (bench/search/propose.py); False trains each to its last epoch. parallel is how many proposals
    of a cell are open at once; they are based on the results of the earlier ones.
    """

    trials: Trials
    epochs: Times | None = None
    seed: Seed = 0
    prune: bool = True
    parallel: Trials = 1


@record
class Grid:
    """A benchmark. splits None is the data set's default. folds are those of the split; several are
    a cross-validation, in which each fold has trials of its own.

    targets is what networks predict and are selected and ranked by: "labels" (one softmax), or
    "regions" (one sigmoid each): those of dataset.json, else those of the data set's entry.

    patients says which cases are scans of one patient: a regular expression that matches the start
    of each case's name, whose first group is the patient, or the path, from the data set's folder,
    of a CSV file with the columns case, patient and, if known, site. "" takes patients.csv in the
    data set's folder, then the data set's own rule. "(.+)" says that each case is a patient.

    recipes are keyed by model name, or by "2d" and "3d" for all other models. hyper overrides
    default settings and spaces overrides search ranges; both are keyed by model name, or by "*" for
    all models. tuning None trains each cell with its default setting only. generate holds the
    arguments for a data set that is generated instead of downloaded; any other ignores it.
    questions None asks, of each factor that the grid varies, which of its levels scores higher.
    """

    name: Annotated[str, AfterValidator(folder_name)]
    dataset: str
    cells: tuple[Cell, ...]
    recipes: Mapping[str, Recipe]
    seeds: tuple[Seed, ...] = (0,)
    tuning: Tuning | None = None
    targets: Annotated[str, OneOf("labels", "regions")] = "labels"
    splits: str | None = None
    folds: tuple[Fold, ...] = (0,)
    patients: Annotated[str, AfterValidator(checked_rule)] = ""
    hyper: Mapping[str, Hyper] = field(default_factory=dict)
    spaces: Mapping[str, Mapping[str, Range]] = field(default_factory=dict)
    generate: Mapping[str, int] = field(default_factory=dict)
    questions: tuple[Question, ...] | None = None


def product(
    models: tuple[str, ...], losses: tuple[str, ...], samplings: tuple[str, ...]
) -> tuple[Cell, ...]:
    """Every combination; the model changes slowest."""
    cells = cartesian(models, losses, samplings)
    return tuple(Cell(model=m, loss=lo, sampling=s) for m, lo, s in cells)


LOSS_NAMES = ("combined", "focal", "weighted_focal", "class_balanced")
SAMPLING_NAMES = ("none", "oversample", "subsample")

# The complete comparison that the study describes. It published 11 of the 48 cells.
FULL = Grid(
    name="full",
    dataset="kits23",
    splits="paper",
    cells=product(("unet3d", "vnet", "segresnet", "unet2d_resnet50"), LOSS_NAMES, SAMPLING_NAMES),
    seeds=(0, 1, 2),
    tuning=Tuning(trials=24),
    recipes={
        "3d": Recipe(
            epochs=100, batch_size=4, pretrain_epochs=50, augment=True, rotate_zoom_prob=0.2
        ),
        "2d": Recipe(epochs=15, batch_size=64, augment=True, rotate_zoom_prob=0.2, gpu_share=0.5),
    },
)

# The 11 published rows: fixed learning rate 1e-4, Adam, batch 4 in 3D, 15 epochs of batch 64 in 2D.
# The study states no epochs in 3D and no gamma, alpha or beta: 100 epochs and the defaults of FULL
# are used instead.
PAPER = replace(
    FULL,
    name="paper",
    cells=(
        *product(("unet2d_resnet50",), ("focal",), SAMPLING_NAMES),
        *product(("unet3d",), ("combined",), ("oversample",)),
        *product(("vnet",), ("combined", "focal", "class_balanced"), ("oversample",)),
        *product(
            ("segresnet",),
            ("combined", "focal", "class_balanced", "weighted_focal"),
            ("oversample",),
        ),
    ),
    seeds=(0,),
    tuning=None,
    recipes={
        "3d": Recipe(epochs=100, batch_size=4, pretrain_epochs=50, oversample="literal"),
        "2d": Recipe(epochs=15, batch_size=64, oversample="literal", gpu_share=0.5),
    },
)

# A few minutes on a laptop, with the same code path from data to report: every model, loss and
# sampling occurs, and for every factor at least two levels share a setting of the other two. For
# the same compute, narrow networks and many steps of two volumes learned most. Epochs are short,
# since a tuning trial is one epoch. Cysts, the smallest class, are learned last, so the V-Net,
# which learns fastest, is trained longest.
_SMALL = Recipe(
    epochs=16,
    steps_per_epoch=6,
    batch_size=2,
    preparation=Cube(edge=32),
    width=4,
    pretrain_epochs=4,
    pretrain_lr=3e-3,
    optimizer="adamw",
    schedule="onecycle",
    clip_gradient=5.0,
    augment=True,
    log_frequency_bias=True,
    subsample_background=0.97,
    train_cases_scored=2,
    validate_every=8,
    # Eight trials of this size share a GPU.
    gpu_share=0.125,
)
_SLICES = replace(_SMALL, width=None, weights="random")
DEMO = Grid(
    name="demo",
    dataset="phantoms",
    generate={"num_cases": 88, "seed": 0},
    cells=(
        # The longest trials come first, so that no worker waits long at the end.
        *product(("vnet",), ("combined",), ("none", "oversample")),
        *product(("segresnet",), ("weighted_focal",), ("subsample",)),
        *product(("segresnet", "unet2d_resnet18"), ("focal",), ("none",)),
        *product(("dynunet",), ("combined",), ("none",)),
        *product(("unet2d_resnet18",), ("class_balanced",), ("oversample",)),
        *product(("unet3d",), ("combined", "focal"), ("none",)),
    ),
    tuning=Tuning(trials=2, epochs=1),
    recipes={
        "3d": _SMALL,
        "vnet": replace(
            _SMALL, epochs=36, validate_every=12, model_options=(("kernel", 3.0), ("dropout", 0.0))
        ),
        # On patches at a physical spacing: two windows for most patients.
        "dynunet": replace(
            _SMALL, preparation=Spacing(mm=(5.5, 6.2, 6.0)), patch=(32, 32, 32), validate_every=16
        ),
        # Its steps take twice as long as those of the others.
        "segresnet": replace(_SMALL, width=8, epochs=20, steps_per_epoch=4, validate_every=10),
        # 32 pixels are halved three times. Deeper stages cost 50 % more and do not score better in
        # so few steps.
        "2d": replace(
            _SLICES, epochs=18, validate_every=9, batch_size=16, model_options=(("depth", 3.0),)
        ),
    },
    hyper={
        "*": {"lr": 0.01, "one_minus_beta": 1e-4, "alpha": (0.3, 1.0, 1.2, 1.5)},
        "vnet": {"lr": 0.015},
        "segresnet": {"lr": 0.007, "frozen_stages": 1.0},
        "unet2d_resnet18": {"lr": 0.006},
    },
    # After so few steps, validation scores say little about a setting, so the ranges hold only
    # settings with which a complete training scores well.
    spaces={
        "*": {"lr": Range(low=5e-3, high=1.2e-2, log=True), "gamma": Range(low=1.0, high=2.5)},
        "vnet": {"lr": Range(low=1.2e-2, high=2e-2, log=True)},
        "segresnet": {"lr": Range(low=5e-3, high=9e-3, log=True)},
        "unet2d_resnet18": {"lr": Range(low=5e-3, high=1e-2, log=True)},
    },
)

# The comparison at the strength of the field: networks of nnU-Net's class on patches of 128^3 at
# its low resolution, about 2.4 x 1.8 x 1.8 mm; 576 trials.
# Disk: 13 GB of prepared data. Cost: a step of dynunet took 38 ms on an H200 (compiled, batch 2),
# so 100 epochs of 250 steps are 16 minutes and the grid about 70 GPU-hours at its speed; the other
# models are slower, and `segbench plan --grid strong` measures them. Score to expect: nnU-Net's low
# resolution reached a mean Dice of 0.896 over the three regions of KiTS21 (five folds of 300 cases,
# github.com/neheller/kits21, examples/nnUNet_baseline); on KiTS23 nnU-Net reached 0.860 and its
# presets 0.868 to 0.887 at full resolution and 1,000 epochs (Isensee et al. 2024,
# arXiv 2404.09556).
_ADAMW = Recipe(
    epochs=100,
    steps_per_epoch=250,
    batch_size=2,
    preparation=Spacing(mm="lowres"),
    patch=(128, 128, 128),
    optimizer="adamw",
    schedule="cosine",
    clip_gradient=12.0,
    augment=Augmentation(),
    log_frequency_bias=True,
    validate_every=10,
    validation_cases=20,
    train_cases_scored=2,
)
# The optimizers of the networks' authors, and ranges of the learning rate around theirs.
_SGD = replace(_ADAMW, optimizer="sgd", schedule="poly")
_SGD_LR, _ADAMW_LR = Range(low=1e-3, high=3e-2, log=True), Range(low=1e-4, high=3e-3, log=True)
STRONG = Grid(
    name="strong",
    dataset="kits23",
    cells=product(("dynunet", "resenc_m", "segresnet_ds", "mednext_s"), LOSS_NAMES, SAMPLING_NAMES),
    seeds=(0, 1, 2),
    tuning=Tuning(trials=9, epochs=30),
    recipes={"dynunet": _SGD, "resenc_m": _SGD, "segresnet_ds": _ADAMW, "mednext_s": _ADAMW},
    hyper={"*": {"lr": 1e-3}, "dynunet": {"lr": 0.01}, "resenc_m": {"lr": 0.01}},
    spaces={"*": {"lr": _ADAMW_LR}, "dynunet": {"lr": _SGD_LR}, "resenc_m": {"lr": _SGD_LR}},
)

# The best cells of STRONG at nnU-Net's full resolution, 1 x 0.78 x 0.78 mm; name your own in cells.
# Disk: 164 GB. Cost: 4 times the epochs, so about an hour of training a trial on an H200; the
# prediction of a case takes about 13 times the windows. Score to expect: 0.860 to 0.887, as above.
STRONG_FULLRES = replace(
    STRONG,
    name="strong_fullres",
    cells=product(("dynunet", "resenc_m"), ("combined",), ("oversample",)),
    tuning=None,
    recipes={
        "3d": replace(
            _SGD,
            epochs=400,
            preparation=Spacing(mm="fullres"),
            validate_every=40,
            validation_cases=10,
        )
    },
)

GRIDS = {grid.name: grid for grid in (DEMO, PAPER, FULL, STRONG, STRONG_FULLRES)}
