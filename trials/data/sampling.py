"""How training items are sampled: a weight for each volume or slice from its class voxels. Numpy
only.

Used on the training split only: dropped or repeated items would bias a score.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trials.records.registry import Entry, unknown
from trials.records.spec import Recipe

Counts = NDArray[np.int64]  # [N items, K classes]
Weights = NDArray[np.float64]  # [N items]

UNITS = ("voxels", "slices", "cases")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCounts:
    """How often each class occurs in the training split on the cube: in voxels, axial slices and
    cases.

    unit says which of the three the class-balanced loss uses. Where networks predict regions, the
    classes are the background and the regions, and regions holds the counts from which the loss of
    each is built: two classes, the rest and the region, with is_region. Raises ValueError for
    another unit.
    """

    voxels: tuple[int, ...]
    slices: tuple[int, ...]
    cases: tuple[int, ...]
    unit: str = "voxels"
    regions: tuple["ClassCounts", ...] = ()
    is_region: bool = False

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(unknown("class_unit", self.unit, UNITS))

    @property
    def of_unit(self) -> tuple[int, ...]:
        """The counts in the selected unit."""
        return {"voxels": self.voxels, "slices": self.slices, "cases": self.cases}[self.unit]

    @property
    def of_each_loss(self) -> tuple["ClassCounts", ...]:
        """The counts of every loss that is built from these: one for each region, or themselves."""
        return self.regions or (self,)


def none(item_voxels: Counts, recipe: Recipe) -> Weights:
    """Give every item the same weight."""
    return _sum_to_one(np.ones(len(item_voxels)))


def oversample(item_voxels: Counts, recipe: Recipe) -> Weights:
    """Draw items with rare classes more often, by one of three interpretations of w_item = sum of
    w_c n_c with w_c = 1 / n_c.

    n_c counts class c's voxels in the dataset, m_c those in the item. recipe.oversample "literal"
    sums n_c / n_c, which is the number of classes present; "content" sums m_c / n_c, which favours
    large lesions; "presence" sums 1 / n_c over the classes present. A class that never occurs has
    no effect.
    """
    if recipe.oversample not in READINGS:
        raise ValueError(unknown("oversample", recipe.oversample, READINGS))
    return _sum_to_one(READINGS[recipe.oversample](item_voxels, item_voxels.sum(axis=0)))


def subsample(item_voxels: Counts, recipe: Recipe) -> Weights:
    """Drop items whose background share exceeds recipe.subsample_background; the others have equal
    weights.

    If this would drop every item, all items are kept, and sampling_facts says so.
    """
    keep = background_share(item_voxels) <= recipe.subsample_background
    return _sum_to_one(keep if keep.any() else np.ones(len(item_voxels)))


def background_share(item_voxels: Counts) -> Weights:
    """The share of class 0 in each item's voxels, 0..1."""
    return item_voxels[:, 0] / item_voxels.sum(axis=1)


def draw(weights: Weights, num_draws: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Draw item indices [num_draws].

    If all kept items have equal weights, permutations are concatenated, so each item is drawn once
    before any is drawn twice. Otherwise items are drawn independently, with replacement.
    """
    kept = np.flatnonzero(weights)
    if np.ptp(weights[kept]) == 0:
        passes = -(-num_draws // len(kept))
        return np.concatenate([generator.permutation(kept) for _ in range(passes)])[:num_draws]
    return generator.choice(len(weights), size=num_draws, p=weights)


def draw_histogram(weights: Weights, item_voxels: Counts) -> dict[str, object]:
    """Describe a sampling: for each class the probability that a drawn item contains it, and its
    expected share of voxels.

    effective_items is 1 / sum of squared weights: the number of equally weighted items with the
    same variance. Weights are given as multiples of the uniform weight over all items.
    """
    relative = weights * len(weights)
    voxels = weights @ item_voxels
    return {
        "items": len(weights),
        "dropped": int((weights == 0).sum()),
        "draw_holds_class": (weights @ (item_voxels > 0)).tolist(),
        "voxel_share": (voxels / voxels.sum()).tolist(),
        "effective_items": float(1 / (weights**2).sum()),
        "weight_min_median_max": [
            float(relative.min()),
            float(np.median(relative)),
            float(relative.max()),
        ],
    }


def sampling_facts(
    name: str, weights: Weights, item_voxels: Counts, recipe: Recipe
) -> dict[str, object]:
    """The draw histogram with the sampling's name and setting, and whether subsampling kept all
    items because none passed.
    """
    facts: dict[str, object] = {"sampling": name, **draw_histogram(weights, item_voxels)}
    if name == "oversample":
        facts["reading"] = recipe.oversample
    if name == "subsample":
        facts["background_above"] = recipe.subsample_background
        facts["kept_all_as_none_passed"] = bool(
            (background_share(item_voxels) > recipe.subsample_background).all()
        )
    return facts


def _literal(item_voxels: Counts, class_voxels: Counts) -> Weights:
    return (item_voxels > 0).sum(axis=1)


def _content(item_voxels: Counts, class_voxels: Counts) -> Weights:
    return (item_voxels / np.maximum(class_voxels, 1)).sum(axis=1)


def _presence(item_voxels: Counts, class_voxels: Counts) -> Weights:
    return ((item_voxels > 0) / np.maximum(class_voxels, 1)).sum(axis=1)


def _sum_to_one(weights: NDArray[np.generic]) -> Weights:
    return weights.astype(np.float64) / weights.sum()


READINGS: dict[str, Callable[[Counts, Counts], Weights]] = {
    "literal": _literal,
    "content": _content,
    "presence": _presence,
}

SAMPLINGS: dict[str, Entry] = {
    "none": Entry("trials.data.sampling:none", about="every item once an epoch"),
    "oversample": Entry(
        "trials.data.sampling:oversample", about="items with rare classes more often"
    ),
    "subsample": Entry(
        "trials.data.sampling:subsample", about="items that are nearly all background dropped"
    ),
}
