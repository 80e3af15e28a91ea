"""The columns of ensembles and mirroring: there once they were scored, and nowhere else."""

import dataclasses

from made_up import MadeUp, all_results, complete, write_run

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


def test_mirroring_has_a_column_and_predictions_their_cost(tmp_path):
    perfect = dataclasses.replace(MADE, quality=lambda *place: 1.0)
    results = [
        dataclasses.replace(
            result,
            mirrored=tuple(
                score
                for score in complete(perfect, result.spec.cell, 0).scores
                if (score.split, score.space) == ("test", NATIVE)
            ),
            facts={
                **result.facts,
                "prediction_seconds_a_case": 2.0 + 3 * result.spec.seed,
                "prediction_peak_gib": 4.0 + result.spec.seed,
            },
        )
        if result.spec.cell == MADE.cells[1] and result.spec.phase == "final"
        else result
        for result in all_results(MADE)
    ]
    before = build_report(write_run(tmp_path / "before", MADE)).read_text()

    page = build_report(write_run(tmp_path / "run", MADE, results)).read_text()

    assert "mirrored" not in before
    assert "seconds per prediction" not in before
    rows = [row for row in page.split("<tr") if "1.000 <small>[1.000, 1.000]" in row]
    assert len(rows) == 1 + len(MADE.classes) - 1
    assert all("vnet" in row for row in rows)
    table = page.split('<table id="front-table"')[1].split("</table>")[0]
    (row,) = (row for row in table.split("<tr") if "vnet" in row)
    mean = sum(2.0 + 3 * seed for seed in MADE.seeds) / len(MADE.seeds)
    assert f"{mean:.2f}" in row
    assert f"{4.0 + max(MADE.seeds):.2f}" in row
    answer = '<section id="leaderboard"'
    assert page.split(answer)[0] == before.split(answer)[0]
