"""What nodes of a cluster see of the storage that a run uses, and the sentence that is said where
it is not shared.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trials.identity.code_identity import OWN, own_code


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """What the node at an address sees. sees_driver: the driver's marker is there; is_seen: the
    driver sees the node's.

    lost says why it gave no answer, broken why it could not look, error why it could not write its
    marker, no_scratch why it cannot use a folder on its own disk; else "". missing names what
    trials read and the node does not see; versions by package.
    """

    address: str
    lost: str = ""
    broken: str = ""
    sees_driver: bool = False
    error: str = ""
    no_scratch: str = ""
    is_seen: bool = False
    missing: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


def complaint(out: Path, sights: Sequence[NodeReport]) -> tuple[str, str]:
    """What is wrong with the storage of a run, with the nodes it is wrong for, and the fix;
    ("", "") where all is well.

    A node without an answer is not judged. Of several things the gravest is told.
    """
    return next(complaints(out, [sight for sight in sights if not sight.lost]), ("", ""))


def complaints(out: Path, sights: Sequence[NodeReport]) -> Iterator[tuple[str, str]]:
    """Everything that is wrong, the gravest first."""
    if broken := ", ".join(f"{sight.address} ({sight.broken})" for sight in sights if sight.broken):
        yield f"this project does not run on {broken}", "install the same version of it there"
    others = {
        sight.address: theirs
        for sight in sights
        if (theirs := sight.versions.get(OWN, own_code())) != own_code()
    }
    if told := ", ".join(f"{address} ({theirs})" for address, theirs in others.items()):
        yield (
            f"other training code than the driver's {own_code()} on {told}",
            "install the same version of segbench there",
        )
    if apart := ", ".join(sight.address for sight in sights if not sight.sees_driver):
        yield (
            f"{out} is not shared: {apart} cannot see what the driver writes there",
            "give --out on storage that every node mounts at the same path, or a URL such as "
            "s3://bucket/run",
        )
    if failed := ", ".join(f"{sight.address} ({sight.error})" for sight in sights if sight.error):
        yield f"{out} cannot be written from {failed}", "give every node the right to write there"
    if unseen := ", ".join(sight.address for sight in sights if not sight.is_seen):
        yield (
            f"{out} is not shared: the driver cannot see what {unseen} wrote there",
            "give --out on shared storage",
        )
    if homeless := ", ".join(
        f"{sight.address} ({sight.no_scratch})" for sight in sights if sight.no_scratch
    ):
        yield (
            f"no folder on its own disk for {homeless}",
            "set the variable there before `ray start`",
        )
    for name in dict.fromkeys(name for sight in sights for name in sight.missing):
        blind = ", ".join(sight.address for sight in sights if name in sight.missing)
        yield (
            f"{blind} cannot see {name}",
            "put it on storage that every node mounts at the same path",
        )
