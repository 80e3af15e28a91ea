"""A result counts once it is whole; a damaged one is named, and its trial counts as not run."""

from dataclasses import replace

import pytest

from trials.records.codec import record_hash
from trials.records.job import result_path
from trials.records.result import COMPLETE, TrialResult
from trials.records.result_file import find_result, has_results, read_results, write_result
from trials.records.spec import FINAL, Cell, Recipe, TrialSpec


def result(seed):
    spec = TrialSpec(
        dataset="phantoms",
        data="d",
        splits="s",
        fold=0,
        cell=Cell(model="unet3d", loss="focal", sampling="none"),
        hyper={"lr": 0.01},
        recipe=Recipe(epochs=1, batch_size=2),
        seed=seed,
        phase=FINAL,
    )
    return TrialResult(trial=record_hash(spec), spec=spec, state=COMPLETE, val_score=0.5)


def change_a_digit(content):
    return content.replace(b'"val_score": 0.5', b'"val_score": 0.6')


def cut(content):
    return content[:-20]


def not_text(content):
    return b"\xff" + content


def empty(content):
    return b""


@pytest.mark.parametrize("damage", [change_a_digit, cut, not_text, empty])
def test_a_damaged_result_counts_as_not_run_and_the_others_stay(tmp_path, capsys, damage):
    sound, spoilt = result(0), result(1)
    for one in (sound, spoilt):
        write_result(tmp_path, one)
    path = result_path(tmp_path, spoilt.trial)
    path.write_bytes(damage(path.read_bytes()))

    assert read_results(tmp_path) == {sound.trial: sound}
    assert f"{path} is damaged" in capsys.readouterr().err


def test_a_result_copied_under_another_trials_name_counts_as_not_run(tmp_path, capsys):
    write_result(tmp_path, result(0))
    other = result_path(tmp_path, "0123456789ab")
    other.parent.mkdir()
    other.write_bytes(result_path(tmp_path, result(0).trial).read_bytes())

    assert find_result(tmp_path, "0123456789ab") is None
    assert f"it holds trial {result(0).trial}" in capsys.readouterr().err


def test_a_folder_has_results_as_soon_as_one_trial_is_finished(tmp_path):
    assert not has_results(tmp_path)
    write_result(tmp_path, replace(result(0), reason="interrupted"))
    assert not has_results(tmp_path)
    write_result(tmp_path, result(1))
    assert has_results(tmp_path)


def test_nothing_is_read_beyond_the_first_result(tmp_path, capsys):
    sound, spoilt = sorted((result(0), result(1)), key=lambda one: one.trial)
    write_result(tmp_path, sound)
    write_result(tmp_path, spoilt)
    result_path(tmp_path, spoilt.trial).write_text("{")

    assert has_results(tmp_path)
    assert not capsys.readouterr().err
