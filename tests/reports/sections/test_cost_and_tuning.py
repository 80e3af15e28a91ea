"""Fronts of cost and what tuning taught, by hand."""

import dataclasses
import json

import optuna
import pandas as pd
import pytest
from made_up import MadeUp, all_results, complete, write_run
from optuna.distributions import FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from page_tables import agrees, frames

from bench.search.studies import write_studies
from reports.analysis.costs import Cost, device_hours, pareto_front
from reports.build import build_report
from trials.records.result_file import read_results
from trials.records.spec import TUNE


def cost(i, dice, hours):
    one = complete(MadeUp(), MadeUp().cells[0], 0)
    return Cost(
        i=i,
        dice=dice,
        seconds=3600 * hours,
        hours=hours,
        search_hours=0.0,
        peak_gib=1.0,
        one=one,
    )


def test_the_front_holds_what_no_other_beats_at_its_price():
    costs = [
        cost(0, 0.5, 1.0),
        cost(1, 0.4, 2.0),
        cost(2, 0.7, 3.0),
        cost(3, 0.6, 1.0),
        cost(4, 0.7, 4.0),
    ]

    assert [one.i for one in pareto_front(costs, lambda one: one.hours)] == [3, 2]


def test_device_hours_count_cores_or_the_share_of_a_card():
    trial = dataclasses.replace(complete(MadeUp(), MadeUp().cells[0], 0), seconds=1800.0)
    half = dataclasses.replace(
        trial.spec, recipe=dataclasses.replace(trial.spec.recipe, gpu_share=0.5)
    )

    assert (
        device_hours(dataclasses.replace(trial, facts={"device_type": "cpu", "threads": 4})) == 2.0
    )
    assert (
        device_hours(
            dataclasses.replace(trial, spec=half, facts={"device_type": "cuda", "threads": 4})
        )
        == 0.25
    )


def words(out):
    write_studies(out, read_results(out).values())
    page = build_report(out, "none").read_text()
    return page.split('<section id="hpo"')[1].split("</section>")[0]


def test_two_settings_a_cell_teach_nothing_and_the_page_says_so(tmp_path):
    section = words(write_run(tmp_path, MadeUp(seeds=(0,), tunings=2)))

    assert "The importance of the hyperparameters is unknown" in section
    assert 'id="gain"' in section
    assert 'id="importance"' not in section
    assert 'id="studies"' not in section


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A run whose studies are long enough to learn from, and its page's section on tuning."""
    out = write_run(tmp_path_factory.mktemp("tuned"), MadeUp(seeds=(0,), tunings=12))
    return out, words(out)


def test_a_study_is_drawn_with_its_importance(tuned):
    out, section = tuned

    studies = json.loads((out / "studies.json").read_text())["studies"]
    assert all(
        set(one["importance"]) == ({"lr", "gamma"} if one["cell"]["loss"] == "focal" else {"lr"})
        for one in studies
    )
    assert (
        "With 12 settings per configuration, tuning improved the validation score over the default "
        "setting in 4 of 4 configurations" in section
    )
    assert all(f'id="{name}"' in section for name in ("gain", "importance", "studies"))
    assert section.count("<option") == 4


def test_the_printed_importance_is_optunas_own_over_the_trials_table(tuned):
    out, section = tuned
    trials = pd.read_parquet(out / "trials.parquet").query(
        "phase == 'tune' and model == 'vnet' and loss == 'focal'"
    )
    (space,) = (
        one["space"]
        for one in json.loads((out / "run.json").read_text())["studies"]
        if one["name"] == "demo/vnet/focal/none"
    )
    ranges = {
        name: FloatDistribution(span["low"], span["high"], log=span["log"])
        for name, span in space.items()
    }
    study = optuna.create_study(direction="maximize")
    for _, row in trials.iterrows():
        study.add_trial(
            optuna.trial.create_trial(
                params=dict(row[list(ranges)]), distributions=ranges, value=row["val_score"]
            )
        )

    found = get_param_importances(
        study, evaluator=PedAnovaImportanceEvaluator(target_quantile=5 / 12)
    )

    printed, _ = frames(section)["importance-table"]
    row = printed.set_index("configuration").loc["vnet / focal / none"]
    assert 0.01 < found["gamma"] < 0.99
    for name, share in found.items():
        agrees(row[name], share, digits=2)


def test_a_study_whose_default_failed_claims_no_gain(tmp_path):
    made = MadeUp(models=("vnet",), losses=("focal",), seeds=(0,), tunings=3)
    results = [
        result
        for result in all_results(made)
        if not (result.spec.phase == TUNE and result.spec.number == 0)
    ]

    section = words(write_run(tmp_path, made, results))

    assert "No study has a completed default trial" in section
    assert 'id="gain"' not in section
