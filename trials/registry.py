"""The names a grid may use: models, losses and samplings. Standard library only: a part is imported when it is picked.

To add one, write the function and one line here, or in a grid file of your own: LOSSES["mine"] = Part(my_loss).
"""

from trials.models.registry import MODELS
from trials.parts import Part

__all__ = ["LOSSES", "MODELS", "SAMPLINGS"]

# A loss is a function (counts: ClassCounts, **hyper) -> loss(logits [B, K, ...], labels [B, ...]) -> scalar.
LOSSES: dict[str, Part] = {
    "combined": Part("trials.losses:combined", about="half Dice, half cross-entropy"),
    "focal": Part("trials.losses:focal", ("gamma",), "focal loss over a softmax"),
    "weighted_focal": Part("trials.losses:weighted_focal", ("gamma",), "focal loss, one weight a class (alpha)"),
    "class_balanced": Part(
        "trials.losses:class_balanced", ("one_minus_beta", "gamma"), "focal loss, weighted by effective numbers"
    ),
}

# A sampling is a function (class voxels [N, K], recipe) -> weight of each item [N]; 0 drops it.
SAMPLINGS: dict[str, Part] = {
    "none": Part("trials.data.sampling:uniform", about="every training item once an epoch"),
    "oversample": Part("trials.data.sampling:oversample", about="items with rare classes are drawn more often"),
    "subsample": Part("trials.data.sampling:subsample", about="items that are nearly all background are dropped"),
}
