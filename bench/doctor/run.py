"""The verb: checks everything that was named, prints the findings, and returns an exit code."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from bench.doctor.cluster import client_findings
from bench.doctor.cluster_file import cluster_findings
from bench.doctor.findings import Finding, error, errors, fine, print_findings
from bench.doctor.machine import inspect_machine, machine_findings
from bench.doctor.surroundings import inspect_surroundings, surroundings_findings
from bench.verb import FINISHED, USER_ERROR
from trials.storage.atomic import is_remote
from trials.storage.probe import check_run_folder
from trials.storage.spool import scratch


def doctor(options: argparse.Namespace) -> int:
    """Print the findings; returns 2 if something must be fixed, else 0."""
    findings = list(collect_findings(options))
    print_findings(findings, options.json)
    return USER_ERROR if errors(findings) else FINISHED


def collect_findings(options: argparse.Namespace) -> Iterator[Finding]:
    """The findings on this machine, and on the run folder, cluster file, data, cache, grid and
    nodes that were named.
    """
    out = (options.out or Path("runs")).absolute()
    yield from machine_findings(inspect_machine(scratch() if is_remote(out) else out))
    yield from surroundings_findings(inspect_surroundings(Path.cwd()))
    if options.data:
        from bench.doctor.data import data_finding

        yield data_finding(options.data)
    if options.cache:
        from bench.doctor.data import cache_findings

        yield from cache_findings(options.cache)
    if options.cluster:
        yield from file_findings(options.cluster)
    if options.grid:
        from bench.doctor.arithmetic import arithmetic_findings

        yield from arithmetic_findings(options.grid)
    if options.out or options.address:
        yield from storage_findings(out, options)


def storage_findings(out: Path, options: argparse.Namespace) -> Iterator[Finding]:
    """Whether this machine can write to the run folder and, if it can, whether each node of the
    cluster can use the storage.
    """
    found = storage_finding(out)
    yield found
    if options.address and not errors([found]):
        from bench.doctor.cluster import node_findings

        needed = tuple(str(path.absolute()) for path in (options.data, options.cache) if path)
        yield from node_findings(options.address, out, needed)


def storage_finding(out: Path) -> Finding:
    """Whether a run can write its files there: a test file is written, read and deleted."""
    try:
        check_run_folder(out)
    except ValueError as wrong:
        message, _, fix = str(wrong).rpartition("; ")
        return error("run folder", message, fix)
    return fine("run folder", f"files in {out} can be written, read and deleted")


def file_findings(path: Path) -> Iterator[Finding]:
    """A cluster file and what this machine needs for it; an unreadable file is one finding."""
    try:
        yield from cluster_findings(path)
        yield from client_findings(path, Path.home())
    except (ValueError, OSError) as wrong:
        yield error(
            "cluster file",
            str(wrong),
            "start from cluster.yaml or clusters/onprem.yaml",
        )
