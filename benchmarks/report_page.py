"""The page of a large run, 64 configurations x 3 seeds x 81 cases made up: how long, how large, how heavy in Chromium.

Prints a table; run by hand from the project's root: python benchmarks/report_page.py FOLDER
"""

import resource
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "reports"))

from made_up import LOSSES, MadeUp, plausible_quality, write_run

from bench.studies import write_studies
from reports.build import build_report

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--no-first-run"]


def large_run(out: Path) -> Path:
    """64 cells, 3 seeds, 4 tuning trials, 81 test cases with whole cubes."""
    models = ("unet3d", "vnet", "segresnet", "unet2d_resnet50")
    samplings = ("none", "oversample", "subsample", "both")
    return write_run(
        out,
        MadeUp(
            models=models,
            losses=LOSSES,
            samplings=samplings,
            seeds=(0, 1, 2),
            num_val=8,
            num_test=81,
            tunings=4,
            epochs=40,
            quality=plausible_quality,
        ),
    )


def in_chromium(page: Path) -> dict[str, str]:
    """Seconds to the first figure, all figures drawn after scrolling, heap, requests and errors."""
    from playwright.sync_api import sync_playwright

    heard: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        tab = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        tab.on("console", lambda message: heard.append(message.text) if message.type == "error" else None)
        tab.on("request", lambda request: heard.append(request.url) if request.url.startswith(("http", "ws")) else None)
        clock = time.perf_counter()
        tab.goto(page.as_uri())
        tab.locator("figure.plot").first.scroll_into_view_if_needed()
        tab.wait_for_function("() => document.querySelector('figure.plot').dataset.drawn")
        first = time.perf_counter() - clock
        figures = tab.query_selector_all("figure.plot")
        for figure in figures:
            figure.scroll_into_view_if_needed()
            tab.wait_for_function("figure => figure.dataset.drawn", arg=figure)
        session = tab.context.new_cdp_session(tab)
        session.send("HeapProfiler.collectGarbage")
        heap = session.send("Runtime.getHeapUsage")["usedSize"] / 2**20
        browser.close()
    return {
        "first figure, s": f"{first:.1f}",
        "figures drawn": str(len(figures)),
        "heap, MiB": f"{heap:.0f}",
        "errors and requests": str(len(heard)),
    }


def main() -> None:
    """Make the run, build its page twice, open it."""
    out = large_run(Path(sys.argv[1]))
    write_studies(out)
    clock, cpu = time.perf_counter(), time.process_time()
    page = build_report(out)
    seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
    first = page.read_bytes()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    rows = {
        "built in, s": f"{seconds:.1f} ({cpu:.1f} of processor time)",
        "peak memory, GiB (with making the run)": f"{peak:.2f}",
        "page, MB": f"{len(first) / 1e6:.2f}",
        "two builds equal": str(build_report(out).read_bytes() == first),
        **in_chromium(page),
    }
    for name, value in rows.items():
        print(f"{name:40} {value}")


if __name__ == "__main__":
    main()
