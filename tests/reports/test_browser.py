"""The page in headless Chromium: quiet, sealed, drawn, sortable, light and dark."""

import os
import shutil
from collections.abc import Iterator

import pytest
from made_up import MODELS, MadeUp, plausible_quality, write_run

from reports.build import build_report
from reports.sections.registry import SECTIONS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    made = MadeUp(
        models=(*MODELS[:3], "<b>bold</b>"), seeds=(0, 1), tunings=1, edge=32, quality=plausible_quality, dataset="kits23"
    )
    return build_report(write_run(tmp_path_factory.mktemp("run"), made))


@pytest.fixture(scope="module")
def browser() -> Iterator:
    sync_api = pytest.importorskip("playwright.sync_api")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser, report):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.heard = []
    page.on("console", lambda message: page.heard.append(message.text))
    page.on("pageerror", lambda error: page.heard.append(str(error)))
    page.on("request", lambda request: page.heard.append(request.url) if request.url.startswith(("http", "ws")) else None)
    page.goto(report.as_uri())
    yield page
    context.close()


def scroll_through(page) -> int:
    figures = page.query_selector_all("figure.plot")
    for figure in figures:
        figure.scroll_into_view_if_needed()
        page.wait_for_function("figure => figure.dataset.drawn === 'true'", arg=figure)
    return len(figures)


def test_every_figure_is_drawn_and_the_page_says_and_asks_nothing(page):
    num = scroll_through(page)

    assert num >= 9
    assert page.eval_on_selector_all("figure.plot .main-svg", "all => all.length") >= num
    assert page.heard == []


def test_figures_wait_until_they_come_into_view(page):
    first, *_, last = page.query_selector_all("figure.plot")

    first.scroll_into_view_if_needed()
    page.wait_for_function("figure => figure.dataset.drawn === 'true'", arg=first)

    assert last.get_attribute("data-drawn") is None


def test_every_section_is_there_and_the_first_screen_answers(page):
    assert page.eval_on_selector_all("main > section", "all => all.map(one => one.id)") == list(SECTIONS)
    assert page.locator("h1").bounding_box()["y"] < 400
    assert page.locator(".numbers").bounding_box()["y"] < 900


def test_a_table_sorts_by_number_both_ways(page):
    header = page.locator("#leaderboard-table thead th").nth(2)
    values = "rows => rows.map(row => Number(row.cells[2].dataset.sort))"

    header.locator("button").click()
    falling = page.eval_on_selector_all("#leaderboard-table tbody tr", values)
    header.locator("button").click()
    rising = page.eval_on_selector_all("#leaderboard-table tbody tr", values)

    assert falling == sorted(falling, reverse=True)
    assert rising == sorted(rising)
    assert header.get_attribute("aria-sort") == "ascending"


def test_a_name_with_markup_stays_text_in_tables_and_figures(page):
    scroll_through(page)

    assert page.locator("#leaderboard-table").get_by_text("<b>bold</b> / combined / none").count() == 1
    assert "<b>bold</b> / combined / none" in page.locator("#forest .main-svg").first.text_content()


def test_the_theme_switches_and_redraws(page):
    scroll_through(page)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)

    page.locator("button.theme").click()

    assert page.evaluate(ground) != light
    assert page.locator("button.theme").text_content() == "Light"
    assert page.heard == []


def test_the_slider_walks_the_slices(page):
    article = page.locator(".patients article").first
    before = article.locator(".slice:not([hidden]) .words").text_content()

    article.locator("input").fill("0")

    after = article.locator(".slice:not([hidden]) .words").text_content()
    assert article.locator(".slice:not([hidden])").count() == 1
    assert after.startswith("slice 10:")
    assert before.startswith("slice ")


def test_nothing_is_wider_than_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 800})
    scroll_through(page)

    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_without_script_the_tables_can_be_read(browser, report):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())

    assert page.locator("#leaderboard-table tbody tr").count() == 8
    assert page.locator("#leaderboard-table").is_visible()
    assert page.locator("#grid-mean-dice td").first.is_visible()
    context.close()
