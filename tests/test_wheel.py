"""The wheel alone, without the clone: what it holds, and a grid that runs from it in a folder where
files of the user bear the names of our packages.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT, on_one_core

ROOMS = ("bench", "trials", "reports")
BUILD = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
GRID = """\
from bench.grids import DEMO, product
from dataclasses import replace

RECIPE = replace(DEMO.recipes["3d"], epochs=1, steps_per_epoch=1, validate_every=1)
TWO = replace(
    DEMO,
    name="two",
    generate={"num_cases": 11, "seed": 0},
    cells=product(("unet3d",), ("combined", "focal"), ("none",)),
    tuning=None,
    recipes={"3d": RECIPE},
)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of this tree, built from a copy."""
    place = tmp_path_factory.mktemp("wheel")
    for name in ROOMS:
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place)
    called([sys.executable, "-c", BUILD], place)
    return next((place / "dist").glob("*.whl"))


def called(command: list[str | Path], cwd: Path) -> str:
    """Run a command as a user does, to whom our clone is unknown, and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_what_it_should(wheel, tmp_path):
    called(
        [sys.executable, "-m", "check_wheel_contents", "--config", ROOT / "pyproject.toml", wheel],
        tmp_path,
    )

    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.partition("/")[0] for name in names if "dist-info" not in name} == set(ROOMS)
    for room in ROOMS:
        files = {path for path in (ROOT / room).rglob("*") if path.is_file()}
        kept = {path for path in files if "__pycache__" not in path.parts}
        assert {path.relative_to(ROOT).as_posix() for path in kept} <= names


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """A virtual environment with the wheel, which sees the packages of this one but not our clone:
    paths in a .pth file of another environment do not count.
    """
    place = tmp_path_factory.mktemp("environment")
    called([sys.executable, "-m", "venv", "--without-pip", place], place)
    pip = [sys.executable, "-m", "pip", "--python", place / "bin" / "python"]
    called([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], place)
    packages = next(place.glob("lib/python3*/site-packages"))
    seen = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "packages.pth").write_text("\n".join(seen))
    return place


def test_a_grid_runs_from_the_wheel_beside_files_named_like_our_packages(environment, tmp_path):
    (tmp_path / "two.py").write_text(GRID)
    for room in ROOMS:
        (tmp_path / f"{room}.py").write_text("raise SystemExit('a file of the user was imported')")

    segbench = [*on_one_core(), environment / "bin" / "segbench"]
    printed = called([*segbench, "run", "--grid", "two.py"], tmp_path)

    out = tmp_path / "runs" / "two"
    results = [json.loads(path.read_text()) for path in out.glob("trials/*/result.json")]
    assert printed.strip() == str(out / "report.html")
    assert [result["state"] for result in results] == ["COMPLETE"] * 2
