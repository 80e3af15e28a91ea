"""What the wheel holds; tests/test_demo.py runs a grid from it."""

import sys
import zipfile

from conftest import ROOMS, ROOT, called


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
