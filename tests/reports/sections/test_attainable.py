"""The attainable score: floor and ceiling by hand, and ceilings that are not the run's."""

import json

import numpy as np
import pytest
from made_up import MadeUp, write_run

from reports.build import build_report
from reports.load.ceilings import background_floor, read_ceilings
from reports.load.counts import Counts, count
from reports.load.run_folder import read_run
from reports.table import scores_table


def test_shares_are_score_over_ceiling(tmp_path):
    made = MadeUp(
        seeds=(0,),
        quality=lambda cell, seed, case, label: 0.45 if cell.model == "vnet" else 0.9,
        ceiling=0.9,
    )

    page = build_report(write_run(tmp_path, made)).read_text()

    section = (
        page.split('<section id="attainable"')[1]
        .split("</section>")[0]
        .replace("\N{NO-BREAK SPACE}", " ")
    )
    assert "kidney 100 % of 0.90" in section
    assert section.count(">50 %<") == 2 * 3
    assert section.count(">100 %<") == 2 * 3
    assert "No mean exceeds the ceiling" in section


def test_means_beyond_the_ceiling_are_counted(tmp_path):
    page = build_report(
        write_run(tmp_path, MadeUp(seeds=(0,), quality=lambda *place: 0.9, ceiling=0.8))
    ).read_text()

    assert "12 means exceed the ceiling" in page


def test_the_floor_of_the_background_is_an_empty_predictions():
    true = np.array([[900, 100, 0], [600, 300, 100]])
    nobody = np.zeros((0, 1, 2, 3), np.int64)
    floor = background_floor(
        Counts(
            cases=("a", "b"),
            true=true,
            pred=nobody,
            overlap=nobody,
            available=np.zeros((0, 1), bool),
        )
    )

    assert floor.dice == pytest.approx((1800 / 1900 + 1200 / 1600) / 2)
    assert floor.iou == pytest.approx((0.9 + 0.6) / 2)


def test_ceilings_of_other_references_are_refused_and_none_are_no_section(tmp_path):
    run = read_run(write_run(tmp_path, MadeUp(ceiling=0.9)))
    test = count(run, scores_table(run), "test", "native")
    path = tmp_path / "ceiling.json"
    assert read_ceilings(tmp_path, test)["digest"].by_label[1].dice == pytest.approx(0.9)

    kept = json.loads(path.read_text())
    kept["ceilings"][0]["scores"][1]["true_voxels"] += 1
    path.write_text(json.dumps(kept))
    with pytest.raises(ValueError, match="other test cases or references"):
        read_ceilings(tmp_path, test)

    path.unlink()
    assert read_ceilings(tmp_path, test) == {}
    path.write_text("{")
    with pytest.raises(ValueError, match="cannot be read as ceilings"):
        read_ceilings(tmp_path, test)
