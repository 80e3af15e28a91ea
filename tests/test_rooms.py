"""Who may import whom: an arrow against the flow is a fault."""

import ast
import subprocess
import sys
from collections import Counter, defaultdict
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RAY_ALLOWED = "bench/tuning/"
RAY_PRIVATE = ("ray._private", "ray.autoscaler", "ray.experimental")
JOINS_ROOMS = ("bench/run.py", "bench/commands/", "bench/predictions/")
REPORTS_MAY_SEE = ("trials.records.", "trials.storage.")
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for room in ("bench", "trials", "reports")
    for path in (ROOT / room).rglob("*.py")
)


@cache
def tree_of(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text())


@cache
def imports_of(file: str) -> set[str]:
    names = set()
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def rooms(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("trials/")])
def test_trials_sees_neither_neighbour(file):
    assert not rooms(imports_of(file)) & {"bench", "reports", "ray", "optuna"}


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("reports/")])
def test_reports_sees_only_records(file):
    names = imports_of(file)
    assert not rooms(names) & {"bench", "torch", "monai", "ray", "optuna"}
    assert all(name.startswith(REPORTS_MAY_SEE) for name in names if name.startswith("trials"))


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("bench/")])
def test_only_commands_and_predictions_join_the_rooms_and_only_tuning_knows_ray(file):
    names = imports_of(file)
    assert "reports" not in rooms(names) or file.startswith(JOINS_ROOMS)
    assert "ray" not in rooms(names) or file.startswith(RAY_ALLOWED)


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("bench/tuning/")])
def test_what_is_private_in_ray_is_used_in_one_file(file):
    private = {name for name in imports_of(file) if name.startswith(RAY_PRIVATE)}

    assert not private or file == "bench/tuning/ray_private.py"


# Files that lie directly in these folders count each by itself: what users import, and the ends of
# a room.
EACH_BY_ITSELF = ("bench", "trials", "trials.data", "reports")
# Lies beside its folder, since users import it there.
BESIDE_ITS_FOLDER = {"reports.table": "reports.load"}


def arrows_of(file: str) -> set[str]:
    """Our own modules that are loaded with a file; what a function imports when it is called is
    not.
    """
    found = set()
    for node in tree_of(file).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (names & MODULES.keys()) or {node.module}
    return found & MODULES.keys()


def folder_of(module: str) -> str:
    folder = module.rpartition(".")[0]
    return BESIDE_ITS_FOLDER.get(module, module if folder in EACH_BY_ITSELF else folder)


MODULES = {
    file.removesuffix(".py").replace("/", "."): file
    for file in FILES
    if not file.endswith("__init__.py")
}


def test_no_folders_import_each_other_in_a_circle():
    graph = defaultdict(set)
    for module, file in MODULES.items():
        graph[folder_of(module)] |= {folder_of(name) for name in arrows_of(file)} - {
            folder_of(module)
        }

    # Raises CycleError, which names the circle.
    assert len(list(TopologicalSorter(graph).static_order())) == len(graph)


def loaded(code: str, packages: tuple[str, ...]) -> list[str]:
    """Which of these packages a new process has loaded after some code."""
    code = f"import sys; {code}; print(*[name for name in {packages} if name in sys.modules])"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()


def test_help_and_listing_load_no_heavy_package():
    code = (
        "import bench.cli as cli, bench.commands.list as listing; cli.parser().format_help(); "
        "listing.listing()"
    )

    assert loaded(code, ("torch", "monai", "ray", "optuna", "pandas", "plotly", "scipy")) == []


def test_a_data_set_is_checked_and_prepared_without_torch():
    assert (
        loaded("import bench.commands.check, bench.commands.prepare", ("torch", "monai", "ray"))
        == []
    )


def test_what_is_loaded_is_seen():
    assert loaded("import scipy", ("scipy", "torch")) == ["scipy"]


@pytest.mark.parametrize("file", FILES)
def test_every_file_says_what_it_is_and_stays_readable(file):
    text = (ROOT / file).read_text()

    assert ast.get_docstring(tree_of(file)), f"{file} opens without saying what it is"
    assert len(text.splitlines()) <= (345 if file.startswith("reports/") else 300)


def test_no_folder_of_bench_and_trials_holds_more_than_fifteen_files():
    sizes = Counter(file.rpartition("/")[0] for file in FILES if not file.startswith("reports/"))

    assert {folder: size for folder, size in sizes.items() if size > 15} == {}
