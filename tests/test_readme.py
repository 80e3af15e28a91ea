"""The README is short, its set-up is two commands, and links of README and docs lead somewhere."""

import re
import shlex

import pytest
from conftest import COMMANDS, PAGES, README, ROOT

from bench.cli import parser


def test_set_up_is_two_commands_of_one_line_each():
    assert COMMANDS[0] == "python -m pip install -e . && python -m bench.run --grid demo"
    assert COMMANDS[1] == "python -m pip install -e '.[test]' && python -m pytest"
    assert COMMANDS[1] in (ROOT / ".ci" / "run").read_text()


def test_commands_for_the_cluster_are_understood():
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
    assert 120 <= len(README.splitlines()) <= 150
    assert len(README.split()) <= 1000
