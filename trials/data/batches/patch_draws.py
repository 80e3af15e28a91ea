"""Where the patches of an epoch lie. Numpy only.

Every patch is drawn from numbers of its own, made of the epoch's seed, its step and its place in
the batch: which patches a step sees depends on no other step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trials.data.prepared.spaced import kept_voxels
from trials.data.sampling import SAMPLINGS, Weights
from trials.records.registry import pick
from trials.records.spec import Recipe

# (case, first plane, first row, first column) of a patch; a first voxel below 0 lies beyond the
# border of a case that is smaller than the patch.
Places = NDArray[np.int64]
Size = tuple[int, int, int]
Box = tuple[slice, slice, slice]
# The sampling "subsample" draws a patch at most so often, and then takes the one with the least
# background.
MOST_DRAWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchCases:
    """The cases that patches are drawn from.

    labels holds a map [D, H, W] a case, index its class voxels (class_voxel_index), class_voxels
    int64 [N, K] how many voxels of each class there are.
    """

    labels: Sequence[np.ndarray]
    index: Sequence[np.ndarray]
    class_voxels: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchDraws:
    """How a cell draws its patches. weights [N] is the chance of each case."""

    cases: PatchCases
    sampling: str
    recipe: Recipe
    weights: Weights

    def batch(self, seed: int, step: int) -> Places:
        """The places [B, 4] of the patches of one step of an epoch with this seed."""
        size = self.recipe.batch_size
        return np.stack(
            [
                self._place(step * size + item, np.random.default_rng([seed, step, item]))
                for item in range(size)
            ]
        )

    def _place(self, number: int, generator: np.random.Generator) -> Places:
        rule = RULES.get(self.sampling, uniform_place)
        return rule(self, number, generator)


def draws_of(cases: PatchCases, sampling: str, recipe: Recipe) -> PatchDraws:
    """The draws of a cell's sampling. "none", "oversample" and "subsample" have a rule for patches;
    any other weighs the cases by their class voxels, and the place within one is uniform.
    """
    count = len(cases.labels)
    weights = np.full(count, 1 / count)
    if sampling not in RULES:
        weights = pick(SAMPLINGS, "sampling", sampling).load()(cases.class_voxels, recipe)
    return PatchDraws(cases=cases, sampling=sampling, recipe=recipe, weights=weights)


def uniform_place(draws: PatchDraws, number: int, generator: np.random.Generator) -> Places:
    """A uniform place in a case drawn by its weight."""
    case = int(generator.choice(len(draws.weights), p=draws.weights))
    return _uniform_in(draws, case, generator)


def oversampled_place(draws: PatchDraws, number: int, generator: np.random.Generator) -> Places:
    """The sampling "oversample": exactly recipe.oversample_share of an epoch's patches lie around a
    voxel of a class, evenly spread over its numbers; the others are uniform.

    With "case" the class is drawn among those of the drawn case, with "set" among those of all
    cases, and then a case that has it. A patch is moved inside the volume where it would hang over.
    A case without foreground gives a uniform place.
    """
    if not is_forced(number, draws.recipe.oversample_share):
        return uniform_place(draws, number, generator)
    is_held = draws.cases.class_voxels[:, 1:] > 0
    if draws.recipe.oversample_classes == "set" and is_held.any():
        label = 1 + int(generator.choice(np.flatnonzero(is_held.any(0))))
        case = int(generator.choice(np.flatnonzero(is_held[:, label - 1])))
    else:
        case = int(generator.choice(len(draws.weights), p=draws.weights))
        if not is_held[case].any():
            return _uniform_in(draws, case, generator)
        label = 1 + int(generator.choice(np.flatnonzero(is_held[case])))
    kept = kept_voxels(draws.cases.class_voxels[case])
    row = kept[:label].sum() + generator.integers(kept[label])
    patch = np.array(draws.recipe.patch)
    lowest, highest = _limits(draws, case)
    centred = draws.cases.index[case][row].astype(np.int64) - patch // 2
    return np.array([case, *np.clip(centred, lowest, highest)])


def subsampled_place(draws: PatchDraws, number: int, generator: np.random.Generator) -> Places:
    """The sampling "subsample": uniform places, drawn again while more than
    recipe.subsample_background of the patch is background.
    """
    best, least = uniform_place(draws, number, generator), 1.0
    for draw in range(MOST_DRAWS):
        place = best if not draw else uniform_place(draws, number, generator)
        counts = class_counts(draws, place)
        share = 1 - counts[1:].sum() / max(1, counts.sum())
        if share < least:
            best, least = place, share
        if share <= draws.recipe.subsample_background:
            return place
    return best


def is_forced(number: int, share: float) -> bool:
    """Whether the patch of this number in an epoch is one of the share that lies around a class
    voxel: of a third, every third.
    """
    return _forced_before(number + 1, share) > _forced_before(number, share)


def _forced_before(number: int, share: float) -> int:
    # A sum of thirds may stay a rounding error below a whole number.
    return int(np.floor(number * share + 1e-6))


def class_counts(draws: PatchDraws, place: Places) -> np.ndarray:
    """Annotated voxels of each class in a patch, int64 [K]; beyond the border is background."""
    assert draws.recipe.patch is not None, "patches have a size"
    labels = crop(draws.cases.labels[place[0]], place[1:], draws.recipe.patch, 0)
    num_classes = draws.cases.class_voxels.shape[1]
    return np.bincount(labels.ravel(), minlength=num_classes)[:num_classes]


def crop(volume: np.ndarray, start: np.ndarray, size: Size, fill: np.ndarray | int) -> np.ndarray:
    """The patch [..., d, h, w] of a volume [..., D, H, W] from a voxel on; fill, which may differ
    by channel, goes beyond its border. A view where all of it lies inside.
    """
    (d, h, w), at = overlap_box(start, size, volume.shape[-3:])
    inside = volume[..., d, h, w]
    if inside.shape[-3:] == size:
        return inside
    patch = np.full((*volume.shape[:-3], *size), fill, volume.dtype)
    patch[..., at[0], at[1], at[2]] = inside
    return patch


def overlap_box(start: np.ndarray, size: Size, shape: Sequence[int]) -> tuple[Box, Box]:
    """What a patch and a volume [D, H, W] have in common: where it lies in the volume, and where in
    the patch.
    """
    first = [max(0, int(n)) for n in start]
    last = [min(int(n) + edge, end) for n, edge, end in zip(start, size, shape, strict=True)]
    d, h, w = (slice(a, b) for a, b in zip(first, last, strict=True))
    e, i, x = (slice(a - int(n), b - int(n)) for a, b, n in zip(first, last, start, strict=True))
    return (d, h, w), (e, i, x)


def draw_facts(draws: PatchDraws, seed: int, num_patches: int) -> dict[str, object]:
    """What the first patches of an epoch with this seed hold: for each class the share of the
    patches that contain it, and its share of their voxels.
    """
    steps = -(-num_patches // draws.recipe.batch_size)
    places = np.concatenate([draws.batch(seed, step) for step in range(steps)])
    counts = np.stack([class_counts(draws, place) for place in places])
    facts: dict[str, object] = {
        "sampling": draws.sampling,
        "patches_counted": len(places),
        "draw_holds_class": (counts > 0).mean(0).tolist(),
        "voxel_share": (counts.sum(0) / counts.sum()).tolist(),
    }
    if draws.sampling == "oversample":
        facts["oversample_share"] = draws.recipe.oversample_share
        facts["oversample_classes"] = draws.recipe.oversample_classes
    if draws.sampling == "subsample":
        facts["background_above"] = draws.recipe.subsample_background
    return facts


def _uniform_in(draws: PatchDraws, case: int, generator: np.random.Generator) -> Places:
    lowest, highest = _limits(draws, case)
    return np.array([case, *generator.integers(lowest, highest + 1)])


def _limits(draws: PatchDraws, case: int) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest first voxel [3] of a patch. A case that is smaller than the patch
    lies in its middle, as in a prediction.
    """
    room = np.array(draws.cases.labels[case].shape) - np.array(draws.recipe.patch)
    middle = -(-room // 2)
    return np.where(room < 0, middle, 0), np.where(room < 0, middle, room)


RULES: dict[str, Callable[[PatchDraws, int, np.random.Generator], Places]] = {
    "none": uniform_place,
    "oversample": oversampled_place,
    "subsample": subsampled_place,
}
