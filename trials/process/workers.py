"""Run one function on many cases in parallel processes and collect all faults, not only the first;
and what such a process needs: freed memory kept for the next case, and enough open files.
"""

import ctypes
import functools
import os
import resource
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import partial
from multiprocessing import get_context
from typing import Any, Protocol, TypeVar

from trials.records.faults import Fault, FaultyData, fault_of
from trials.storage.atomic import NotWritten

# From linux/prctl.h.
PR_SET_PDEATHSIG = 1


class HasCase(Protocol):
    """An item to process: any object that names its case."""

    @property
    def case(self) -> str: ...


C = TypeVar("C", bound=HasCase)
R = TypeVar("R")


def run_on_cases(
    cases: Sequence[C],
    work: Callable[[C], R],
    workers: int | None,
    on_done: Callable[[], None],
    work_name: str = "prepared",
) -> dict[str, R]:
    """Call work(case) for every case in `workers` processes (None: one per core) and return the
    results in the order of cases.

    on_done is called after each case. After the last case, raises one FaultyData that lists every
    fault; work_name is the participle in its message. If an output file cannot be written,
    NotWritten is raised at once.
    """
    done, faults = try_on_cases(cases, work, workers, on_done)
    if faults:
        raise FaultyData(f"{len(faults)} of {len(cases)} cases cannot be {work_name}", faults)
    return done


def try_on_cases(
    cases: Sequence[C], work: Callable[[C], R], workers: int | None, on_done: Callable[[], None]
) -> tuple[dict[str, R], list[Fault]]:
    """Like run_on_cases, but return the faults instead of raising: results and faults, both in the
    order of cases.
    """
    workers = min(workers or num_cores(), len(cases))
    done: dict[str, R] = {}
    faults: dict[str, Fault] = {}
    with closing(_outcomes(cases, partial(_attempt, work), workers)) as outcomes:
        for case, result, fault in outcomes:
            if fault is None:
                done[case] = result
            else:
                faults[case] = fault
            on_done()
    names = [case.case for case in cases]
    return {name: done[name] for name in names if name in done}, [
        faults[name] for name in names if name in faults
    ]


def die_with_parent() -> None:
    """Ask the kernel to kill this worker if its parent dies (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def num_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_worker() -> None:
    """Initialise a worker process."""
    die_with_parent()
    keep_freed_memory()


def _attempt(work: Callable[[C], R], case: C) -> tuple[str, R | None, Fault | None]:
    try:
        return case.case, work(case), None
    except NotWritten:
        raise
    except (ValueError, OSError) as error:
        return case.case, None, fault_of(error, case.case)


def _outcomes(
    cases: Sequence[HasCase], attempt: Callable[..., Any], workers: int
) -> Generator[tuple[Any, ...]]:
    """Yield outcomes as they finish; when the consumer stops, pending cases are cancelled."""
    if workers <= 1:
        keep_freed_memory()
        yield from map(attempt, cases)
        return
    # A forked child of a process with threads may hang; a spawned one starts clean.
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_start_worker
    ) as pool:
        try:
            for future in as_completed([pool.submit(attempt, case) for case in cases]):
                yield future.result()
        except BrokenProcessPool:
            raise ValueError(
                "a worker process died, probably out of memory; rerun with fewer workers"
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


# glibc's mallopt parameters: how many allocations may use mmap, and how much free memory stays at
# the end of what malloc holds.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


@functools.cache
def keep_freed_memory() -> None:
    """Let the C library reuse freed memory instead of returning it, once per process.

    Each step allocates and frees the same large tensors as the step before, each case the same
    arrays as the case before. New pages would cost up to a seventh of the time.
    environment.reset_peak returns the memory.
    """
    libc = ctypes.CDLL(None)
    if sys.platform == "linux" and hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)


# What a trial opens besides its data.
OTHERS = 256


def allow_open_files(number: int, what: str) -> None:
    """Let this process hold so many files open for what, and a few more: a map of a file keeps a
    descriptor, and those of 489 cases pass the usual 1024. Raises ValueError where it may not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = number + OTHERS
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ValueError(
            f"{what} need {needed} open files, and the limit is {hard}; raise it (ulimit -Hn "
            f"{needed})"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
