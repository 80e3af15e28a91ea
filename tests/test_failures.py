"""A grid in which two cells must fail: they are results with their reasons, and the third cell goes on to the report."""

import pandas as pd
import pytest
from conftest import ROOT, bench_run

GRID = """
from dataclasses import replace
from bench.grids import DEMO, product
from trials.losses import LOSSES
from trials.parts import Part

def broken(counts):
    def loss(logits, labels):
        raise RuntimeError("the loss of <this> cell is broken")
    return loss

def exploding(counts):
    return lambda logits, labels: logits.square().mean() * float("inf")

LOSSES["broken"] = Part(broken, about="raises")
LOSSES["exploding"] = Part("user_grid:exploding", about="is infinite")
TINY = replace(
    DEMO,
    name="tiny",
    generate={"num_cases": 11, "seed": 1},
    cells=product(("unet3d",), ("broken", "exploding", "combined"), ("none",)),
    tuning=None,
    recipes={"3d": replace(DEMO.recipes["3d"], epochs=1, steps_per_epoch=2)},
)
"""


@pytest.fixture(scope="module")
def failures(tmp_path_factory):
    place = tmp_path_factory.mktemp("failures")
    (place / "grid.py").write_text(GRID)
    return bench_run("--grid", place / "grid.py", "--out", place / "out", cwd=ROOT)


def test_a_run_with_failures_finishes_with_code_3_and_says_which(failures):
    assert failures.code == 3, failures.stderr[-3000:]
    assert "failed: final unet3d broken" in failures.stderr
    assert "Traceback" not in failures.stderr


def test_each_failure_is_a_row_with_its_reason(failures):
    trials = pd.read_parquet(failures.out / "trials.parquet").set_index("loss")

    assert trials.state.to_dict() == {"broken": "FAILED", "exploding": "FAILED", "combined": "COMPLETE"}
    assert trials.reason["broken"] == "exception"
    assert trials.reason["exploding"] == "diverged"
    assert "the loss of <this> cell is broken" in trials.error["broken"]


def test_the_report_shows_the_holes_and_escapes_the_message(failures):
    page = (failures.out / "report.html").read_text()

    assert "the loss of &lt;this&gt; cell is broken" in page
