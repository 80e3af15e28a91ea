"""The networks that final trials left, loaded from a run folder, and what they say of an image."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, softmax

from trials.data.nifti.header import Header
from trials.data.nifti.volume import file_axes
from trials.data.prepared.case_checks import Rules
from trials.data.prepared.preprocess import PreparedChannel, Statistics, prepare_image
from trials.identity.code_identity import OWN, changed_parts, code_of
from trials.inference.network import Network, cube_logits, on_best_device
from trials.inference.predict import summed_on_native_grid
from trials.models.build import build_like, form_of
from trials.records.codec import rebuild
from trials.records.job import best_path
from trials.records.result import TrialResult
from trials.records.spec import Cube
from trials.storage.atomic import exists, read_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A final trial's network with its best weights, and how an image is prepared for it.

    threads is the number of CPU threads that the trial had, which its sums depend on.
    """

    network: Network
    preparation: Cube
    statistics: tuple[Statistics | None, ...]
    batch_size: int
    threads: int


def load_trained(out: Path, result: TrialResult, rules: Rules) -> Trained:
    """Load the best weights of a final trial of a run folder, on the GPU if there is one. rules are
    those of the run's data set.

    Raises ValueError, naming the trial, if its weights are missing or damaged, or if it ran other
    code than this process would.
    """
    preparation = result.spec.recipe.preparation
    if not isinstance(preparation, Cube):
        raise ValueError(
            f"{out}: trial {result.trial} was trained on patches; new scans are predicted by "
            "trials of cubes and slices so far; choose a configuration of those"
        )
    refuse_other_code(out, result)
    tensors = best_weights(out, result)
    spec, channels = result.spec, len(rules.channels)
    form = form_of(spec.cell.model, spec.recipe, channels)
    module = build_like(spec.cell.model, tensors, len(rules.classes), form)
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{best_path(out, result.trial)} does not hold the weights of {spec.cell.model} "
            f"({reason}); restore the file"
        ) from None
    return Trained(
        network=in_precision(on_best_device(module, spec, channels), result),
        preparation=preparation,
        statistics=rebuild(
            tuple[Statistics | None, ...],
            result.facts.get("normalised_by", []),
            "facts.normalised_by",
        ),
        batch_size=spec.recipe.batch_size,
        threads=int(str(result.facts.get("threads", 1))),
    )


def refuse_other_code(out: Path, result: TrialResult) -> None:
    """Raise ValueError unless this process would run the code that the trial ran."""
    code = code_of(result.spec)
    if not (changed := changed_parts(result.code, code)):
        return
    if OWN in changed:
        what = f"segbench {result.code.get(OWN, 'of an earlier version')}, and this is {code[OWN]}"
        fix = "use that version"
    else:
        what = f"another {', another '.join(changed)} than {out / 'grid.py'} defines"
        fix = "restore that file"
    raise ValueError(
        f"{out}: trial {result.trial} ran {what}, so its network may be another one; {fix}, or "
        "run the grid again"
    )


def best_weights(out: Path, result: TrialResult) -> dict[str, Tensor]:
    """The tensors of a trial's best.pt, on the CPU. Raises ValueError if it is missing, or is not
    the file that the trial wrote.
    """
    path = best_path(out, result.trial)
    if not exists(path):
        raise ValueError(
            f"{path} is missing: the trial's weights are needed; copy it back, or delete the "
            "trial's folder and run the grid again"
        )
    content = read_bytes(path)
    if hashlib.sha256(content).hexdigest() != result.facts.get("weights_sha256"):
        raise ValueError(f"{path} is not the file that the trial wrote; restore it")
    tensors: dict[str, Tensor] = torch.load(
        BytesIO(content), map_location="cpu", weights_only=True
    )["state_dict"]
    return tensors


def in_precision(network: Network, result: TrialResult) -> Network:
    """The network in float32 where its trial ran in float32 in the end."""
    ran_in_float32 = result.facts.get("precision") == "float32"
    return replace(network, autocast=None) if ran_in_float32 else network


def predict_labels(
    trained: Sequence[Trained], headers: Sequence[Header], rules: Rules
) -> tuple[np.ndarray, list[PreparedChannel]]:
    """Predict an image by the mean probability of several networks: uint8 [D, H, W] on its own
    grid, and its channels as last prepared. headers are those of its channels. Raises FileFault, a
    ValueError, for an image that cannot be used.

    Networks of one preparation are averaged on its grid, those of several on the image's own grid;
    interpolation is linear, so both give the same mean.
    """
    sums: list[Tensor] = []
    for way in dict.fromkeys((one.preparation, one.statistics) for one in trained):
        channels = prepare_image(headers, rules, *way)
        image = np.stack([channel.voxels for channel in channels])
        alike = [one for one in trained if (one.preparation, one.statistics) == way]
        sums.append(_summed([_probabilities(one, image) for one in alike]))
    shape = headers[0].shape
    d, h, w = file_axes(headers[0].affine).order
    return summed_on_native_grid(sums, (shape[d], shape[h], shape[w])), channels


def _probabilities(trained: Trained, image: np.ndarray) -> Tensor:
    torch.set_num_threads(trained.threads)
    (logits,) = cube_logits(trained.network, [image], trained.batch_size)
    return softmax(logits.cpu(), 0)


def _summed(probs: Sequence[Tensor]) -> Tensor:
    return probs[0] if len(probs) == 1 else torch.stack(list(probs)).sum(0)
