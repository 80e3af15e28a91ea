"""What a user's own machine needs to drive a cluster: programs, ray[default], the token, and Ray's
own word on the file.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from bench.doctor.findings import Finding, error, fine, warning
from bench.doctor.safe_yaml import read_yaml

PROGRAMS = ("ssh", "rsync")
# Of what ray[default] brings, `ray up` and `ray job` need these first.
OF_RAY_DEFAULT = ("aiohttp", "aiohttp_cors", "opencensus")


def client_findings(path: Path, home: Path) -> Iterator[Finding]:
    """Whether `ray up FILE` can start from here. home is the user's folder, in which Ray keeps its
    token.
    """
    for program in PROGRAMS:
        if shutil.which(program) is None:
            yield error(
                "programs",
                f"{program} is not installed here",
                "apt-get install openssh-client rsync",
            )
    if any(find_spec(name) is None for name in OF_RAY_DEFAULT):
        yield error(
            "ray[default]",
            "missing, and without it there is no `ray up` and no `ray job`",
            "pip install 'ray[default]'",
        )
    if os.environ.get("RAY_TMPDIR"):
        yield warning(
            "RAY_TMPDIR",
            "it moves what `ray up` remembers of your own machines",
            "unset RAY_TMPDIR",
        )
    yield token_file(home / ".ray" / "auth_token")
    yield from schema(path)


def token_file(path: Path) -> Finding:
    """The token of this user: there, not empty, and for its owner alone."""
    if not path.is_file() or not path.read_text().strip():
        return error(
            "token", f"there is none in {path}", "ray get-auth-token --generate > /dev/null"
        )
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return warning("token", f"others on this machine may read {path}", f"chmod 600 {path}")
    return fine("token", f"in {path}, for you alone")


def schema(path: Path) -> Iterator[Finding]:
    """What Ray's launcher says of the file."""
    from bench.tuning.ray_private import launcher_complaint

    if told := launcher_complaint(read_yaml(path)):
        yield error(
            "schema",
            f"Ray's launcher refuses {path}: {told}",
            "docs.ray.io, Cluster YAML Configuration Options",
        )
    else:
        yield fine("schema", f"Ray's launcher takes {path}")
