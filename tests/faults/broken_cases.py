"""A sound case and what breaks it: its files, bytes of its header, and how a fault must be told."""

import gzip
import io
import json
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from bench.cli import main
from trials.data.datasets.opening import find_dataset
from trials.data.prepared.set_checks import check_dataset
from trials.records.faults import BAD_CASE, WARNING, Fault

VICTIM = "case_00001"
# Byte positions in the header, NIfTI-1 standard.
DIM, DATATYPE, PIXDIM, OFFSET, FORM_CODES, SFORM, MAGIC = 40, 70, 76, 108, 252, 280, 344
# What a test may take besides, whatever a file claims to hold.
ROOM_BYTES = 64 * 2**20


def image(root: Path) -> Path:
    return root / VICTIM / "imaging.nii.gz"


def labels(root: Path) -> Path:
    return root / VICTIM / "segmentation.nii.gz"


def altered(path: Path, at: int, values: np.ndarray) -> None:
    """Overwrite bytes of what a .nii.gz file holds."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[at : at + values.nbytes] = values.tobytes()
    path.write_bytes(gzip.compress(content, 1, mtime=0))


def found(root: Path, level: str) -> list[Fault]:
    return [
        fault
        for fault in check_dataset(find_dataset("phantoms", root), workers=1).faults
        if fault.level == level
    ]


def segbench(*arguments: object) -> tuple[int, str, str]:
    """A verb as a user types it: exit code, output, and what was said besides, in one line."""
    out, said = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(said):
        code = main([*map(str, arguments), "--workers", "1"])
    return code, out.getvalue(), " ".join(said.getvalue().split())


def checked(root: Path) -> tuple[int, list[Fault]]:
    """What `segbench check` ends with, and all that it lists."""
    code, out, _ = segbench("check", root, "--dataset", "phantoms", "--json")
    return code, [Fault(**fault) for fault in json.loads(out)["faults"]]


def assert_skippable(root: Path, file: Path, *words: str) -> str:
    """`check` tells case, file, reason and way out, exit code 2; `prepare --skip-bad` leaves out
    that case alone, exit code 3.

    The words stand in the reason or in the way out. Returns both.
    """
    code, faults = checked(root)
    worse = [fault for fault in faults if fault.level != WARNING]
    told = "; ".join(f"{fault.message}; {fault.fix}" for fault in worse)

    assert code == 2
    assert {(fault.case, fault.file, fault.level) for fault in worse} == {
        (VICTIM, str(file), BAD_CASE)
    }
    assert all(fault.fix and fault.code for fault in worse)
    assert [word for word in words if word not in told] == [], told
    code, prepared, said = segbench(
        "prepare", "phantoms", root, "--cache", root.parent / "cache", "--cube", 8, "--skip-bad"
    )
    assert code == 3
    assert f"left out: {VICTIM}: {file.name}: " in said
    assert sorted(json.loads(Path(prepared.strip(), "manifest.json").read_text())["cases"]) == [
        "case_00000",
        "case_00002",
    ]
    return told


def assert_warned(root: Path, file: Path, code: str, *words: str) -> None:
    """`check` lists what is worth a look with the way out, and ends with exit code 0."""
    ended, faults = checked(root)
    worth = [fault for fault in faults if fault.code == code]

    assert ended == 0
    assert [(fault.case, fault.file, fault.level) for fault in worth] == [
        (VICTIM, str(file), WARNING)
    ]
    told = f"{worth[0].message}; {worth[0].fix}"
    assert worth[0].fix
    assert [word for word in words if word not in told] == [], told


@contextmanager
def little_memory(limit: int = ROOM_BYTES):
    """This process's peak of resident memory grows by less than the limit (Linux counts it anew
    when asked, proc(5)).
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("this system does not tell the peak of a part of a process's life")
    before = resident("VmRSS")
    yield
    assert resident("VmHWM") - before < limit


def resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])
