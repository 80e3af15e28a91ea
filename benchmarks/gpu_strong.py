"""`python -m benchmarks.gpu_strong [MODEL]` on one GPU: what the networks of the grid `strong` cost
and learn at its low resolution, a part a network, each in a process of its own.

A part takes at most four minutes and needs no network: patients are generated and prepared on all
cores, unless --data names cases in KiTS23's layout. Rows are kept in results/gpu_strong.txt, each
when it is known. `--short` is a tiny form that also runs on a CPU and keeps nothing but what --out
names.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from bench.grids import STRONG
from benchmarks.compare import RESULTS
from benchmarks.gpu.busy import busy_percent, watching
from benchmarks.gpu.machine import python, stamp
from benchmarks.gpu.rows import Row, Sheet
from trials.data.datasets.opening import open_dataset
from trials.data.datasets.phantoms.writing import write_phantoms
from trials.data.prepared.cache import Cache, open_cache, prepare_dataset
from trials.inference.network import pick_device
from trials.records.job import Job
from trials.records.result import NATIVE, TrialResult, dice
from trials.records.spec import FINAL, TUNE, Cell, Recipe, Spacing, TrialSpec
from trials.training.run import run_trial

PART_SECONDS = 225.0
# The share of what is left of a part, after a first short training, that the long one may take.
TRAINING_SHARE, EPOCHS = 0.6, 6
MODELS = tuple(dict.fromkeys(cell.model for cell in STRONG.cells))
RENDER_ROW = "patients generated and prepared, s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The preparation, what differs from the recipes of STRONG, the number of patients and the
    steps of a first short training; steps None makes the long one as long as the time allows.
    """

    preparation: Spacing
    changes: Mapping[str, object]
    cases: int
    probe: int
    steps: int | None = None


SIZES = {
    "full": Sizes(
        preparation=Spacing(mm=(2.36, 1.84, 1.84)),
        changes={"compile": "always"},
        cases=48,
        probe=12,
    ),
    "short": Sizes(
        preparation=Spacing(mm=(10.0, 8.0, 8.0)),
        changes={"patch": (16, 16, 16), "batch_size": 1, "width": 2},
        cases=3,
        probe=1,
        steps=1,
    ),
}


def rows_of(model: str) -> tuple[Row, ...]:
    """What is measured of a model."""
    return (
        Row(RENDER_ROW, at_most=60.0),
        Row(f"{model}: steps a second"),
        Row(f"{model}: time beside the model, %", at_most=10.0),
        Row(f"{model}: GPU busy while it trains, %", at_least=90.0),
        Row(f"{model}: peak memory of training, GiB"),
        Row(f"{model}: seconds a prediction"),
        Row(f"{model}: peak memory of predicting, GiB"),
        Row(f"{model}: Dice of kidneys, unseen patients"),
        Row(f"{model}: Dice of tumours, unseen patients"),
    )


TABLE = {model: rows_of(model) for model in MODELS}
ABOUT = (
    "What the networks of the grid `strong` cost and learn on one GPU, by `python -m "
    "benchmarks.gpu_strong`"
)


def prepared(sizes: Sizes, data: Path | None, place: Path) -> Cache:
    """Generated patients, or the cases of a folder, at the spacing of the sizes."""
    if data is None:
        write_phantoms(place / "data", sizes.cases)
    dataset = open_dataset("kits23" if data else "phantoms", data or place / "data")
    return open_cache(prepare_dataset(dataset, sizes.preparation, place / "cache"))


def job_of(cache: Cache, model: str, recipe: Recipe, phase: str, out: Path) -> Job:
    """A trial that trains on all patients but the last sixth, which it is scored on."""
    cases = tuple(cache.cases)
    unseen = max(1, len(cases) // 6)
    spec = TrialSpec(
        dataset=cache.dataset.name,
        data=cache.digest,
        splits="given",
        fold=0,
        cell=Cell(model=model, loss="combined", sampling="oversample"),
        hyper={"lr": float(str(STRONG.hyper.get(model, STRONG.hyper["*"])["lr"]))},
        recipe=recipe,
        seed=0,
        phase=phase,
    )
    return Job(
        trial=f"{model}-{phase}",
        spec=spec,
        out=str(out),
        cache=str(cache.folder),
        train=cases[: -unseen - 1],
        val=cases[-unseen - 1 : -unseen],
        test=cases[-unseen:] if phase == FINAL else (),
        checkpoint_minutes=1e6,
    )


def run_model(sheet: Sheet, sizes: Sizes, data: Path | None) -> None:
    """Write every row of a model."""
    model = sheet.part
    with tempfile.TemporaryDirectory() as name:
        place, started = Path(name), time.perf_counter()
        cache = prepared(sizes, data, place)
        sheet.write(RENDER_ROW, time.perf_counter() - started, f"{len(cache.cases)} patients")
        recipe = replace(
            STRONG.recipes[model],
            preparation=cache.preparation,
            epochs=2,
            steps_per_epoch=sizes.probe,
            validate_every=EPOCHS,
            train_cases_scored=0,
            **sizes.changes,
        )
        probe = run_trial(job_of(cache, model, recipe, TUNE, place), lambda score, _: None)
        # The last epoch has the validation, whose time is not known here: it counts as steps.
        step = probe.curve[-1].seconds / sizes.probe
        steps = sizes.steps or max(1, int(TRAINING_SHARE * sheet.left() / step / EPOCHS))
        recipe = replace(recipe, epochs=EPOCHS, steps_per_epoch=steps)
        ends: list[float] = []
        with watching() as samples:
            result = run_trial(
                job_of(cache, model, recipe, FINAL, place), lambda *_: ends.append(time.time())
            )
        write_rows(sheet, result, steps)
        if pick_device().type == "cuda":
            busy = busy_percent(samples, ends[0], ends[-2])
            sheet.write(f"{model}: GPU busy while it trains, %", busy)
    sheet.leave_out([row.name for row in TABLE[model]], "there is no GPU")


def write_rows(sheet: Sheet, result: TrialResult, steps: int) -> None:
    """Write what a result says of its training and its predictions."""
    model, facts = sheet.part, numbers_of(result)
    # Between the first epoch, in which kernels are chosen, and the last, which is validated.
    middle = [score.seconds for score in result.curve[1:-1]]
    sheet.write(f"{model}: steps a second", steps * len(middle) / sum(middle), f"{steps} an epoch")
    sheet.write(f"{model}: time beside the model, %", 100 * facts["share_beside_model"])
    sheet.write(f"{model}: peak memory of training, GiB", facts["training_peak_gib"])
    sheet.write(f"{model}: seconds a prediction", facts["prediction_seconds_a_case"])
    sheet.write(f"{model}: peak memory of predicting, GiB", facts["prediction_peak_gib"])
    for label, name in ((1, "kidneys"), (2, "tumours")):
        scores = [
            dice(score.true_voxels, score.pred_voxels, score.overlap_voxels)
            for score in result.scores
            if (score.split, score.space, score.label) == ("test", NATIVE, label)
            and score.true_voxels
        ]
        detail = f"{len(scores)} patients, {facts['train_seconds']:.0f} s of training"
        mean = sum(scores) / len(scores)
        sheet.write(f"{model}: Dice of {name}, unseen patients", mean, detail)


def numbers_of(result: TrialResult) -> dict[str, float]:
    """The facts of a result that are numbers."""
    return {name: float(of) for name, of in result.facts.items() if isinstance(of, int | float)}


def main(arguments: list[str]) -> int:
    """Run one part, or all; 2 where there is no GPU to measure."""
    options = parser().parse_args(arguments)
    if not options.short and not torch.cuda.is_available():
        print(
            f"torch {torch.__version__} sees no GPU; --short runs a tiny form on the CPU",
            file=sys.stderr,
        )
        return 2
    if options.model is None:
        commands = [python("benchmarks.gpu_strong", model, *arguments) for model in MODELS]
        return max(subprocess.run(command).returncode for command in commands)
    path = options.out or (None if options.short else RESULTS / "gpu_strong.txt")
    sheet = Sheet(
        part=options.model,
        stamp=stamp(),
        path=path,
        seconds=options.seconds,
        table=TABLE,
        about=ABOUT,
    )
    sheet.save()
    sizes = SIZES["short" if options.short else "full"]
    names = [row.name for row in TABLE[options.model]]
    sheet.measure(names, lambda: run_model(sheet, sizes, options.data))
    return 0


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.gpu_strong", description=__doc__)
    made.add_argument("model", nargs="?", choices=MODELS, help="which one; all without it")
    made.add_argument("--data", type=Path, help="cases in KiTS23's layout, else generated ones")
    made.add_argument("--short", action="store_true", help="tiny sizes, also on a CPU")
    made.add_argument("--seconds", type=float, default=PART_SECONDS, help="time of a part")
    made.add_argument("--out", type=Path, help="another file than results/gpu_strong.txt")
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
