"""What the README and the pages of docs/ show works as printed, and the site is built from them.

A page's blocks run in their order in one folder that holds small data of every kind that the pages
name. A Python block that begins with `# NAME.py` is also a part of that file. A block that does not
run here says why in a comment before it: `<!-- needs: ... -->` what it lacks, or `<!-- run by: FILE
-->` which file runs it. Of a command that trains, the flags are parsed: `run` lists its trials.
"""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from conftest import PAGES, ROOT
from made_up import MadeUp, write_run
from nifti_toys import asymmetric, blocks, dataset_of, save
from small_jobs import make_job

from bench.cli import main, parser
from bench.grid.user_file import load_grid
from bench.grids import DATASETS, LOSSES, METRICS, MODELS, SAMPLINGS
from reports.sections.registry import SECTIONS
from trials.data.datasets.opening import open_dataset
from trials.data.datasets.phantoms.writing import write_phantoms
from trials.data.prepared.cache import prepare_dataset
from trials.records.result import COMPLETE
from trials.training.attempt import attempt

FENCE = re.compile(r"^(?:<!-- (needs|run by): ([^\n]+) -->\n)?```(\w*)\n(.*?)^```$", re.M | re.S)
FILES = ("README.md", "CONTRIBUTING.md", *(f"docs/{name}.md" for name in PAGES))
MOST_NEEDS = 10
ADDED_TO = (MODELS, LOSSES, SAMPLINGS, DATASETS, METRICS, SECTIONS)


@dataclass(frozen=True)
class Fence:
    """A block of a page: its language, its text, and the mark before it."""

    language: str
    text: str
    mark: str
    why: str


def fences(page: str) -> list[Fence]:
    return [
        Fence(language, text, mark, why)
        for mark, why, language, text in FENCE.findall((ROOT / page).read_text())
    ]


MARKED = [(page, fence) for page in FILES for fence in fences(page) if fence.mark]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A folder with small data of every kind that the pages name."""
    place = tmp_path_factory.mktemp("world")
    dataset_of(place / "DATA" / "kits23")
    write_phantoms(place / "runs" / "data" / "phantoms-88-0", 3)
    write_run(place / "runs" / "demo", MadeUp())
    own, pairs = place / "DATA" / "Dataset007", place / "DATA" / "pairs"
    for seed in range(12):
        image, mask = asymmetric(seed=seed), (blocks(seed=seed) == 1).astype(np.uint8)
        save(own / "imagesTr" / f"scan_{seed:02}_0000.nii.gz", image)
        save(own / "labelsTr" / f"scan_{seed:02}.nii.gz", mask)
        save(pairs / f"scan_{seed:02}.nii.gz", image)
        save(pairs / f"scan_{seed:02}-mask.nii.gz", mask)
    (own / "dataset.json").write_text(
        '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, '
        '"numTraining": 12, "file_ending": ".nii.gz"}'
    )
    shutil.copytree(own / "labelsTr", place / "PREDICTIONS" / "Dataset007")
    (place / "PREDICTIONS" / "kits23").mkdir()
    for folder in (place / "DATA" / "kits23").glob("case_*"):
        shutil.copy(
            folder / "segmentation.nii.gz",
            place / "PREDICTIONS" / "kits23" / f"{folder.name}.nii.gz",
        )
    (place / "reports").mkdir()
    shutil.copy(ROOT / "reports" / "paper_tables.csv", place / "reports")
    shutil.copy(ROOT / "cluster.yaml", place)
    return place


@pytest.fixture
def registries() -> Iterator[None]:
    """Take out again what a page's examples add."""
    before = [(own, dict(own)) for own in ADDED_TO]
    yield
    for registry, entries in before:
        registry.clear()
        registry.update(entries)


@pytest.mark.parametrize("page", FILES)
def test_the_blocks_of_a_page_run_in_their_order(
    page, world, tmp_path, monkeypatch, capsys, registries
):
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    printed = ""
    for fence in fences(page):
        if fence.mark or fence.language == "text":
            continue
        if fence.language == "python":
            run_python(fence.text, page, names)
            continue
        assert fence.language == "sh", f"{page} has a block of {fence.language or 'no language'}"
        for line in fence.text.strip().splitlines():
            run_command(line.replace("PREPARED", printed))
            printed = capsys.readouterr().out.strip()
            assert printed or "plan" in line


def run_python(text: str, page: str, names: dict[str, object]) -> None:
    """Run a block among the names of those before it; one that begins with a file's name is added
    to that file.
    """
    if named := re.match(r"# (\w+\.py)\n", text):
        with Path(named[1]).open("a") as file:
            file.write(text)
    exec(compile(text, page, "exec"), names)


def run_command(line: str) -> None:
    """Run a line of ours; what would train is parsed, and a run lists its trials."""
    program, *words = shlex.split(line)
    assert program == "segbench", f"mark the block of this line by what it needs: {line}"
    parser().parse_args(words)
    if words[0] == "plan":
        return
    if words[0] == "run" and "--dry-run" not in words:
        words.append("--dry-run")
    # What doctor finds depends on the machine.
    assert main(words) in ((0, 2) if words[0] == "doctor" else (0,)), line


def test_the_parts_that_the_page_on_extending_adds_train_and_score(world, tmp_path, registries):
    texts = [fence.text for fence in fences("docs/extending.md")]
    own = [text for text in texts if text.startswith("# my_parts.py")]
    (tmp_path / "my_parts.py").write_text("".join(own))
    grid, _ = load_grid(str(tmp_path / "my_parts.py"))
    data = open_dataset("pairs", world / "DATA" / "pairs")
    recipe = grid.recipes["3d"]
    cache = prepare_dataset(data, recipe.preparation, tmp_path / "cache", workers=1)
    for cell in grid.cells:
        job = make_job(cache, tmp_path, cell, recipe, hyper={"lr": 0.01, "smoothing": 0.2})

        result = attempt(replace(job, spec=replace(job.spec, dataset="pairs")))

        assert (result.state, result.error) == (COMPLETE, None)
        assert {score.case for score in result.scores if score.split == "test"} == set(job.test)


def test_at_most_ten_blocks_lack_something():
    assert sum(fence.mark == "needs" for _, fence in MARKED) <= MOST_NEEDS


@pytest.mark.parametrize(
    ("page", "fence"),
    [
        pytest.param(page, fence, id=f"{page}-{fence.text.splitlines()[0]}")
        for page, fence in MARKED
        if fence.mark == "run by"
    ],
)
def test_what_runs_a_marked_block_is_there(page, fence):
    runner = (ROOT / fence.why).read_text()

    if fence.why == ".ci/run":
        assert all(line in runner for line in fence.text.strip().splitlines())


def test_the_catalogue_of_faults_has_each_number_once():
    numbers = re.findall(r"^\| (F\d\d) \|", PAGES["reliability"], re.MULTILINE)

    assert sorted(numbers) == [f"F{number:02}" for number in range(1, 97)]


def test_every_section_of_the_report_is_explained():
    sources = [path.read_text() for path in (ROOT / "reports" / "sections").glob("*.py")]
    titles = {
        title for source in sources for title in re.findall(r'title="([^"]+)",\s+question=', source)
    } - {"No answer yet"}

    rows = (
        PAGES["report"].partition("## The sections")[2].partition("\n\n|")[2].partition("\n\n")[0]
    )
    assert rows.count("\n") - 1 == len(SECTIONS)
    for title in titles:
        assert f"\n| {title} |" in PAGES["report"], title


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built as the home page says."""
    place = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", place],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def test_every_page_is_in_the_site_and_its_menu(site):
    menu = (site / "index.html").read_text()

    for name in PAGES:
        assert (site / f"{name}.html").is_file()
        assert f'href="{name}.html"' in menu


def test_the_site_asks_no_other_host(site):
    asked = r'<(?:script|img|iframe|source)\b[^>]*\bsrc="?((?:https?:)?//[^">\s]+)'
    linked = r'<link\b[^>]*\bhref="?((?:https?:)?//[^">\s]+)'
    styled = r"""(?:url\(|@import )["']?((?:https?:)?//[^"')\s]+)"""
    for path in (*site.rglob("*.html"), *site.rglob("*.css")):
        text = path.read_text()
        found = [one for rule in (asked, linked, styled) for one in re.findall(rule, text)]
        assert not found, f"{path.name}: {found[:3]}"


def test_the_reference_shows_what_a_grid_file_imports(site):
    text = (site / "reference.html").read_text()

    for name in ("bench.grids.Grid", "bench.grids.product", "reports.table.load_run"):
        assert f'id="{name}"' in text
