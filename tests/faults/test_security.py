"""What could make our files run code, leave their folder or tell a secret: rules over the source,
and hostile files.
"""

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
SOURCES = sorted(
    path
    for room in ("bench", "trials", "reports", "benchmarks")
    for path in (ROOT / room).rglob("*.py")
)
# Methods that write a file; functions that do are banned by name in pyproject.toml.
WRITES = re.compile(
    r"""\.(?:write_text|write_bytes|touch|tofile|to_csv|to_parquet|savefig|write_image|rename
    |symlink_to|hardlink_to)\(|\bopen\([^)\n]*["'][wax]|\b(?:os\.open|open_memmap)\(
    |\.replace\([\w.]+\)""",
    re.VERBOSE,
)
# Where that is done, and why.
OTHERWISE = {
    "trials/storage/atomic.py": "a folder is opened to be brought to the disk",
    "trials/process/environment.py": "/proc/self/clear_refs is the kernel's",
    "trials/storage/spool.py": "a lock that flock() holds, empty",
    "bench/run_folder/lock.py": "a lock is made only where there is none",
    "bench/commands/init.py": "a grid is made only where there is no file",
    "trials/data/datasets/nnunet/export.py": "the exported files are links",
    "bench/execution/signals.py": "/dev/null takes the place of a terminal that is gone",
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_source_may_unpickle_what_a_file_holds():
    """ruff refuses pickle, eval, exec, shells and yaml.load; numpy and torch take a keyword."""
    for path in SOURCES:
        text = path.read_text()
        assert not re.search(r"allow_pickle=(?!False)|weights_only=(?!True)", text), name_of(path)
        assert text.count("torch.load(") == text.count("weights_only=True"), name_of(path)


def test_every_file_is_written_by_the_one_function_that_writes_whole():
    found = {
        name_of(path)
        for path in SOURCES
        if not name_of(path).startswith("benchmarks") and WRITES.search(path.read_text())
    }

    assert found == set(OTHERWISE)


@pytest.mark.parametrize(
    "line",
    [
        "path.write_text('a')",
        "open(path, 'w')",
        "gzip.open(path, mode='ab')",
        "os.open(path, os.O_WRONLY)",
        "table.to_csv(path)",
        "path.replace(other)",
    ],
)
def test_a_file_that_is_written_otherwise_is_found(line):
    assert WRITES.search(line)
    assert not WRITES.search("write_text(path, 'a'); path.open('rb'); text.replace('a', 'b')")


def test_f79_no_study_is_stored_in_a_database_so_none_can_break_on_a_shared_disk():
    for path in SOURCES:
        assert not re.search(r"sqlite|RDBStorage", path.read_text()), name_of(path)


def test_f94_durations_come_from_clocks_that_never_go_back():
    wall_clock = {name_of(path) for path in SOURCES if "time.time()" in path.read_text()}

    # Ages of files, which only a file system's own clock can tell, samples of a GPU that are set
    # beside such ages, the signs of life of a driver on another machine, and the time of a value
    # that MLflow shows.
    assert wall_clock <= {
        "benchmarks/gpu/busy.py",
        "benchmarks/gpu_strong.py",
        "bench/tuning/trackers.py",
        "trials/data/prepared/case_store.py",
        "bench/run_folder/lock.py",
        "bench/run_folder/status.py",
        "bench/tuning/live_view.py",
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
    assert said.startswith(f"segbench: {flag}: an address must not contain a password")
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
