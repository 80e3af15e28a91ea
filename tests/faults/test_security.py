"""What could make our files run code, leave their folder or tell a secret: rules over the source, and hostile files."""

import ast
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SECRET, SECRETS
from made_up import MadeUp, write_run

from bench.cli import main
from reports.build import build_report

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for room in ("bench", "trials", "reports", "benchmarks") for path in (ROOT / room).rglob("*.py"))
RUNS_CODE = {"pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}
# The one place that runs a user's text: a grid file, which its user trusts as he trusts a program.
MAY_EXEC = {"bench/user_grid.py"}


def calls(path: Path):
    """Every call of a file: its dotted name, and its keywords."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_source_can_unpickle_or_run_what_a_file_holds(path):
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not imported & RUNS_CODE
    for call, words in calls(path):
        if call == "torch.load":
            assert words.get("weights_only") == "True"
        assert words.get("allow_pickle", "False") == "False"
        assert words.get("shell", "False") == "False"
        assert not re.search(r"yaml\.(load|unsafe_load|full_load|load_all)$", call)
        assert call not in ("eval", "os.system", "os.popen")
        assert call != "exec" or name_of(path) in MAY_EXEC


@pytest.mark.parametrize("path", [path for path in SOURCES if not name_of(path).startswith("benchmarks")], ids=name_of)
def test_every_file_is_written_by_the_one_function_that_writes_whole(path):
    for call, _ in calls(path):
        last = call.rpartition(".")[2]
        assert call != "write_text" or "from trials.files import" in path.read_text()
        assert last not in ("to_csv", "to_parquet", "write_bytes") or call.count(".") == 1
        assert not re.search(r"^(np|numpy)\.save$", call) or name_of(path) == "trials/data/arrays.py"


def test_f79_no_study_is_stored_in_a_database_so_none_can_break_on_a_shared_disk():
    for path in SOURCES:
        assert not re.search(r"sqlite|RDBStorage", path.read_text()), name_of(path)


def test_f94_durations_come_from_clocks_that_never_go_back():
    wall_clock = {name_of(path) for path in SOURCES if any(call == "time.time" for call, _ in calls(path))}

    # Ages of files, which only a file system's own clock can tell, and the signs of life of a driver on another machine.
    assert wall_clock <= {"trials/data/store.py", "bench/lock.py", "bench/status.py", "bench/tuning/progress.py"}


class Evil:
    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def test_f75_a_report_never_unpickles_what_lies_in_a_run_folder(tmp_path):
    out = write_run(tmp_path / "run", MadeUp())
    mark = tmp_path / "executed"
    for name in ("tuner.pkl", "trainable.pkl", "searcher-state.pkl"):
        (out / name).write_bytes(pickle.dumps(Evil(mark)))
    pickle.loads((out / "tuner.pkl").read_bytes())
    assert mark.exists()
    mark.unlink()

    build_report(out)

    assert not mark.exists()


def test_f90_a_secret_of_the_environment_is_in_no_output(tmp_path, monkeypatch):
    for name in SECRETS:
        monkeypatch.setenv(name, SECRET)
    out = write_run(tmp_path / "run", MadeUp())

    build_report(out)

    assert sorted(path.name for path in out.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()) == []


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--cache", f"s3://me:{SECRET}@bucket/cache"),
        ("--out", f"s3://me:{SECRET}@bucket/run"),
        ("--data", f"sftp://me:{SECRET}@host/data"),
        ("--address", f"ray://me:{SECRET}@host:10001"),
        ("--address", f"me:{SECRET}@host:6379"),
    ],
)
@pytest.mark.parametrize("joined", [False, True])
def test_f90_a_password_in_an_address_is_refused_and_not_repeated(flag, value, joined, capfd):
    arguments = [f"{flag}={value}"] if joined else [flag, value]

    assert main(["run", "--grid", "demo", *arguments]) == 2

    said = "".join(capfd.readouterr())
    assert said.startswith(f"segbench: {flag}: an address must hold no password")
    assert SECRET not in said


def test_f93_a_plain_locale_and_an_odd_long_path(tmp_path):
    from nifti_toys import dataset_of

    place = tmp_path / "ein Ordner mit Leerzeichen" / "größe-日本" / ("x" * 180)
    dataset_of(place, 1)
    command = [sys.executable, "-m", "bench.cli", "check", str(place), "--json", "--workers", "1"]

    done = subprocess.run(command, capture_output=True, cwd=ROOT, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"})

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cases"] == 1
