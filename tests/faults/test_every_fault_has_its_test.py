"""docs/reliability.md is the catalogue of faults; each of them has a test that bears its number."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CATALOGUE = TESTS.parent / "docs" / "reliability.md"


def test_every_fault_of_the_catalogue_has_a_test_named_after_it_and_the_reverse():
    if not CATALOGUE.exists():
        pytest.skip("docs/reliability.md, the catalogue of faults, is not there")
    listed = {int(number) for number in re.findall(r"^\| F(\d\d) ", CATALOGUE.read_text(), re.M)}
    tested = {
        int(number)
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
        for number in re.findall(r"_f(\d\d)(?=_)", name)
    }

    assert tested == listed
