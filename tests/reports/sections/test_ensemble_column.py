"""The column of the seeds as an ensemble: there once one was scored, and nowhere else."""

import dataclasses

from made_up import MadeUp, complete, write_run

from reports.build import build_report
from trials.records.codec import to_json
from trials.records.result import NATIVE, EnsembleScores

MADE = MadeUp(losses=("focal",), num_test=4)


def write_ensemble(out, cell, trials):
    """A perfect ensemble, though none of its seeds is."""
    perfect = complete(dataclasses.replace(MADE, quality=lambda *place: 1.0), cell, 0)
    scores = tuple(
        score for score in perfect.scores if (score.split, score.space) == ("test", NATIVE)
    )
    path = out / "ensembles" / "one.json"
    path.parent.mkdir()
    one = EnsembleScores(cell=cell, trials=trials, scores=scores, surfaces=perfect.surfaces)
    path.write_text(to_json(one))


def test_the_ensemble_of_a_configuration_stands_in_its_row_and_changes_no_answer(tmp_path):
    out, cell = write_run(tmp_path, MADE), MADE.cells[1]
    before = build_report(out).read_text()
    write_ensemble(out, cell, {complete(MADE, cell, seed).trial: "None" for seed in MADE.seeds})

    page = build_report(out).read_text()

    assert "seeds as an ensemble" not in before
    rows = [row for row in page.split("<tr") if "1.000 <small>[1.000, 1.000]" in row]
    assert len(rows) >= 1 + len(MADE.classes) - 1
    assert all("vnet" in row for row in rows)
    answer = '<section id="leaderboard"'
    assert page.split(answer)[0] == before.split(answer)[0]


def test_an_ensemble_of_other_trials_is_left_out(tmp_path):
    out, cell = write_run(tmp_path, MADE), MADE.cells[1]
    write_ensemble(out, cell, {complete(MADE, cell, 0).trial: "None"})

    assert "seeds as an ensemble" not in build_report(out).read_text()
