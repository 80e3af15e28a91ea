"""run.json says which series of versions wrote it; another series is refused with how to fix it."""

import tomllib
from pathlib import Path

import pytest

from trials.records.run_record import FORMAT, OtherFormat, read_run_record, write_run_record

PROJECT = Path(__file__).parents[3] / "pyproject.toml"
RECORD = {"grid": "demo", "dataset": "phantoms", "cells": [], "seeds": [0]}


def test_a_record_reads_back_with_its_format(tmp_path):
    write_run_record(tmp_path, RECORD)

    assert read_run_record(tmp_path) == RECORD | {"format": FORMAT}


def test_a_record_of_one_fold_reads_as_one_of_several(tmp_path):
    parts = {"train": ["a"], "val": ["b"], "test": ["c"]}
    before = {"fold": 2, "data": {"split_cases": parts, "split_hash": "5f0c"}}
    write_run_record(tmp_path, RECORD | before)

    found = read_run_record(tmp_path)

    assert found["folds"] == [2]
    assert found["data"] == {"fold_cases": {"2": parts}, "split_hash": {"2": "5f0c"}}


def test_the_format_is_the_series_of_this_version():
    major, minor, _ = tomllib.loads(PROJECT.read_text())["project"]["version"].split(".")

    assert f"segbench {major if major != '0' else f'0.{minor}'}" == FORMAT


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '{"grid": "demo", "dataset": "x", "cells": [], "seeds": []}',
            f"^a version before {FORMAT} wrote RUN, and {FORMAT} reads its own run folders alone; "
            "use that version for it, or run the grid again into a new --out$",
        ),
        (
            f'{{"format": "{FORMAT}", "families": []}}',
            f"^an unreleased version of {FORMAT} wrote RUN, and {FORMAT} reads its own",
        ),
        ('{"format": "segbench 7", "grid": "demo"}', f"^segbench 7 wrote RUN, and {FORMAT} reads"),
    ],
)
def test_a_folder_of_another_series_is_refused_in_one_sentence(tmp_path, text, words):
    (tmp_path / "run.json").write_text(text)

    with pytest.raises(OtherFormat, match=words.replace("RUN", str(tmp_path))):
        read_run_record(tmp_path)


def test_a_file_of_another_program_is_no_run(tmp_path):
    (tmp_path / "run.json").write_text('{"name": "of another program"}')

    with pytest.raises(ValueError, match=r"run\.json cannot be read \(no run of segbench wrote it"):
        read_run_record(tmp_path)
