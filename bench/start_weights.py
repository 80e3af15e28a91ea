"""Weights that trials start from: ImageNet's fetched once before any trial, and every file named by its content."""

from collections.abc import Mapping
from pathlib import Path

from bench.expand import recipe_of
from bench.grids import Grid
from trials.files import sha256
from trials.models.registry import MODELS

# A file may have other classes than the data, which are not known before they are opened.
ANY_CLASSES = 2


def fetch_imagenet(grid: Grid, given: Mapping[str, Path]) -> dict[str, Path]:
    """One file for each model of the grid that starts from ImageNet and was given none, so that workers read a path.

    Raises ValueError in one sentence that names the file to provide where the hub cannot be reached.
    """
    models = dict.fromkeys(cell.model for cell in grid.cells)
    wanted = [
        model
        for model in models
        if MODELS[model].weights == "imagenet" and recipe_of(grid, model).weights != "random" and model not in given
    ]
    if not wanted:
        return {}
    from trials.models.imagenet import prefetch_imagenet

    return {model: prefetch_imagenet(model) for model in wanted}


def check_fit(grid: Grid, model: str, path: Path) -> None:
    """Refuse a file that does not fit its model before anything is made of it. Raises ValueError naming file and tensors."""
    from trials.models.build import build_with

    recipe = recipe_of(grid, model)
    build_with(model, path, ANY_CLASSES, width=recipe.width, options=recipe.model_options)


def digests(files: Mapping[str, Path]) -> dict[str, str]:
    """The SHA-256 of each model's file; a bundle's folder is named by the weights in it."""
    return {model: sha256(path / "models" / "model.pt" if path.is_dir() else path) for model, path in files.items()}
