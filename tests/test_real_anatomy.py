"""Twenty-four real KiTS23 masks under rendered CT, split as in the paper: a small grid from folder
to report.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from by_hand import run_by_hand

from bench.cli import main
from bench.run import write_report

GRID = """
from dataclasses import replace
from bench.grids import DEMO, product

SMALL = replace(DEMO.recipes["3d"], epochs=1, steps_per_epoch=2)
REAL = replace(
    DEMO,
    name="real",
    dataset="kits23",
    splits="paper",
    generate={},
    cells=(
        *product(("unet3d",), ("combined",), ("oversample",)),
        *product(("vnet",), ("focal",), ("oversample",)),
    ),
    tuning=None,
    recipes={"3d": SMALL, "vnet": replace(DEMO.recipes["vnet"], epochs=1, steps_per_epoch=2)},
)
"""


@dataclass(frozen=True)
class Real:
    """The grid's run folder, and what was printed before its first trial."""

    out: Path
    printed: str


@pytest.fixture(scope="module")
def real(tmp_path_factory, fixtures):
    place = tmp_path_factory.mktemp("real")
    make = [
        sys.executable,
        fixtures / "tools" / "kits_from_masks.py",
        fixtures / "data" / "kits23_masks",
        place / "data",
    ]
    subprocess.run([*map(str, make), "--shrink", "4"], check=True, capture_output=True)
    (place / "grid.py").write_text(GRID)
    printed = run_by_hand(place, place / "out", place / "data")
    write_report(place / "out")
    return Real(place / "out", printed)


def test_the_papers_split_is_kept_and_the_missing_cases_are_counted(real):
    scores = pd.read_parquet(real.out / "scores.parquet")

    assert "24 of 489 cases: 16 train, 4 validation, 4 test" in real.printed
    numbers = {
        split: {int(case[5:]) for case in scores[scores.split == split].case}
        for split in ("val", "test")
    }
    assert len(numbers["val"]) == len(numbers["test"]) == 4
    assert all(437 <= number <= 506 for number in numbers["val"])
    assert all(507 <= number <= 587 for number in numbers["test"])


def test_native_counts_are_those_of_the_real_masks(real, fixtures):
    import nibabel
    import numpy as np

    scores = pd.read_parquet(real.out / "scores.parquet")
    native = scores[(scores.space == "native") & (scores.split == "test")]

    for case, rows in native.groupby("case"):
        mask = np.asarray(
            nibabel.load(fixtures / "data" / "kits23_masks" / f"{case}.nii.gz").dataobj
        )[:, ::4, ::4]
        for label in range(4):
            assert set(rows[rows.label == label].true_voxels) == {int((mask == label).sum())}


def test_the_report_sets_the_papers_tables_beside_ours(real):
    page = (real.out / "report.html").read_text()

    assert 'id="paper"' in page
    assert "24 of 489" in page


def test_a_grid_that_starts_from_imagenet_names_the_file_to_provide_when_offline(
    real, tmp_path, capsys
):
    data = real.out.parent / "data"

    code = main(["run", "--grid", "paper", "--data", str(data), "--out", str(tmp_path / "out")])

    assert code == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("segbench: unet2d_resnet50 starts from ImageNet weights")
    assert "model.safetensors of huggingface.co/smp-hub/resnet50.imagenet" in error
    assert "--weights unet2d_resnet50=PATH" in error
    assert not list((tmp_path / "out").rglob("*"))
