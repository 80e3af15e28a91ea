"""Scores two folders of masks from any program: each case's reference and prediction give one
row.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from trials.data.datasets.label_set import LabelSet, Region, check_classes
from trials.data.datasets.registry import DATASETS
from trials.data.nifti.header import Header, read_header
from trials.data.nifti.volume import Volume, check_same_grid, file_axes, from_dhw, read_mask, to_dhw
from trials.data.nifti.voxels import StreamStats
from trials.process.workers import run_on_cases
from trials.records.faults import FileFault, printable
from trials.records.registry import Entry, pick
from trials.records.result import SurfaceScore
from trials.scoring.case import metric_columns, official_scores, surface_scores
from trials.scoring.found_masks import (
    ANY_VALUE,
    MASK_FILE,
    class_masks,
    join_classes,
    mask_files,
    predicted_files,
)
from trials.scoring.lattice import Spacing
from trials.scoring.regions import find_ignored, scored_regions
from trials.scoring.surface import bounding_box

NAMES_SHOWN = 20
FIX = "write the prediction on the case's own grid"


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskPair:
    """A case's reference and predicted mask. class_masks are the files of a prediction that is a
    folder with one mask for each class, reference_masks those of such a reference, of which
    reference is the first.
    """

    case: str
    reference: Path
    prediction: Path
    class_masks: tuple[Path, ...] = ()
    reference_masks: tuple[Path, ...] = ()

    @property
    def referenced(self) -> tuple[Path, ...]:
        """The files of the reference."""
        return self.reference_masks or (self.reference,)

    @property
    def predicted(self) -> tuple[Path, ...]:
        """The files of the prediction."""
        return self.class_masks or (self.prediction,)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTable:
    """One row per case, "case" first, then its scores by column; and the names of the regions in
    the columns.

    official regions have dice_NAME and surface_dice_NAME by the challenge's rule (1 if both are
    empty); labels, and before them the regions of dataset.json, have every column of
    trials.scoring.case. A name that is both (tumor) has these two columns once, by the
    challenge's rule. rounded says how far the labels of a case were off a whole number, where they
    were.
    """

    rows: tuple[Mapping[str, str | float], ...]
    official: tuple[str, ...]
    labels: tuple[str, ...]
    rounded: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCounts:
    """The official scores of a case by column, the counts of every region and label, and how far a
    label was off a whole number.
    """

    official: Mapping[str, float]
    labels: tuple[SurfaceScore, ...]
    rounded: float


def find_pairs(
    reference: Path,
    prediction: Path,
    dataset: str,
    cases: Sequence[str] | None = None,
    classes: Sequence[str] = (),
) -> tuple[MaskPair, ...]:
    """Pair the masks of two folders by case, sorted; cases limits both to these names. A prediction
    may be named as match_cases() knows. Either may be a folder with a mask of each of the classes.
    dataset "" is none: CASE.nii.gz, CASE/segmentation.nii.gz, or such folders.

    Raises ValueError naming every reference without a prediction, and every prediction without a
    reference.
    """
    part = pick(DATASETS, "data set", dataset) if dataset else None
    masks = reference / (part.mask_folder if part else "")
    mask_file = part.mask_file if part else MASK_FILE
    references = mask_files(masks if masks.is_dir() else reference, mask_file, classes)
    predictions = predicted_files(prediction, references, mask_file, classes)
    wanted = set(cases) if cases else set(references) | set(predictions)
    if missing := wanted - set(references):
        raise ValueError(
            f"{reference} has no reference for {list_cases(missing)}; remove these predictions "
            "or add their references"
        )
    if missing := wanted - set(predictions):
        raise ValueError(
            f"{prediction} has no prediction for {list_cases(missing)}; add them, or name with "
            "--cases what to score"
        )
    return tuple(
        pair_of(case, references[case], predictions[case], classes) for case in sorted(wanted)
    )


def header_remarks(masks: Iterable[Path]) -> list[str]:
    """What is worth a look in the geometry of masks: a line for each kind, with the first file and
    the number of others. A file that cannot be read is skipped: score_pairs() reports it.
    """
    found: dict[str, list[FileFault]] = {}
    for path in masks:
        with suppress(ValueError, OSError):
            for remark in read_header(path).geometry.remarks:
                found.setdefault(remark.code, []).append(remark)
    return [
        str(alike[0]) + (f" (the first of {len(alike)} files)" if len(alike) > 1 else "")
        for alike in found.values()
    ]


def pair_of(case: str, reference: Path, prediction: Path, classes: Sequence[str]) -> MaskPair:
    """The pair of a reference and a prediction, each a file or a folder with a mask of each
    class.
    """
    true = class_masks(reference, classes) if reference.is_dir() else ()
    return MaskPair(
        case=case,
        reference=true[0] if true else reference,
        prediction=prediction,
        class_masks=class_masks(prediction, classes) if prediction.is_dir() else (),
        reference_masks=true,
    )


def renamed(pairs: Iterable[MaskPair]) -> str:
    """One line on the predictions that have another name than their case; "" for none."""
    others = [pair for pair in pairs if not pair.prediction.name.startswith(f"{pair.case}.")]
    others = [pair for pair in others if pair.case not in pair.prediction.parts]
    if not others:
        return ""
    number = f"{len(others)} predictions, first " if len(others) > 1 else ""
    first = f"{printable(others[0].prediction.name)} as {printable(others[0].case)}"
    return f"scored under another name: {number}{first}"


def score_pairs(
    pairs: Sequence[MaskPair],
    labels: LabelSet,
    official: tuple[Region, ...],
    workers: int | None = None,
    on_done: Callable[[], None] = lambda: None,
) -> ScoreTable:
    """Score every pair on its own grid in `workers` processes (None: one per core), calling on_done
    after each.

    Raises one ValueError naming every case whose files are damaged or not on the same grid.
    """
    counted = run_on_cases(
        pairs, partial(count_pair, labels=labels, official=official), workers, on_done, "scored"
    )
    return ScoreTable(
        # Metrics are derived here, since worker processes do not know those that a grid file added.
        rows=tuple({"case": case, **columns_of(pair)} for case, pair in counted.items()),
        official=tuple(region.name for region in official),
        labels=tuple(region.name for region in scored_regions(labels, official)),
        rounded={case: pair.rounded for case, pair in counted.items() if pair.rounded},
    )


def score_pair(pair: MaskPair, labels: LabelSet, official: tuple[Region, ...]) -> dict[str, float]:
    """Score one case: the official columns, then those of every label."""
    return columns_of(count_pair(pair, labels, official))


def count_pair(pair: MaskPair, labels: LabelSet, official: tuple[Region, ...]) -> PairCounts:
    """Count one case on its own grid."""
    met = StreamStats()
    true, pred, spacing = read_pair(pair, labels, met)
    regions, ignored = scored_regions(labels, official), find_ignored(true, labels)
    return PairCounts(
        official=official_scores(true, pred, spacing, official, ignored),
        labels=tuple(surface_scores(true, pred, spacing, regions, pair.case, "", ignored)),
        rounded=met.rounded,
    )


def columns_of(counted: PairCounts) -> dict[str, float]:
    """The official columns, then those of every label; a name that is both keeps the official
    value.
    """
    return {**counted.official, **metric_columns(counted.labels), **counted.official}


def read_pair(
    pair: MaskPair, labels: LabelSet, met: StreamStats | None = None
) -> tuple[np.ndarray, np.ndarray, Spacing]:
    """Read reference and prediction, uint8 cropped to the box of what is not background, and the
    reference's spacing. The reference alone may hold the ignore label. met is told what was met in
    both.

    Axes and spacing are in file order of the reference, slowest first: no score depends on the
    order, and reorienting whole scans takes as long as scoring them. Raises ValueError naming a
    file whose shape, affine or labels do not match the reference.
    """
    reference, met = read_header(pair.reference), met or StreamStats()
    whole = (
        joined(reference, pair.reference_masks, met)
        if pair.reference_masks
        else read_mask(reference, labels.num_labels, met).voxels
    )
    voxels = (whole.T, predicted_labels(pair, reference, len(labels.classes), met).T)
    boxes = [box for box in map(bounding_box, voxels) if box[0].stop]
    both = tuple(
        slice(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*boxes, strict=True)
    )
    true, pred = (one[both or np.s_[:1, :1, :1]] for one in voxels)
    fast, middle, slow = reference.geometry.spacing_mm
    return true, pred, (slow, middle, fast)


def _along(reference: Header, labels: Volume) -> np.ndarray:
    """The voxels of labels on the reference's grid, along the axes of the reference's file."""
    if file_axes(reference.affine) == file_axes(labels.affine):
        return labels.voxels
    return np.asfortranarray(from_dhw(to_dhw(labels.voxels, labels.affine), reference.affine))


def predicted_labels(
    pair: MaskPair, reference: Header, num_classes: int, met: StreamStats
) -> np.ndarray:
    """The predicted labels, uint8 along the axes of the reference's file. Raises ValueError naming
    the file at fault.
    """
    if not pair.class_masks:
        return _on_grid(reference, pair.prediction, num_classes, met)
    return joined(reference, pair.class_masks, met)


def joined(reference: Header, masks: Sequence[Path], met: StreamStats) -> np.ndarray:
    """The labels of masks of one class each, uint8 along the axes of the reference's file. Raises
    ValueError naming the file at fault.
    """
    return join_classes((path, _on_grid(reference, path, ANY_VALUE, met)) for path in masks)


def _on_grid(reference: Header, path: Path, num_labels: int, met: StreamStats) -> np.ndarray:
    prediction = check_same_grid(reference, read_header(path), "reference", FIX)
    return _along(reference, read_mask(prediction, num_labels, met))


def list_cases(cases: Iterable[str]) -> str:
    """The number of cases and their names, for an error message."""
    names = sorted(cases)
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return (
        f"{len(names)} {'case' if len(names) == 1 else 'cases'}: "
        f"{', '.join(names[:NAMES_SHOWN])}{more}"
    )


def labels_of(dataset: str, reference: Path) -> LabelSet:
    """What labels mean, as the data set's entry reads it from a folder of masks. Raises ValueError
    for classes that cannot be told apart.
    """
    part = pick(DATASETS, "data set", dataset)
    labels: LabelSet = (
        Entry(part.label_set).load()(reference) if part.label_set else part.load()(reference).labels
    )
    check_classes(reference, labels.classes, labels.num_labels)
    return labels
