"""Final trials written as a MONAI bundle: their weights, the configuration by which MONAI predicts
with them, in which every step is a function of this project, and what a user must know.

Layout and keys: MONAI Bundle Specification (docs.monai.io/en/stable/mb_specification.html).
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trials.data.datasets.registry import is_ct
from trials.data.prepared.case_checks import Rules
from trials.identity.code_identity import OWN
from trials.inference.bundle import (
    RECORD,
    Bundle,
    BundledTrial,
    find_images,
    load_networks,
    predict_images,
)
from trials.inference.trained import best_weights, refuse_other_code
from trials.models.build import build, form_of
from trials.process.versions import own_version, versions
from trials.records.codec import to_json
from trials.records.result import TrialResult
from trials.records.spec import input_text, preparation_text
from trials.records.targets import Targets, target_names
from trials.storage.atomic import write_text, write_whole
from trials.storage.checksum import add_checksum

SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)
LICENSE = """segbench is under the Apache License 2.0. The weights are derived from {title}. Whether
and how they may be shared is for its licence to say: {licence}.

For research; not a medical device."""


def write_bundle(
    run: Path, results: Sequence[TrialResult], data: Mapping[str, str], rules: Rules, out: Path
) -> None:
    """Write final trials of a run folder as a bundle: models/model.pt, and model_2.pt and so on for
    further trials, with configs/ and docs/README.md. data holds dataset, title and licence, see
    Bundle.

    Raises ValueError, before anything is written, for weights that are missing or damaged, trials
    of other code than this, and those of a part that a grid file defines.
    """
    weights = []
    for result in results:
        refuse_own_parts(run, result)
        refuse_other_code(run, result)
        weights.append(best_weights(run, result))
    inference = inference_config(weights[0], results[0], rules)
    bundle = Bundle(
        **data,
        classes=rules.classes,
        channels=rules.channels,
        has_ignore=rules.has_ignore,
        trials=tuple(
            _write_weights(out, f"models/model{f'_{number}' if number > 1 else ''}.pt", of, result)
            for number, (of, result) in enumerate(zip(weights, results, strict=True), 1)
        ),
    )
    write_text(out / RECORD, add_checksum(to_json(bundle)))
    write_text(out / "configs/inference.json", json.dumps(inference, indent=4))
    write_text(out / "configs/metadata.json", json.dumps(metadata(bundle), indent=4))
    write_text(out / "docs/README.md", readme(bundle))


def refuse_own_parts(run: Path, result: TrialResult) -> None:
    """Raise ValueError if the trial used a model, loss or sampling of the run's grid file."""
    if own := sorted(result.code.keys() - {OWN}):
        raise ValueError(
            f"{run}: a bundle names functions of segbench alone, and its grid.py defines "
            f"{', '.join(own)}; use segbench predict for this configuration"
        )


def _write_weights(
    out: Path, file: str, tensors: Mapping[str, Tensor], result: TrialResult
) -> BundledTrial:
    buffer = BytesIO()
    torch.save(dict(tensors), buffer)
    content = buffer.getvalue()
    write_whole(out / file, lambda to: to.write(content))
    return BundledTrial(
        file=file,
        sha256=hashlib.sha256(content).hexdigest(),
        trial=replace(result, scores=(), surfaces=(), mirrored=(), curve=()),
    )


def inference_config(
    tensors: Mapping[str, Tensor], first: TrialResult, rules: Rules
) -> dict[str, Any]:
    """What configs/inference.json holds: load the networks, find the images, predict. network_def
    is the network of models/model.pt; it is left out where public weights gave the trial a variant
    of its model.
    """
    spec, targets = first.spec, Targets(len(rules.classes), first.spec.regions)
    network: dict[str, Any] = {
        "name": spec.cell.model,
        "num_classes": targets.channels,
        **form_of(spec.cell.model, spec.recipe, len(rules.channels)),
    }
    images = _step(find_images, dataset_dir="@dataset_dir", networks="@networks")
    predict = _step(
        predict_images, networks="@networks", images="@dataset", output_dir="@output_dir"
    )
    return {
        "bundle_root": ".",
        "dataset_dir": "images",
        "output_dir": "predictions",
        **({"network_def": _step(build, **network)} if _fits(build(**network), tensors) else {}),
        "networks": _step(load_networks, bundle_root="@bundle_root"),
        "dataset": images,
        "run": [predict],
    }


def _step(function: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """A call as MONAI's configurations write it."""
    return {"_target_": f"{function.__module__}.{function.__name__}", **arguments}


def _fits(module: nn.Module, tensors: Mapping[str, Tensor]) -> bool:
    """Whether a network has just these tensors, by name and shape."""
    shapes = {name: tensor.shape for name, tensor in module.state_dict().items()}
    return shapes == {name: tensor.shape for name, tensor in tensors.items()}


def metadata(bundle: Bundle) -> dict[str, Any]:
    """What configs/metadata.json holds: versions, and what the first network takes and gives."""
    first, installed, version = bundle.trials[0].trial, versions(), own_version()
    spec = first.spec
    targets = Targets(len(bundle.classes), spec.regions)
    names = target_names(bundle.classes, spec.regions)[-targets.channels :]
    shape = list(form_of(spec.cell.model, spec.recipe, len(bundle.channels))["edges"])
    tensor = {
        "type": "image",
        "spatial_shape": shape,
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": spec.recipe.patch is not None,
    }
    are_ct = all(map(is_ct, bundle.channels))
    image = tensor | {
        "format": "hounsfield" if are_ct else "magnitude",
        "modality": ", ".join(bundle.channels),
        "num_channels": len(bundle.channels),
        "channel_def": _numbered(bundle.channels),
    }
    pred = tensor | {
        "format": "classes" if spec.regions else "labels",
        "num_channels": targets.channels,
        "channel_def": _numbered(names),
    }
    return {
        "schema": SCHEMA,
        "version": version,
        "changelog": {version: "exported by segbench"},
        "monai_version": installed["monai"],
        "pytorch_version": installed["torch"].partition("+")[0],
        "numpy_version": installed["numpy"],
        "required_packages_version": {"segbench": version},
        "supported_apps": {},
        "name": f"{spec.cell.model}, {bundle.title}",
        "task": f"Segmentation of {', '.join(bundle.classes[1:])}",
        "description": _described(bundle),
        "authors": "trained with segbench",
        "copyright": "see docs/README.md",
        "data_source": bundle.title,
        "intended_use": "Research; not for clinical use",
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": pred}},
    }


def _numbered(names: Sequence[str]) -> dict[str, str]:
    return {str(number): name for number, name in enumerate(names)}


def _described(bundle: Bundle) -> str:
    """The trials in one sentence."""
    cells = dict.fromkeys(one.trial.spec.cell for one in bundle.trials)
    recipe = bundle.trials[0].trial.spec.recipe
    words = ", ".join(f"{cell.model} with loss {cell.loss}" for cell in cells)
    number = len(bundle.trials)
    mean = f", the mean probability of {number} trainings" if number > 1 else ""
    patch = f", {input_text(recipe)}" if recipe.patch else ""
    return f"{words}{mean}; {preparation_text(recipe.preparation)}{patch}"


def readme(bundle: Bundle) -> str:
    """The text of docs/README.md."""
    classes = "\n".join(f"| {label} | {name} |" for label, name in enumerate(bundle.classes))
    return f"""# {", ".join(bundle.classes[1:])} in {", ".join(bundle.channels)}

{_described(bundle)}.

Trained on {bundle.title} by segbench {own_version()}, which must be installed in just this version.

```sh
pip install fire
python -m monai.bundle run --config_file BUNDLE/configs/inference.json \\
    --bundle_root BUNDLE --dataset_dir SCANS --output_dir PREDICTIONS
```

SCANS is a NIfTI, NRRD or MetaImage file, or a folder of them. Each scan gets CASE.nii.gz: labels,
uint8, on its own grid, as `segbench predict` gives them.

| label | class |
|---|---|
{classes}

`monai.bundle.load` gives the network of models/model.pt alone, without the preparation of an image.

## License

{LICENSE.format(title=bundle.title, licence=bundle.licence)}
"""
