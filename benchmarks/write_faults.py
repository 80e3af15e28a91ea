"""The k-th write fails, for every k and in three ways: what was finished stays, and no final file
is partial.

python -m benchmarks.write_faults. A child process prepares two cases and leaves checkpoints, a
result and a text; below our own code the operating system refuses one call (disk full, I/O error)
or the child is killed in it. Linux only: it forks.
"""

import errno
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trials.data.datasets.opening import open_dataset
from trials.data.nifti.volume import write_labels
from trials.data.prepared.cache import open_cache, prepare_dataset
from trials.records.codec import from_json, record_hash
from trials.records.result import COMPLETE, TrialResult
from trials.records.result_file import write_result
from trials.records.spec import FINAL, Cell, Cube, Recipe, TrialSpec
from trials.storage.atomic import write_text
from trials.training.checkpoint import Checkpoints

KINDS = ("disk full", "I/O error", "kill")
NUMBERS = {"disk full": errno.ENOSPC, "I/O error": errno.EIO}
SPEC = TrialSpec(
    dataset="phantoms",
    data="0",
    splits="sequential",
    fold=0,
    cell=Cell(model="unet3d", loss="focal", sampling="none"),
    hyper={"lr": 0.01},
    recipe=Recipe(epochs=1, batch_size=1),
    seed=0,
    phase=FINAL,
)


class System:
    """Counts the calls with which a file is made, and lets one of them fail."""

    def __init__(self, fail_at: int, kind: str):
        self.calls, self.fail_at, self.kind = 0, fail_at, kind

    def call(self) -> None:
        """Count a call; the chosen one raises what the system would, or is the last."""
        self.calls += 1
        if self.calls == self.fail_at:
            if self.kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(NUMBERS[self.kind], os.strerror(NUMBERS[self.kind]))

    def install(self) -> None:
        """Take the place of the calls that make a file."""
        real_open = os.fdopen
        os.fdopen = lambda handle, mode: File(self, real_open(handle, mode))  # type: ignore[assignment]
        for name in ("fsync", "replace", "chmod"):
            setattr(os, name, self.counted(getattr(os, name)))

    def counted(self, real: Callable) -> Callable:
        """A call of the system that may fail."""

        def call(*arguments: Any, **named: Any) -> Any:
            self.call()
            return real(*arguments, **named)

        return call


class File:
    """An open file whose writes may fail half-way."""

    def __init__(self, system: System, real: Any):
        self.system, self.real = system, real

    def write(self, content: Any) -> int:
        """Write the first half, then the second."""
        content = memoryview(content).cast("B")
        self.real.write(content[: len(content) // 2])
        self.system.call()
        self.real.write(content[len(content) // 2 :])
        return len(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def __enter__(self) -> "File":
        return self

    def __exit__(self, *error: object) -> None:
        self.real.close()


def work(data: Path, place: Path) -> None:
    """Write one of everything that a run leaves."""
    prepare_dataset(open_dataset("phantoms", data), Cube(edge=8), place / "cache", workers=1)
    kept = Checkpoints(folder=place / "trials" / record_hash(SPEC), spec=SPEC)
    for epoch in range(3):
        kept.save(epoch, {"epoch": epoch})
    write_result(place, TrialResult(trial=record_hash(SPEC), spec=SPEC, state=COMPLETE))
    write_labels(place / "prediction.nii.gz", np.ones((4, 4, 4), np.uint8), np.eye(4))
    write_text(place / "run.json", "{}")


def fails_at(number: int, kind: str, data: Path, place: Path) -> bool:
    """Run the work in a child whose number-th call fails; True if there was such a call. A
    traceback is no OSError or kill.
    """
    child = os.fork()
    if not child:
        code = 1
        try:
            system = System(number, kind)
            system.install()
            work(data, place)
            code = 0 if system.calls < number else 3
        except (OSError, ValueError):
            code = 3
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    assert status in (0, 3 << 8, signal.SIGKILL), (
        f"call {number}, {kind}: the child ended with {status}"
    )
    return status != 0


def faults_in(place: Path, before: set[Path]) -> list[str]:
    """What is missing of what was finished, and which final file cannot be read."""
    faults = [f"{path.name} is gone" for path in before if not path.exists()]
    for path in finals(place):
        try:
            check(path)
        except (ValueError, AssertionError, OSError) as error:
            faults.append(f"{path.name}: {error}")
    return faults


def finals(place: Path) -> set[Path]:
    """Every file under its final name."""
    return {path for path in place.rglob("*") if path.is_file() and not path.name.startswith(".")}


def check(path: Path) -> None:
    """Read a final file by its own reader. Raises where it is not whole."""
    if path.name == "manifest.json":
        cache = open_cache(path.parent)
        assert all(cache.image(case).shape[1:] == cache.labels(case).shape for case in cache.cases)
        assert not cache.made_again, "a cube was damaged"
    elif path.suffix == ".npy":
        np.load(path, allow_pickle=False)
    elif path.name == "result.json":
        from_json(TrialResult, path.read_text())
    elif path.name.startswith("checkpoint-"):
        assert Checkpoints(folder=path.parent, spec=SPEC).load() is not None
    else:
        assert path.stat().st_size, f"{path} is empty"


def sweep(data: Path, kinds: tuple[str, ...], step: int = 1) -> tuple[int, list[str]]:
    """Let every step-th call fail in each way, then one of those that are left, then none.

    Returns how many calls failed, and every fault that was found after one of them.
    """
    failed, faults = 0, []
    for kind in kinds:
        number, went_wrong = 1, True
        while went_wrong:
            with tempfile.TemporaryDirectory() as scratch:
                place = Path(scratch)
                went_wrong = fails_at(number, kind, data, place)
                faults += [f"{kind} at call {number}: {fault}" for fault in faults_in(place, set())]
                before = {path for path in finals(place) if not path.name.startswith("checkpoint-")}
                again = fails_at(max(1, number // 2), kind, data, place)
                faults += [
                    f"{kind} at call {number} and again: {fault}"
                    for fault in faults_in(place, before)
                ]
                assert not fails_at(10**9, kind, data, place), (
                    "the work goes through once nothing fails"
                )
                faults += [
                    f"{kind} at call {number}, in the end: {fault}"
                    for fault in faults_in(place, before)
                ]
                failed += went_wrong + again
            number += step
    return failed, faults


def main() -> int:
    """Print the counts; the exit code is 1 if anything was lost."""
    from trials.data.datasets.phantoms.writing import write_phantoms

    with tempfile.TemporaryDirectory() as data:
        write_phantoms(Path(data), 2)
        failed, faults = sweep(Path(data), KINDS)
    print(
        f"{failed} failed calls ({', '.join(KINDS)}): {len(faults)} finished files lost or partial"
    )
    print("\n".join(faults))
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
