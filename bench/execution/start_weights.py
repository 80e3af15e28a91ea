"""Initial weights of trials: those of ImageNet are downloaded once before any trial, and every file
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


IMAGENET_FILE = "model.safetensors"
TIMEOUT_SECONDS = 5

# The repositories and revisions that segmentation_models_pytorch downloads itself.
SOURCES = {
    "unet2d_resnet18": ("smp-hub/resnet18.imagenet", "3f2325ff978283d47aa6a1d6878ca20565622683"),
    "unet2d_resnet50": ("smp-hub/resnet50.imagenet", "00cb74e366966d59cd9a35af57e618af9f88efe9"),
}


def prefetch_imagenet(name: str) -> Path:
    """Return the local file of a 2D model's ImageNet encoder, from the hub's cache or else from the
    hub.

    name is a registered model that starts from ImageNet. Offline it raises ValueError within
    seconds: one request is tried before the download, since the hub's client would retry for half a
    minute.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import LocalEntryNotFoundError

    repo, revision = SOURCES[name]
    try:
        return Path(hf_hub_download(repo, IMAGENET_FILE, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        pass  # not in the cache yet
    try:
        get_hf_file_metadata(
            hf_hub_url(repo, IMAGENET_FILE, revision=revision), timeout=TIMEOUT_SECONDS
        )
        return Path(hf_hub_download(repo, IMAGENET_FILE, revision=revision))
    except Exception as error:  # OSError, or an error of the client's HTTP library
        raise ValueError(
            f"{name} starts from ImageNet weights and the hub cannot be reached: provide "
            f"{IMAGENET_FILE} of huggingface.co/{repo} with --weights {name}=PATH, or set "
            "weights='random' in its recipe"
        ) from error
