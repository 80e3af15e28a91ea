"""A metric that a grid file adds in one line stands in score, table and report."""

import csv
import json
import math

import nibabel
import numpy as np
import pandas as pd
import pytest
from made_up import MadeUp, holds, write_run

from bench.cli import main
from trials.records.metrics import METRICS

GRID = '''\
"""A demo with a metric of its own."""

from dataclasses import replace

from bench.grids import DEMO, METRICS, MetricEntry


def precision(pred_voxels, overlap_voxels):
    return overlap_voxels / pred_voxels


METRICS["precision"] = MetricEntry(precision, of=("pred_voxels", "overlap_voxels"))
MINE = replace(DEMO, name="mine")
'''


@pytest.fixture
def grid(tmp_path):
    """The grid file; what it adds is taken out again."""
    before = dict(METRICS)
    path = tmp_path / "my_grid.py"
    path.write_text(GRID)
    yield path
    METRICS.clear()
    METRICS.update(before)


def section_of(folder):
    page = (folder / "report.html").read_text()
    return page.split('<section id="metrics"')[1].split("</section>")[0]


def test_the_report_and_its_table_show_a_metric_of_ones_own(tmp_path, grid):
    made = MadeUp()
    write_run(tmp_path / "run", made)

    assert main(["report", str(tmp_path / "run"), "--grid", str(grid)]) == 0

    rows = pd.read_parquet(tmp_path / "run" / "surfaces.parquet")
    held = rows[rows["pred_voxels"] > 0]
    assert (held["precision"] == held["overlap_voxels"] / held["pred_voxels"]).all()
    assert rows[rows["pred_voxels"] == 0]["precision"].isna().all()
    section = section_of(tmp_path / "run")
    assert "precision ↑" in section
    # As many true as predicted voxels: the precision is the Dice, which is the quality.
    cases = [case for case in made.splits["test"] if holds(case, 1)]
    kidney = np.mean([made.quality(made.cells[0], 0, case, 1) for case in cases])
    assert f">{kidney:.3f}" in section.split('id="metrics-1"')[1].split("</table>")[0]


def test_score_shows_a_metric_of_ones_own(tmp_path, grid, capsys):
    for folder, stop in (("reference", 6), ("prediction", 10)):
        labels = np.zeros((12, 8, 8), np.uint8)
        labels[2:stop, 2:6, 2:6] = 1
        (tmp_path / folder).mkdir()
        nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), tmp_path / folder / "a.nii.gz")
    places = [f"--{name}={tmp_path / name}" for name in ("reference", "prediction")]

    asked = ["--dataset=kits23", f"--csv={tmp_path / 'scores.csv'}", "--workers=1"]
    code = main(["score", *places, *asked, f"--grid={grid}"])

    assert code == 0
    with (tmp_path / "scores.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["precision_kidney"], row["precision_tumor"]) == ("0.5", "")
    assert "kidney           precision" in capsys.readouterr().out


def test_distances_and_volumes_of_a_run_stand_in_its_report(tmp_path):
    write_run(tmp_path, MadeUp())

    assert main(["report", str(tmp_path)]) == 0

    section = section_of(tmp_path)
    assert all(
        heading in section for heading in ("HD95, mm ↓", "volume error, ml → 0", "lesion recall ↑")
    )
    rows = pd.read_parquet(tmp_path / "surfaces.parquet")
    missed = (rows["true_voxels"] > 0) != (rows["pred_voxels"] > 0)
    assert (rows[missed]["hd95_mm"] == math.inf).all()
    # Two mm3 a voxel.
    error = (rows["pred_voxels"] - rows["true_voxels"]) * 2 / 1000
    assert np.allclose(rows["volume_error_ml"], error)


def test_results_without_distances_have_a_report_that_does_not_know_them(tmp_path):
    run = write_run(tmp_path, MadeUp())
    for path in run.glob("trials/*/result.json"):
        text = path.read_text()
        for name in ("hd95_mm", "voxel_mm3"):
            text = without(text, name)
        path.write_text(text)

    assert main(["report", str(tmp_path)]) == 0

    rows = pd.read_parquet(tmp_path / "surfaces.parquet")
    assert rows["volume_error_ml"].isna().all()
    assert not np.isfinite(rows["hd95_mm"]).any()


def without(text, name):
    """A result's text without one field of each surface."""
    document = json.loads(text)
    for row in document["surfaces"]:
        del row[name]
    return json.dumps(document)
