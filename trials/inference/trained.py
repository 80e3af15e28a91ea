"""The networks that final trials left, loaded from a run folder: what they say of an image, and the
scores of several as an ensemble.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trials.data.datasets.label_set import Region
from trials.data.datasets.registry import Case
from trials.data.nifti.header import Header
from trials.data.nifti.volume import read_mask, spacing_dhw, to_dhw
from trials.data.nifti.voxels import StreamStats
from trials.data.prepared.case_checks import Rules
from trials.data.prepared.preprocess import Statistics, matching_headers, prepare_image
from trials.data.prepared.spaced import spaced_image
from trials.data.spacing.intensities import Scaling
from trials.data.spacing.plan import native_grid
from trials.identity.code_identity import OWN, changed_parts, code_of
from trials.inference.evaluate import Evaluated
from trials.inference.network import Network, on_best_device
from trials.inference.predict import slabs_on_native_grid, summed_on_native_grid
from trials.inference.whole_cases import case_logits
from trials.models.build import build_like, form_of
from trials.records.codec import rebuild
from trials.records.job import best_path
from trials.records.result import NATIVE, TrialResult
from trials.records.spec import Cube, Preparation
from trials.records.targets import Targets
from trials.scoring.case import surface_scores
from trials.scoring.decision import certainty
from trials.scoring.overlap import case_scores, label_counts
from trials.scoring.regions import find_ignored
from trials.storage.atomic import exists, read_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A final trial's network with its best weights, and how an image is prepared for it.

    targets is what its channels stand for. preparation names its spacing in mm. overlap is that of
    the windows of an image that is larger than a patch. threads is the number of CPU threads that
    the trial had, which its sums depend on.
    """

    network: Network
    targets: Targets
    preparation: Preparation
    statistics: tuple[Statistics | None, ...]
    batch_size: int
    overlap: float
    threads: int


def load_trained(out: Path, result: TrialResult, rules: Rules) -> Trained:
    """Load the best weights of a final trial of a run folder, on the GPU if there is one. rules are
    those of the run's data set.

    Raises ValueError, naming the trial, if its weights are missing or damaged, or if it ran other
    code than this process would.
    """
    refuse_other_code(out, result)
    return trained_with(best_weights(out, result), str(best_path(out, result.trial)), result, rules)


def trained_with(
    tensors: dict[str, Tensor], path: str, result: TrialResult, rules: Rules
) -> Trained:
    """The same from the tensors of a file. Raises ValueError naming the file if they are not those
    of the trial's model.
    """
    spec, channels = result.spec, len(rules.channels)
    targets = Targets(len(rules.classes), spec.regions)
    form = form_of(spec.cell.model, spec.recipe, channels)
    module = build_like(spec.cell.model, tensors, targets.channels, form)
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path} does not hold the weights of {spec.cell.model} ({reason}); restore the file"
        ) from None
    return Trained(
        network=as_it_ran(on_best_device(module, spec, channels), result),
        targets=targets,
        preparation=preparation_of(result),
        statistics=rebuild(
            tuple[Statistics | None, ...],
            result.facts.get("normalised_by", []),
            "facts.normalised_by",
        ),
        batch_size=spec.recipe.batch_size,
        overlap=spec.recipe.overlap,
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


def as_it_ran(network: Network, result: TrialResult) -> Network:
    """The network with what its trial found out: float32 where it ran in that in the end, batches
    in pieces where memory ran out, and the scalings of its training cases.
    """
    ran_in_float32 = result.facts.get("precision") == "float32"
    patch, scalings = result.spec.recipe.patch, result.facts.get("intensities")
    return replace(
        network,
        autocast=None if ran_in_float32 else network.autocast,
        accumulation_steps=int(str(result.facts.get("accumulation", 1))),
        patch=patch,
        scalings=rebuild(tuple[Scaling, ...], scalings, "facts.intensities") if patch else (),
    )


def preparation_of(result: TrialResult) -> Preparation:
    """How a trial's cases were prepared, with the spacing that they had where a rule gave it."""
    preparation = result.spec.recipe.preparation
    if isinstance(preparation, Cube):
        return preparation
    mm = rebuild(tuple[float, float, float], result.facts.get("spacing_mm"), "facts.spacing_mm")
    return replace(preparation, mm=mm)


def predict_labels(
    trained: Sequence[Trained], headers: Sequence[Header], rules: Rules
) -> tuple[np.ndarray, list[StreamStats]]:
    """Predict an image by the mean probability of several networks, which predict the same targets:
    uint8 [D, H, W] on its own grid, and what was met in each of its channels. headers are those of
    its channels. Raises FileFault, a ValueError, for an image that cannot be used.

    Networks of one preparation are averaged on its grid, plane by plane, those of several on the
    image's own grid, with all their probabilities in memory; interpolation is linear, so both give
    the same mean.
    """
    (order,) = {one.targets.order for one in trained}
    sums: list[Iterator[Tensor]] = []
    for way in dict.fromkeys((one.preparation, one.statistics) for one in trained):
        image, met = prepared_image(headers, rules, *way)
        alike = [one for one in trained if (one.preparation, one.statistics) == way]
        sums.append(_summed([_certainties(one, image) for one in alike]))
    shape = native_grid(headers[0]).shape
    if len(sums) == 1:
        _, depth, height, width = image.shape
        return slabs_on_native_grid(sums[0], (depth, height, width), shape, order), met
    whole = [torch.cat([slab.cpu() for slab in slabs], 1) for slabs in sums]
    return summed_on_native_grid(whole, shape, order), met


def prepared_image(
    headers: Sequence[Header],
    rules: Rules,
    preparation: Preparation,
    statistics: Sequence[Statistics | None],
) -> tuple[np.ndarray, list[StreamStats]]:
    """An image [C, D, H, W] as the prepared set holds it, and what was met in each channel."""
    if isinstance(preparation, Cube):
        cubes = prepare_image(headers, rules, preparation, statistics)
        return np.stack([channel.voxels for channel in cubes]), [channel.met for channel in cubes]
    image, channels = spaced_image(headers, rules, preparation)
    return image, [channel.met for channel in channels]


def _certainties(trained: Trained, image: np.ndarray) -> Iterator[Tensor]:
    """The planes [K, H, W] of an image in order; those of cubes on the CPU, as in a trial."""
    torch.set_num_threads(trained.threads)
    for slab in next(case_logits(trained.network, [image], trained.batch_size, trained.overlap)):
        logits = slab.logits.cpu() if trained.network.patch is None else slab.logits
        yield from certainty(logits, trained.targets.order).unbind(1)


def _summed(streams: Sequence[Iterator[Tensor]]) -> Iterator[Tensor]:
    """The sums of planes [K, H, W] that follow each other, as slabs [K, 1, H, W]."""
    for planes in zip(*streams, strict=True):
        # A network whose sums did not fit on the GPU gives its planes on the CPU.
        yield reduce(lambda total, plane: total + plane.to(total.device), planes)[:, None]


def score_ensemble(
    trained: Sequence[Trained], cases: Sequence[Case], rules: Rules, regions: Sequence[Region]
) -> Iterator[Evaluated]:
    """Yield the counts of every test case on its native grid. Raises FileFault, a ValueError, for a
    case that cannot be used.
    """
    for case in cases:
        headers, label_header = matching_headers(case, rules)
        labels, _ = predict_labels(trained, headers, rules)
        mask = read_mask(label_header, rules.labels.num_labels)
        reference = to_dhw(mask.voxels, mask.affine)
        counts = label_counts(labels, reference, len(rules.classes), trained[0].targets.regions)
        edges, ignored = spacing_dhw(label_header), find_ignored(reference, rules.labels)
        yield Evaluated(
            scores=tuple(case_scores(counts, case.case, "test", NATIVE)),
            surfaces=tuple(
                surface_scores(reference, labels, edges, regions, case.case, "test", ignored)
            ),
        )
