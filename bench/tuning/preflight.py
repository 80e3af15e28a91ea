"""Before a node trains: does it see what the driver writes, and the data? Storage that is not
shared ends the run.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray.tune import Callback

from bench.tuning.node_checks import ask, living
from bench.tuning.node_report import complaint


class Preflight(Callback):
    """Checks every node of a cluster once: those that are there at the start, and each newcomer
    with its first trial.

    needed names the files and folders that trials read. Raises ValueError in one sentence that
    names the nodes.
    """

    def __init__(self, out: Path, needed: Sequence[str]):
        self.out, self.needed = out, tuple(needed)
        self.known: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing of it goes into Ray's snapshots: it is never restored."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial got its place, perhaps on a node that was not there before."""
        self.check()

    def check(self) -> None:
        """Ask every node that has not answered yet; one that goes away meanwhile is asked again if
        it comes back.
        """
        nodes = living()
        fresh = {node: address for node, address in nodes.items() if node not in self.known}
        if len(nodes) < 2 or not fresh:
            return
        sights = ask(fresh, self.out, self.needed)
        wrong, fix = complaint(self.out, list(sights.values()))
        if wrong:
            raise ValueError(f"{wrong}; {fix}")
        self.known |= {node for node, sight in sights.items() if not sight.lost}
