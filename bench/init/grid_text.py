"""The text of a first grid file: what the data hold, as comments, and a Grid that runs as it is."""

import dataclasses
import json
import shlex
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from bench.init.fit import (
    GPU,
    LARGEST,
    LEAST_EPOCHS,
    MODELS,
    MOST_EPOCHS,
    SAMPLINGS,
    SEEDS,
    Fit,
    OwnData,
)
from trials.data.datasets.patients import grouping_line
from trials.data.datasets.splits import explain
from trials.data.spacing.plan import fullres_mm, lowres_mm, median_size
from trials.records.faults import printable
from trials.records.grouping import cases_by_patient
from trials.records.result import duration
from trials.records.spec import Augmentation, Cube, Recipe, Spacing

# Below so many test patients the file says that little can be told.
FEW_PATIENTS = 20
WIDTH = 98

FILE = '''"""A comparison on {data}, written by `segbench init`. Change what you like.

{commands}

{facts}
"""

from bench.grids import {imports}

GRID = Grid(
    name="{name}",
    dataset="{dataset}",
    # What is compared: every model with every loss and sampling. `segbench ls` lists them all; a
    # loss or a model of your own is a function and a line in LOSSES or MODELS, which you import
    # from bench.grids too (docs/extending.md).
    cells=product({models}, {losses}, {samplings}),
    # The setting that a cell's tuning selects is trained once under each seed. Seeds and cells may
    # be added later: the same command runs what is missing.
    seeds={seeds},
    # Every cell has the same budget: its default setting, then what Optuna proposes. None trains
    # the default settings alone. A range is changed, or added, by
    # spaces={{"*": {{"lr": Range(low=1e-4, high=1e-2, log=True)}}}}, with Range of bench.grids.
    tuning=Tuning(trials={trials}, epochs={tuned}),
    # 3D networks train by this recipe, unless one has its own: {{"vnet": Recipe(...), "3d": ...}}.
    recipes={{
        "3d": Recipe(
{recipe}
        )
    }},
    # What the report answers first, and corrects for: which loss scores higher with each model, and
    # which model with each loss. levels=(...) names two or more, score="{last}" asks of one class.
    questions=(
        Question(factor="loss", within="model"),
        Question(factor="model", within="loss"),
    ),
)
'''


def grid_text(data: OwnData, fitted: Fit, folder: Path, out: Path, name: str) -> str:
    """The text of the grid file out, for the data set at folder."""
    used = [
        "Grid",
        "Question",
        "Recipe",
        "Tuning",
        "product",
        type(fitted.recipe.preparation).__name__,
    ]
    used += ["Augmentation"] if fitted.recipe.augment is not True else []
    return FILE.format(
        data=printable(folder.name),
        commands=commands(folder, out),
        facts="\n".join([*data_lines(data), "", *budget_lines(fitted)]),
        imports=", ".join(sorted(used)),
        name=name,
        dataset=data.dataset.name,
        models=tuple_text(MODELS),
        losses=tuple_text(fitted.losses),
        samplings=tuple_text(SAMPLINGS),
        seeds=SEEDS,
        last=printable(data.dataset.classes[-1]).replace('"', "'"),
        trials=fitted.tuning.trials,
        tuned=fitted.tuning.epochs,
        recipe=textwrap.indent("\n".join(recipe_lines(data, fitted.recipe)), " " * 12),
    )


def commands(folder: Path, out: Path) -> str:
    """The commands that the file is for."""
    flags = f"--grid {quoted(out)} --data {quoted(folder)}"
    return f"Look first:  segbench plan {flags}\nThen run:    segbench run {flags}"


def data_lines(data: OwnData) -> list[str]:
    """What the data hold: cases and patients, grids, classes with their counts, and the split."""
    dataset, split = data.dataset, data.split
    cases = [case.case for case in dataset.cases]
    size = np.median([grid.shape for grid in data.grids], axis=0)
    spacing = np.median([grid.spacing_mm for grid in data.grids], axis=0)
    lines = [
        f"{len(cases)} cases; {grouping_line(dataset.grouping, cases) or 'each is a patient'}.",
        f"Channels: {printable(', '.join(dataset.channels))}.",
        f"Median size {by(size, '.0f')} voxels of {by(spacing, '.3g')} mm (D x H x W).",
        *textwrap.wrap(
            f"Split {data.scheme!r}, fold 0: {parts_text(data)}; "
            f"{explain(dataset, data.scheme, 0)}.",
            WIDTH,
        ),
        "",
        f"{'class':<24}{'cases':>7}{'train':>7}{'val':>7}{'test':>7}{'voxels a case':>16}",
    ]
    voxels = dataset.class_voxels or {}
    for label, name in enumerate(dataset.classes):
        holding = {case for case in cases if voxels[case][label]}
        counts = [len(holding), *(len(holding & set(part)) for part in parts(data).values())]
        median = np.median([voxels[case][label] for case in holding]) if holding else 0
        lines.append(
            f"{f'{label} {printable(name)}':<24}"
            + "".join(f"{count:>7}" for count in counts)
            + f"{median:>16,.0f}"
        )
    few = len(cases_by_patient(dataset.grouping, split.test))
    if few < FEW_PATIENTS:
        lines += ["", *textwrap.wrap(few_patients(few), WIDTH)]
    return lines


def few_patients(num: int) -> str:
    """What this small number of test patients allows, and what helps."""
    # The smallest two-sided p of Wilcoxon's signed-rank test.
    smallest = 2.0 ** (1 - num)
    found = (
        f"no difference can be resolved, because p cannot be smaller than {smallest:.3g}"
        if smallest >= 0.05
        else "only large differences can be told from chance"
    )
    return (
        f"With {num} test patients {found}. folds=(0, 1, 2, 3, 4) in the grid tests every patient "
        "once (cross-validation), in five times the trainings."
    )


def parts(data: OwnData) -> dict[str, tuple[str, ...]]:
    """The cases of each part of the split."""
    split = data.split
    return {"training": split.train, "validation": split.val, "test": split.test}


def parts_text(data: OwnData) -> str:
    """As in "10 training, 3 validation and 3 test patients", with scans where they differ."""
    texts = []
    for part, cases in parts(data).items():
        patients = len(cases_by_patient(data.dataset.grouping, cases))
        scans = f" ({len(cases)} scans)" if patients != len(cases) else ""
        texts.append(f"{patients} {part}{scans}")
    return f"{', '.join(texts[:-1])} and {texts[-1]} patients"


def budget_lines(fitted: Fit) -> list[str]:
    """The rule by which the epochs were chosen, and what it gave."""
    gpus = f"{fitted.gpus} GPU{'s' if fitted.gpus > 1 else ''} like one {GPU}"
    where = gpus if fitted.gpus else f"the {fitted.cores} cores of this machine"
    how = "by that GPU's steps on file" if fitted.gpus else "by one step that was timed here"
    text = (
        f"Epochs: as many as all trials take in {fitted.budget:g} hours on {where}, {how}, at most "
        f"{MOST_EPOCHS} and at least {LEAST_EPOCHS}. {fitted.recipe.epochs} epochs take about "
        f"{duration(fitted.hours * 3600)}. --gpus and --hours of `segbench init` change the "
        "budget; `segbench plan` times real steps."
    )
    return textwrap.wrap(text, WIDTH)


def recipe_lines(data: OwnData, recipe: Recipe) -> list[str]:
    """The arguments of the recipe that are not its defaults, one a line, with what they mean."""
    plain = Recipe(epochs=1, batch_size=1)
    shown = ("epochs", "batch_size", "preparation")
    lines: list[str] = []
    for name in (field.name for field in dataclasses.fields(Recipe)):
        value = getattr(recipe, name)
        if name in shown or value != getattr(plain, name):
            lines += [f"# {line}" for line in notes(data, recipe).get(name, ())]
            lines.append(f"{name}={value_text(value)},")
    return lines


def notes(data: OwnData, recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """Comments for arguments of the recipe: what the value follows from, and how it may change."""
    size = by(median_size(data.grids, fullres_mm(data.grids)), ".0f")
    cube = (
        "Every case becomes a cube of this edge, a multiple of 16; the median case has",
        f"{size} voxels at full resolution. clip_hu=(low, high) cuts a CT first.",
    )
    patches = (
        f"Patches at {by(lowres_mm(data.grids), '.3g')} mm, nnU-Net's low resolution; the median",
        f"case has {size} voxels at full resolution, more than a cube of",
        f'{LARGEST}^3 keeps. mm="fullres" trains at full resolution and takes longer.',
    )
    return {
        "epochs": ("The number that the budget above affords.",),
        "batch_size": ("Halve it where a GPU's memory is too small: `segbench plan` says so.",),
        "preparation": cube if isinstance(recipe.preparation, Cube) else patches,
        "validate_every": ("Whole cases are scored every so many epochs.",),
    }


def value_text(value: object) -> str:
    """A value of a recipe as Python."""
    if isinstance(value, Cube):
        return f"Cube(edge={value.edge})"
    if isinstance(value, Spacing):
        return f"Spacing(mm={value.mm!r})"
    return "Augmentation()" if isinstance(value, Augmentation) else repr(value)


def tuple_text(names: Sequence[str]) -> str:
    """Names as a Python tuple with double quotes."""
    return f"({', '.join(json.dumps(name) for name in names)}{',' * (len(names) == 1)})"


def by(edges: Iterable[float], form: str) -> str:
    """As in "60 x 96 x 96"."""
    return " x ".join(format(edge, form) for edge in edges)


def quoted(path: Path) -> str:
    """A path as a shell takes it, which a docstring may hold."""
    return printable(shlex.quote(str(path))).replace("\\", "/").replace('"', "")
