"""Times jobs where trials would run: on workers, through Ray, as many at once as will share a
node's cores or a GPU.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import ray


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A job to time, as JSON: samplings are those whose steps are counted, gpu_share its share of a
    GPU, copies run at once.
    """

    job: str
    samplings: tuple[str, ...]
    gpu_share: float
    copies: int


@ray.remote(max_retries=0)
def _timed(job: str, samplings: Sequence[str], grid_file: str) -> dict[str, Any]:
    """A Timing as plain values with the seconds that this process needed before it, or {"error":
    why it cannot run}.
    """
    started = time.perf_counter()
    from trials.records.codec import from_json
    from trials.records.job import Job
    from trials.training.memory import is_out_of_memory, oom_text
    from trials.training.timing import time_trial

    if grid_file:
        from bench.grid.user_file import load_grid_text

        load_grid_text(grid_file)
    start = time.perf_counter() - started
    parsed = from_json(Job, job)
    try:
        return asdict(time_trial(parsed, samplings)) | {"start": start}
    except Exception as error:
        return {
            "error": oom_text(parsed, error)
            if is_out_of_memory(error)
            else str(error) or type(error).__name__
        }


def node_cpus() -> int:
    """The cores of the largest node that is there; 1 before Ray has started."""
    if not ray.is_initialized():
        return 1
    return max(int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["Alive"])


def measure(samples: Sequence[Sample], grid_file: str) -> list[list[dict[str, Any]]]:
    """Of each sample the timings of its copies, taken side by side, since trials that share a
    machine slow each other down.
    """
    pending = [
        [
            _timed.options(num_cpus=1, num_gpus=one.gpu_share).remote(
                one.job, one.samplings, grid_file
            )
            for _ in range(one.copies)
        ]
        for one in samples
    ]
    return [ray.get(copies) for copies in pending]
