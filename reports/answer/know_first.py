"""What to know before the answers, most serious first: too few patients, settings that were taken
from other data, trainings that still improved, structures that the cube makes too small.
"""

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from reports.analysis.caveats import Caveat
from reports.analysis.context import Context
from reports.analysis.epochs import is_rising
from reports.answer.resolution import Resolution, p_limit
from reports.formatting import cell_name, listed, many
from reports.load.run_folder import Run
from reports.stats.power import fewest_patients
from trials.records.result import TrialResult
from trials.records.spec import Cell

# A structure of fewer voxels is at most three voxels across.
FEW_VOXELS = 27


def know_first(context: Context, found: Resolution | None) -> tuple[Caveat, ...]:
    """What limits the answers themselves, then everything else that limits the page."""
    own = (
        *_few_patients(found),
        *_inherited(context.run),
        *_small_structures(context.run),
        *_still_improving(context.run),
    )
    return (*own, *context.caveats)


def _few_patients(found: Resolution | None) -> Iterator[Caveat]:
    if found is None:
        return
    needed, design = fewest_patients(found.design.comparisons), found.design
    if design.patients < needed:
        yield Caveat(
            "Too few patients",
            f"No difference can be resolved with {many(design.patients, 'test patient')}: p cannot "
            f"be smaller than {p_limit(design.patients)}. The "
            f"{many(design.comparisons, 'declared comparison')} of this run "
            f"{'needs' if design.comparisons == 1 else 'need'} at least {needed} test patients. "
            "Seeds and longer training do not change that.",
        )


def _inherited(run: Run) -> Iterator[Caveat]:
    """Settings of the demo on other data, as the run recorded them."""
    notes = tuple(str(note) for note in run.record.get("inherited") or ())
    if notes:
        yield Caveat(
            "Inherited settings",
            "These settings are inherited from the grid demo, which made them for synthetic "
            "patients. They were not fitted to this data, and the order of the configurations may "
            "change with others.",
            notes,
        )


def _still_improving(run: Run) -> Iterator[Caveat]:
    trials: dict[Cell, list[TrialResult]] = {}
    for result in run.finals:
        trials.setdefault(result.spec.cell, []).append(result)
    rising = [cell for cell, several in trials.items() if is_rising(several)]
    if rising:
        yield Caveat(
            "Still improving",
            f"{len(rising)} of {many(len(trials), 'configuration')} "
            f"{'was' if len(rising) == 1 else 'were'} still improving in the last tenth of the "
            "epochs. Longer training may change the answers.",
            tuple(cell_name(cell) for cell in rising),
        )


def _small_structures(run: Run) -> Iterator[Caveat]:
    """Classes of which half of the cases have few voxels in the prepared cube."""
    for edge in _edges(run):
        sizes = {name: _cube_voxels(run, label, edge) for label, name in enumerate(run.classes)}
        small = [
            f"{name} {median(found):.0f}"
            for name, found in list(sizes.items())[1:]
            if found and median(found) < FEW_VOXELS
        ]
        if small:
            yield Caveat(
                "Small structures",
                f"In the cube of {edge} x {edge} x {edge} voxels to which every case is resampled, "
                f"the median case has very few voxels of a class: {listed(small)}. Such a class "
                "scores low whatever the network; a larger cube or patches at a physical spacing "
                "help.",
            )


def _edges(run: Run) -> list[int]:
    """The edges of the cubes that the run's recipes prepare."""
    preparations = run.record.get("preparations") or ()
    return sorted({int(of["edge"]) for of in preparations if of.get("kind") == "cube"})


def _cube_voxels(run: Run, label: int, edge: int) -> list[float]:
    """The voxels of a class in the cube, of every case that holds it."""
    geometry: Mapping[str, Any] = (run.record.get("data") or {}).get("geometry") or {}
    voxels = []
    for grid, counts in zip(geometry.values(), run.class_voxels(geometry), strict=True):
        depth, height, width = grid["shape"]
        if counts[label] > 0:
            voxels.append(counts[label] * edge**3 / (depth * height * width))
    return voxels
