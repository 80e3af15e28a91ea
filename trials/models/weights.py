"""Initial weights from a file: tensors that match by name and shape are copied; a file that does
not fit raises an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor, nn

from trials.models.initialise import convolutions
from trials.storage.atomic import read_bytes, sha256

MIN_FITTING = 0.95
WRAPPERS = ("state_dict", "model_state_dict", "model", "network_weights", "net")
BUNDLE_FILE = Path("models") / "model.pt"  # where a MONAI bundle keeps its weights


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedWeights:
    """What was loaded from a file: num_fitting of num_tensors tensors; the others kept their random
    values.

    head names the tensors skipped because the number of classes differs; missing names those absent
    from the file or of another shape.
    """

    source: str
    num_fitting: int
    num_tensors: int
    head: tuple[str, ...]
    missing: tuple[str, ...]


def load_weights(model: nn.Module, path: Path) -> LoadedWeights:
    """Copy a file's tensors into the model. See load_tensors for what must match, read_tensors for
    what path may be.
    """
    return load_tensors(model, read_tensors(path), str(path))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read named tensors from a .pt, .pth or .safetensors file, or from the folder of a MONAI
    bundle.

    Pickles are read without running their code; {"state_dict": ...} and similar wrappers are
    removed. Raises ValueError naming the file if it is missing, cannot be read or holds no tensors.
    """
    file = weights_file(path)
    try:
        content = load(read_bytes(file)) if file.suffix == ".safetensors" else plain_values(file)
    except Exception as error:  # the readers may raise anything for a damaged file
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{file}: not a file of plain tensors ({reason}); save only the model's state_dict()"
        ) from error
    while isinstance(content, Mapping) and (
        inner := next((key for key in WRAPPERS if isinstance(content.get(key), Mapping)), "")
    ):
        content = content[inner]
    tensors = (
        {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
        if isinstance(content, Mapping)
        else {}
    )
    if not tensors:
        raise ValueError(f"{file}: holds no named tensors; save the model's state_dict()")
    return tensors


def weights_file(path: Path) -> Path:
    """The weights file at path, or inside the MONAI bundle at path. Raises ValueError if there is
    none.
    """
    file = path / BUNDLE_FILE if path.is_dir() else path
    if not file.is_file():
        raise ValueError(
            f"{file}: no such weights file; give a .pt, .pth or .safetensors file or the folder "
            "of a MONAI bundle"
        )
    return file


def check_digest(path: Path, wanted: str) -> None:
    """Raise ValueError if the weights at path do not have the SHA-256 `wanted`."""
    file = weights_file(path)
    if sha256(file) != wanted:
        raise ValueError(
            f"{file}: damaged, or changed since the run started; restore the file, or repeat its "
            "pretraining"
        )


def plain_values(file: Path) -> Any:
    """What torch.save wrote, on the CPU, without running code from it."""
    with file.open("rb") as stream:
        return torch.load(stream, map_location="cpu", weights_only=True)


def load_tensors(model: nn.Module, tensors: Mapping[str, Tensor], source: str) -> LoadedWeights:
    """Copy the tensors that match by name and shape into the model; at least 95 % of the model's
    must match.

    - A prefix that all of a wrapped model's names share ("module.", "encoder.") is stripped where
    that makes more fit.
    - If the file's last convolution has another number of classes, tensors that differ in that
    number alone are the
      head: they keep their first values and do not count.
    - A first convolution with other input channels than the file's takes these in turn, scaled by
    theirs / ours, as segmentation_models_pytorch does. One channel takes their sum: as if each had
    seen the same image.
    - Weights of an encoder alone (no "decoder." in the file) go into model.encoder where there is
    one; 95 % of it must fit.

    Raises ValueError naming the source, how many tensors fit and five that do not.
    """
    encoder = getattr(model, "encoder", None)
    target = (
        encoder
        if isinstance(encoder, nn.Module) and not any("decoder." in name for name in tensors)
        else model
    )
    wanted = target.state_dict()
    found = _strip_prefix(tensors, wanted)
    _adapt_input_channels(target, wanted, found)
    fitting = [name for name in wanted if name in found and found[name].shape == wanted[name].shape]
    head = _head(target, wanted, found)
    missing = [name for name in wanted if name not in fitting and name not in head]
    if len(fitting) < MIN_FITTING * (len(fitting) + len(missing)):
        raise ValueError(_refusal(source, len(fitting), missing, wanted, found))
    with torch.no_grad():
        for name in fitting:
            wanted[name].copy_(found[name])
    return LoadedWeights(
        source=source,
        num_fitting=len(fitting),
        num_tensors=len(wanted),
        head=tuple(head),
        missing=tuple(missing),
    )


def _strip_prefix(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Strip the prefix of the file's names that gives the most matches; of equal ones the
    shortest.
    """
    prefixes = {name[: i + 1] for name in tensors for i, letter in enumerate(name) if letter == "."}

    def num_found(prefix: str) -> int:
        return sum(f"{prefix}{name}" in tensors for name in wanted)

    best = max(["", *sorted(prefixes, key=len)], key=num_found)
    return {
        name.removeprefix(best): tensor for name, tensor in tensors.items() if name.startswith(best)
    }


def _adapt_input_channels(
    target: nn.Module, wanted: Mapping[str, Tensor], found: dict[str, Tensor]
) -> None:
    first = convolutions(target)[0]
    name = next(f"{name}.weight" for name, module in target.named_modules() if module is first)
    if name not in found or found[name].shape[2:] != wanted[name].shape[2:]:
        return
    ours, theirs = wanted[name].shape[1], found[name].shape[1]
    if ours == 1:
        found[name] = found[name].sum(dim=1, keepdim=True)
    elif ours != theirs:
        found[name] = found[name][:, torch.arange(ours) % theirs] * (theirs / ours)


def _head(
    target: nn.Module, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]
) -> list[str]:
    """Name the tensors whose shapes differ from the file's only in the number of classes."""
    last = convolutions(target)[-1]
    name = next(f"{name}.weight" for name, module in target.named_modules() if module is last)
    if name not in found or found[name].shape[:1] == wanted[name].shape[:1]:
        return []
    ours, theirs = wanted[name].shape[0], found[name].shape[0]

    def differs_in_classes(mine: torch.Size, other: torch.Size) -> bool:
        pairs = list(zip(mine, other, strict=False))
        return (
            len(mine) == len(other)
            and mine != other
            and all(a == b or (a, b) == (ours, theirs) for a, b in pairs)
        )

    return [
        key
        for key, tensor in wanted.items()
        if key in found and differs_in_classes(tensor.shape, found[key].shape)
    ]


def _refusal(
    source: str,
    num_fitting: int,
    missing: list[str],
    wanted: Mapping[str, Tensor],
    found: Mapping[str, Tensor],
) -> str:
    def shape(tensor: Tensor) -> str:
        return "x".join(map(str, tensor.shape)) or "a scalar"

    examples = [
        f"{name} is {shape(wanted[name])} in the model and "
        f"{shape(found[name]) if name in found else 'missing'} in the file"
        for name in missing[:5]
    ]
    return (
        f"{source}: only {num_fitting} of {num_fitting + len(missing)} tensors fit this model and "
        f"{MIN_FITTING:.0%} must; "
        f"{'; '.join(examples)}; give weights of the same architecture and width"
    )
