"""Weights that trials start from: ImageNet's fetched once before any trial, and every file named by
its content.
"""

from collections.abc import Mapping
from pathlib import Path

from bench.grid.resolve import ResolvedGrid
from trials.records.spec import Recipe
from trials.storage.atomic import sha256
from trials.storage.probe import to_local_path

# A file may have other classes than the data, which are not known before they are opened.
ANY_CLASSES = 2


def fetch_imagenet(resolved: ResolvedGrid) -> dict[str, Path]:
    """One file for each model of the grid that starts from ImageNet, so that workers read a path.

    Raises ValueError in one sentence that names the file to provide where the hub cannot be
    reached.
    """
    wanted = [model for model, one in resolved.models.items() if one.weights == "imagenet"]
    if not wanted:
        return {}
    from trials.models.imagenet import prefetch_imagenet

    return {model: prefetch_imagenet(model) for model in wanted}


def check_fit(model: str, recipe: Recipe, path: Path) -> None:
    """Refuse a file that does not fit its model before anything is made of it. Raises ValueError
    naming file and tensors.
    """
    from trials.models.build import build_with

    build_with(model, path, ANY_CLASSES, width=recipe.width, options=recipe.model_options)


def digests(files: Mapping[str, Path]) -> dict[str, str]:
    """The SHA-256 of each model's file; a bundle's folder is named by the weights in it."""
    return {
        model: sha256(path / "models" / "model.pt" if path.is_dir() else path)
        for model, path in files.items()
    }


def weight_files(pairs: list[str], resolved: ResolvedGrid) -> dict[str, Path]:
    """--weights MODEL=PATH as a mapping; each model must be one of the grid's, each path exist and
    its tensors fit.
    """
    from trials.records.registry import unknown

    files, models = {}, resolved.models
    for pair in pairs:
        model, _, path = pair.partition("=")
        if model not in models:
            raise ValueError(f"--weights {pair}: {unknown('model', model, models)}")
        if not path or not to_local_path(path).exists():
            raise ValueError(
                f"--weights {pair}: no such file; write {model}=PATH with a file or the folder of "
                "a MONAI bundle"
            )
        files[model] = Path(path).absolute()
        check_fit(model, models[model].recipe, files[model])
    return files
