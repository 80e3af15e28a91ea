"""Every node of a running cluster: one storage, one set of versions."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.doctor.findings import Finding, error, fine, warning

if TYPE_CHECKING:
    from bench.tuning.nodes import NodeAnswer


def node_findings(address: str, out: Path) -> Iterator[Finding]:
    """Ask the cluster at address; one that cannot be reached is one finding."""
    from bench.tuning.nodes import ask_every_node

    try:
        answers = ask_every_node(address, out)
    except (ConnectionError, RuntimeError, ValueError, OSError) as wrong:
        told = " ".join(str(wrong).split())[:300]
        yield error("nodes", f"no cluster at {address}: {told}", "ray up FILE; and RAY_AUTH_MODE=token where it asks for one")
        return
    yield from rules(answers, out)


def rules(answers: "list[NodeAnswer]", out: Path) -> Iterator[Finding]:
    """What the nodes' answers mean."""
    silent = [f"{answer.address} ({answer.error})" for answer in answers if answer.error]
    if silent:
        fix = "--out, --data and --cache must lie on storage that every node sees under the same path"
        yield error("storage", f"{out} is not shared: {', '.join(silent)}", fix)
    else:
        yield fine("storage", f"{len(answers)} nodes read and write {out}")
    kinds = {tuple(sorted(answer.versions.items())) for answer in answers if answer.versions}
    if len(kinds) > 1:
        differ = "; ".join(f"{answer.address}: {listed(answer.versions)}" for answer in answers if answer.versions)
        yield warning("nodes", f"versions differ: {differ}", "install the same on every node, so that results are comparable")


def listed(versions: Mapping[str, str]) -> str:
    """Versions in one line."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())
