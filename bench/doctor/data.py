"""Checks of the data set's folder and of the prepared cache: the number of cases, and the digest of
every cube.
"""

from collections.abc import Iterator
from pathlib import Path

from bench.doctor.findings import Finding, error, fine, warning
from trials.data.datasets.opening import find_dataset
from trials.data.datasets.registry import detect_dataset
from trials.data.prepared.case_store import is_whole
from trials.data.prepared.manifest import read_manifest
from trials.storage.atomic import find_files
from trials.storage.probe import explain_error

PREPARE = "segbench prepare DATASET FOLDER --cache CACHE prepares damaged cases again"


def data_finding(folder: Path) -> Finding:
    """The number of cases in a data set's folder; `segbench check` reads their content."""
    check = f"segbench check {folder}"
    try:
        dataset = find_dataset(detect_dataset(folder), folder)
    except (ValueError, FileNotFoundError) as wrong:
        return error("data", str(wrong), f"{check} lists all faults")
    of = f" of {dataset.published}" if dataset.published else ""
    return fine(
        "data", f"{len(dataset.cases)}{of} cases of {dataset.name} in {folder}; {check} reads them"
    )


def cache_findings(root: Path) -> Iterator[Finding]:
    """Every prepared data set in a cache folder; each cube is read and compared with the digest in
    its manifest.
    """
    try:
        manifests = find_files(root, "*/*/manifest.json", patience=0)
    except OSError as wrong:
        yield error(
            "cache",
            f"{root} cannot be read: {explain_error(wrong)}",
            "give the folder or URL of --cache",
        )
        return
    if not manifests:
        yield warning(
            "cache",
            f"{root} holds no prepared data",
            "a run prepares the data; to do it earlier, use `segbench prepare`",
        )
    for path in manifests:
        yield prepared_finding(path)


def prepared_finding(path: Path) -> Finding:
    """One prepared data set, by its manifest."""
    folder = path.parent
    try:
        cases = read_manifest(path).cases
    except ValueError as wrong:
        return error("cache", str(wrong), PREPARE)
    damaged = [
        record.case for record in cases.values() if not is_whole(folder.parent / "cases", record)
    ]
    if damaged:
        message = (
            f"{len(damaged)} of {len(cases)} cases in {folder} are missing or damaged: "
            f"{', '.join(damaged[:3])}"
        )
        return error("cache", message, PREPARE)
    return fine("cache", f"{len(cases)} cases in {folder}, every digest matches")
