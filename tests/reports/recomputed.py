"""The page's statistics, written again from the Parquet files in plain numpy: nothing of the
reports room is called.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

CELL = ["model", "loss", "sampling"]
# The rule of the draws: so many, from this seed, patients by a multinomial and the seed_effect of
# seeds from a pool.
DRAWS, SEED = 10_000, 20_250_112


def ratio(rows, kind):
    """Dice or IoU of rows of counts."""
    both = rows.true_voxels + rows.pred_voxels
    return (
        2 * rows.overlap_voxels / both
        if kind == "dice"
        else rows.overlap_voxels / (both - rows.overlap_voxels)
    )


def arranged(rows, value, cells):
    """One value a row, as [configuration, seed, case] in the order of the grid, of seeds and of
    names.
    """
    table = rows.assign(value=value).pivot(index=[*CELL, "seed"], columns="case", values="value")
    seeds = sorted(set(rows.seed))
    return np.array([[table.loc[(*cell, seed)].to_numpy() for seed in seeds] for cell in cells])


def block(printed, label, kind="dice", space="native", split="test"):
    """A label's score [C, S, N], NaN for the patients whose reference lacks it."""
    rows = printed.scores.query(
        "phase == 'final' and split == @split and space == @space and label == @label"
    )
    return arranged(rows, ratio(rows, kind).where(rows.true_voxels > 0), printed.cells)


def surface_block(printed, region):
    rows = printed.surfaces.query("phase == 'final' and split == 'test' and region == @region")
    value = (rows.true_within_mm2 + rows.pred_within_mm2) / (rows.true_mm2 + rows.pred_mm2)
    return arranged(rows, value.where(rows.true_voxels > 0), printed.cells)


def luck_of(values):
    """Variance between trainings of one configuration and its degrees of freedom: two-way analysis
    of variance, pooled.
    """
    values = values[:, :, ~np.isnan(values).all(axis=(0, 1))]
    seeds, cases = values.shape[1:]
    by_cell = []
    for of in values:
        rest = of - of.mean(1, keepdims=True) - of.mean(0, keepdims=True) + of.mean()
        ms_seed = cases * of.mean(1).var(ddof=1)
        by_cell.append((ms_seed - (rest**2).sum() / ((seeds - 1) * (cases - 1))) / cases)
    return max(0.0, float(np.mean(by_cell))), len(values) * (seeds - 1)


@dataclass(frozen=True)
class Draws:
    """Estimates [C], draws [B, C] and the part of them that seeds cause, degrees of freedom of
    patients and of seeds.
    """

    estimates: np.ndarray
    draws: np.ndarray
    seed_effect: np.ndarray
    df: tuple[int, int]

    def interval(self, weights, level=0.95):
        """The interval of a weighted sum of configurations: percentiles, stretched to Student's t
        about the estimate.
        """
        estimate, draws, seed_effect = (
            self.estimates @ weights,
            self.draws @ weights,
            self.seed_effect @ weights,
        )
        low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
        of_seeds, of_cases = (
            np.nanvar(seed_effect),
            np.nanvar(draws - seed_effect) * (self.df[0] + 1) / self.df[0],
        )
        together = (of_cases + of_seeds) ** 2 / (
            of_cases**2 / self.df[0] + of_seeds**2 / max(self.df[1], 1)
        )
        stretch = stats.t.ppf((1 + level) / 2, together) / stats.norm.ppf((1 + level) / 2)
        stretch *= np.sqrt((of_cases + of_seeds) / np.nanvar(draws))
        return (
            estimate,
            estimate + stretch * (low - estimate),
            estimate + stretch * (high - estimate),
        )


def drawn(blocks):
    """Draws of every block (by its key), and under "mean" of their mean; all share the same
    patients and the same seed_effect.
    """
    some = next(iter(blocks.values()))
    num_cells, num_seeds, num_cases = some.shape
    rng = np.random.default_rng(SEED)
    weights = rng.multinomial(num_cases, np.full(num_cases, 1 / num_cases), size=DRAWS)
    size = num_cells * num_seeds
    picks = np.random.default_rng((SEED, size)).integers(
        0, size, (DRAWS, num_cells, num_seeds), dtype=np.int32
    )
    found = {}
    for key, values in blocks.items():
        held = ~np.isnan(values[0, 0])
        by_case, by_seed = values[:, :, held].mean(1), values[:, :, held].mean(2)
        away = (by_seed - by_seed.mean(1, keepdims=True)).ravel()
        variance, df = luck_of(values)
        pool = away * np.sqrt(variance / np.mean(away**2)) if variance else 0 * away
        seed_effect = pool[picks].mean(2)
        with np.errstate(invalid="ignore"):
            means = weights[:, held] @ by_case.T / weights[:, held].sum(1, keepdims=True)
        found[key] = Draws(
            by_seed.mean(1), means + seed_effect, seed_effect, (int(held.sum()) - 1, df)
        )
    parts = list(found.values())
    mean = [
        np.mean([getattr(part, name) for part in parts], axis=0)
        for name in ("estimates", "draws", "seed_effect")
    ]
    found["mean"] = Draws(*mean, (min(part.df[0] for part in parts), parts[0].df[1]))
    return found


def unit(num, place):
    return np.eye(num)[place]


def by_patient(blocks):
    """A patient's mean over the classes it holds, [C, S, N]."""
    return np.nanmean(list(blocks.values()), axis=0)


def shares(blocks):
    """What each patient adds to the mean of the classes: a class's mean, and its distance from it,
    the rarer the heavier.
    """
    parts = []
    for values in blocks.values():
        mean, held = np.nanmean(values, axis=2, keepdims=True), ~np.isnan(values)
        rarity = held.shape[2] / held[0, 0].sum()
        parts.append(mean + rarity * np.where(held, values - mean, 0))
    return np.mean(parts, axis=0)


def flips(num):
    """Every way to sign num patients, [2^num, num], as -1 and 1."""
    return 2.0 * ((np.arange(2**num)[:, None] >> np.arange(num)) & 1) - 1


def wilcoxon(differences):
    """Two-sided signed-rank p by counting every flip of the ranks, zeros ranked and then left out
    (Pratt).
    """
    kept = np.round(differences, 12)
    ranks = stats.rankdata(np.abs(kept)) * (kept != 0)
    sums = (flips(len(kept)) > 0) @ ranks
    ours = ranks[kept > 0].sum()
    return min(1.0, 2 * min((sums >= ours - 1e-9).mean(), (sums <= ours + 1e-9).mean()))


def crossed(differences, variance, df):
    """Two-sided p of Student's t over patients and trainings with Satterthwaite's degrees of
    freedom.
    """
    num = len(differences)
    of_cases = differences.var(ddof=1) / num
    together = (of_cases + variance) ** 2 / (of_cases**2 / (num - 1) + variance**2 / max(df, 1))
    return 2 * stats.t.sf(abs(differences.mean()) / np.sqrt(of_cases + variance), together)


def holm(p):
    """Adjusted by Holm's steps, in the order they came."""
    adjusted, highest = dict.fromkeys(p, 0.0), 0.0
    for step, key in enumerate(sorted(p, key=p.get)):
        highest = max(highest, min(1.0, (len(p) - step) * p[key]))
        adjusted[key] = highest
    return adjusted
