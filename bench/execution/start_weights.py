"""Initial weights of trials: ImageNet weights are downloaded once before any trial, and every file
is identified by its content.
"""

from collections.abc import Mapping
from pathlib import Path

from bench.grid.resolve import ResolvedGrid
from trials.models.registry import MODELS
from trials.records.spec import Recipe
from trials.storage.atomic import sha256
from trials.storage.probe import to_local_path

# The number of classes is not known before the data are opened, and a file may have another one.
ANY_CLASSES = 2


def fetch_imagenet(resolved: ResolvedGrid) -> dict[str, Path]:
    """One file of weights for each model that starts from ImageNet, so that workers only read a
    path.

    Raises ValueError naming the file to provide if the hub cannot be reached.
    """
    wanted = [model for model, one in resolved.models.items() if one.weights == "imagenet"]
    if not wanted:
        return {}
    from trials.models.imagenet import prefetch_imagenet

    return {model: prefetch_imagenet(model) for model in wanted}


def check_fit(model: str, recipe: Recipe, path: Path) -> None:
    """Raise ValueError naming file and tensors if the weights do not fit their model."""
    from trials.models.build import build_with, item_edges

    edges = item_edges(MODELS[model].dims, recipe)
    build_with(
        model, path, ANY_CLASSES, width=recipe.width, options=recipe.model_options, edges=edges
    )


def digests(files: Mapping[str, Path]) -> dict[str, str]:
    """The SHA-256 of each model's file of weights; for a bundle's folder, that of the weights in
    it.
    """
    return {
        model: sha256(path / "models" / "model.pt" if path.is_dir() else path)
        for model, path in files.items()
    }


def weight_files(pairs: list[str], resolved: ResolvedGrid) -> dict[str, Path]:
    """--weights MODEL=PATH as a mapping from model to path. Raises ValueError if a model is not in
    the grid, a path does not exist, or its tensors do not fit.
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
        files[model] = to_local_path(path).absolute()
        check_fit(model, models[model].recipe, files[model])
    return files
