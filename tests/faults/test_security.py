"""What could make our files run code, leave their folder or tell a secret: rules over the source,
and hostile files.
"""

import ast
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SECRET, SECRETS
from file_writes import file_writes
from made_up import MadeUp, write_run

from bench.cli import main
from reports.build import build_report

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for room in ("bench", "trials", "reports", "benchmarks")
    for path in (ROOT / room).rglob("*.py")
)
RUNS_CODE = {"pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}
IMPORTS = """
import dataclasses, gzip, numpy, numpy as np, os
import pyarrow.parquet as pq, shutil, tempfile, torch, zipfile
from os import replace as swap
from shutil import move
from trials.storage import atomic as files
from trials.storage.atomic import write_text, write_whole
"""
# The one place that runs a user's text: a grid file, which its user trusts as he trusts a program.
MAY_EXEC = {"bench/grid/user_file.py"}


def calls(path: Path):
    """Every call of a file: its dotted name, and its keywords."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield (
                ast.unparse(node.func),
                {word.arg: ast.unparse(word.value) for word in node.keywords},
            )


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


# Where a file is written by something else, and why. Each of these must still be there.
OTHERWISE: dict[str, tuple[set[str], str]] = {
    "trials/storage/atomic.py": (
        {"replace", "mkstemp", "fdopen", "NamedTemporaryFile"},
        "the function itself; a file that tells the time",
    ),
    "trials/data/datasets/download.py": (
        {"open"},
        "a download grows in a hidden file, which keep() gives its name",
    ),
    "trials/process/environment.py": ({"write_text"}, "/proc/self/clear_refs is the kernel's"),
    "trials/storage/spool.py": ({"open"}, "a lock that flock() holds, empty"),
    "bench/run_folder/lock.py": (
        {"open", "NamedTemporaryFile"},
        "a lock is made only where there is none; a file that tells the time",
    ),
    "trials/training/timing.py": ({"save"}, "Checkpoints.save, which writes whole"),
}


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if not name_of(path).startswith("benchmarks")], ids=name_of
)
def test_every_file_is_written_by_the_one_function_that_writes_whole(path):
    allowed, _ = OTHERWISE.get(name_of(path), (set(), ""))

    found = list(file_writes(path.read_text()))

    assert [call for name, call in found if name not in allowed] == []
    assert {name for name, _ in found} == allowed


@pytest.mark.parametrize(
    "line",
    [
        "path.write_bytes(x)",
        "Path(p).write_text('a')",
        "open(p, 'w')",
        "open(p, mode='ab')",
        "open(p, 'a' if more else 'w')",
        "open(p, mode)",
        "p.open('x')",
        "Path(p).open('r+')",
        "gzip.open(p, 'wt')",
        "zipfile.ZipFile(p, 'w')",
        "os.open(p, os.O_WRONLY | os.O_CREAT)",
        "os.fdopen(handle, 'wb')",
        "df.to_csv(p)",
        "table().to_parquet(p)",
        "df.to_csv(path_or_buf=p)",
        "pq.write_table(table, p)",
        "torch.save(state, p)",
        "np.save(p, a)",
        "numpy.savez_compressed(p, a=a)",
        "a.tofile(p)",
        "np.memmap(p, np.uint8, 'w+')",
        "image.save(p)",
        "shutil.copy(a, b)",
        "move(a, b)",
        "os.replace(a, b)",
        "swap(a, b)",
        "p.replace(q)",
        "Path(p).rename(q)",
        "os.link(a, b)",
        "p.symlink_to(q)",
        "p.touch()",
        "tempfile.mkstemp()",
        "def f(p):\n    buffer = BytesIO()\n    torch.save(state, buffer)\n    torch.save(state, "
        "p)",
        "class A:\n    def f(self, p):\n        np.save(p, self.a)",
    ],
)
def test_a_file_that_is_written_otherwise_is_found(line):
    assert len(list(file_writes(f"{IMPORTS}\n{line}"))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "open(p)",
        "p.open('rb')",
        "gzip.open(p, 'rb')",
        "os.open(folder, os.O_RDONLY)",
        "text.replace('a', 'b')",
        "dataclasses.replace(record, a=3)",
        "frame.rename(columns=names)",
        "frame.copy()",
        "frame.to_csv()",
        "write_text(p, 'a')",
        "files.write_text(p, 'a')",
        "write_whole(p, lambda file: np.save(file, a))",
        "def f():\n    buffer, other = BytesIO(), 3\n    torch.save(state, buffer)",
        "gzip.GzipFile(filename='', mode='wb', fileobj=file)",
    ],
)
def test_what_writes_no_file_or_writes_it_whole_is_left_alone(line):
    assert list(file_writes(f"{IMPORTS}\n{line}")) == []


def test_f79_no_study_is_stored_in_a_database_so_none_can_break_on_a_shared_disk():
    for path in SOURCES:
        assert not re.search(r"sqlite|RDBStorage", path.read_text()), name_of(path)


def test_f94_durations_come_from_clocks_that_never_go_back():
    wall_clock = {
        name_of(path) for path in SOURCES if any(call == "time.time" for call, _ in calls(path))
    }

    # Ages of files, which only a file system's own clock can tell, samples of a GPU that are set
    # beside such ages, and the signs of life of a driver on another machine.
    assert wall_clock <= {
        "benchmarks/gpu/busy.py",
        "trials/data/prepared/case_store.py",
        "bench/run_folder/lock.py",
        "bench/run_folder/status.py",
        "bench/tuning/progress.py",
    }


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

    assert (
        sorted(
            path.name
            for path in out.rglob("*")
            if path.is_file() and SECRET.encode() in path.read_bytes()
        )
        == []
    )


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

    done = subprocess.run(
        command, capture_output=True, cwd=ROOT, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cases"] == 1
