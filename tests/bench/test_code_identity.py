"""What a trial's parts are made of: every edit that changes what it runs changes its record, and no
other does.
"""

import inspect
import json
import linecache
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from own_parts import CELLS, EDITS, IDLE, NAMES, code_with, grid_text, registries

from bench.grid.user_file import load_grid_text
from trials.identity.code_identity import code_of_cell, folder_digest, own_code
from trials.records.spec import PRETRAIN, Cell

ROOT = Path(__file__).parent.parent.parent
EDITED = [(kind, *edit[:2]) for kind, edits in EDITS.items() for edit in edits]
HEADER = """
from dataclasses import dataclass, field
from functools import lru_cache, partial, wraps
import numpy as np, torch, re
from bench.grids import DEMO, product
from dataclasses import replace
from trials.losses import LOSSES, focal
from trials.records.registry import Entry
MINE = replace(DEMO, name="mine", cells=product(("unet3d",), ("own",), ("none",)), tuning=None)
"""


@pytest.mark.parametrize(("kind", "old", "new"), EDITED)
def test_an_edit_of_what_a_part_runs_changes_its_digest_and_no_other(kind, old, new):
    before, after = code_with(grid_text(kind), kind), code_with(grid_text(kind, old, new), kind)

    assert set(before) == set(after) == {"segbench", f"{kind} {NAMES[kind]}"}
    assert {key for key in before if before[key] != after[key]} == {f"{kind} {NAMES[kind]}"}


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize(("old", "new"), IDLE)
def test_comments_format_words_cells_and_seeds_change_no_digest(kind, old, new):
    if grid_text(kind).count(old) != 1:
        pytest.skip("no such cell in this file")
    assert code_with(grid_text(kind, old, new), kind) == code_with(grid_text(kind), kind)


def test_another_process_with_another_hash_seed_and_file_name_gives_the_same():
    code = (
        "import json; from own_parts import CELLS, code_with, grid_text;"
        "print(json.dumps({kind: code_with(grid_text(kind), kind, '/else/mine.py') "
        "for kind in CELLS}))"
    )
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}",
        "PYTHONHASHSEED": "4711",
    }

    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout

    assert json.loads(told) == {kind: code_with(grid_text(kind), kind) for kind in CELLS}


def test_a_cell_of_our_own_parts_names_our_code_alone_and_a_pretraining_its_model():
    assert code_of_cell(Cell(model="vnet", loss="focal", sampling="none")) == {
        "segbench": own_code()
    }
    with registries():
        load_grid_text(grid_text("model"))
        cell = Cell(model="net", loss="restoration", sampling="none")
        assert set(code_of_cell(cell, PRETRAIN)) == {"segbench", "model net"}


def digest(definition):
    """The digest of the loss "own" that a grid file defines so."""
    with registries():
        load_grid_text(HEADER + definition)
        return code_of_cell(Cell(model="unet3d", loss="own", sampling="none"))["loss own"]


@pytest.mark.parametrize(
    ("definition", "old", "new"),
    [
        ("LOSSES['own'] = Entry(lambda counts, k=1: k * 2)", "k * 2", "k * 3"),
        ("LOSSES['own'] = Entry(lambda counts, k=1: k * 2)", "k=1", "k=2"),
        ("def f(c, *, k=1): return k\nLOSSES['own'] = Entry(f)", "k=1", "k=2"),
        (
            "def make(k):\n    return lambda counts: k\nLOSSES['own'] = Entry(make(1))",
            "make(1)",
            "make(2)",
        ),
        (
            "def f(c, k): return k\nLOSSES['own'] = Entry(partial(f, k=np.arange(3)))",
            "arange(3)",
            "arange(1, 4)",
        ),
        (
            "def f(c, k): return k\nLOSSES['own'] = Entry(partial(f, k=torch.zeros(3)))",
            "zeros(3)",
            "ones(3)",
        ),
        (
            "def f(c, k): return k\nLOSSES['own'] = Entry(partial(f, k={'a', 'b', 'c'}))",
            "'c'",
            "'d'",
        ),
        ("def f(c): return 3\nLOSSES['own'] = Entry('user_grid:f')", "return 3", "return 4"),
        ("K = re.compile('a')\ndef f(c): return K\nLOSSES['own'] = Entry(f)", "'a'", "'b'"),
        (
            "class F:\n    k = 1\n    def __call__(self, c): return self.k\nLOSSES['own'] = "
            "Entry(F())",
            "k = 1",
            "k = 2",
        ),
        (
            "class F:\n    def __init__(self, k): self.k = k\n    def __call__(self, c): return "
            "1\nLOSSES['own'] = Entry(F(1))",
            "F(1)",
            "F(2)",
        ),
        (
            "def g(): return 1\ndef deco(f):\n    @wraps(f)\n    def h(c): return f(c) + g()\n    "
            "return h\n"
            "@deco\ndef own(c): return 5\nLOSSES['own'] = Entry(own)",
            "return 1",
            "return 2",
        ),
        (
            "def deco(f):\n    @wraps(f)\n    def h(c): return f(c)\n    return h\n"
            "@deco\ndef own(c): return 5\nLOSSES['own'] = Entry(own)",
            "return 5",
            "return 6",
        ),
        ("@lru_cache\ndef own(c): return 5\nLOSSES['own'] = Entry(own)", "return 5", "return 6"),
        (
            "@torch.no_grad()\ndef own(c): return 5\nLOSSES['own'] = Entry(own)",
            "return 5",
            "return 6",
        ),
        (
            "def start(): return 1\n@dataclass\nclass F:\n    k: int = "
            "field(default_factory=start)\n"
            "def own(c): return F().k\nLOSSES['own'] = Entry(own)",
            "return 1",
            "return 2",
        ),
        (
            "class A:\n    def k(self): return 1\nclass B(A): pass\ndef own(c): return "
            "B().k()\nLOSSES['own'] = Entry(own)",
            "return 1",
            "return 2",
        ),
        (
            "def own(c):\n    def inner(): return K\n    return inner()\nK = 1\nLOSSES['own'] = "
            "Entry(own)",
            "K = 1",
            "K = 2",
        ),
        (
            "def a(n): return n and b(n - 1)\ndef b(n): return a(n) + 1\nLOSSES['own'] = Entry(a)",
            "+ 1",
            "+ 2",
        ),
        ("LOSSES['own'] = Entry('trials.losses:focal')", "losses:focal", "losses:weighted_focal"),
        ("LOSSES['own'] = Entry(partial(focal, gamma=2.0))", "2.0", "3.0"),
    ],
)
def test_every_way_to_write_a_part_is_looked_through(definition, old, new):
    assert definition.count(old) == 1
    assert digest(definition) == digest(f"# A comment.\n{definition}\nUNUSED = 1")
    assert digest(definition) != digest(definition.replace(old, new))


def test_what_a_generated_function_runs_is_its_bytecode():
    text = "exec(compile('def own(c): return {}', '<made>', 'exec'))\nLOSSES['own'] = Entry(own)"

    assert digest(text.format(1)) == digest(text.format(1)) != digest(text.format(2))


@dataclass
class Package:
    """A module of the user's beside the grid file, and one that it imports from."""

    folder: Path

    def digest(self, losses: str, helpers: str, target: str) -> str:
        for name, text in (("own_losses", losses), ("own_helpers", helpers)):
            (self.folder / f"{name}.py").write_text(text)
            sys.modules.pop(name, None)
        linecache.clearcache()
        return digest(f"import own_losses\nLOSSES['own'] = Entry({target})")


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Package(tmp_path)
    for name in ("own_losses", "own_helpers"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "target", ["'own_losses:own'", "own_losses.own", "lambda c: own_losses.own(c)"]
)
def test_a_part_in_a_module_beside_the_grid_file_is_that_module_and_those_it_imports(
    package, target
):
    losses, helpers = "from own_helpers import k\ndef own(c): return k()\n", "def k(): return 1\n"

    before = package.digest(losses, helpers, target)

    assert package.digest(f"# A comment.\n{losses}", helpers, target) == before
    assert package.digest(losses.replace("k()", "k() + 1"), helpers, target) != before
    assert package.digest(losses, helpers.replace("1", "2"), target) != before


def test_one_edited_line_of_our_training_code_is_another_digest(tmp_path):
    (tmp_path / "fit.py").write_text("STEPS = 1\n")
    (tmp_path / "notes.txt").write_text("no code\n")
    before = folder_digest(tmp_path)

    (tmp_path / "notes.txt").write_text("still none\n")
    assert folder_digest(tmp_path) == before
    (tmp_path / "fit.py").write_text("STEPS = 2\n")
    assert folder_digest(tmp_path) != before


def test_a_text_that_was_run_is_seen_by_inspect_whatever_becomes_of_its_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("nothing of it")
    with registries():
        load_grid_text(grid_text("loss"), str(path))
        module = sys.modules["user_grid"]

        assert (
            inspect.getsource(module.overlap)
            == "def overlap(probs, true):\n    return SCALE * (probs * true).sum()\n"
        )
        assert inspect.getsource(module.Net).startswith("class Net(nn.Module):")
