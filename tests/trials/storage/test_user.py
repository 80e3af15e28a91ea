"""Users whom the system does not know: they need no name and no home folder."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

SAY = """
import getpass, os, pathlib, sys
from bench.cli import main
code = main(["check", "/nowhere"])
print(code, getpass.getuser(), pathlib.Path.home(), os.environ.get("XDG_CACHE_HOME"))
"""
AS_UNKNOWN = (
    "import os; os.setgroups([]); os.setresgid(4242, 4242, 4242); os.setresuid(*[4242] * 3)"
)


@pytest.fixture
def scratch():
    """A folder in which every user may write; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield folder


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
@pytest.mark.parametrize(
    ("home", "told"),
    [
        (None, "2 uid4242 {scratch}/segbench-4242 None"),
        ("/", "2 uid4242 / {scratch}/segbench-4242/caches"),
        ("{scratch}", "2 uid4242 {scratch} None"),
    ],
)
def test_a_number_without_a_name_runs(scratch, home, told):
    environment = {"PATH": os.environ["PATH"], "SEGBENCH_SCRATCH": scratch}
    if home:
        environment["HOME"] = home.format(scratch=scratch)

    # Everything is imported as root: a test machine's Python may lie in root's folder.
    used = "email.parser, bench.cli, bench.commands.check, bench.execution.progress_bar"
    used += ", trials.data.prepared.set_checks, trials.data.prepared.set_summary"
    say = f"import {used}\n{AS_UNKNOWN}\n{SAY}"
    done = subprocess.run(
        [sys.executable, "-c", say],
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )

    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == told.format(scratch=scratch)
