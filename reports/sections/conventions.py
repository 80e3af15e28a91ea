"""Whether the rule for empty classes, or the rule for ranking, changes the ranks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from reports.analysis.context import Context
from reports.analysis.external import AllPredictions
from reports.elements import Column, Section, Switch, Table, TableCell, Text
from reports.formatting import listed, many, many_patients, number
from reports.load.by_patient import by_patient
from reports.stats.conventions import (
    CONVENTIONS,
    Convention,
    kits_rank,
    mean_then_rank,
    rank_then_mean,
)
from reports.stats.intervals import nan_mean

# The challenge's nested regions by their names in the surfaces table; ties are broken by the last.
NESTED = ("kidney_and_mass", "mass", "tumor")
# How many changes of rank are named.
MOST_NAMED = 4
RULES = (
    "'Mean then rank' sorts the mean scores. 'Rank then mean' ranks the configurations and "
    "external predictions within every patient and class (averaged over seeds) and sorts the "
    "mean ranks. Pooled voxels have no score per patient, and so no 'rank then mean'."
)
REGIONS_RULE = (
    "The classes of this page are the regions that the networks predict. They are counted in the "
    "masks put together from them, as nnU-Net evaluates regions: a region's mask is the union of "
    "its labels."
)
CHALLENGE_RULE = (
    "The rank by the challenge's rule is the mean of two ranks, by Dice and by Surface Dice over "
    "its three nested regions (1 if both masks are empty); ties are broken by tumor Dice."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConventionResult:
    """The scores under one convention: means over_all [C] and by_label [C, K], and ranks by both
    rules [C].
    """

    convention: Convention
    over_all: np.ndarray
    by_label: np.ndarray
    by_mean: np.ndarray
    by_rank: np.ndarray


def conventions(context: Context) -> Section | None:
    """Means and ranks under each convention; None before two configurations or external predictions
    have a test score.
    """
    predictions, known = context.all_predictions, dict(CONVENTIONS)
    if context.run.is_kits23:
        known["kits"] = replace(known["kits"], title=f"{known['kits'].title} (KiTS)")
    results = {
        name: apply_convention(predictions, convention) for name, convention in known.items()
    }
    ours = results["positives"]
    order = sorted(
        np.flatnonzero(~np.isnan(ours.over_all)).tolist(), key=lambda i: (ours.by_mean[i], i)
    )
    if len(order) < 2:
        return None
    official = official_ranks(predictions) if context.run.is_kits23 else None
    options = tuple(
        (
            one.convention.title,
            f"{_sentence(one.convention.rule)} "
            f"{changes(predictions.names, ours.by_mean, one.by_mean)}",
            (table,),
        )
        for name, one in results.items()
        for table in [_means_table(context, name, one, order)]
    )
    return Section(
        id="conventions",
        title="Conventions",
        question="Do the ranks depend on the rule for empty classes or on the ranking rule?",
        finding=_finding(context, results, official, order),
        blocks=(
            Switch("convention", f"Convention for empty {context.run.nouns}", options),
            _ranks_table(context, results, official, order),
            Text(_rules(context, official)),
        ),
    )


def _rules(context: Context, official: np.ndarray | None) -> tuple[str, ...]:
    of_regions = (REGIONS_RULE,) if context.run.target_regions else ()
    return (RULES, *of_regions, *(() if official is None else (CHALLENGE_RULE,)))


def apply_convention(predictions: AllPredictions, convention: Convention) -> ConventionResult:
    """Score all predictions under a convention. Seeds are averaged after the cases; for the ranks
    within a case, before.
    """
    counts = predictions.counts
    true, pred, overlap = (block[..., 1:] for block in (counts.true, counts.pred, counts.overlap))
    true = np.broadcast_to(true, pred.shape)
    missing = ~counts.available
    over_all, by_label = (
        convention.over_all(true, pred, overlap, counts.patient_of),
        convention.by_label(true, pred, overlap, counts.patient_of),
    )
    over_all[missing], by_label[missing] = np.nan, np.nan
    means, by_rank = nan_mean(over_all, 1), np.full(len(pred), np.nan)
    if convention.by_case is not None:
        by_case = convention.by_case(true, pred, overlap)
        by_case[missing] = np.nan
        by_rank = rank_then_mean(nan_mean(by_patient(by_case, counts.patient_of, -2), 1))
    return ConventionResult(
        convention=convention,
        over_all=means,
        by_label=nan_mean(by_label, 1),
        by_mean=mean_then_rank(means),
        by_rank=by_rank,
    )


def official_ranks(predictions: AllPredictions) -> np.ndarray | None:
    """The ranks by the challenge's rule, [C]; None if the data have no nested regions."""
    surfaces = predictions.surfaces
    if not set(NESTED) <= set(surfaces.regions):
        return None
    missing = ~surfaces.available

    def means(by_case: np.ndarray) -> np.ndarray:
        scored = np.where(np.isnan(by_case), 1.0, by_case)
        scored = by_patient(scored, surfaces.patient_of).mean(axis=2)
        scored[missing] = np.nan
        return nan_mean(scored, 1)

    dice = [means(surfaces.metric("dice", region)) for region in NESTED]
    surface_dice = [means(surfaces.metric("surface_dice", region)) for region in NESTED]
    return kits_rank(np.mean(dice, axis=0), np.mean(surface_dice, axis=0), dice[-1])


def changes(names: tuple[str, ...], ours: np.ndarray, theirs: np.ndarray) -> str:
    """A sentence on which ranks differ from those of this page, the largest changes first."""
    moved = np.flatnonzero(~np.isnan(ours) & ~np.isnan(theirs) & (ours != theirs))
    if not len(moved):
        return "No rank changes."
    largest = sorted(moved, key=lambda i: (-abs(theirs[i] - ours[i]), theirs[i], i))[:MOST_NAMED]
    named = [
        f"{names[i]} {'rises' if theirs[i] < ours[i] else 'falls'} from {ours[i]:.0f} to "
        f"{theirs[i]:.0f}"
        for i in largest
    ]
    rest = f", and {many(len(moved) - MOST_NAMED, 'other')}" if len(moved) > MOST_NAMED else ""
    return (
        f"{many(len(moved), 'rank')} {'changes' if len(moved) == 1 else 'change'}: "
        f"{'; '.join(named)}{rest}."
    )


def _finding(
    context: Context,
    results: Mapping[str, ConventionResult],
    official: np.ndarray | None,
    order: list[int],
) -> str:
    ours, names = results["positives"].by_mean, context.all_predictions.names
    others = {
        one.convention.title: one.by_mean for name, one in results.items() if name != "positives"
    }
    others["rank then mean"] = results["positives"].by_rank
    if official is not None:
        others["the challenge's rule"] = official
    differ = [
        title
        for title, ranks in others.items()
        if changes(names, ours, ranks) != "No rank changes."
    ]
    first = [title for title, ranks in others.items() if ranks[order[0]] != 1]
    if not differ:
        return (
            f"No: under all {many(len(others), 'other rule')} the ranks are the same as on this "
            "page."
        )
    changed = (
        f"Ranks change under {len(differ)} of {many(len(others), 'other rule')}: {listed(differ)}."
    )
    lead = (
        f"{names[order[0]]} ranks first under all of them."
        if not first
        else f"The first rank changes under {listed(first)}."
    )
    return f"{changed} {lead}"


def _means_table(context: Context, name: str, results: ConventionResult, order: list[int]) -> Table:
    shown = [
        label
        for label in context.run.labels
        if not np.isnan(results.by_label[order, label - 1]).all()
    ]
    columns = (
        Column("configuration"),
        Column("mean", True, f"over the {context.run.nouns}, then over the seeds"),
        *(Column(context.run.classes[label], True) for label in shown),
        Column("rank", True, "mean then rank"),
        Column("rank, rank then mean", True),
    )
    rows = tuple(
        (
            TableCell(context.all_predictions.names[i]),
            _score(results.over_all[i]),
            *(_score(results.by_label[i, label - 1]) for label in shown),
            _rank(results.by_mean[i]),
            _rank(results.by_rank[i]),
        )
        for i in order
    )
    counts = context.all_predictions.counts
    patients = many_patients(len(counts.patients), len(counts.cases))
    caption = (
        f"{results.convention.title}: mean test Dice of {patients}, native grid, averaged over "
        "seeds."
    )
    return Table(id=f"convention-{name}", caption=caption, columns=columns, rows=rows)


def _ranks_table(
    context: Context,
    results: Mapping[str, ConventionResult],
    official: np.ndarray | None,
    order: list[int],
) -> Table:
    ours = results["positives"].by_mean
    ranks = {one.convention.title: one.by_mean for one in results.values()}
    ranks["rank then mean"] = results["positives"].by_rank
    if official is not None:
        ranks["challenge"] = official
    columns = (Column("configuration"), *(Column(title, True) for title in ranks))
    rows = tuple(
        (
            TableCell(context.all_predictions.names[i]),
            *(_rank(column[i], ours[i]) for column in ranks.values()),
        )
        for i in order
    )
    caption = "Rank under every rule, and the change from the rank on this page (first column)."
    return Table(id="convention-ranks", caption=caption, columns=columns, rows=rows)


def _score(value: float) -> TableCell:
    return TableCell(number(value), float(value), look="quiet" if np.isnan(value) else "")


def _rank(rank: float, ours: float | None = None) -> TableCell:
    if np.isnan(rank):
        return TableCell("n/a", float("nan"), look="quiet")
    moved = 0 if ours is None or np.isnan(ours) else int(ours - rank)
    return TableCell(
        f"{rank:.0f}",
        float(rank),
        small=f"{'up' if moved > 0 else 'down'} {abs(moved)}" if moved else "",
    )


def _sentence(rule: str) -> str:
    return f"{rule[:1].upper()}{rule[1:]}."
