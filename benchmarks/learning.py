"""What the same network learns in the same seconds of a processor: on patches at a physical spacing
and on cubes, from the same cases.

    python -m benchmarks.learning --data FOLDER --split FILE [--arm patches] [--seconds 440]

FOLDER holds cases in KiTS23's layout; FILE is JSON that lists them under train, val and test. Each
run adds its row to results/learning.txt, or replaces it. Seconds are those of training, data
included and validation not; before them a few steps are timed to plan as many as fit.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from benchmarks.compare import RESULTS, keep
from trials.data.batches.loading import Batch, Feed
from trials.data.datasets.opening import open_dataset
from trials.data.prepared.cache import Cache, open_cache, prepare_dataset
from trials.data.prepared.native_grid import native_labels
from trials.inference.evaluate import Evaluation, predicted
from trials.inference.network import Network
from trials.process.environment import reset_peak
from trials.records.job import Job
from trials.records.spec import FINAL, Cell, Cube, Recipe, Spacing, TrialSpec
from trials.scoring.overlap import label_counts, mean_dice_by_label
from trials.training.build import make_network, make_segmentation
from trials.training.loop import fit, train_epoch
from trials.training.optimizer import make_optimizer
from trials.training.run import checkpoints

SPLITS = ("train", "val", "test")
Split = Mapping[str, tuple[str, ...]]
SPACING = Spacing(mm=(4.0, 3.0, 3.0))
KIDNEY, TUMOUR, CYST = 1, 2, 3
# A false tumour is far where it lies beyond this from every kidney and mass of the reference.
FAR_MM = 20.0
EPOCHS, TIMED_STEPS = 3, 8
# Mild augmentation and a warm-up, for some hundred steps: with nnU-Net's augmentation and "poly"
# they learned less. The two were not tried apart.
PATCHES = Recipe(
    epochs=EPOCHS,
    validate_every=EPOCHS,
    batch_size=2,
    steps_per_epoch=TIMED_STEPS,
    preparation=SPACING,
    # 128 x 144 x 144 mm: in the same seconds half as many steps again as with 48^3.
    patch=(32, 48, 48),
    oversample_share=0.5,
    oversample_classes="set",
    width=8,
    optimizer="adamw",
    weight_decay=1e-4,
    schedule="cosine",
    clip_gradient=12.0,
    augment=True,
    rotate_zoom_prob=0.2,
    log_frequency_bias=True,
    train_cases_scored=0,
)
CUBES = replace(PATCHES, preparation=Cube(edge=64), patch=None)
ARMS = {"patches": PATCHES, "cubes": CUBES}
SAMPLINGS = {"patches": "oversample", "cubes": "none"}
LR = 0.01
HEADER = (
    f"{'arm':<8}{'seconds':>8}{'seed':>5}{'spent':>7}{'steps':>7}{'s/step':>8}"
    f"{'kidney':>8}{'tumour':>8}{'cyst':>7}{'least kidney':>13}{'far ml':>8}{'s/case':>8}"
)


@dataclass(slots=True)
class TimedFeed:
    """A Feed that counts the processor seconds of its epochs, training included."""

    feed: Feed
    seconds: float = 0.0

    def epoch(self, steps: int, generator: np.random.Generator) -> Iterator[Batch]:
        """The batches of one epoch."""
        started = time.process_time()
        yield from self.feed.epoch(steps, generator)
        self.seconds += time.process_time() - started


def prepared(data: Path, place: Path, split: Split, arm: str) -> Cache:
    """The cases as an arm trains on them. Cubes are cut where patches are, at the percentiles of
    the training split's foreground.
    """
    dataset = open_dataset("kits23", data)
    held = tuple(case for case in dataset.cases if any(case.case in split[one] for one in SPLITS))
    dataset = replace(dataset, cases=held)
    cache = open_cache(prepare_dataset(dataset, SPACING, place, workers=1))
    if arm == "patches":
        return cache
    (scaling,) = cache.scalings(split["train"])
    cube = Cube(edge=64, clip_hu=(scaling.low, scaling.high), normalise="train")
    return open_cache(prepare_dataset(dataset, cube, place, train=split["train"], workers=1))


def job_of(cache: Cache, split: Split, arm: str, seed: int, out: Path) -> Job:
    """A trial of an arm."""
    recipe = ARMS[arm]
    if arm == "cubes":
        recipe = replace(recipe, preparation=cache.preparation)
    spec = TrialSpec(
        dataset="kits23",
        data=cache.digest,
        splits="given",
        fold=0,
        cell=Cell(model="dynunet", loss="combined", sampling=SAMPLINGS[arm]),
        hyper={"lr": LR},
        recipe=recipe,
        seed=seed,
        phase=FINAL,
    )
    folders = {"out": str(out), "cache": str(cache.folder)}
    return Job(trial=f"{arm}-{seed}", spec=spec, **folders, **split, checkpoint_minutes=1e6)


def seconds_a_step(job: Job, cache: Cache) -> float:
    """Processor seconds of a training step, from a few steps of a network that is thrown away."""
    network, (task, _) = make_network(job, cache), make_segmentation(job, cache)
    recipe, generator = job.spec.recipe, np.random.default_rng(0)
    optimizer, scheduler = make_optimizer(network.module, task.lr, 10 * TIMED_STEPS, recipe)
    seconds = []
    for _ in range(2):
        started = time.process_time()
        train_epoch(network, task, recipe, generator, optimizer, scheduler)
        seconds.append(time.process_time() - started)
    return seconds[-1] / TIMED_STEPS


def trained(job: Job, cache: Cache, budget: float) -> tuple[Network, int, float]:
    """A network trained for about so many seconds, its steps and the seconds that they took."""
    steps = max(1, round(budget / seconds_a_step(job, cache) / EPOCHS))
    spec = replace(job.spec, recipe=replace(job.spec.recipe, steps_per_epoch=steps))
    job = replace(job, spec=spec)
    network, (task, _) = make_network(job, cache), make_segmentation(job, cache)
    timed = TimedFeed(task.feed)
    progress = fit(
        network,
        replace(task, feed=timed),
        job.spec.recipe,
        job.spec.seed,
        checkpoints(job),
        lambda score, _: print(score.epoch, score.train_loss, dict(score.val_dice), flush=True),
    )
    return network, steps * len(progress.curve), timed.seconds


def far_tumour_ml(labels: np.ndarray, reference: np.ndarray, spacing: Sequence[float]) -> float:
    """The volume of predicted tumour that is far from all foreground of the reference."""
    distance = distance_transform_edt(reference == 0, sampling=spacing)
    count = np.count_nonzero((labels == TUMOUR) & (distance > FAR_MM))
    return float(count * np.prod(spacing) / 1000)


def scores(network: Network, cache: Cache, cases: Sequence[str], batch_size: int) -> str:
    """The columns of a row that say what came out on the test cases."""
    plan, started = Evaluation(cache=cache, batch_size=batch_size), time.process_time()
    counts, far, least, seconds = [], [], [], 0.0
    for case, _, prediction in predicted(network, plan, {"test": cases}):
        labels, reference = prediction().native, native_labels(cache.cases[case])
        seconds += time.process_time() - started
        counts.append(label_counts(labels, reference, len(cache.classes)))
        least.append(int(counts[-1][KIDNEY, 1]))
        far.append(far_tumour_ml(labels, reference, cache.cases[case].spacing_mm))
        started = time.process_time()
    found = mean_dice_by_label(counts, cases)
    dice = {label: found[label] or 0.0 for label in (KIDNEY, TUMOUR, CYST)}
    return (
        f"{dice[KIDNEY]:8.3f}{dice[TUMOUR]:8.3f}{dice[CYST]:7.3f}{min(least):13d}"
        f"{np.mean(far):8.1f}{seconds / len(cases):8.2f}"
    )


def add_row(row: str) -> None:
    """Add a row to the results, or replace that of the same arm, seconds and seed."""
    path = RESULTS / "learning.txt"
    old = path.read_text().splitlines() if path.is_file() else []
    rows = {tuple(line.split()[:3]): line for line in (*old, row) if line.startswith(tuple(ARMS))}
    ordered = sorted(rows.values(), key=lambda line: (float(line.split()[1]), line))
    about = (
        "Patches at 4 x 3 x 3 mm against the cube, the same network and processor seconds, one "
        "thread; native Dice of the test cases\nleast kidney: voxels of kidney in the prediction "
        f"that has the fewest; far ml: predicted tumour beyond {FAR_MM:g} mm of any kidney, a case"
    )
    keep("learning", about, [HEADER, *ordered])


def main() -> None:
    """Train and score an arm's seeds, and keep a row of each."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, required=True, help="cases in KiTS23's layout")
    options.add_argument("--split", type=Path, required=True, help="JSON of train, val and test")
    options.add_argument("--arm", choices=ARMS, action="append", help="one of them, else both")
    options.add_argument("--seconds", type=float, default=440.0, help="of training, a run")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--cache", type=Path, help="where prepared cases lie, to keep them")
    given = options.parse_args()
    torch.set_num_threads(1)
    reset_peak()
    split = {one: tuple(json.loads(given.split.read_text())[one]) for one in SPLITS}
    with tempfile.TemporaryDirectory() as place:
        for seed in given.seeds:
            for arm in given.arm or ARMS:
                cache = prepared(given.data, given.cache or Path(place) / "cache", split, arm)
                job = job_of(cache, split, arm, seed, Path(place) / f"{given.seconds:g}")
                network, steps, spent = trained(job, cache, given.seconds)
                found = scores(network, cache, split["test"], job.spec.recipe.batch_size)
                add_row(
                    f"{arm:<8}{given.seconds:8.0f}{seed:5d}{spent:7.0f}{steps:7d}"
                    f"{spent / steps:8.3f}{found}"
                )


if __name__ == "__main__":
    main()
