"""RUN/optuna.journal: what optuna-dashboard reads of a run, and that losing it costs nothing."""

import json

import optuna
import pytest
from optuna.trial import TrialState
from test_pruning import PRUNING, result, run
from test_trial_queue import FACTS

from bench.execution.trial_queue import TrialQueue
from bench.grid.expand import studies
from bench.grid.resolve import resolve
from bench.search.studies import JOURNAL, write_journal
from trials.records.result import FAILED, PRUNED, TrialResult
from trials.records.result_file import read_results, write_result
from trials.records.run_record import write_run_record
from trials.records.spec import TUNE


def failing(due):
    """Every fifth setting of a cell fails."""
    if due.spec.phase == TUNE and due.spec.number == 5:
        return TrialResult(
            trial=due.trial, spec=due.spec, state=FAILED, reason="oom", error="out of memory"
        )
    return result(due)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run folder in which four cells were tuned with nine settings each."""
    out = tmp_path_factory.mktemp("run")
    queue = TrialQueue(resolve(PRUNING, FACTS), {})
    run(queue, failing)
    for one in queue.results.values():
        write_result(out, one)
    write_run_record(out, {"studies": studies(resolve(PRUNING, FACTS))})
    assert write_journal(out, read_results(out).values()) == out / JOURNAL
    return out, queue


def opened(out):
    """The studies as optuna-dashboard finds them, given the path alone."""
    from optuna_dashboard._storage_url import get_storage

    storage = get_storage(str(out / JOURNAL))
    return {
        name: optuna.load_study(study_name=name, storage=storage)
        for name in optuna.get_all_study_names(storage)
    }


def test_the_dashboard_finds_every_study_with_its_trials(folder):
    out, queue = folder
    found = opened(out)

    assert list(found) == [record["name"] for record in studies(resolve(PRUNING, FACTS))]
    for study, cell in zip(found.values(), queue.resolved.cells, strict=True):
        tuned = sorted(
            (
                r
                for r in queue.results.values()
                if r.spec.cell == cell.cell and r.spec.phase == TUNE
            ),
            key=lambda r: r.spec.number,
        )
        assert [trial.user_attrs["segbench"]["trial"] for trial in study.trials] == [
            one.trial for one in tuned
        ]
        assert [trial.state.name for trial in study.trials] == [
            {FAILED: "FAIL"}.get(one.state, one.state) for one in tuned
        ]
        assert all(
            trial.params["lr"] == one.spec.hyper["lr"]
            for trial, one in zip(study.trials, tuned, strict=True)
        )
        number, setting = queue.best(cell)
        assert study.best_trial.number == number
        assert study.best_trial.user_attrs["segbench"]["setting"] == setting


def test_pruned_trials_keep_their_curve_and_failed_ones_their_reason(folder):
    out, queue = folder
    trials = {
        trial.user_attrs["segbench"]["trial"]: trial
        for study in opened(out).values()
        for trial in study.trials
    }

    pruned = [one for one in queue.results.values() if one.state == PRUNED]
    assert pruned
    for one in pruned:
        assert trials[one.trial].intermediate_values == {
            epoch.epoch + 1: epoch.val_dice[1] for epoch in one.curve
        }
    failed = next(trial for trial in trials.values() if trial.state == TrialState.FAIL)
    assert failed.user_attrs["segbench"]["error"] == "out of memory"


def test_the_dashboards_own_page_lists_the_studies(folder):
    from optuna_dashboard import wsgi
    from optuna_dashboard._storage_url import get_storage

    answered = []
    application = wsgi(get_storage(str(folder[0] / JOURNAL)))
    environment = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/api/studies",
        "wsgi.input": None,
        "SERVER_NAME": "here",
    }
    body = b"".join(
        application(environment, lambda status, headers, error=None: answered.append(status))
    )

    assert answered == ["200 OK"]
    assert {one["study_name"] for one in json.loads(body)["study_summaries"]} == {
        s["name"] for s in studies(resolve(PRUNING, FACTS))
    }


def test_f76_a_torn_lost_or_edited_storage_is_rebuilt_to_the_same_bytes(folder):
    out, _ = folder
    path = out / JOURNAL
    whole = path.read_bytes()

    for length in (0, 1, len(whole) // 3, len(whole) // 2, len(whole) - 1, None):
        if length is None:
            path.unlink()
        else:
            path.write_bytes(whole[:length])
        write_journal(out, read_results(out).values())
        assert path.read_bytes() == whole


def test_f77_a_stale_lock_beside_it_holds_up_neither_us_nor_the_dashboard(folder):
    out, _ = folder
    whole = (out / JOURNAL).read_bytes()
    lock = out / f"{JOURNAL}.lock"
    lock.symlink_to(out / "gone")
    (out / JOURNAL).write_bytes(b"torn")

    write_journal(out, read_results(out).values())

    assert (out / JOURNAL).read_bytes() == whole
    assert len(opened(out)) == 4
    lock.unlink()


def test_f78_it_grows_with_the_results_and_never_says_that_a_trial_runs(folder, tmp_path):
    out, queue = folder
    (tmp_path / "run.json").write_text((out / "run.json").read_text())
    write_journal(tmp_path, read_results(tmp_path).values())
    assert [len(study.trials) for study in opened(tmp_path).values()] == [0] * 4

    first = next(one for one in queue.results.values() if one.spec.phase == TUNE)
    write_result(tmp_path, first)
    write_journal(tmp_path, read_results(tmp_path).values())

    assert sorted(len(study.trials) for study in opened(tmp_path).values()) == [0, 0, 0, 1]
    assert not any(
        trial.state == TrialState.RUNNING
        for study in opened(tmp_path).values()
        for trial in study.trials
    )


def test_a_grid_that_tunes_nothing_has_none(tmp_path):
    write_run_record(tmp_path, {"studies": []})

    assert write_journal(tmp_path, read_results(tmp_path).values()) is None
    assert not (tmp_path / JOURNAL).exists()
