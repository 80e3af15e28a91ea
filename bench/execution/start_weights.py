"""Weights that trials start from: ImageNet's fetched once before any trial, and every file named by
its content.
"""

from collections.abc import Mapping
from pathlib import Path

from bench.grid.expand import recipe_of
from bench.grids import Grid
from trials.models.registry import MODELS
from trials.storage.atomic import sha256
from trials.storage.probe import to_local_path

# A file may have other classes than the data, which are not known before they are opened.
ANY_CLASSES = 2


def fetch_imagenet(grid: Grid, given: Mapping[str, Path]) -> dict[str, Path]:
    """One file for each model of the grid that starts from ImageNet and was given none, so that
    workers read a path.

    Raises ValueError in one sentence that names the file to provide where the hub cannot be
    reached.
    """
    models = dict.fromkeys(cell.model for cell in grid.cells)
    wanted = [
        model
        for model in models
        if MODELS[model].weights == "imagenet"
        and recipe_of(grid, model).weights != "random"
        and model not in given
    ]
    if not wanted:
        return {}
    from trials.models.imagenet import prefetch_imagenet

    return {model: prefetch_imagenet(model) for model in wanted}


def check_fit(grid: Grid, model: str, path: Path) -> None:
    """Refuse a file that does not fit its model before anything is made of it. Raises ValueError
    naming file and tensors.
    """
    from trials.models.build import build_with

    recipe = recipe_of(grid, model)
    build_with(model, path, ANY_CLASSES, width=recipe.width, options=recipe.model_options)


def digests(files: Mapping[str, Path]) -> dict[str, str]:
    """The SHA-256 of each model's file; a bundle's folder is named by the weights in it."""
    return {
        model: sha256(path / "models" / "model.pt" if path.is_dir() else path)
        for model, path in files.items()
    }


def weight_files(pairs: list[str], grid: Grid) -> dict[str, Path]:
    """--weights MODEL=PATH as a mapping; each model must be one of the grid's, each path exist and
    its tensors fit.
    """
    from trials.records.registry import unknown

    files = {}
    for pair in pairs:
        model, _, path = pair.partition("=")
        models = {cell.model for cell in grid.cells}
        if model not in models:
            raise ValueError(f"--weights {pair}: {unknown('model', model, models)}")
        if not path or not to_local_path(path).exists():
            raise ValueError(
                f"--weights {pair}: no such file; write {model}=PATH with a file or the folder of "
                "a MONAI bundle"
            )
        files[model] = Path(path).absolute()
        check_fit(grid, model, files[model])
    return files
