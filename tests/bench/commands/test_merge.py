"""segbench merge: two halves of a grid are the whole, and runs that cannot be compared are
refused.
"""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli import main
from trials.records.spec import FINAL

sys.path.append(str(Path(__file__).parents[2] / "reports"))
from made_up import MadeUp, all_results, plausible_quality, write_run
from page_tables import Tables

WHOLE = MadeUp(num_test=4, tunings=2, ceiling=0.9, quality=plausible_quality)
HALVES = [replace(WHOLE, models=(model,)) for model in WHOLE.models]
SEEDS = [replace(WHOLE, seeds=(seed,)) for seed in WHOLE.seeds]
CROSSED = replace(WHOLE, folds=(0, 1), losses=("focal",), num_test=3)
TABLES = ("scores", "surfaces", "trials")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The whole grid with its report."""
    out = write_run(tmp_path_factory.mktemp("whole") / "run", WHOLE)
    main(["report", str(out)])
    return out


def merge(place, halves) -> int:
    runs = []
    for half in halves:
        results = [
            result
            for result in all_results(WHOLE)
            if result.spec.cell in half.cells
            and (result.spec.phase != FINAL or result.spec.seed in half.seeds)
        ]
        runs.append(write_run(place / str(len(runs)), half, results))
    return main(["merge", *map(str, runs), "--out", str(place / "merged")])


@pytest.mark.parametrize("halves", [HALVES, SEEDS], ids=["models", "seeds"])
def test_two_half_grids_merged_equal_the_whole_grid(halves, whole, tmp_path):
    assert merge(tmp_path, halves) == 0

    merged = tmp_path / "merged"
    for name in (*(f"{table}.csv" for table in TABLES), "leaderboard.tex", "studies.json"):
        assert (merged / name).read_text() == (whole / name).read_text(), name
    pages = [(run / "report.html").read_text() for run in (merged, whole)]
    assert Tables(pages[0]).tables == Tables(pages[1]).tables
    assert "Unfinished" not in pages[0]


def test_runs_of_single_folds_merged_equal_the_cross_validation(tmp_path):
    whole = write_run(tmp_path / "whole", CROSSED)
    main(["report", str(whole)])
    runs = []
    for fold in CROSSED.folds:
        results = [result for result in all_results(CROSSED) if result.spec.fold == fold]
        runs.append(write_run(tmp_path / str(fold), CROSSED, results))
        record = json.loads((runs[-1] / "run.json").read_text())
        keep_fold(record, fold)
        (runs[-1] / "run.json").write_text(json.dumps(record))

    assert main(["merge", *map(str, runs), "--out", str(tmp_path / "merged")]) == 0

    for name in (*(f"{table}.csv" for table in TABLES), "leaderboard.tex", "studies.json"):
        assert (tmp_path / "merged" / name).read_text() == (whole / name).read_text(), name
    pages = [(run / "report.html").read_text() for run in (tmp_path / "merged", whole)]
    assert Tables(pages[0]).tables == Tables(pages[1]).tables
    assert "Unfinished" not in pages[0]


def keep_fold(record, fold):
    """Make the record of a cross-validation that of one of its folds."""
    record["folds"] = [fold]
    record["planned"] = {phase: count // 2 for phase, count in record["planned"].items()}
    record["studies"] = [study for study in record["studies"] if study["fold"] == fold]
    for key in ("fold_cases", "split_hash"):
        record["data"][key] = {str(fold): record["data"][key][str(fold)]}


def damage(record, key, value):
    *outer, last = key.split(".")
    for name in outer:
        record = record[name]
    record[last] = value


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.fingerprint", "other"),
        ("data.split_hash.0", "other"),
        ("data.grouping.state", "assumed"),
        ("tuning.trials", 9),
        ("code.segbench", "0.1.0 other"),
        ("recipes.unet3d.epochs", 99),
    ],
)
def test_runs_that_cannot_be_compared_are_refused_by_what_differs(key, value, tmp_path, capsys):
    runs = [write_run(tmp_path / str(number), half) for number, half in enumerate(HALVES)]
    record = json.loads((runs[1] / "run.json").read_text())
    damage(record, key, value)
    (runs[1] / "run.json").write_text(json.dumps(record))

    assert main(["merge", *map(str, runs), "--out", str(tmp_path / "merged")]) == 2

    told = capsys.readouterr().err
    assert f"cannot be merged, since these differ: {key} " in told
    assert repr(value) in told or str(value) in told
    assert not (tmp_path / "merged").exists()


def test_a_configuration_tuned_twice_and_a_full_folder_are_refused(tmp_path, capsys):
    runs = [write_run(tmp_path / str(number), half) for number, half in enumerate(SEEDS)]
    for path in (runs[1] / "trials").glob("*/result.json"):
        text = path.read_text()
        if '"phase":"final"' in text.replace(" ", ""):
            path.write_text(text.replace("0.003", "0.004"))
    names = [str(run) for run in runs]

    assert main(["merge", *names, "--out", str(tmp_path / "merged")]) == 2
    assert "was trained with other settings" in capsys.readouterr().err

    shutil.copytree(runs[0], tmp_path / "full")
    assert main(["merge", *names, "--out", str(tmp_path / "full")]) == 2
    assert "choose a new or empty folder" in capsys.readouterr().err
