"""A loss is edited in the grid file and the same command given again, as a user does it: refused,
then run again on demand.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, bench_run, on_one_core
from test_killed import run_by_hand

from bench.cli import main
from bench.execution.results import read_results
from trials.identity.code_identity import code_of_cell
from trials.losses import LOSSES
from trials.records.spec import Cell

GRID = """
from dataclasses import replace
from bench.grids import DEMO, product
from trials.losses import LOSSES
from trials.records.registry import Entry

def squared(counts, missed=0.7):
    def loss(logits, labels):
        probs = logits.softmax(1)
        errors = [probs[:, k] - missed * (labels == k) for k in range(logits.shape[1])]
        return sum(error.square().mean() for error in errors)
    return loss

LOSSES["squared"] = Entry(squared)
MINE = replace(
    DEMO,
    name="mine",
    generate={"num_cases": 11, "seed": 1},
    cells=product(("unet3d",), ("squared", "focal"), ("none",)),
    tuning=None,
    seeds=(0,),
    recipes={"3d": replace(DEMO.recipes["3d"], epochs=1, steps_per_epoch=1, train_cases_scored=0)},
)
"""
OWN = Cell(model="unet3d", loss="squared", sampling="none")
SAME_CODE = (
    '<li class="pass"><span class="state">passed</span><span class="claim">All trials ran '
    "the same code</span>"
)


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """What the grid file adds is taken out again."""
    yield
    LOSSES.pop("squared", None)


def files(out: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_an_edited_loss_is_refused_and_on_demand_its_trial_alone_is_run_again(tmp_path, capsys):
    grid, out = tmp_path / "grid.py", tmp_path / "run"
    grid.write_text(GRID)
    run_by_hand(tmp_path, out)
    first, left = read_results(out), files(out)
    grid.write_text(GRID.replace("missed=0.7", "missed=0.6"))

    assert main(["run", "--grid", str(grid), "--out", str(out)]) == 2
    assert capsys.readouterr().err.endswith(
        f"segbench: {out} holds trials that ran another loss 'squared' (1 finished): its source "
        "differs "
        '("missed=0.7" -> "missed=0.6"); choose a new --out, or add --rerun-changed to run this 1 '
        "trial again\n"
    )
    assert files(out) == left
    again = bench_run(
        "--grid", grid, "--out", out, "--rerun-changed", cwd=ROOT, under=on_one_core()
    )

    assert again.code == 0, again.stderr[-3000:]
    second = read_results(out)
    assert first.keys() == second.keys()
    assert {first[trial].spec.cell.loss for trial in first if first[trial] != second[trial]} == {
        "squared"
    }
    # What a worker recorded is what this process finds in the file.
    assert next(
        one.code for one in second.values() if one.spec.cell.loss == "squared"
    ) == code_of_cell(OWN)
    assert "missed=0.6" in (out / "grid.py").read_text()
    assert SAME_CODE in (out / "report.html").read_text()
