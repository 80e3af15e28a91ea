"""What a user types and what comes back: exit codes, one line for what the user can fix,
no traceback."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from bench.cli import main

ROOT = Path(__file__).parents[2]


def segbench(*arguments, module="bench.cli", cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, cwd=cwd
    )


def test_help_names_every_verb():
    done = segbench("--help")

    assert done.returncode == 0
    assert all(
        verb in done.stdout
        for verb in ("run", "status", "ls", "prepare", "report", "export", "score", "audit")
    )


def test_the_version_is_that_of_the_installed_package(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--version"])

    assert left.value.code == 0
    assert capsys.readouterr().out == f"segbench {metadata.version('segbench')}\n"


def test_ls_names_every_part(capsys):
    from bench.grids import GRIDS
    from trials.data.datasets.registry import DATASETS
    from trials.data.sampling import SAMPLINGS
    from trials.losses import LOSSES
    from trials.models.registry import MODELS

    assert main(["ls"]) == 0

    text = capsys.readouterr().out
    for registry in (MODELS, LOSSES, SAMPLINGS, DATASETS, GRIDS):
        assert all(f"  {name} " in text for name in registry)
    assert "tunes one_minus_beta, gamma" in text


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["run", "--grid", "dmo"], "unknown grid 'dmo'; did you mean 'demo'?"),
        (["run", "--grid", "nowhere.py"], "no such file"),
        (["run", "--grid", "full"], "--data"),
        (["run", "--grid", "full", "--data", "/nowhere"], "/nowhere is not a folder"),
        (["run", "--grid", "full", "--weights", "segresnt=x"], "did you mean 'segresnet'"),
        (["prepare", "kits32", "/nowhere", "--cache", "/tmp/x"], "did you mean 'kits23'"),
        (["report", "/nowhere"], "/nowhere"),
        (["export", "slices", "/nowhere", "/tmp/x"], "holds no prepared data set"),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_exit_code_2(
    arguments, line, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)

    assert main(arguments) == 2

    error = capsys.readouterr().err
    assert line in error
    assert error.startswith("segbench: ")
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("number", ["0", "-3", "many"])
def test_processes_that_are_no_number_of_them_are_refused_by_their_flag(number, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["check", str(tmp_path), "--workers", number])

    assert re.search(rf"argument --workers: .*{number}", capsys.readouterr().err)


@pytest.mark.parametrize("minutes", ["nan", "inf", "-1", "soon"])
def test_minutes_that_are_no_length_of_time_are_refused_by_their_flag(minutes, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["run", "--grid", "demo", "--dry-run", "--checkpoint-minutes", minutes])

    assert ended.value.code == 2
    assert re.search(rf"argument --checkpoint-minutes: .*{minutes}", capsys.readouterr().err)


@pytest.mark.parametrize("name", ["a\nb", "a\ud800b", "a\u202eb"])
def test_an_odd_name_on_the_command_line_stays_in_one_line(name, capsys):
    assert main(["report", f"/nowhere/{name}"]) == 2

    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.rstrip().isprintable()


def test_debug_shows_the_traceback():
    done = segbench("run", "--grid", "dmo", "--debug")

    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_dry_run_of_full_lists_every_trial_and_starts_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    assert main(["run", "--grid", "full", "--dry-run"]) == 0

    text = capsys.readouterr().out
    assert text.count(" final ") + text.count("\nfinal ") == 144
    assert "1299 trials: 3 pretrain, 1152 tune, 144 final; none was started" in text
    assert "One answer for each model. 24 comparisons" in text
    assert "nothing can be resolved with fewer than 12 test patients" in text
    # Without data the number of test patients is not known; ten are too few.
    assert "10 test patients, 3 seeds: nothing can be resolved (smallest p 0.00195)" in text
    assert "80 test patients, 3 seeds: smallest p 0.000001, smallest difference" in text
    assert not list(tmp_path.iterdir())


def test_bench_run_is_segbench_run(tmp_path):
    done = segbench("--grid", "demo", "--dry-run", module="bench.run")

    assert done.returncode == 0
    assert "none was started" in done.stdout
    assert "one seed: nothing can be resolved" in done.stdout


def test_a_users_grid_file_names_its_line_when_it_is_wrong(tmp_path, capsys):
    grid = tmp_path / "mine.py"
    grid.write_text(
        "from bench.grids import Grid\n\nmine = Grid(name='mine', dataset='phantoms')\n"
    )

    assert main(["run", "--grid", str(grid), "--dry-run"]) == 2

    assert "mine.py line 3" in capsys.readouterr().err


def test_a_users_grid_file_may_bring_its_own_loss(tmp_path, capsys):
    grid = tmp_path / "mine.py"
    grid.write_text(
        "from dataclasses import replace\n"
        "from bench.grids import DEMO, LOSSES, Entry, product\n"
        "def absolute(counts):\n"
        "    return lambda logits, labels: logits.abs().mean()\n"
        "LOSSES['absolute'] = Entry('user_grid:absolute', about='for the test')\n"
        "MINE = replace(DEMO, name='mine', cells=product(('unet3d',), ('absolute',), ('none',)))\n"
    )

    try:
        assert main(["run", "--grid", str(grid), "--dry-run"]) == 0
    finally:
        from trials.losses import LOSSES

        part = LOSSES.pop("absolute")

    assert "absolute" in capsys.readouterr().out
    assert callable(part.load()(None))
