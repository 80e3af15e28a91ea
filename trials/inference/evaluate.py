"""Scores a trained network on whole cases: predicted on the cube, brought back to the case's own
grid, counted on both.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, softmax

from trials.data.datasets.registry import official_regions
from trials.data.nifti.volume import write_labels
from trials.data.prepared.cache import Cache
from trials.data.prepared.native_grid import native_labels, to_file_axes
from trials.inference.network import Network, cube_logits
from trials.inference.predict import on_native_grid
from trials.inference.previews import save_prediction, save_reference
from trials.records.result import NATIVE, PREPARED, CaseScore, SurfaceScore
from trials.scoring.case import surface_scores
from trials.scoring.ignored import find_ignored
from trials.scoring.overlap import argmax_labels, case_scores, label_counts
from trials.scoring.regions import every_region


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Where the files of an evaluation go. pictures and predictions are folders, or None to leave
    none.

    threads is how many cases are counted at once, while the network predicts the next ones.
    """

    cache: Cache
    batch_size: int
    threads: int = 1
    references: Path | None = None
    pictures: Path | None = None
    predictions: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """The counts of one case: every label in both spaces and, of a test case, every region's
    surfaces on the native grid.
    """

    scores: tuple[CaseScore, ...]
    surfaces: tuple[SurfaceScore, ...]


def evaluate(
    network: Network, plan: Evaluation, splits: Mapping[str, Sequence[str]]
) -> Iterator[Evaluated]:
    """Yield the counts of every case of the splits ("val", "test"), in order."""
    with ThreadPoolExecutor(plan.threads, thread_name_prefix="score") as pool:
        waiting: deque[Future[Evaluated]] = deque()
        for case, split, logits in predicted(network, plan, splits):
            waiting.append(pool.submit(score_case, plan, logits, case, split))
            # No more logits lie in memory than threads can count soon.
            while len(waiting) >= 2 * plan.threads:
                yield waiting.popleft().result()
        yield from (done.result() for done in waiting)


def predicted(
    network: Network, plan: Evaluation, splits: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str, Tensor]]:
    """Yield every case with its split and its logits [K, D, H, W], on the CPU."""
    for split, cases in splits.items():
        images = [plan.cache.image(case) for case in cases]
        for case, logits in zip(cases, cube_logits(network, images, plan.batch_size), strict=True):
            yield case, split, logits.cpu()


def score_case(plan: Evaluation, logits: Tensor, case: str, split: str) -> Evaluated:
    """The counts of one case from its logits [K, D, H, W] on the cube."""
    cache, record = plan.cache, plan.cache.cases[case]
    num_classes = len(cache.classes)
    on_cube = argmax_labels(logits).numpy()
    on_native, reference = on_native_grid(softmax(logits, 0), record.shape), native_labels(record)
    scores = [
        *case_scores(label_counts(on_cube, cache.labels(case), num_classes), case, split, PREPARED),
        *case_scores(label_counts(on_native, reference, num_classes), case, split, NATIVE),
    ]
    surfaces: list[SurfaceScore] = []
    if split == "test":
        regions = every_region(cache.dataset.labels, official_regions(cache.dataset.name))
        spacing, ignored = record.spacing_mm, find_ignored(reference, cache.dataset.labels)
        surfaces = surface_scores(reference, on_native, spacing, regions, case, split, ignored)
        _leave_files(plan, case, on_cube, on_native, reference)
    return Evaluated(scores=tuple(scores), surfaces=tuple(surfaces))


def _leave_files(
    plan: Evaluation, case: str, on_cube: np.ndarray, on_native: np.ndarray, reference: np.ndarray
) -> None:
    cache, record = plan.cache, plan.cache.cases[case]
    if plan.references is not None and plan.pictures is not None:
        save_reference(plan.references / f"{case}.npz", cache, case, reference)
        save_prediction(plan.pictures / f"{case}.npz", cache, case, (on_cube, on_native), reference)
    if plan.predictions is not None:
        write_labels(
            plan.predictions / f"{case}.nii.gz",
            to_file_axes(record, on_native),
            np.array(record.affine),
        )
