"""segbench ls: what a grid may name. Reads registries only, so it answers at once."""

import argparse
from collections.abc import Iterator

from bench.commands.verb import add_verb
from bench.exit_codes import FINISHED
from bench.grid.expand import planned
from bench.grid.resolve import before_data, resolve
from bench.grids import GRIDS
from bench.spaces import DEFAULTS, SPACES
from trials.data.datasets.registry import DATASETS
from trials.data.sampling import SAMPLINGS
from trials.losses import LOSSES
from trials.models.registry import MODELS
from trials.records.metrics import BETTER, METRICS


def add(verbs) -> None:
    """The verb; it has no flags of its own."""
    add_verb(
        verbs,
        "ls",
        "list models, losses, samplings, grids and data sets, with what each tunes",
        run,
    )


def run(options: argparse.Namespace) -> int:
    """segbench ls."""
    print(listing())
    return FINISHED


def listing() -> str:
    """Models, losses, samplings, metrics, data sets and grids, a line each, with what each
    tunes.
    """
    return "\n".join(
        line
        for block in (models(), losses(), samplings(), metrics(), datasets(), grids())
        for line in (*block, "")
    )


def models() -> Iterator[str]:
    """One line a model."""
    yield "MODELS (the learning rate is tuned in every cell)"
    for name, part in MODELS.items():
        starts = {
            "random": "random weights",
            "pretrain": "our pretraining or --weights",
            "imagenet": "ImageNet or --weights",
        }
        cube = (
            f"cube {f'a multiple of {part.multiple}, ' if part.multiple > 1 else ''}at least "
            f"{part.smallest}"
        )
        yield (
            f"  {name:<17}{part.about}; starts from {starts[part.weights]}; "
            f"{cube}{tunes(part.tuned)}"
        )


def losses() -> Iterator[str]:
    """One line a loss."""
    yield "LOSSES"
    for name, part in LOSSES.items():
        yield f"  {name:<17}{part.about}{tunes(part.tuned)}"


def samplings() -> Iterator[str]:
    """One line a sampling."""
    yield "SAMPLINGS"
    for name, part in SAMPLINGS.items():
        yield f"  {name:<17}{part.about}{tunes(part.tuned)}"


def metrics() -> Iterator[str]:
    """One line a metric."""
    yield "METRICS"
    for name, entry in METRICS.items():
        unit = f", {entry.unit}" if entry.unit else ""
        yield f"  {name:<17}{entry.about}{unit}; {BETTER[entry.better]}"


def datasets() -> Iterator[str]:
    """One line a data set."""
    yield "DATA SETS"
    for name, part in DATASETS.items():
        yield f"  {name:<17}{part.about}; splits: {', '.join(part.splits)}"


def grids() -> Iterator[str]:
    """One line a grid, and the ranges that a search covers."""
    yield "GRIDS"
    for name, grid in GRIDS.items():
        trials = planned(resolve(grid, before_data(grid)))
        counts = ", ".join(f"{count} {phase}" for phase, count in trials.items() if count)
        seeds = ", ".join(map(str, grid.seeds))
        yield (
            f"  {name:<17}{len(grid.cells)} cells on {grid.dataset}, seeds {seeds}; trials: "
            f"{counts}"
        )
    yield ""
    yield "SEARCHED (default; range)"
    for name, span in SPACES.items():
        yield (
            f"  {name:<17}{DEFAULTS[name]:g}; {span.low:g} to "
            f"{span.high:g}{', logarithmic' if span.log else ''}"
        )
    yield (
        "  weight_decay, clip_gradient, a loss's argument, a recipe's model option: where a "
        "grid's spaces give them a range"
    )
    yield (
        "  one_minus_beta   the middle of its range; one over the largest to one over the "
        "smallest class count, logarithmic"
    )


def tunes(names: tuple[str, ...]) -> str:
    """What a part adds to the search."""
    return f"; tunes {', '.join(names)}" if names else ""
