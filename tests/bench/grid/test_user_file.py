"""A user's grid file: one line for whatever is wrong in it, and for whatever it adds to the
registries that is no part.
"""

import importlib
import linecache
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import grids
from bench.cli import main
from bench.grid.user_file import helper_folders, load_grid, load_grid_text
from bench.grid.validate import check_grid
from bench.grids import LOSSES, MODELS, SAMPLINGS, Cube
from trials.identity.code_identity import code_of_cell
from trials.storage.probe import folder_or_url, local_path_argument

HEAD = """\
from dataclasses import replace
from bench.grids import DEMO, LOSSES, MODELS, SAMPLINGS, Entry, ModelEntry, product
"""
MINE = 'MINE = replace(DEMO, name="mine", cells=product(("vnet",), ("focal",), ("none",)))'


@pytest.fixture(autouse=True)
def registries() -> Iterator[None]:
    """What a grid file adds is taken out again."""
    before = [(registry, dict(registry)) for registry in (MODELS, LOSSES, SAMPLINGS)]
    yield
    for registry, parts in before:
        registry.clear()
        registry.update(parts)


def refused(content: str | bytes, tmp_path: Path, capsys) -> str:
    """The one line that a grid file is refused with, without its beginning; it names the file."""
    file = tmp_path / "mine.py"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["run", "--grid", str(file), "--dry-run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("segbench: ").replace(str(file), "mine.py")


def test_the_file_without_an_addition_is_taken(tmp_path):
    (tmp_path / "mine.py").write_text(HEAD + MINE)

    assert main(["run", "--grid", str(tmp_path / "mine.py"), "--dry-run"]) == 0


@pytest.mark.parametrize(
    ("addition", "told"),
    [
        (
            "LOSSES['x'] = 3",
            "LOSSES['x']: an entry must be a Entry; got 3; write Entry('module:function')",
        ),
        (
            "MODELS['x'] = 3",
            "MODELS['x']: an entry must be a ModelEntry; got 3; write "
            "ModelEntry('module:function')",
        ),
        (
            "MODELS['x'] = Entry('math:sqrt')",
            "MODELS['x']: an entry must be a ModelEntry; got Entry(",
        ),
        (
            "LOSSES['x'] = Entry('nomodule:f')",
            "LOSSES['x']: target 'nomodule:f' names no function (No module named 'nomodule')",
        ),
        (
            "MODELS['x'] = ModelEntry('nomodule:f')",
            "MODELS['x']: target 'nomodule:f' names no function (No module",
        ),
        (
            "MODELS['x'] = ModelEntry('trials.models.vnet:vnett')",
            "MODELS['x']: target 'trials.models.vnet:vnett' names no function (trials.models.vnet "
            "has no 'vnett')",
        ),
        (
            "MODELS['x'] = ModelEntry('trials.models.vnet')",
            "names no function (trials.models.vnet has no '')",
        ),
        (
            "MODELS['x'] = ModelEntry('trials.models.gone:x')",
            "names no function (no module trials.models.gone)",
        ),
        (
            "MODELS['x'] = ModelEntry('trials.models.vnet.gone:x')",
            "names no function (no module trials.models.vnet.gone)",
        ),
        (
            "MODELS['x'] = ModelEntry(lambda i, k, w: 3, stages='trials.models.vnet:gone')",
            "target 'trials.models.vnet:gone' names no function (trials.models.vnet has no 'gone')",
        ),
        (
            "MODELS['x'] = ModelEntry(lambda i, k, w: 3, like='nomodule:f')",
            "target 'nomodule:f' names no function (No module",
        ),
        (
            "SAMPLINGS['x'] = Entry('nomodule:f')",
            "SAMPLINGS['x']: target 'nomodule:f' names no function (No module",
        ),
        (
            "LOSSES['x'] = Entry('user_grid:gone')",
            "target 'user_grid:gone' names no function (module 'user_grid' has no attribute",
        ),
        ("LOSSES['x'] = Entry('user_grid')", "target 'user_grid' names no function"),
        (
            "LOSSES['x'] = Entry('')",
            "target '' names no function (Empty module name); write 'module:function'",
        ),
        ("LOSSES['x'] = Entry(None)", "LOSSES['x']: target None names no function"),
        (
            "LOSSES['x'] = Entry('math:pi')",
            "LOSSES['x']: target 'math:pi' must name a function, not 3.14",
        ),
        (
            "LOSSES['x'] = Entry(lambda: 3)",
            "LOSSES['x']: its function must take the class counts; it takes ()",
        ),
        (
            "MODELS['x'] = ModelEntry(lambda channels: 3)",
            "its function must take in_channels, num_classes, width",
        ),
        (
            "LOSSES['x'] = Entry(lambda counts: 3, tuned='gamma')",
            "LOSSES['x']: tuned must be a tuple; got 'gamma'",
        ),
        (
            "MODELS['x'] = ModelEntry(lambda i, k, w: 3, multiple=0)",
            "MODELS['x']: multiple must be at least 1; got 0",
        ),
        (
            "MODELS['x'] = ModelEntry(lambda i, k, w: 3, dims=4)",
            "MODELS['x']: dims must be 2 or 3; got 4",
        ),
    ],
)
def test_an_addition_that_is_no_part_is_refused_by_registry_and_name(
    addition, told, tmp_path, capsys
):
    line = refused(f"{HEAD}{addition}\n{MINE}", tmp_path, capsys)

    assert line.startswith(f"{addition.partition(' =')[0]}: ")
    assert told in line


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            "import sys\nsys.exit(0)",
            "mine.py line 2: it calls sys.exit(0); a grid file must define one Grid and run to "
            "its end",
        ),
        ("raise SystemExit('x')", "mine.py line 1: it calls sys.exit('x')"),
        ("raise ValueError('a\\nb\\nc')", "mine.py line 1: a b c"),
        ("raise NameError('x')", "mine.py line 1: x"),
        ("raise AttributeError('x')", "mine.py line 1: x"),
        ("{'a': 3}['b']", "mine.py line 1: there is no key 'b'"),
        (
            "from trials.parts import Part",
            "mine.py line 1: there is no module trials.parts; a grid file can import from "
            "bench.grids: DATASETS, DEMO, ",
        ),
        (
            "from trials.records.spec import Shape",
            "mine.py line 1: trials.records.spec has no 'Shape'; a grid file can import from "
            "bench.grids: DATASETS, DEMO, ",
        ),
        (
            "from bench.grids import Preparation",
            "mine.py line 1: bench.grids has no 'Preparation'; known: DATASETS, DEMO, ",
        ),
        ("import no_such_module", "mine.py line 1: No module named 'no_such_module'"),
        ("def f():\n    return f()\nf()", "mine.py line 2: maximum recursion depth exceeded"),
        (
            b"\xff\xfe\x00",
            "mine.py: it is neither UTF-8 nor UTF-16 text (byte 2); save it as UTF-8",
        ),
        (b"x = 1\0", "mine.py: source code string cannot contain null bytes"),
        ("", "mine.py must define exactly one Grid of its own; found none"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_file_that_is_no_grid_is_refused_in_one_line(content, told, tmp_path, capsys):
    assert refused(content, tmp_path, capsys).startswith(told)


def test_grids_holds_every_record_that_a_grid_is_made_of_and_every_registry():
    records = {"Grid", "Cell", "Recipe", "Cube", "Range", "Tuning", "Question"}
    registries = {"MODELS", "LOSSES", "SAMPLINGS", "DATASETS"}
    entries = {"Entry", "ModelEntry", "DatasetEntry"}

    assert records | registries | entries | {"product", "DEMO", "PAPER"} <= set(grids.__all__)


@pytest.mark.skipif("SEGBENCH_FIXTURES" not in os.environ, reason="SEGBENCH_FIXTURES is not set")
def test_a_grid_file_of_an_earlier_version_needs_other_imports_and_names_alone():
    text = (Path(os.environ["SEGBENCH_FIXTURES"]) / "cases/tiny_grid.py").read_text()
    imports = "from bench.grids import DEMO, Cube, product\n"
    text = re.sub(r"(from (bench|trials)\S* import .*\n)+", imports, text)
    text = text.replace("Preparation(cube=", "Cube(edge=").replace("families=", "questions=")

    grid = load_grid_text(text)

    check_grid(grid)
    assert (grid.name, grid.recipes["3d"].preparation) == ("tiny", Cube(edge=32))


def test_a_pipe_is_no_grid_file(tmp_path, capsys):
    os.mkfifo(tmp_path / "mine.py")

    assert main(["run", "--grid", str(tmp_path / "mine.py"), "--dry-run"]) == 2
    assert "no such file" in capsys.readouterr().err


def test_a_helper_beside_the_file_is_imported_and_its_source_counts(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", [*sys.path])
    helper, grid = tmp_path / "my_helper_losses.py", tmp_path / "mine.py"
    body = "def own(counts):\n    return lambda logits, labels: logits.square().mean() * {}\n"
    text = (
        "from my_helper_losses import own\n"
        + HEAD
        + 'LOSSES["own"] = Entry(own)\n'
        + MINE.replace("focal", "own")
    )
    grid.write_bytes(text.encode("utf-8-sig"))
    codes = []
    for number in ("1", "20"):
        helper.write_text(body.format(number))
        sys.modules.pop("my_helper_losses", None)
        importlib.invalidate_caches()
        linecache.clearcache()
        mine, _ = load_grid(str(grid))
        codes.append(code_of_cell(mine.cells[0])["loss own"])

    assert codes[0] != codes[1]
    assert str(tmp_path) in helper_folders()
    sys.modules.pop("my_helper_losses")


def test_a_path_of_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.py").write_text(HEAD + MINE)

    assert load_grid("~/mine.py")[0].name == "mine"
    assert folder_or_url("~/runs") == local_path_argument("~/runs") == tmp_path / "runs"
    assert str(folder_or_url("s3://bucket/~/run")) == "s3://bucket/~/run"
