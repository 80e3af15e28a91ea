"""The data set's folder and the prepared cache: how many cases, and whether every cube still has
its digest.
"""

from collections.abc import Iterator
from pathlib import Path

from bench.doctor.findings import Finding, error, fine, warning
from trials.data.datasets.registry import detect_dataset, find_dataset
from trials.data.prepared.case_store import is_whole
from trials.data.prepared.manifest import read_manifest
from trials.storage.atomic import find_files
from trials.storage.probe import explain_error

PREPARE = "segbench prepare DATASET FOLDER --cache CACHE makes what is damaged anew"


def data_finding(folder: Path) -> Finding:
    """How many cases a data set's folder holds; what is in them is `segbench check`'s to say."""
    look = f"segbench check {folder}"
    try:
        dataset = find_dataset(detect_dataset(folder), folder)
    except (ValueError, FileNotFoundError) as wrong:
        return error("data", str(wrong), f"{look} lists every fault")
    of = f" of {dataset.published}" if dataset.published else ""
    return fine(
        "data", f"{len(dataset.cases)}{of} cases of {dataset.name} in {folder}; {look} reads them"
    )


def cache_findings(root: Path) -> Iterator[Finding]:
    """Every prepared set under a cache folder, each cube read and compared with the digest that its
    manifest names.
    """
    try:
        manifests = find_files(root, "*/*/manifest.json", patience=0)
    except OSError as wrong:
        yield error(
            "cache",
            f"{root} cannot be read: {explain_error(wrong)}",
            "name the folder, or the URL, that --cache names",
        )
        return
    if not manifests:
        yield warning(
            "cache",
            f"nothing is prepared in {root}",
            "a run prepares what it needs; `segbench prepare` does it before",
        )
    for path in manifests:
        yield prepared_finding(path)


def prepared_finding(path: Path) -> Finding:
    """One prepared set, by its manifest."""
    folder = path.parent
    try:
        cases = read_manifest(path).cases
    except ValueError as wrong:
        return error("cache", str(wrong), PREPARE)
    damaged = [
        record.case for record in cases.values() if not is_whole(folder.parent / "cases", record)
    ]
    if damaged:
        told = (
            f"{len(damaged)} of {len(cases)} cases in {folder} are missing or damaged: "
            f"{', '.join(damaged[:3])}"
        )
        return error("cache", told, PREPARE)
    return fine("cache", f"{len(cases)} cases in {folder}, every digest right")
