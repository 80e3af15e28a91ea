"""What one trial is asked to do: pure values, checked when they are made, and how their preparation
and input are said in words.
"""

import math
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated

from pydantic import Field

from trials.records.record import OneOf, record
from trials.records.targets import TargetRegion

PRETRAIN, TUNE, FINAL = "pretrain", "tune", "final"
Phase = Annotated[str, OneOf("pretrain", "tune", "final")]
# Whole numbers from one to far more than anybody trains with.
Times = Annotated[int, Field(ge=1, le=10**6)]
Share = Annotated[float, Field(ge=0, le=1)]

SPACING_RULES = ("lowres", "fullres")
# The edges of a voxel that a header may claim too.
SPACING_MM = (0.1, 20.0)
PatchEdge = Annotated[int, Field(ge=8, le=512)]

# A setting of hyperparameters by name; whole numbers are floats too, so that a setting reads back
# as it was written.
Hyper = Mapping[str, float | tuple[float, ...]]


@record
class Cell:
    """One square of the grid: a model, a loss and a sampling, each by its name in a registry."""

    model: str
    loss: str
    sampling: str


@record
class Cube:
    """A preparation: every case becomes a cube. Two recipes with equal preparations share one
    cache.

    edge is that of the cube in voxels. clip_hu, a (low, high) window in HU, is applied before
    resampling. normalise is "volume" (z-score by the volume's own mean and deviation, the
    paper's way) or "train" (mean and deviation of the foreground of the training split).
    """

    edge: Annotated[int, Field(ge=8, le=512)] = 128
    clip_hu: tuple[float, float] | None = None
    normalise: Annotated[str, OneOf("volume", "train")] = "volume"
    kind: Annotated[str, OneOf("cube")] = "cube"

    def __post_init__(self) -> None:
        if self.clip_hu is not None and not self.clip_hu[0] < self.clip_hu[1]:
            raise ValueError(f"clip_hu must be (low, high) with low < high; got {self.clip_hu}")


@record
class Spacing:
    """A preparation: every case at one spacing, in which models train on patches. Two recipes with
    equal preparations share one cache, which serves every split and fold.

    mm is the edge of a voxel along D, H and W in mm, or a rule that takes it from the headers of
    all cases of the data set (trials/data/spacing/plan.py): "fullres" is nnU-Net's spacing,
    "lowres" that of a volume of which a patch of 128^3 covers a quarter. A channel of CT is cut at
    the 0.5 and 99.5 percentiles of the foreground of the training split and normalised by its mean
    and deviation, any other channel by those of each volume itself.
    """

    mm: tuple[float, ...] | str
    kind: Annotated[str, OneOf("spacing")] = "spacing"

    def __post_init__(self) -> None:
        if isinstance(self.mm, str):
            is_valid = self.mm in SPACING_RULES
        else:
            low, high = SPACING_MM
            is_valid = len(self.mm) == 3 and all(low <= edge <= high for edge in self.mm)
        if not is_valid:
            raise ValueError(
                f"mm must be three numbers in {SPACING_MM[0]:g}..{SPACING_MM[1]:g}, along D, H and "
                f"W, or one of {', '.join(SPACING_RULES)}; got {self.mm!r}"
            )


# How a case is prepared: one of these, told apart in JSON by its kind.
Preparation = Annotated[Cube | Spacing, Field(discriminator="kind")]


@record
class Augmentation:
    """The probabilities with which nnU-Net's augmentation changes a training item; the defaults are
    its own. mirror is that of each axis; blur and low_resolution then take every second channel.
    """

    rotate: Share = 0.2
    zoom: Share = 0.2
    noise: Share = 0.1
    blur: Share = 0.2
    brightness: Share = 0.15
    contrast: Share = 0.15
    low_resolution: Share = 0.25
    inverted_gamma: Share = 0.1
    gamma: Share = 0.3
    mirror: Share = 0.5


@record
class Recipe:
    """Everything about a training run that is not tuned; a grid may have some of its numbers tuned
    too.

    width None takes the model's own; model_options are further arguments of its function, such as
    ("kernel", 3.0) for a V-Net of smaller kernels. steps_per_epoch None is one pass over the
    training items. optimizer "sgd" has Nesterov momentum of 0.99. schedule "poly" falls to 0 as
    (1 - step / steps)^0.9, "cosine" rises over the first 5 % of the steps and falls along a cosine;
    both are those of the whole training, also in a trial that is pruned. weight_decay None takes
    the optimizer's own: 0 for adam, 0.01 for adamw, 3e-5 for sgd. clip_gradient is the largest norm
    of the gradient.
    validate_every counts the epochs from one validation to the next; the last epoch always has one.
    patience counts epochs without a better validation score, None never stops early.
    pretrain_epochs is the length of the masked-block restoration of models that are fine-tuned.
    patch is the size (D, H, W) of what a 3D model is given of a case at a spacing, None for cubes;
    overlap is the share of a patch that two neighbouring windows of a prediction have in common,
    validation_overlap that in a validation, of which there are validation_cases, None all.
    oversample_share of the patches are drawn around a voxel of a class, by the sampling
    "oversample": of a class of the drawn case ("case"), or of one of the data set and then of a
    case that holds it ("set"), as oversample_classes says. subsample_background is the largest
    share of background that the sampling "subsample" takes.
    mirror_test predicts the test cases a second time, as the mean over all mirror images, for a
    column of its own; no other score changes.
    weights is "default" (what the model's registry entry asks for) or "random" (asked for by name).
    augment True flips, shifts and changes intensities at random; with it rotate_zoom_prob of the
    items are turned and zoomed too. augment=Augmentation() is nnU-Net's augmentation instead.
    compile is "auto" (torch compiles the network on a GPU where the trial's steps earn that back),
    "always" or "never". precision is "auto" (bfloat16 on a GPU that computes it, where the check of
    its arithmetic holds; else float32), "float32", or "bf16", with which a trial fails where that
    check does not hold. limit_minutes ends a trial as FAILED, reason timeout, once its training
    epochs have taken longer; None never does. gpu_share is the share of a GPU that one trial takes;
    0.5 lets two trials run on it. Up to one it means a GPU where there is one, and a processor
    where there is none; more than one is refused where no machine has as many.
    """

    epochs: Times
    batch_size: Annotated[int, Field(ge=1, le=2**16)]
    preparation: Preparation = field(default_factory=Cube)
    patch: tuple[PatchEdge, PatchEdge, PatchEdge] | None = None
    overlap: Annotated[float, Field(ge=0, le=0.9)] = 0.5
    validation_overlap: Annotated[float, Field(ge=0, le=0.9)] = 0.25
    validation_cases: Times | None = None
    mirror_test: bool = False
    oversample_share: Share = 1 / 3
    oversample_classes: Annotated[str, OneOf("case", "set")] = "case"
    width: Annotated[int, Field(ge=1, le=1024)] | None = None
    model_options: tuple[tuple[str, float], ...] = ()
    steps_per_epoch: Times | None = None
    pretrain_epochs: Times = 20
    pretrain_lr: Annotated[float, Field(gt=0, le=10)] = 1e-3
    optimizer: Annotated[str, OneOf("adam", "adamw", "sgd")] = "adam"
    schedule: Annotated[str, OneOf("fixed", "onecycle", "poly", "cosine")] = "fixed"
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    clip_gradient: Annotated[float, Field(gt=0)] | None = None
    augment: bool | Augmentation = False
    rotate_zoom_prob: Share = 0.0
    compile: Annotated[str, OneOf("auto", "always", "never")] = "auto"
    log_frequency_bias: bool = False
    validate_every: Times = 1
    patience: Times | None = None
    precision: Annotated[str, OneOf("auto", "float32", "bf16")] = "auto"
    weights: Annotated[str, OneOf("default", "random")] = "default"
    slice_axis: Annotated[str, OneOf("axial", "coronal", "sagittal")] = "axial"
    oversample: Annotated[str, OneOf("literal", "content", "presence")] = "content"
    subsample_background: Annotated[float, Field(gt=0, le=1)] = 0.99
    class_unit: Annotated[str, OneOf("voxels", "slices", "cases")] = "voxels"
    train_cases_scored: Annotated[int, Field(ge=0)] = 4
    limit_minutes: Annotated[float, Field(ge=0)] | None = None
    gpu_share: Annotated[float, Field(ge=0)] = 1.0

    def __post_init__(self) -> None:
        if (self.patch is None) != isinstance(self.preparation, Cube):
            raise ValueError(
                "patch=(d, h, w) goes with preparation=Spacing(...), and a Cube is trained on "
                f"whole; got patch={self.patch} and {self.preparation}"
            )
        if self.gpu_share > 1 and self.gpu_share != math.floor(self.gpu_share):
            raise ValueError(
                "gpu_share must be a share of one GPU, at most 1, or a whole number of GPUs; got "
                f"{self.gpu_share:g}"
            )


@record
class TrialSpec:
    """One training run. Its hash names its folder, so equal specs are one trial.

    hyper holds lr, and gamma, one_minus_beta, alpha, frozen_stages and a grid's own where they
    apply; those of them that are numbers of the recipe stand in it too. weights says where the
    first weights come from: "random", "imagenet", "pretrain:<trial hash>" or "file:<sha256, first
    16 digits>". number is the trial's place in its cell's study (0 is the default). Only phase
    "final" opens the test split. regions are what the network predicts; none where it predicts the
    labels, and in a pretraining.
    """

    dataset: str
    data: str
    splits: str
    fold: int
    cell: Cell
    hyper: Hyper
    recipe: Recipe
    seed: int
    phase: Phase
    number: int = 0
    weights: str = "random"
    regions: tuple[TargetRegion, ...] = ()


def preparation_text(preparation: Preparation) -> str:
    """As in "cube of 128^3 voxels" or "grid of 1 x 0.781 x 0.781 mm"; a rule by its name."""
    if isinstance(preparation, Cube):
        return f"cube of {preparation.edge}^3 voxels"
    if isinstance(preparation.mm, str):
        return f"{preparation.mm} grid"
    return f"grid of {' x '.join(f'{edge:.3g}' for edge in preparation.mm)} mm"


def input_shape(recipe: Recipe) -> tuple[int, int, int]:
    """The size (D, H, W) of what a 3D model is given: a patch, or a whole cube."""
    if recipe.patch is not None:
        return recipe.patch
    assert isinstance(recipe.preparation, Cube), "a recipe at a spacing names its patch"
    return (recipe.preparation.edge,) * 3


def input_text(recipe: Recipe) -> str:
    """As in "cube 128^3" or "patch 128 x 128 x 128"."""
    if recipe.patch is None:
        return f"cube {input_shape(recipe)[0]}^3"
    return f"patch {' x '.join(map(str, recipe.patch))}"
