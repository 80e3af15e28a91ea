"""Scores a trained network on whole cases: predicted on the prepared grid, resampled to the
case's own, counted on both.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from trials.data.datasets.registry import official_regions
from trials.data.nifti.volume import write_labels
from trials.data.prepared.cache import Cache
from trials.data.prepared.native_grid import native_labels, to_file_axes
from trials.inference.network import Network, mirrored
from trials.inference.predict import slabs_on_native_grid
from trials.inference.previews import save_prediction, save_reference
from trials.inference.whole_cases import case_logits
from trials.records.result import NATIVE, PREPARED, CaseScore, SurfaceScore
from trials.records.targets import TargetRegion, Targets
from trials.scoring.case import surface_scores
from trials.scoring.decision import certainty, labels_of
from trials.scoring.overlap import case_scores, label_counts
from trials.scoring.regions import every_region, find_ignored
from trials.storage.checksum import file_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Where the files of an evaluation go. pictures and predictions are folders, or None to leave
    none.

    regions are what the network predicts, none for the labels. threads is how many cases are
    counted at once, while the network predicts the next ones. overlap is that of the windows of
    cases that are larger than a patch.
    """

    cache: Cache
    batch_size: int
    regions: tuple[TargetRegion, ...] = ()
    overlap: float = 0.5
    threads: int = 1
    references: Path | None = None
    pictures: Path | None = None
    predictions: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """The counts of one case: every label, or region that is predicted, in both spaces and, of a
    test case, every region's surfaces on the native grid. seconds is how long its prediction took;
    of cubes, which go through in batches, the first of a batch has them all.
    """

    scores: tuple[CaseScore, ...]
    surfaces: tuple[SurfaceScore, ...]
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The predicted labels of a case, uint8 [D, H, W], on the prepared grid and on its own."""

    prepared: np.ndarray
    native: np.ndarray


def evaluate(
    network: Network, plan: Evaluation, splits: Mapping[str, Sequence[str]]
) -> Iterator[Evaluated]:
    """Yield the counts of every case of the splits ("val", "test"), in order."""
    with ThreadPoolExecutor(plan.threads, thread_name_prefix="score") as pool:
        waiting: deque[Future[Evaluated]] = deque()
        clock = time.perf_counter()
        for case, split, prediction in predicted(network, plan, splits):
            seconds = time.perf_counter() - clock
            waiting.append(pool.submit(_scored, plan, prediction, case, split, seconds))
            # No more predictions lie in memory than threads can count soon.
            while len(waiting) >= 2 * plan.threads:
                yield waiting.popleft().result()
            clock = time.perf_counter()
        yield from (done.result() for done in waiting)


def predicted(
    network: Network, plan: Evaluation, splits: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str, Callable[[], Prediction]]]:
    """Yield every case with its split and its prediction: of a cube still to be made of its logits,
    on the CPU; of a larger case made already, since its logits never exist together.
    """
    for split, cases in splits.items():
        images = [plan.cache.image(case) for case in cases]
        for case, slabs in zip(
            cases, case_logits(network, images, plan.batch_size, plan.overlap), strict=True
        ):
            if network.patch is None:
                on_cpu = [slab.logits.cpu() for slab in slabs]
                yield case, split, partial(predicted_labels, plan, case, on_cpu)
            else:
                logits = (slab.logits for slab in slabs)
                made = predicted_labels(plan, case, logits)
                yield case, split, partial(replace, made)


def mirrored_scores(
    network: Network, plan: Evaluation, cases: Sequence[str]
) -> Iterator[CaseScore]:
    """Yield the native scores of every label of test cases that are predicted as the mean over
    their mirror images.
    """
    for case, split, predict in predicted(mirrored(network), plan, {"test": cases}):
        reference = native_labels(plan.cache.cases[case])
        counts = label_counts(predict().native, reference, len(plan.cache.classes), plan.regions)
        yield from case_scores(counts, case, split, NATIVE)


def predicted_labels(plan: Evaluation, case: str, slabs: Iterable[Tensor]) -> Prediction:
    """The labels of a case from its logits [K, n, H, W], slab after slab, on any device."""
    cache, prepared = plan.cache, []
    order = Targets(len(cache.classes), plan.regions).order

    def certainties() -> Iterator[Tensor]:
        for logits in slabs:
            prepared.append(labels_of(logits, order).cpu().numpy())
            yield certainty(logits, order)

    native = slabs_on_native_grid(certainties(), cache.shape(case), cache.cases[case].shape, order)
    return Prediction(np.concatenate(prepared), native)


def _scored(
    plan: Evaluation, predict: Callable[[], Prediction], case: str, split: str, seconds: float
) -> Evaluated:
    return replace(score_case(plan, predict(), case, split), seconds=seconds)


def score_case(plan: Evaluation, prediction: Prediction, case: str, split: str) -> Evaluated:
    """The counts of one case from its predicted labels."""
    cache, record = plan.cache, plan.cache.cases[case]
    reference = native_labels(record)
    on_prepared, on_native = prediction.prepared, prediction.native
    both = {
        PREPARED: (on_prepared, cache.labels(case)),
        NATIVE: (on_native, reference),
    }
    scores = [
        score
        for space, (pred, true) in both.items()
        for score in case_scores(
            label_counts(pred, true, len(cache.classes), plan.regions), case, split, space
        )
    ]
    surfaces: list[SurfaceScore] = []
    if split == "test":
        regions = every_region(cache.dataset.labels, official_regions(cache.dataset.name))
        spacing, ignored = record.spacing_mm, find_ignored(reference, cache.dataset.labels)
        surfaces = surface_scores(reference, on_native, spacing, regions, case, split, ignored)
        _leave_files(plan, case, on_prepared, on_native, reference)
    return Evaluated(scores=tuple(scores), surfaces=tuple(surfaces))


def _leave_files(
    plan: Evaluation,
    case: str,
    on_prepared: np.ndarray,
    on_native: np.ndarray,
    reference: np.ndarray,
) -> None:
    cache, record = plan.cache, plan.cache.cases[case]
    if plan.references is not None and plan.pictures is not None:
        name = f"{file_name(case)}.npz"
        save_reference(plan.references / name, cache, case, reference)
        save_prediction(plan.pictures / name, cache, case, (on_prepared, on_native), reference)
    if plan.predictions is not None:
        write_labels(
            plan.predictions / f"{case}.nii.gz",
            to_file_axes(record, on_native),
            np.array(record.affine),
        )
