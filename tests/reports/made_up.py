"""Run folders with made-up results, so that a report's numbers can be checked by hand.

Every label a case holds has 1000 true voxels, predicted ones too, and an overlap of 1000 x quality:
its Dice is the quality.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from made_up_pictures import hash_of, write_slices
from made_up_record import CODE, VOXELS, holds, run_record

from trials.records.codec import record_hash, to_json
from trials.records.result import (
    COMPLETE,
    FAILED,
    NATIVE,
    PREPARED,
    CaseScore,
    Ceiling,
    Ceilings,
    EpochScore,
    SurfaceScore,
    TrialResult,
)
from trials.records.spec import FINAL, PRETRAIN, TUNE, Cell, Cube, Recipe, TrialSpec

CLASSES = ("background", "kidney", "tumor", "cyst")
MODELS = ("unet3d", "vnet", "segresnet", "unet2d_resnet18")
LOSSES = ("combined", "focal", "weighted_focal", "class_balanced")
SAMPLINGS = ("none", "oversample", "subsample")
Quality = Callable[[Cell, int, str, int], float]


def cells_of(
    models: tuple[str, ...], losses: tuple[str, ...], samplings: tuple[str, ...]
) -> tuple[Cell, ...]:
    return tuple(
        Cell(model=m, loss=loss, sampling=s) for m, loss, s in product(models, losses, samplings)
    )


def even_quality(cell: Cell, seed: int, case: str, label: int) -> float:
    """A Dice for every place in a run: differs by patient and label, equal for all
    configurations."""
    place = int(case.removeprefix("case_"))
    return round(0.9 - 0.2 * label + 0.1 * ((place * 7) % 10) / 10, 3)


def plausible_quality(cell: Cell, seed: int, case: str, label: int) -> float:
    """Like a real run: models and losses differ a little, seeds and patients more."""

    def drawn(deviation: float, *of: object) -> float:
        return np.random.default_rng(hash_of("/".join(map(str, of)))).normal(0, deviation)

    name = f"{cell.model}/{cell.loss}/{cell.sampling}"
    level = (1, 0.9, 0.6, 0.35)[min(label, 3)] + drawn(0.03 * label, name, label)
    level += drawn(0.025 * label, name, seed, label) + drawn(0.07 * label, case, label)
    return float(np.clip(level + drawn(0.03, name, seed, case, label), 0, 0.99))


@dataclass(frozen=True, kw_only=True)
class MadeUp:
    """What a made-up run is: its grid, its patients, and the Dice of each place in it."""

    models: tuple[str, ...] = ("unet3d", "vnet")
    losses: tuple[str, ...] = ("combined", "focal")
    samplings: tuple[str, ...] = ("none",)
    seeds: tuple[int, ...] = (0, 1)
    folds: tuple[int, ...] = (0,)
    num_val: int = 4
    num_test: int = 8
    classes: tuple[str, ...] = CLASSES
    dataset: str = "phantoms"
    quality: Quality = even_quality
    tunings: int = 0
    epochs: int = 6
    edge: int = 0
    ceiling: float | None = None
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def cells(self) -> tuple[Cell, ...]:
        return cells_of(self.models, self.losses, self.samplings)

    @property
    def regions(self) -> dict[str, tuple[int, ...]]:
        """Labels by region: each label, and in KiTS23 and its phantoms the two official regions
        that are no label.
        """
        labels = {name: (label,) for label, name in enumerate(self.classes) if label}
        return labels | (
            {"kidney_and_mass": (1, 2, 3), "mass": (2, 3)} if self.classes == CLASSES else {}
        )

    @property
    def splits(self) -> dict[str, list[str]]:
        """The parts of the first fold."""
        return self.split_of(self.folds[0])

    def split_of(self, fold: int) -> dict[str, list[str]]:
        """Of several folds each tests a group of num_test cases and validates on the next one."""
        if len(self.folds) > 1:
            names = [f"case_{i:05d}" for i in range(self.num_test * len(self.folds))]
            groups = [names[i :: len(self.folds)] for i in range(len(self.folds))]
            test, val = groups[fold], groups[(fold + 1) % len(groups)]
            train = [case for case in names if case not in (*test, *val)]
            return {"train": train or ["case_90000"], "val": val, "test": test}
        names = [f"case_{i:05d}" for i in range(self.num_val + self.num_test)]
        return {
            "train": ["case_90000", "case_90001"],
            "val": names[: self.num_val],
            "test": names[self.num_val :],
        }


def specification(
    made: MadeUp, cell: Cell, seed: int, phase: str, number: int = 0, fold: int = 0
) -> TrialSpec:
    recipe = Recipe(epochs=made.epochs, batch_size=2, preparation=Cube(edge=32))
    hyper: dict[str, float | tuple[float, ...]] = {"lr": 0.003 * (number + 1)}
    if "focal" in cell.loss:
        hyper["gamma"] = 2.0 + (number * 7 % 5) / 2
    if cell.loss == "class_balanced":
        hyper |= {"gamma": 2.0, "one_minus_beta": 1e-4}
    where = {"dataset": made.dataset, "data": "digest", "splits": "sequential", "fold": fold}
    return TrialSpec(
        **where, cell=cell, hyper=hyper, recipe=recipe, seed=seed, phase=phase, number=number
    )


def scores(made: MadeUp, spec: TrialSpec) -> Iterator[CaseScore]:
    splits = ("val", "test") if spec.phase == FINAL else ("val",)
    for split, label, space in product(splits, range(len(made.classes)), (NATIVE, PREPARED)):
        for case in made.split_of(spec.fold)[split]:
            held, quality = (
                label == 0 or holds(case, label),
                made.quality(spec.cell, spec.seed, case, label),
            )
            false_alarm = quality > 0.4 and label > 0
            counts = (
                (VOXELS, VOXELS, round(VOXELS * quality))
                if held
                else (0, 7 if false_alarm else 0, 0)
            )
            names = ("true_voxels", "pred_voxels", "overlap_voxels")
            yield CaseScore(
                case=case,
                split=split,
                space=space,
                label=label,
                **dict(zip(names, counts, strict=True)),
            )


def surfaces(made: MadeUp, spec: TrialSpec) -> Iterator[SurfaceScore]:
    """Every region of every test case: 100 mm2 each way, and of both as much within the tolerance
    as the quality says.
    """
    for case, (region, labels) in product(
        made.split_of(spec.fold)["test"] if spec.phase == FINAL else (), made.regions.items()
    ):
        held = any(holds(case, label) for label in labels)
        quality = made.quality(spec.cell, spec.seed, case, labels[-1])
        voxels = (
            (VOXELS, VOXELS, round(VOXELS * quality)) if held else (0, 7 if quality > 0.4 else 0, 0)
        )
        areas = (
            (100.0, 100.0, 100 * quality, 100 * quality)
            if held
            else (0.0, 30.0 if quality > 0.4 else 0.0, 0.0, 0.0)
        )
        names = (
            "true_voxels",
            "pred_voxels",
            "overlap_voxels",
            "true_mm2",
            "pred_mm2",
            "true_within_mm2",
            "pred_within_mm2",
        )
        yield SurfaceScore(
            case=case,
            split="test",
            region=region,
            tolerance_mm=1.0,
            **dict(zip(names, (*voxels, *areas), strict=True)),
            lesions=int(held),
            lesions_found=int(held and voxels[2] > 0),
            lesions_false=int(voxels[1] > 0 and voxels[2] == 0),
            voxel_mm3=2.0,
            hd95_mm=round(20 * (1 - quality), 3) if held else None,
        )


def curve(made: MadeUp, spec: TrialSpec) -> Iterator[EpochScore]:
    for epoch in range(made.epochs):
        grown = 1 - 0.6 ** (epoch + 1)
        level = (
            made.quality(spec.cell, spec.seed, made.splits["val"][0], 1)
            if made.splits["val"]
            else 0.5
        )
        val = {label: round(grown * level / label, 4) for label in range(1, len(made.classes))}
        train = {label: round(min(1.0, value * 1.08), 4) for label, value in val.items()}
        loss = round(0.1 + 0.9 * 0.7**epoch, 4)
        yield EpochScore(
            epoch=epoch,
            lr=0.003,
            train_loss=loss,
            val_loss=round(loss * 1.1, 4),
            train_dice=train,
            val_dice=val,
            seconds=2.0,
        )


def complete(
    made: MadeUp, cell: Cell, seed: int, phase: str = FINAL, number: int = 0, fold: int = 0
) -> TrialResult:
    spec = specification(made, cell, seed, phase, number, fold)
    epochs = tuple(curve(made, spec))
    minute = (made.cells.index(cell) * 3 + seed) % 59 if cell in made.cells else 0
    pretraining = phase == PRETRAIN
    mean = sum(v for v in epochs[-1].val_dice.values() if v) / (len(made.classes) - 1)
    lowered = 0.9 + 0.02 * (number * 3 % 6) if phase == TUNE else 1.0
    return TrialResult(
        trial=record_hash(spec),
        spec=spec,
        state=COMPLETE,
        val_score=round(mean * lowered, 4),
        best_epoch=made.epochs - 1,
        scores=() if pretraining else tuple(scores(made, spec)),
        surfaces=tuple(surfaces(made, spec)),
        curve=tuple(
            EpochScore(
                epoch=e.epoch,
                lr=e.lr,
                train_loss=e.train_loss,
                val_loss=e.val_loss,
                train_dice={},
                val_dice={},
                seconds=2.0,
            )
            for e in epochs
        )
        if pretraining
        else epochs,
        seconds=40.0 + 7 * (minute % 5),
        peak_gib=1.5,
        num_parameters=1_176_204,
        num_trainable=1_100_000,
        multiply_adds=4_200_000_000,
        started=f"2026-11-23T14:{minute:02d}:00",
        commit="abc1234",
        code=CODE,
        versions={"torch": "2.14.1", "monai": "1.6"},
        facts={
            "device": "cpu",
            "device_type": "cpu",
            "threads": 1,
            "host": "laptop",
            "class_weights": [0.3, 1.0, 1.2, 1.5],
            "num_items": 64,
        },
    )


def failure(made: MadeUp, cell: Cell, seed: int, reason: str, error: str) -> TrialResult:
    spec = specification(made, cell, seed, FINAL)
    return TrialResult(
        trial=record_hash(spec),
        spec=spec,
        state=FAILED,
        reason=reason,
        error=error,
        seconds=3.0,
        commit="abc1234",
        code=CODE,
    )


def write_run(out: Path, made: MadeUp, results: list[TrialResult] | None = None) -> Path:
    """Write a run folder: all trials of the made-up run, or these results alone."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "run.json").write_text(json.dumps(run_record(made)))
    (out / "grid.py").write_text('"""A made-up grid."""\n\nDEMO = None\n')
    if made.ceiling is not None:
        perfect = dataclasses.replace(made, quality=lambda *place: made.ceiling)
        native = [
            score
            for fold in made.folds
            for score in complete(perfect, made.cells[0], made.seeds[0], fold=fold).scores
            if score.space == NATIVE
        ]
        scores_on_test = tuple(score for score in native if score.split == "test")
        (out / "ceiling.json").write_text(
            to_json(
                Ceilings(
                    ceilings=(
                        Ceiling(data="digest", preparation=Cube(edge=32), scores=scores_on_test),
                    )
                )
            )
        )
    for result in all_results(made) if results is None else results:
        write_result(out, result)
        if made.edge and result.spec.phase == FINAL and result.state == COMPLETE:
            write_slices(out, made.edge, made.split_of(result.spec.fold)["test"], result.trial)
    return out


def all_results(made: MadeUp) -> list[TrialResult]:
    tuned = [
        complete(made, cell, 0, TUNE, number, fold)
        for fold in made.folds
        for cell in made.cells
        for number in range(made.tunings)
    ]
    return tuned + [
        complete(made, cell, seed, fold=fold)
        for fold in made.folds
        for cell in made.cells
        for seed in made.seeds
    ]


def write_result(out: Path, result: TrialResult) -> Path:
    path = out / "trials" / result.trial / "result.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_json(result))
    return path
