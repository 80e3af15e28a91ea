"""ImageNet weights of the 2D encoders, fetched once before any trial starts; trials only read the file."""

from pathlib import Path

from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import LocalEntryNotFoundError
from segmentation_models_pytorch.encoders import encoders

FILE = "model.safetensors"
TIMEOUT_SECONDS = 5


def prefetch_imagenet(name: str) -> Path:
    """Return the local file of a 2D model's ImageNet encoder, from the hub's cache or else from the hub.

    name is a model of the registry, such as "unet2d_resnet50". Without a network it raises ValueError within seconds:
    one request is tried before the download, as the hub's client would retry for half a minute.
    """
    settings = encoders[name.removeprefix("unet2d_")]["pretrained_settings"]["imagenet"]
    repo, revision = settings["repo_id"], settings["revision"]
    try:
        return Path(hf_hub_download(repo, FILE, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        pass  # not in the cache yet
    try:
        get_hf_file_metadata(hf_hub_url(repo, FILE, revision=revision), timeout=TIMEOUT_SECONDS)
        return Path(hf_hub_download(repo, FILE, revision=revision))
    except Exception as error:  # the client raises OSError, or errors of whichever HTTP library it uses
        raise ValueError(
            f"{name} starts from ImageNet weights and the hub cannot be reached: provide {FILE} of huggingface.co/{repo} "
            f"with --weights {name}=PATH, or ask for weights='random' in its recipe"
        ) from error
