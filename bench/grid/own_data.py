"""A grid and the data that it is given: what --dataset, --fold, --targets and --data change in
it, what it takes from the demo, how many test patients it will have.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from bench.grid.resolve import recipe_of
from bench.grids import DEMO, Grid
from trials.data.datasets.registry import DATASETS, OWN, Case, Dataset, Split, default_scheme
from trials.records.grouping import cases_by_patient
from trials.records.registry import Entry, pick

# A recipe with so many values of the demo's own was made from it.
LEAST_EQUAL = 5
OTHER = re.compile(r"[^A-Za-z0-9_.-]+", re.ASCII)


def on_data(
    grid: Grid, dataset: str | None, folds: Sequence[int] | None, targets: str | None = None
) -> Grid:
    """The grid with another data set, folds or targets; None keeps its own. Raises ValueError for
    an unknown data set.

    With another data set the split is that set's default. Settings with a value for each class are
    dropped where the classes are others than those of the grid.
    """
    if dataset and dataset != grid.dataset:
        pick(DATASETS, "data set", dataset)
        grid = replace(_of_any_class(grid), dataset=dataset, splits=None, folds=(0,), generate={})
    if targets and targets != grid.targets:
        grid = replace(_of_any_class(grid), targets=targets)
    return grid if folds is None else replace(grid, folds=tuple(folds))


def _of_any_class(grid: Grid) -> Grid:
    """The grid without settings that have a value for each class."""
    hyper = {
        model: {name: value for name, value in values.items() if not isinstance(value, tuple)}
        for model, values in grid.hyper.items()
    }
    return replace(grid, hyper=hyper)


def run_name(
    grid: Grid,
    dataset: str | None,
    folds: Sequence[int] | None,
    data: Path | None,
    targets: str | None = None,
) -> str:
    """The name of the default run folder: the grid's, with that of the folder of another data set,
    the folds and the targets if they were given.
    """
    folder = OTHER.sub("-", data.absolute().name).strip("-.") if dataset and data else ""
    number = f"fold{'-'.join(map(str, folds))}" if folds else ""
    return "-".join(part for part in (grid.name, folder, number, targets) if part)


def inherited(grid: Grid) -> list[str]:
    """What a grid on other data takes from DEMO, whose settings were made for its own: a line for
    each model's recipe, one for default settings and one for search ranges. Empty on DEMO's data.
    """
    if grid.dataset == DEMO.dataset:
        return []
    lines = []
    for model in dict.fromkeys(cell.model for cell in grid.cells):
        equal = _equal_values(recipe_of(grid, model), [*DEMO.recipes.values()])
        if len(equal) >= LEAST_EQUAL:
            lines.append(f"recipe of {model}: {', '.join(equal)}")
    for name in ("hyper", "spaces"):
        ours, theirs = getattr(grid, name), getattr(DEMO, name)
        equal = [
            f"{key}[{model!r}]"
            for model, values in ours.items()
            for key, value in values.items()
            if theirs.get(model, {}).get(key) == value
        ]
        if equal:
            lines.append(f"{name}: {', '.join(equal)}")
    return lines


def _equal_values(recipe: Any, of_demo: list[Any]) -> list[str]:
    """The values of a recipe that are no default and equal those of a recipe of the demo: of the
    one that it shares most with.
    """
    found = [
        [
            f"{field.name}={getattr(recipe, field.name)}"
            for field in fields(recipe)
            if getattr(recipe, field.name) == getattr(one, field.name) != field.default
        ]
        for one in of_demo
    ]
    return max(found, key=len)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientNumbers:
    """How many patients a grid tests, and how many its data have; None where that is unknown."""

    tested: int | None = None
    everyone: int | None = None


def patient_numbers(grid: Grid, dataset: Dataset | None) -> PatientNumbers:
    """The patients of a grid before its data are prepared; dataset None is generated. About a fifth
    are tested where a split depends on what the masks hold; unknown if there is no test case.
    """
    found = _generated(grid) if dataset is None else dataset
    if found is None:
        return PatientNumbers()
    scheme = grid.splits or default_scheme(found)
    everyone = len(cases_by_patient(found.grouping, [case.case for case in found.cases]))
    if scheme == "seeded":
        tested = round(everyone * len(grid.folds) / DATASETS[grid.dataset].folds[scheme])
        return PatientNumbers(tested=tested, everyone=everyone)
    if scheme == OWN:
        given = [
            found.own_splits[fold if fold < len(found.own_splits) else 0] for fold in grid.folds
        ]
        cases = [case for one in given for case in one.test or one.val]
    else:
        draw = Entry(DATASETS[grid.dataset].splits[scheme]).load()
        splits: list[Split] = [draw(found, fold) for fold in grid.folds]
        cases = [case for split in splits for case in split.test]
    tested = len(cases_by_patient(found.grouping, cases))
    return PatientNumbers(tested=tested or None, everyone=everyone)


def _generated(grid: Grid) -> Dataset | None:
    """The cases that a grid will generate, by name alone; None without their number."""
    num = grid.generate.get("num_cases")
    if num is None or not DATASETS[grid.dataset].generate:
        return None
    names = [f"case_{i:05d}" for i in range(num)]
    cases = tuple(Case(case=name, image=Path(), labels=Path()) for name in names)
    return Dataset(name=grid.dataset, root=Path(), classes=(), cases=cases)
