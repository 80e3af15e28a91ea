"""The same work on many cases, over the cores of a machine; faults are gathered, not met one at a
time.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import partial
from multiprocessing import get_context
from typing import Protocol, TypeVar

from trials.process.malloc import keep_freed_memory
from trials.records.faults import Fault, FaultyData, fault_of
from trials.storage.atomic import NotWritten

# From linux/prctl.h.
PR_SET_PDEATHSIG = 1


class Named(Protocol):
    """What work is done on: anything that knows which case it is."""

    @property
    def case(self) -> str: ...


C = TypeVar("C", bound=Named)
R = TypeVar("R")


def work_on(
    cases: Sequence[C],
    work: Callable[[C], R],
    workers: int | None,
    on_done: Callable[[], None],
    done_to_them: str = "prepared",
) -> dict[str, R]:
    """Do work(case) for every case in that many processes (None: one a core) and return the results
    in the order of cases.

    on_done is called after each case. When all have been tried, raises one FaultyData that names
    every fault; done_to_them is its word for the work. A file of ours that cannot be written ends
    it at once, with NotWritten.
    """
    done, faults = try_on(cases, work, workers, on_done)
    if faults:
        raise FaultyData(f"{len(faults)} of {len(cases)} cases cannot be {done_to_them}", faults)
    return done


def try_on(
    cases: Sequence[C], work: Callable[[C], R], workers: int | None, on_done: Callable[[], None]
) -> tuple[dict[str, R], list[Fault]]:
    """The same without an error: the results, and the fault of every case that has none, both in
    the order of cases.
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


def end_with_parent() -> None:
    """Let the kernel end this process with the one that started it, which may be killed without a
    word (Linux).
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def num_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begin() -> None:
    """How a process starts that works on one case after the other."""
    end_with_parent()
    keep_freed_memory()


def _attempt(work: Callable[[C], R], case: C) -> tuple[str, R | None, Fault | None]:
    try:
        return case.case, work(case), None
    except NotWritten:
        raise
    except (ValueError, OSError) as error:
        return case.case, None, fault_of(error, case.case)


def _outcomes(cases: Sequence[Named], attempt: Callable, workers: int) -> Generator[tuple]:
    """Outcomes as they come; when the reader stops, what has not begun is dropped."""
    if workers <= 1:
        keep_freed_memory()
        yield from map(attempt, cases)
        return
    # A forked child of a process with threads may hang; a spawned one starts clean.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin) as pool:
        try:
            for future in as_completed([pool.submit(attempt, case) for case in cases]):
                yield future.result()
        except BrokenProcessPool:
            raise ValueError(
                "a worker process died, probably for want of memory; run again with fewer workers"
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
