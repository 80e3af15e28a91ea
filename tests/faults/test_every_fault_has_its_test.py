"""The catalogue has 96 faults, and each has a test that bears its number."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_every_fault_has_a_test_named_after_it():
    names = [
        name
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    ]
    shown = {number for name in names for number in re.findall(r"_(f\d\d)(?=_)", name)}

    assert shown == {f"f{number:02}" for number in range(1, 97)}
