"""segbench ls: lists what a grid can name. Reads registries only, so it is fast."""

import argparse
from collections.abc import Iterator

from bench.grid.expand import count_trials
from bench.grid.resolve import before_data, resolve
from bench.grids import GRIDS
from bench.spaces import DEFAULTS, DEFAULTS_BY_OPTIMIZER, SPACES, SPACES_BY_OPTIMIZER, Range
from bench.verb import FINISHED, Verbs, add_verb
from trials.data.datasets.registry import DATASETS
from trials.data.sampling import SAMPLINGS
from trials.losses import LOSSES
from trials.models.registry import MODELS
from trials.records.metrics import BETTER, METRICS


def add(verbs: Verbs) -> None:
    """The verb; it has no flags of its own."""
    add_verb(
        verbs,
        "ls",
        "list models, losses, samplings, metrics, data sets and grids, and what each tunes",
        run,
    )


def run(options: argparse.Namespace) -> int:
    """segbench ls."""
    print(listing())
    return FINISHED


def listing() -> str:
    """Models, losses, samplings, metrics, data sets and grids, one per line, with their tuned
    parameters.
    """
    return "\n".join(
        line
        for block in (models(), losses(), samplings(), metrics(), datasets(), grids())
        for line in (*block, "")
    )


def models() -> Iterator[str]:
    """One line per model."""
    yield "MODELS (the learning rate is tuned in every cell)"
    for name, part in MODELS.items():
        starts = {
            "random": "random weights",
            "pretrain": "segbench's pretraining or --weights",
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
    """One line per loss."""
    yield "LOSSES"
    for name, part in LOSSES.items():
        yield f"  {name:<17}{part.about}{tunes(part.tuned)}"


def samplings() -> Iterator[str]:
    """One line per sampling."""
    yield "SAMPLINGS"
    for name, part in SAMPLINGS.items():
        yield f"  {name:<17}{part.about}{tunes(part.tuned)}"


def metrics() -> Iterator[str]:
    """One line per metric."""
    yield "METRICS"
    for name, entry in METRICS.items():
        unit = f", {entry.unit}" if entry.unit else ""
        yield f"  {name:<17}{entry.about}{unit}; {BETTER[entry.better]}"


def datasets() -> Iterator[str]:
    """One line per data set."""
    yield "DATA SETS"
    for name, part in DATASETS.items():
        yield f"  {name:<17}{part.about}; splits: {', '.join(part.splits)}"


def grids() -> Iterator[str]:
    """One line per grid, then the ranges that a search covers."""
    yield "GRIDS"
    for name, grid in GRIDS.items():
        trials = count_trials(resolve(grid, before_data(grid)))
        counts = ", ".join(f"{count} {phase}" for phase, count in trials.items() if count)
        seeds, folds = (", ".join(map(str, values)) for values in (grid.seeds, grid.folds))
        several = f"folds {folds}, " if len(grid.folds) > 1 else ""
        yield (
            f"  {name:<17}{len(grid.cells)} cells on {grid.dataset}, {several}seeds {seeds}; "
            f"trials: {counts}"
        )
    yield ""
    yield "SEARCHED (default; range)"
    for name, bounds in SPACES.items():
        yield searched_line(name, DEFAULTS[name], bounds)
    for optimizer, spaces in SPACES_BY_OPTIMIZER.items():
        for name, bounds in spaces.items():
            default = DEFAULTS_BY_OPTIMIZER[optimizer][name]
            yield searched_line(f"{name} of {optimizer}", default, bounds)
    yield (
        "  weight_decay, clip_gradient, a loss's argument, a recipe's model option: if a "
        "grid's spaces give them a range"
    )
    yield (
        "  one_minus_beta   the middle of its range; 1 / largest to 1 / smallest class count, "
        "logarithmic"
    )


def tunes(names: tuple[str, ...]) -> str:
    """The parameters that an entry adds to the search."""
    return f"; tunes {', '.join(names)}" if names else ""


def searched_line(name: str, default: float, bounds: Range) -> str:
    """A hyperparameter, its default and its range."""
    scale = ", logarithmic" if bounds.log else ""
    return f"  {name:<17}{default:g}; {bounds.low:g} to {bounds.high:g}{scale}"
