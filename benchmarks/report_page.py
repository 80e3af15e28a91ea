"""The page of a large run, 64 configurations x 3 seeds x 81 cases made up, with every section: how
long, how large, how heavy.

python -m benchmarks.report_page FOLDER, where the run is made once.
"""

import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "reports"))

from chromium import ARGUMENTS, CHROMIUM, opened, scroll_through
from made_up import LOSSES, MadeUp, complete, plausible_quality, write_run
from made_up_pictures import ball_with_tumor, hash_of, write_arrays

from bench.search.studies import write_studies
from benchmarks.compare import keep
from reports.analysis.context import build_context
from reports.load.run_folder import read_run
from reports.sections.registry import SECTIONS
from reports.table import scores_table, trials_table
from trials.records.codec import to_json
from trials.records.result import NATIVE, ExternalPredictions
from trials.records.result_file import read_results
from trials.records.spec import Cell
from trials.storage.checksum import add_checksum

MADE = MadeUp(
    models=("unet3d", "vnet", "segresnet", "unet2d_resnet50"),
    losses=LOSSES,
    samplings=("none", "oversample", "subsample", "both"),
    seeds=(0, 1, 2),
    num_val=8,
    num_test=81,
    tunings=12,
    epochs=40,
    ceiling=0.97,
    dataset="kits23",
    quality=cache(plausible_quality),
)
# As many slices as a real run keeps of a patient, the cube of a full run, and the edge of a CT's
# slice.
SLICES, CUBE, PLANE = 8, 128, 512


def large_run(out: Path) -> Path:
    """The run, its studies, external predictions, and the pictures of those trials that its
    page shows.
    """
    write_run(out, MADE)
    seal(out.glob("trials/*/result.json"))
    write_studies(out, read_results(out).values())
    other_run = complete(MADE, Cell(model="nobody", loss="knows", sampling="how"), 7)
    scores = tuple(
        score for score in other_run.scores if score.split == "test" and score.space == NATIVE
    )
    (out / "external").mkdir(exist_ok=True)
    external = ExternalPredictions(name="nnU-Net", scores=scores, surfaces=other_run.surfaces)
    (out / "external" / "one.json").write_text(add_checksum(to_json(external)))
    write_pictures(out, shown_trials(out))
    return out


def seal(records: Iterable[Path]) -> None:
    """Give each file its digest, as a run does."""
    for path in records:
        path.write_text(add_checksum(path.read_text()))


def shown_trials(out: Path) -> set[str]:
    """The first seed of the selected configuration and of the best 3D U-Net: the page draws
    patients of these alone.
    """
    run = read_run(out)
    selection = build_context(run, scores_table(run), trials_table(run), "none").selection
    assert selection is not None
    unets = [i for i, cell in enumerate(run.cells) if cell.model == "unet3d"]
    cells = [
        run.cells[i]
        for i in (selection.selected, max(unets, key=lambda i: selection.validation[i]))
    ]
    return {
        result.trial for result in run.finals if result.spec.cell in cells and result.spec.seed == 0
    }


def write_pictures(out: Path, trials: set[str]) -> None:
    """Reference, slices of a full CT and whole cube of every test patient, and a prediction that
    lies a little beside it.
    """
    index, sheet = np.linspace(34, 78, SLICES).astype(int), np.arange(0, CUBE, CUBE // 16)
    finer = np.ones((1, PLANE // CUBE, PLANE // CUBE), np.uint8)
    (out / "cases").mkdir(exist_ok=True)
    for case in MADE.splits["test"]:
        rng = np.random.default_rng(hash_of(case))
        labels = ball_with_tumor(CUBE, rng.uniform(0.35, 0.65, 2))
        reference, half = np.kron(labels[index], finer), np.kron(labels[sheet], finer[:, ::2, ::2])
        stored = {
            "image": scan(rng, reference),
            "reference": reference,
            "index": index,
            "pixel_mm": np.array([0.7, 0.7]),
        }
        stored |= {"sheet": scan(rng, half), "sheet_reference": half, "sheet_index": sheet}
        stored |= {"volume": labels, "size_mm": np.array([300.0, 360, 360])}
        write_arrays(out / "cases" / f"{case}.npz", stored)
        for trial in trials:
            path = out / "trials" / trial / "cases" / f"{case}.npz"
            path.parent.mkdir(exist_ok=True)
            beside = np.roll(labels, 3 + hash_of(f"{trial}{case}") % 6, axis=2)
            write_arrays(
                path,
                {"prediction": np.kron(beside[index], finer), "index": index, "volume": beside},
            )


def scan(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Grey values uint8 of slices that hold these labels, with a scanner's noise."""
    return rng.normal(60 + 50.0 * labels, 20).clip(0, 255).astype(np.uint8)


def built(out: Path) -> dict[str, str]:
    """Two builds by the verb, each a process of its own: seconds, processor seconds, memory;
    whether they are equal.
    """
    pages, rows = [], {}
    for _ in range(2):
        clock = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "bench.cli", "report", str(out)], check=True, capture_output=True
        )
        pages.append((out / "report.html").read_bytes())
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = usage.ru_utime + usage.ru_stime
        rows = rows or {
            "built in, s": f"{time.perf_counter() - clock:.1f} ({spent:.1f} of processor time)"
        }
    rows["peak memory of a build, GiB"] = f"{usage.ru_maxrss / 2**20:.2f}"
    return rows | {"two builds equal": str(pages[0] == pages[1])}


def parts(page: str) -> Iterator[tuple[str, str]]:
    """What the page's bytes are."""
    whole, named = len(page.encode()), 0
    patterns = {
        "plotly.js, packed": r'<script type="text/plain" id="plotly"[^>]*>.*?</script>',
        "figures": r'<script type="(?:text/plain|application/json)">.*?</script>',
        "pictures": r"url\(data:image/[^)]*\)",
        "tables": r"<table.*?</table>",
    }
    yield "page, MB", f"{whole / 1e6:.2f}"
    for name, pattern in patterns.items():
        size = sum(len(found.encode()) for found in re.findall(pattern, page, re.DOTALL))
        page, named = re.sub(pattern, "", page, flags=re.DOTALL), named + size
        yield f"  {name}", f"{size / 1e6:.2f}"
    yield "  all else", f"{(whole - named) / 1e6:.2f}"


def in_chromium(page: Path) -> dict[str, str]:
    """Seconds to the first figure, all figures drawn after scrolling, heap, requests and errors."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        clock = time.perf_counter()
        (found,) = (looked_at(tab, clock) for tab in opened(browser, page))
        browser.close()
    return found


def looked_at(tab: Any, clock: float) -> dict[str, str]:
    """What a tab shows that began to open at that time."""
    # As a link jumps there: sections above that are laid out meanwhile move a view on its middle
    # away.
    tab.eval_on_selector("figure.plot", "figure => figure.scrollIntoView()")
    tab.wait_for_function("() => document.querySelector('figure.plot').dataset.drawn")
    first = time.perf_counter() - clock
    figures, session = scroll_through(tab), tab.context.new_cdp_session(tab)
    session.send("HeapProfiler.collectGarbage")
    heap = session.send("Runtime.getHeapUsage")["usedSize"] / 2**20
    sections = tab.eval_on_selector_all("main > section", "all => all.length")
    return {
        "sections": f"{sections} of {len(SECTIONS)}",
        "first figure, s": f"{first:.1f}",
        "figures drawn": str(figures),
        "heap, MiB": f"{heap:.0f}",
        "errors and requests": str(len(tab.heard)),
    }


def main() -> None:
    """Make the run where it is not there yet, build its page twice, open it; print and keep."""
    out = Path(sys.argv[1])
    if not (out / "run.json").exists():
        large_run(out)
    rows, page = built(out), out / "report.html"
    rows |= {**dict(parts(page.read_text())), **in_chromium(page)}
    about = (
        f"{len(MADE.cells)} configurations x {len(MADE.seeds)} seeds x {MADE.num_test} cases, "
        f"{MADE.tunings} tuning trials each"
    )
    keep("report_page", about, [f"{name:30} {value}" for name, value in rows.items()])


if __name__ == "__main__":
    main()
