"""benchmarks/gpu and gpu_strong in their short form on the CPU: every row has a number, and a row
without one says why.
"""

import re

import pytest

from benchmarks import gpu_strong
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.rows import NOT_MEASURED, ROWS, SLICE_MODEL, Row, Sheet
from trials.models.registry import MODELS


def rows_of(path, table=ROWS) -> dict[str, str]:
    """What stands behind the name of each row of a file."""
    names = [row.name for part in table.values() for row in part]
    lines = path.read_text().splitlines()
    return {
        name: line[len(name) :].strip()
        for name in names
        for line in lines
        if line.startswith(f"{name} ")
    }


@pytest.mark.slow
def test_the_short_form_of_the_steps_gives_every_row_a_number(on_cpu, tmp_path, monkeypatch):
    path = tmp_path / "gpu.txt"
    # Half the weights to draw and to train, eight times over, and one import less.
    monkeypatch.setitem(MODELS, SLICE_MODEL, MODELS["unet2d_resnet18"])
    monkeypatch.setitem(MODELS, "segresnet", MODELS["unet3d"])

    assert main(["steps", "--short", "--seconds", "600", "--out", str(path)]) == 0

    found = rows_of(path)
    assert list(found) == [row.name for row in ROWS["steps"]]
    assert [name for name, line in found.items() if not re.match(r"-?\d[\d.e+-]*( |$)", line)] == []


def test_the_short_form_of_a_strong_network_gives_every_row_a_number_but_that_of_the_gpu(
    on_cpu, tmp_path
):
    path = tmp_path / "gpu_strong.txt"

    assert gpu_strong.main(["dynunet", "--short", "--seconds", "600", "--out", str(path)]) == 0

    found = rows_of(path, gpu_strong.TABLE)
    assert list(found) == [row.name for row in gpu_strong.TABLE["dynunet"]]
    unknown = [name for name, line in found.items() if not re.match(r"\d[\d.e+-]*( |$)", line)]
    assert unknown == ["dynunet: GPU busy while it trains, %"]
    assert found[unknown[0]].startswith(NOT_MEASURED)


def test_a_part_without_time_says_so_in_every_row(on_cpu, tmp_path):
    path = tmp_path / "gpu.txt"

    codes = [
        main([part, "--short", "--seconds", "0", "--out", str(path)]) for part in ("grid", "steps")
    ]

    found = rows_of(path)
    assert codes == [0, 0]
    assert list(found) == [row.name for part in ("steps", "grid") for row in ROWS[part]]
    assert all(
        line.startswith(NOT_MEASURED) and line.endswith("the part's 0 s were spent")
        for line in found.values()
    )


def test_a_part_replaces_its_own_rows_alone_and_keeps_what_it_has_when_it_is_cut_short(tmp_path):
    path = tmp_path / "gpu.txt"
    for part, number in (("steps", 1.0), ("demo", 2.0), ("demo", 3.0)):
        sheet = Sheet(part=part, stamp="a GPU", path=path, seconds=60.0)
        sheet.write(ROWS[part][0].name, number)

    found = rows_of(path)

    assert [found[ROWS[part][0].name].split()[0] for part in ("steps", "demo")] == ["1", "3"]
    assert found[ROWS["demo"][1].name].startswith(NOT_MEASURED)


def test_what_a_row_raises_is_its_reason_and_the_next_row_is_measured(tmp_path):
    sheet = Sheet(part="demo", stamp="a GPU", path=tmp_path / "gpu.txt", seconds=60.0)
    first, second, _ = (row.name for row in ROWS["demo"])

    def broken() -> None:
        raise RuntimeError("no kernel image")

    sheet.measure([first], broken)
    sheet.measure([second], lambda: sheet.write(second, 100.0))

    assert sheet.lines == {first: (None, "RuntimeError: no kernel image"), second: (100.0, "")}


@pytest.mark.parametrize(
    ("row", "value", "verdict"),
    [
        (Row("at most", at_most=1.05), 1.05, "reached"),
        (Row("at most", at_most=1.05), 1.06, "MISSED"),
        (Row("at least", at_least=90.0), 90.0, "reached"),
        (Row("at least", at_least=90.0), 89.9, "MISSED"),
        (Row("informs"), 7.0, ""),
    ],
)
def test_a_target_is_reached_up_to_its_bound(row, value, verdict):
    assert row.verdict(value) == verdict


def test_without_a_gpu_only_the_short_form_runs(on_cpu, capsys):
    assert main(["steps"]) == 2
    assert "sees no GPU; --short runs a tiny form on the CPU" in capsys.readouterr().err
