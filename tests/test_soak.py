"""The short form of benchmarks/soak.py: things break every few seconds on a simulated cluster, and
nothing finished is lost.
"""

import re
import subprocess
import sys

import pytest
from conftest import ROOT

from benchmarks.soak import LOST


@pytest.mark.cluster
def test_a_short_soak_loses_no_result_and_ends_with_the_scores_of_a_run_left_alone(tmp_path):
    command = [
        sys.executable,
        "-m",
        "benchmarks.soak",
        "--minutes",
        "0",
        "--least",
        "4",
        "--every",
        "4",
        "--out",
        str(tmp_path / "soak.txt"),
    ]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    counts = {
        name: int(number)
        for number, name in re.findall(
            r"^ *(\d+)  (.+)$", (tmp_path / "soak.txt").read_text(), re.M
        )
    }
    assert counts["trials done"] >= 10
    assert counts["faults, of these"] >= 4
    assert not any(counts[name] for name in LOST)
