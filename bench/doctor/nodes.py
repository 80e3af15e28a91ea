"""Checks of every node of a running cluster: the same storage and the same versions."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.doctor.findings import Finding, error, fine, warning
from bench.tuning.node_report import NodeReport, complaint


def node_findings(address: str, out: Path, needed: tuple[str, ...]) -> Iterator[Finding]:
    """Ask every node of the cluster at address whether it can use out and read the needed paths. A
    node that cannot be reached is one finding.
    """
    from bench.tuning.node_checks import WAY_IN, ask, joined, living

    try:
        with joined(address):
            sights = list(ask(living(), out, needed).values())
    except ValueError as wrong:
        yield error("nodes", str(wrong).removesuffix(f"; {WAY_IN}"), WAY_IN)
        return
    yield from rules(sights, out)


def rules(sights: Sequence[NodeReport], out: Path) -> Iterator[Finding]:
    """The findings from the reports of the nodes."""
    wrong, fix = complaint(out, sights)
    if wrong:
        yield error("storage", wrong, fix)
    else:
        yield fine("storage", f"{len(sights)} nodes read and write {out}")
    if lost := ", ".join(f"{sight.address} ({sight.lost})" for sight in sights if sight.lost):
        yield error(
            "nodes",
            f"no answer from {lost}",
            "check that Ray runs there; `ray status` lists the nodes",
        )
    kinds = {tuple(sorted(sight.versions.items())) for sight in sights if sight.versions}
    if len(kinds) > 1:
        differ = "; ".join(
            f"{sight.address}: {versions_text(sight.versions)}"
            for sight in sights
            if sight.versions
        )
        yield warning(
            "nodes",
            f"versions differ: {differ}",
            "install the same versions on every node, so that results are comparable",
        )


def versions_text(versions: Mapping[str, str]) -> str:
    """Versions as one line of text."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())
