"""What a cluster needs: on this machine to start one, which are programs, ray[default], the token,
and a file that the Ray launcher accepts; and on every node once it runs, the same storage and the
same versions.
"""

import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from bench.doctor.findings import Finding, error, fine, warning
from bench.doctor.safe_yaml import read_yaml
from bench.tuning.node_report import NodeReport, complaint

PROGRAMS = ("ssh", "rsync")
# The packages of ray[default] that `ray up` and `ray job` import first.
RAY_DEFAULT_PACKAGES = ("aiohttp", "aiohttp_cors", "opencensus")


def client_findings(path: Path, home: Path) -> Iterator[Finding]:
    """Whether `ray up FILE` can start from here. home is the user's home folder, where Ray keeps
    its token.
    """
    for program in PROGRAMS:
        if shutil.which(program) is None:
            yield error(
                "programs",
                f"{program} is not installed",
                "apt-get install openssh-client rsync",
            )
    if any(find_spec(name) is None for name in RAY_DEFAULT_PACKAGES):
        yield error(
            "ray[default]",
            "it is not installed; `ray up` and `ray job` need it",
            "pip install 'ray[default]'",
        )
    if os.environ.get("RAY_TMPDIR"):
        yield warning(
            "RAY_TMPDIR",
            "it moves the state that `ray up` keeps about your machines",
            "unset RAY_TMPDIR",
        )
    yield token_file(home / ".ray" / "auth_token")
    yield from schema(path)


def token_file(path: Path) -> Finding:
    """The token of this user: it must exist, not be empty, and be readable by its owner only."""
    if not path.is_file() or not path.read_text().strip():
        return error(
            "token", f"there is no token in {path}", "ray get-auth-token --generate > /dev/null"
        )
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return warning("token", f"other users of this machine can read {path}", f"chmod 600 {path}")
    return fine("token", f"in {path}, readable by you only")


def schema(path: Path) -> Iterator[Finding]:
    """Whether the Ray launcher accepts the file."""
    from bench.tuning.ray_private import launcher_complaint

    if message := launcher_complaint(read_yaml(path)):
        yield error(
            "schema",
            f"the Ray launcher rejects {path}: {message}",
            "see Cluster YAML Configuration Options on docs.ray.io",
        )
    else:
        yield fine("schema", f"the Ray launcher accepts {path}")


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
    yield from rules_of_nodes(sights, out)


def rules_of_nodes(sights: Sequence[NodeReport], out: Path) -> Iterator[Finding]:
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
