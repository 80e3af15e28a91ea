"""What surrounds a run and may change it: environment variables, the user, and the folder it is
started in.
"""

import os
import pwd
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import bench
from bench.doctor.findings import Finding, error, fine, warning
from bench.tuning.ray_folder import ray_folder

PACKAGES = ("bench", "trials", "reports")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """ray_folder is where a run keeps Ray's sockets, "" for Ray's own choice, and no_ray_folder why
    there is no place for them. user is "" for a number without a name, home "" where none is known.
    hides names files of the working folder that hide our packages from `python -m`.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    ray_folder: str = ""
    no_ray_folder: str = ""
    user: str = "unknown"
    home: str = ""
    can_write_home: bool = True
    hides: tuple[str, ...] = ()
    has_tilde: bool = False


def inspect_surroundings(folder: Path) -> Surroundings:
    """Gather facts about this process, started in a folder."""
    place, reason = "", ""
    try:
        place = ray_folder() or ""
    except ValueError as wrong:
        reason = str(wrong)
    home = os.path.expanduser("~")
    own = Path(bench.__file__).resolve().parents[1]
    names = [name for package in PACKAGES for name in (f"{package}.py", package)]
    return Surroundings(
        variables=dict(os.environ),
        ray_folder=place,
        no_ray_folder=reason,
        user=_user(),
        home=home if os.path.isabs(home) else "",
        can_write_home=os.access(home, os.W_OK),
        hides=tuple(name for name in names if (folder / name).exists())
        if folder.resolve() != own
        else (),
        has_tilde=(folder / "~").is_dir(),
    )


def surroundings_findings(found: Surroundings) -> Iterator[Finding]:
    """Every rule on the surroundings."""
    if address := found.variables.get("RAY_ADDRESS"):
        yield warning(
            "RAY_ADDRESS",
            f"it is {address}; a run without --address stays on this machine",
            "give --address HOST:PORT to run on the cluster, or unset RAY_ADDRESS",
        )
    if found.no_ray_folder:
        message, _, fix = found.no_ray_folder.rpartition("; ")
        yield error("Ray's folder", message, fix)
    elif found.ray_folder:
        yield fine(
            "Ray's folder", f"the temporary folder has a long path; runs use {found.ray_folder}"
        )
    yield from user(found)
    if found.hides:
        yield warning(
            "working folder",
            f"{', '.join(found.hides)} in it would be imported in place of segbench's own by "
            "`python -m bench.run`",
            "use `segbench run`, or start in another folder",
        )
    if found.has_tilde:
        yield warning(
            "working folder",
            "it holds a folder named ~, which a program made that does not know the home folder",
            "look what it holds; remove it as ./~",
        )


def user(found: Surroundings) -> Iterator[Finding]:
    """Whether the user has a name and a home folder that can be written."""
    if not found.user:
        yield fine("user", f"number {os.getuid()} has no name here; runs need none")
    if not found.home:
        yield warning("home folder", "there is none", "set HOME to a folder of your own")
    elif not found.can_write_home:
        yield warning(
            "home folder",
            f"{found.home} cannot be written; downloads and caches go to the temporary folder",
            "set HOME to a folder of your own, to keep downloads",
        )


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""
