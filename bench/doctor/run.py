"""The verb: look at what was named, print every finding, and say by the exit code whether something
must be fixed.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from bench.doctor.client import client_findings
from bench.doctor.cluster_file import cluster_findings
from bench.doctor.findings import Finding, error, errors, fine, print_findings
from bench.doctor.machine import gather, machine_findings
from bench.exit_codes import FINISHED, MENDABLE
from trials.storage.atomic import is_remote
from trials.storage.probe import check_writable
from trials.storage.spool import scratch


def doctor(options: argparse.Namespace) -> int:
    """Print what was found; returns 2 if something must be fixed, else 0."""
    findings = list(examined(options))
    print_findings(findings, options.json)
    return MENDABLE if errors(findings) else FINISHED


def examined(options: argparse.Namespace) -> Iterator[Finding]:
    """This machine always; the run folder, cluster file, data, cache, grid and nodes where they are
    named.
    """
    out = (options.out or Path("runs")).absolute()
    yield from machine_findings(gather(scratch() if is_remote(out) else out))
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
    """Whether this machine can leave files in the run folder and, if it can, what each node of the
    cluster sees.
    """
    found = storage_finding(out)
    yield found
    if options.address and not errors([found]):
        from bench.doctor.nodes import node_findings

        needed = tuple(str(path.absolute()) for path in (options.data, options.cache) if path)
        yield from node_findings(options.address, out, needed)


def storage_finding(out: Path) -> Finding:
    """Whether a run could leave its files there: one is written, read and deleted."""
    try:
        check_writable(out)
    except ValueError as wrong:
        told, _, fix = str(wrong).rpartition("; ")
        return error("run folder", told, fix)
    return fine("run folder", f"{out} can be written, read and deleted from")


def file_findings(path: Path) -> Iterator[Finding]:
    """A cluster file and what this machine needs for it; a file that cannot be read is
    one finding."""
    try:
        yield from cluster_findings(path)
        yield from client_findings(path, Path.home())
    except (ValueError, OSError) as wrong:
        yield error(
            "cluster file",
            str(wrong),
            "cluster.yaml and clusters/onprem.yaml are files to start from",
        )
