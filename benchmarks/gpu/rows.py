"""The rows of results/gpu.txt with what each is to reach, and the sheet that writes a row as soon
as it is known.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trials.storage.atomic import write_text
from trials.training.precision import LIMIT

VOLUME_MODELS = ("unet3d", "segresnet", "vnet")
SLICE_MODEL = "unet2d_resnet50"
LAYOUTS = ("channels_last", "contiguous")
MODES = ("compiled", "eager")
ABOUT = (
    "What one GPU reaches, by `python -m benchmarks.gpu`: a part a run of that command, every "
    "row measured in that run"
)
NOT_MEASURED = "not measured"
# Before a part's name and stamp in the file.
PART = re.compile(r"^(?=\[\w+\] )", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Row:
    """One measured number and what it is to reach: at_most, at_least, or neither where it only
    informs.
    """

    name: str
    at_most: float | None = None
    at_least: float | None = None

    def reach(self) -> str:
        """The target as it is printed."""
        if self.at_most is not None:
            return f"<= {self.at_most:g}"
        return "" if self.at_least is None else f">= {self.at_least:g}"

    def verdict(self, value: float) -> str:
        """Whether a value reaches the target; "" without one."""
        if self.at_most is None and self.at_least is None:
            return ""
        is_reached = (
            value <= self.at_most if self.at_most is not None else value >= (self.at_least or 0.0)
        )
        return "reached" if is_reached else "MISSED"


def step_row(model: str) -> str:
    """The name of a model's ratio of steps."""
    return f"{model}: step, ours / best bare loop"


def bare_row(model: str, layout: str, mode: str) -> str:
    """The name of a bare loop's row."""
    return f"{model}: bare loop, {layout} {mode}, ms a step"


def own_rows(model: str) -> tuple[Row, ...]:
    """What is measured of a model in our own trainer."""
    beside = (
        (Row(f"{model}: time beside the model, %", at_most=5.0),) if model == SLICE_MODEL else ()
    )
    return (
        Row(f"{model}: ours, ms a step"),
        *beside,
        Row(f"{model}: first epoch beyond its steps, s", at_most=10.0),
        Row(f"{model}: ours, peak memory GiB"),
        Row(f"{model}: arithmetic, largest error", at_most=LIMIT),
        Row(f"{model}: validation / its forward passes", at_most=1.5),
    )


def eager_start_row(model: str) -> str:
    """The name of what the first epoch of a model that is not compiled takes, in a new process."""
    return f"{model}: first epoch beyond its steps, eager, s"


def model_rows(model: str) -> tuple[Row, ...]:
    """Every row of a model."""
    bare = [Row(bare_row(model, layout, mode)) for mode in MODES for layout in LAYOUTS]
    return (
        Row(step_row(model), at_most=1.05),
        *own_rows(model),
        Row(eager_start_row(model), at_most=10.0),
        *bare,
    )


LOSS_ROWS = {
    name: f"loss {name}: relative difference, GPU to CPU"
    for name in ("combined", "focal", "weighted_focal")
}
COUNTS_ROW = "voxel counts that differ, GPU to CPU"
VOXELS_ROW = "a network in float32: equal voxels, GPU to CPU, %"
BUSY_ROW = "GPU busy, first trial's first step to last trial's end, %"
GAP_ROW = "from a result on disk to the next trial's first step, s"
SIX_ROW = "trials complete, of 6"
WALL_ROW = "the demo, every trial on one GPU, wall seconds"
DONE_ROW = "trials complete, % of the demo's"
DICE_ROW = "Dice of the best cell, mean over labels, test cases"

ROWS: Mapping[str, tuple[Row, ...]] = {
    "steps": (
        *(row for model in (*VOLUME_MODELS, SLICE_MODEL) for row in model_rows(model)),
        *(Row(name, at_most=1e-5) for name in LOSS_ROWS.values()),
        Row(COUNTS_ROW, at_most=0.0),
        Row(VOXELS_ROW),
    ),
    "grid": (Row(BUSY_ROW, at_least=90.0), Row(GAP_ROW, at_most=3.0), Row(SIX_ROW, at_least=6.0)),
    "demo": (Row(WALL_ROW, at_most=240.0), Row(DONE_ROW, at_least=100.0), Row(DICE_ROW)),
}


@dataclass(slots=True, kw_only=True)
class Sheet:
    """The rows of one part. path None keeps nothing on disk; seconds is the time that the part may
    take from now; table holds the rows of all parts of the file, about says what it is.
    """

    part: str
    stamp: str
    path: Path | None
    seconds: float
    table: Mapping[str, tuple[Row, ...]] = field(default_factory=lambda: ROWS)
    about: str = ABOUT
    started: float = field(default_factory=time.perf_counter)
    lines: dict[str, tuple[float | None, str]] = field(default_factory=dict)

    def left(self) -> float:
        """Seconds until the part's time is spent."""
        return self.started + self.seconds - time.perf_counter()

    def write(self, name: str, value: float, detail: str = "") -> None:
        """Keep a row's value and print it."""
        self._keep(name, value, detail)

    def leave_out(self, names: Sequence[str], why: str) -> None:
        """Say of the rows of which nothing was said yet why they have no value."""
        for name in names:
            if name not in self.lines:
                self._keep(name, None, why)

    def value(self, name: str) -> float | None:
        """A row's value, None where there is none."""
        return self.lines.get(name, (None, ""))[0]

    def measure(self, names: Sequence[str], way: Callable[[], None], needs: float = 0.0) -> None:
        """Call a function that writes these rows, unless fewer seconds than it needs are left; what
        it raises is told.
        """
        if self.left() <= needs:
            rest = (
                f"{self.left():.0f} were left where this takes {needs:g}"
                if self.left() > 0
                else "were spent"
            )
            self.leave_out(names, f"the part's {self.seconds:g} s {rest}")
            return
        try:
            way()
        except Exception as error:
            reason = " ".join(str(error).split())[:150]
            self.leave_out(names, f"{type(error).__name__}: {reason}")
        else:
            self.leave_out(names, "nothing was measured for it")

    def text(self) -> str:
        """The part as it stands in the file: a stamp, then every row of the table,
        measured or not."""
        rows = [self._line(row) for row in self.table[self.part]]
        return (
            "\n".join(
                [
                    f"[{self.part}] {self.stamp}",
                    "",
                    f"{'row':62} {'value':>12}  {'reach':9} ",
                    *rows,
                ]
            )
            + "\n"
        )

    def save(self) -> None:
        """Write the file anew, with the other parts as they are there."""
        if self.path is None:
            return
        blocks = parts_of(self.path.read_text() if self.path.is_file() else "") | {
            self.part: self.text()
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(
            self.path,
            "\n".join(
                [self.about + "\n", *(blocks[part] for part in self.table if part in blocks)]
            ),
        )

    def _keep(self, name: str, value: float | None, detail: str) -> None:
        (row,) = (row for row in self.table[self.part] if row.name == name)
        self.lines[name] = (value, detail)
        print(self._line(row), flush=True)
        self.save()

    def _line(self, row: Row) -> str:
        value, detail = self.lines.get(row.name, (None, ""))
        number = NOT_MEASURED if value is None else f"{value:.4g}"
        verdict = "" if value is None else row.verdict(value)
        return f"{row.name:62} {number:>12}  {row.reach():9} {verdict:8} {detail}".rstrip()


def parts_of(text: str) -> dict[str, str]:
    """The blocks of a results file by the part's name, each from its stamp to its last row."""
    blocks = PART.split(text)[1:]
    return {block[1 : block.index("]")]: block.rstrip("\n") + "\n" for block in blocks}
