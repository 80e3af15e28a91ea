"""ImageNet weights of the 2D encoders, downloaded once before any trial starts; trials only read
the file. Does not import torch.
"""

from pathlib import Path

from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import LocalEntryNotFoundError

FILE = "model.safetensors"
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
    repo, revision = SOURCES[name]
    try:
        return Path(hf_hub_download(repo, FILE, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        pass  # not in the cache yet
    try:
        get_hf_file_metadata(hf_hub_url(repo, FILE, revision=revision), timeout=TIMEOUT_SECONDS)
        return Path(hf_hub_download(repo, FILE, revision=revision))
    except Exception as error:  # OSError, or an error of the client's HTTP library
        raise ValueError(
            f"{name} starts from ImageNet weights and the hub cannot be reached: provide {FILE} of "
            f"huggingface.co/{repo} "
            f"with --weights {name}=PATH, or set weights='random' in its recipe"
        ) from error
