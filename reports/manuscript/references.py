"""What to cite for the models, losses and packages of a run, and the BibTeX entries of a text."""

import re
from collections.abc import Iterable, Mapping
from importlib import resources

# By the name in the registry; a model on slices is named after its encoder. A part of a user's own
# has no reference.
MODELS = {
    "unet3d": ("cicek2016",),
    "vnet": ("milletari2016",),
    "segresnet": ("myronenko2019",),
    "dynunet": ("isensee2021",),
    "resenc_m": ("isensee2024",),
    "segresnet_ds": ("myronenko2019",),
    "mednext_s": ("roy2023",),
    "unet2d_resnet18": ("ronneberger2015", "he2016"),
    "unet2d_resnet50": ("ronneberger2015", "he2016"),
}
LOSSES = {
    "combined": ("milletari2016",),
    "focal": ("lin2017",),
    "weighted_focal": ("lin2017",),
    "class_balanced": ("cui2019", "lin2017"),
}
DATASETS = {"kits23": ("heller2023",)}
PACKAGES = {
    "torch": ("PyTorch", "paszke2019"),
    "monai": ("MONAI", "cardoso2022"),
    "segmentation-models-pytorch": ("Segmentation Models PyTorch", "iakubovskii2019"),
    "ray": ("Ray", "moritz2018"),
    "optuna": ("Optuna", "akiba2019"),
    "nibabel": ("NiBabel", "nibabel"),
    "numpy": ("NumPy", "harris2020"),
}
ENTRY = re.compile(r"^@\w+\{([\w-]+),.*?^\}$", re.DOTALL | re.MULTILINE)


def entries() -> dict[str, str]:
    """Every BibTeX entry at hand, by its key."""
    text = resources.files("reports.manuscript").joinpath("references.bib").read_text("utf-8")
    return {found[1]: found[0] for found in ENTRY.finditer(text)}


def bibliography(keys: Iterable[str]) -> str:
    """The BibTeX file of these keys. Raises KeyError for a key without an entry."""
    known = entries()
    return "\n\n".join(known[key] for key in keys) + "\n"


def with_references(names: Iterable[str], known: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Each name, followed by its citation where it has one."""
    return [f"{name}{cite(*known.get(name, ()))}" for name in names]


def cite(*keys: str) -> str:
    """' [@first; @second]', "" without a key."""
    return f" [{'; '.join(f'@{key}' for key in keys)}]" if keys else ""
