"""What README and docs tell a reader to type is what works, and their links lead somewhere."""

import re
import shlex
import subprocess
import sys

import pytest
from conftest import COMMANDS, PAGES, README, ROOT

from bench.cli import main, parser
from trials.data.datasets.phantoms.writing import write_phantoms


def test_set_up_is_two_commands_of_one_line_each():
    assert COMMANDS[0] == "python -m pip install -e . && python -m bench.run --grid demo"
    assert COMMANDS[1] == "python -m pip install -e '.[test]' && python -m pytest"
    assert COMMANDS[1] in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("segbench")])
def test_every_command_is_understood(line):
    parser().parse_args(shlex.split(line)[1:])


def test_commands_for_the_cluster_are_understood_too():
    quoted = [
        re.search(r"'segbench (.*)'", line)[1] for line in COMMANDS if line.startswith("ray exec")
    ]
    submitted = [
        line.partition("python -m bench.run ")[2]
        for line in COMMANDS
        if line.startswith("ray job submit")
    ]

    assert len(quoted) == 3
    assert len(submitted) == 2
    for line in (*quoted, *[f"run {line}" for line in submitted]):
        parser().parse_args(shlex.split(line))


@pytest.mark.parametrize(
    "line",
    [
        line
        for line in COMMANDS
        if "--dry-run" in line or line.startswith(("segbench ls", "segbench audit"))
    ],
)
def test_commands_that_start_nothing_work_as_printed(line, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(shlex.split(line)[1:]) == 0
    assert capsys.readouterr().out


def test_prepared_phantoms_can_be_exported_as_slices(tmp_path):
    write_phantoms(tmp_path / "runs" / "data" / "phantoms-88-0", 3)
    prepare = next(line for line in COMMANDS if line.startswith("segbench prepare phantoms"))
    export = next(line for line in COMMANDS if line.startswith("segbench export"))

    prepared = segbench(prepare, tmp_path).strip()
    segbench(export.replace("PREPARED", prepared).replace("OUT", "slices"), tmp_path)

    assert len(list((tmp_path / "slices" / "sagittal" / "images").glob("*.npy"))) == 3 * 32


def segbench(line, cwd):
    """Run a line of the README in a folder and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.cli", *shlex.split(line)[1:]],
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_picture_is_there():
    assert (ROOT / "docs" / "report.png").is_file()


def test_the_tree_of_the_architecture_names_what_is_there():
    tree = re.search(r"# Architecture\n\n(.*?)\n\n", PAGES["architecture"], re.DOTALL)[1]
    room = ROOT
    for indent, names in re.findall(r"^    ( *)((?:\w+/ ?)+)", tree, re.MULTILINE):
        for name in names.split():
            assert ((room if indent else ROOT) / name).is_dir(), name
        room = room if indent else ROOT / names.split("/")[0]


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{name}.md" for name in PAGES)])
def test_links_and_named_files_are_there(page):
    text, folder = (ROOT / page).read_text(), (ROOT / page).parent
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (folder / target).exists(), target
    # Figures in benchmarks/results/ are there once somebody with the hardware has measured them.
    for name in re.findall(r"`((?:bench|trials|reports|tests|clusters)/[\w/.]*)`", text):
        assert (ROOT / name).exists(), name


def test_the_readme_is_short():
    assert 100 <= len(README.splitlines()) <= 150
