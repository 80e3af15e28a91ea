"""Trials as a MONAI bundle, as MONAI runs it: the steps that its configs/inference.json names."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import torch

from trials.data.datasets.label_set import LabelSet
from trials.data.datasets.scans import Scan, find_scans
from trials.data.prepared.case_checks import Rules, rules_for
from trials.inference.new_scans import (
    FAILED,
    open_out,
    outcome_lines,
    predict_scans,
    write_label_files,
)
from trials.inference.trained import Trained, refuse_other_code, trained_with
from trials.records.codec import from_json
from trials.records.record import record
from trials.records.result import TrialResult
from trials.storage.atomic import exists, read_bytes, read_text

RECORD = "configs/segbench.json"


@record
class BundledTrial:
    """A trial without its scores, the file of its weights in the bundle, and its SHA-256."""

    file: str
    sha256: str
    trial: TrialResult


@record
class Bundle:
    """The trials that predict together, and what is known of the cases that they were trained on.

    dataset is its name in the registry, title what people call it, and licence that of its files.
    """

    dataset: str
    title: str
    licence: str
    classes: tuple[str, ...]
    channels: tuple[str, ...]
    has_ignore: bool
    trials: tuple[BundledTrial, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The networks of a bundle, and what is known of the scans that they take."""

    results: tuple[TrialResult, ...]
    trained: tuple[Trained, ...]
    rules: Rules


def load_networks(bundle_root: str) -> Networks:
    """The networks of a bundle, on the GPU if there is one.

    Raises ValueError for a folder that is no bundle of ours, weights that are not the bundle's, and
    trials of another version.
    """
    folder = Path(bundle_root)
    if not exists(folder / RECORD):
        raise ValueError(
            f"bundle_root must be a bundle that segbench wrote, with {RECORD}; got {folder}; give "
            "its folder"
        )
    bundle = from_json(Bundle, read_text(folder / RECORD))
    labels = LabelSet(classes=bundle.classes, has_ignore=bundle.has_ignore)
    rules = rules_for(bundle.dataset, labels, bundle.channels)
    return Networks(
        results=tuple(one.trial for one in bundle.trials),
        trained=tuple(_load(folder, one, rules) for one in bundle.trials),
        rules=rules,
    )


def _load(folder: Path, one: BundledTrial, rules: Rules) -> Trained:
    refuse_other_code(folder, one.trial)
    path = folder / one.file
    content = read_bytes(path)
    if hashlib.sha256(content).hexdigest() != one.sha256:
        raise ValueError(f"{path} is not the file that was exported; restore it")
    tensors = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    return trained_with(tensors, str(path), one.trial, rules)


def find_images(dataset_dir: str, networks: Networks) -> tuple[Scan, ...]:
    """The scans at a place, as `segbench predict` finds them."""
    return find_scans(Path(dataset_dir), len(networks.rules.channels))


def predict_images(networks: Networks, images: Sequence[Scan], output_dir: str) -> None:
    """Write what `segbench predict` writes for these scans, and print a line for each.

    Raises ValueError for a folder of other files, and at the end if a scan has no prediction.
    """
    out, failed = Path(output_dir), []
    open_out(out, networks.results)
    write_label_files(out, networks.rules.classes)
    outcomes = predict_scans(networks.trained, images, out, networks.rules)
    for number, outcome in enumerate(outcomes, 1):
        print(*outcome_lines(outcome, f"[{number}/{len(images)}]", ""), sep="\n", flush=True)
        failed += [outcome.case] if outcome.state == FAILED else []
    if failed:
        raise ValueError(
            f"every scan must be readable; {', '.join(failed)} is not, see the lines above; "
            "replace the files and run the bundle again"
        )
