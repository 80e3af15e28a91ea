"""The losses that a grid may name, and their class weights from the training split. torch is
imported when a loss is built.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trials.data.sampling import ClassCounts
from trials.records.registry import Entry, pick
from trials.records.targets import Targets

if TYPE_CHECKING:
    from torch import Tensor

    Loss = Callable[[Tensor, Tensor], Tensor]

PLAIN_RATIO = 1.01


def build_loss(name: str, counts: ClassCounts, hyper: Mapping[str, Any]) -> "Loss":
    """Build a registered loss; its function's parameters are taken from hyper, others such as lr
    are ignored.

    Returns a callable (logits [B, K, ...], labels [B, ...]) -> scalar, with its class weights, if
    any, as `weights`. Raises ValueError for an unknown name and for a missing or out-of-range
    hyperparameter.
    """
    function = pick(LOSSES, "loss", name).load()
    _, *parameters = inspect.signature(function).parameters.values()
    arguments = {
        parameter.name: hyper[parameter.name] for parameter in parameters if parameter.name in hyper
    }
    missing = [
        p.name
        for p in parameters
        if p.name not in arguments and p.default is inspect.Parameter.empty
    ]
    if missing:
        raise ValueError(
            f"loss {name!r} needs {', '.join(missing)}; got {', '.join(sorted(hyper)) or 'nothing'}"
        )
    return function(counts, **arguments)


def build_target_loss(
    name: str, counts: ClassCounts, hyper: Mapping[str, Any], targets: Targets
) -> "Loss":
    """The loss of a trial: that of build_loss() or, where networks predict regions, the mean over
    them of a loss for each, built from its own counts. See voxel_losses.ByRegion.

    alpha, a weight for each class, holds that of the rest and then those of the regions.
    """
    if not targets.regions:
        return build_loss(name, counts, hyper)
    from trials.voxel_losses import ByRegion

    losses = tuple(
        build_loss(name, one, _of_region(hyper, number, len(targets.regions)))
        for number, one in enumerate(counts.regions, start=1)
    )
    return ByRegion(losses, tuple(region.labels for region in targets.regions))


def _of_region(hyper: Mapping[str, Any], number: int, num_regions: int) -> Mapping[str, Any]:
    """The hyperparameters of the number-th region's loss, counted from 1."""
    alpha = hyper.get("alpha")
    if not isinstance(alpha, tuple | list):
        return hyper
    if len(alpha) != num_regions + 1:
        raise ValueError(
            f"alpha must hold one weight for the rest and one for each of {num_regions} regions; "
            f"got {len(alpha)}: {tuple(alpha)}"
        )
    return {**hyper, "alpha": (alpha[0], alpha[number])}


def combined(counts: ClassCounts) -> "Loss":
    """Half Dice, half cross-entropy; of a region its own Dice, without that of the rest. See
    voxel_losses.Combined.
    """
    from trials.voxel_losses import Combined

    return Combined(first_class=int(counts.is_region))


def focal(counts: ClassCounts, gamma: float) -> "Loss":
    """Softmax focal loss with equal class weights. See voxel_losses.Focal."""
    return _focal(gamma, None)


def weighted_focal(
    counts: ClassCounts, gamma: float, alpha: Sequence[float] | None = None
) -> "Loss":
    """Focal loss with one weight per class: alpha [K], by default the inverse class frequency.

    It is the mean over voxels: with inverse frequencies it starts some hundred times smaller than
    the unweighted loss, since nearly every voxel is background.
    """
    if alpha is not None and len(alpha) != len(counts.voxels):
        raise ValueError(
            f"alpha must hold one weight for each of {len(counts.voxels)} classes; got "
            f"{len(alpha)}: {tuple(alpha)}"
        )
    return _focal(gamma, tuple(alpha) if alpha is not None else inverse_frequency_weights(counts))


def class_balanced(counts: ClassCounts, one_minus_beta: float, gamma: float) -> "Loss":
    """Focal loss weighted by the inverse effective number of samples; raises ValueError for a
    setting whose weights are all equal. Those of one region may be.
    """
    if not counts.is_region and is_plain_focal(counts, one_minus_beta):
        raise ValueError(_plain_refusal(counts, one_minus_beta))
    return _focal(gamma, class_balanced_weights(counts, one_minus_beta))


def class_balanced_weights(counts: ClassCounts, one_minus_beta: float) -> tuple[float, ...]:
    """Weigh each class by (1 - beta) / (1 - beta^n), n its count in the unit of `counts`. Cui et
    al. 2019, equation 3.

    one_minus_beta is in (0, 1]: 1 gives equal weights, towards 0 the weights become inverse
    frequencies. They sum to the number of classes that occur; a class with no count weighs 0, as if
    the data set did not declare it.
    """
    if not 0 < one_minus_beta <= 1:
        raise ValueError(f"one_minus_beta must lie in (0, 1]; got {one_minus_beta}")
    # At counts of millions 1 - beta^n rounds to 1 for any beta of few digits, so 1 - beta is the
    # parameter.
    log_beta = math.log1p(-one_minus_beta) if one_minus_beta < 1 else -math.inf
    return _normalise(
        [
            one_minus_beta / -math.expm1(count * log_beta) if count else 0.0
            for count in counts.of_unit
        ]
    )


def inverse_frequency_weights(counts: ClassCounts) -> tuple[float, ...]:
    """Weigh each class by 1 / its voxels; sums to the number of classes that occur, 0 for an absent
    class.
    """
    return _normalise([1 / count if count else 0.0 for count in counts.voxels])


def one_minus_beta_range(counts: ClassCounts) -> tuple[float, float]:
    """Return the range (low, high) in which 1 - beta matters: 1 / the largest and 1 / the smallest
    class count, of all regions where networks predict these.
    """
    present = [count for one in counts.of_each_loss for count in one.of_unit if count]
    return 1 / max(present), 1 / min(present)


def is_plain_focal(counts: ClassCounts, one_minus_beta: float) -> bool:
    """Whether the weights are within 1 % of each other, in every region, so that the class-balanced
    loss equals the focal loss.
    """
    for one in counts.of_each_loss:
        present = [weight for weight in class_balanced_weights(one, one_minus_beta) if weight]
        if max(present) / min(present) > PLAIN_RATIO:
            return False
    return True


def _focal(gamma: float, weights: tuple[float, ...] | None) -> "Loss":
    from trials.voxel_losses import Focal

    return Focal(gamma, weights)


def _normalise(weights: Sequence[float]) -> tuple[float, ...]:
    num_present = sum(weight > 0 for weight in weights)
    total = math.fsum(weights)
    return tuple(weight * num_present / total for weight in weights)


def _plain_refusal(counts: ClassCounts, one_minus_beta: float) -> str:
    low, high = one_minus_beta_range(counts)
    if high <= PLAIN_RATIO * low:
        return (
            f"class_balanced: with counts {counts.of_unit} in {counts.unit} all weights are "
            "equal; use another class_unit"
        )
    return (
        f"class_balanced: at one_minus_beta={one_minus_beta:g} all weights lie within 1 %, which "
        "is the focal loss; "
        f"for {counts.of_unit} {counts.unit} choose it between {low:.2g} and {high:.2g}"
    )


LOSSES: dict[str, Entry] = {
    "combined": Entry("trials.losses:combined", about="half Dice, half cross-entropy"),
    "focal": Entry("trials.losses:focal", ("gamma",), "softmax focal loss"),
    "weighted_focal": Entry(
        "trials.losses:weighted_focal",
        ("gamma",),
        "focal loss weighted by inverse class frequency, or by alpha",
    ),
    "class_balanced": Entry(
        "trials.losses:class_balanced",
        ("one_minus_beta", "gamma"),
        "focal loss weighted by effective numbers",
    ),
}
