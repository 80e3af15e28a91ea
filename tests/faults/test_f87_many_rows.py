"""A page of ten thousand trials, the most that a grid may ask for."""

from dataclasses import replace
from datetime import datetime, timedelta

from made_up import MadeUp, write_run

from bench.grids import MOST_TRIALS
from reports.analysis.context import build_context
from reports.elements import LONGEST_TABLE
from reports.load.run_folder import read_run
from reports.page import render
from reports.sections.trials import trials
from reports.table import scores_table, trials_table
from trials.records.spec import TUNE

LARGEST = 10e6


def test_f87_of_ten_thousand_trials_the_page_shows_the_first_and_says_where_all_are(tmp_path):
    made = MadeUp(
        models=("unet3d",), losses=("focal",), seeds=(0,), num_val=1, num_test=1, tunings=1
    )
    run = read_run(write_run(tmp_path, made))
    (tuned,) = (result for result in run.results if result.spec.phase == TUNE)
    start = datetime.fromisoformat(tuned.started)
    many = tuple(
        replace(
            tuned,
            trial=f"{number:012x}",
            spec=replace(tuned.spec, number=number),
            scores=(),
            curve=tuned.curve[:1],
            started=(start + timedelta(minutes=number)).isoformat(),
        )
        for number in range(MOST_TRIALS)
    )
    run = replace(run, results=(*run.finals, *many))
    table = trials_table(run)

    section = trials(build_context(run, scores_table(run), table, "none"))

    timeline = section.blocks[0].table
    tuning = next(block for block in section.blocks if block.id == "trials-tune")
    assert len(table) == MOST_TRIALS + 1
    assert len(timeline.rows) == len(tuning.rows) == LONGEST_TABLE
    assert (
        timeline.caption
        == "Start and duration of each trial; the first 2,000 of them, all are in trials.csv."
    )
    assert (
        tuning.caption
        == "All tuning trials (10000): the first 2,000 of them, all are in trials.csv"
    )
    assert len(render("many", "", [section])) < LARGEST
