"""Headless Chromium for tests: where it is, how it starts, a page in it that keeps what it says and
asks for.
"""

import os
import shutil

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
ARGUMENTS = [
    *(
        "--no-sandbox",
        "--disable-gpu",
        "--enable-unsafe-swiftshader",
        "--disable-quic",
        "--no-first-run",
    ),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
DESKTOP = {"width": 1280, "height": 900}
IN_CI = os.environ.get("CI") == "true"
TOO_WIDE = """() => {
  const far = document.documentElement.clientWidth + 1;
  const words = [...document.querySelectorAll('figure.plot svg text')]
    .filter(text => text.textContent.trim());
  const outside = words.filter(text => {
    const box = text.getBoundingClientRect();
    const canvas = text.closest('.canvas').getBoundingClientRect();
    const right = Math.min(canvas.right + 2, far);
    return box.width && (box.left < canvas.left - 2 || box.right > right);
  }).map(text => `${text.closest('figure').id}: ${text.textContent}`);
  const tables = [...document.querySelectorAll('.block > .scroll > table, .heat table')]
    .filter(table => table.checkVisibility() && table.getBoundingClientRect().right > far)
    .map(table => table.id);
  return [...outside, ...tables];
}"""

# What does not fit its box, or lies beyond the window; a wide table may scroll in its own box.
CUT_OFF = """() => [...document.querySelectorAll('main *, nav *')].filter(element => {
  if (!element.clientWidth || !element.checkVisibility()) return false;
  if (element.closest('svg, .modebar-container') || element.matches('.scroll')) return false;
  const scrolled = element.closest('.scroll');
  const isCell = element.matches('td, th');
  const outside = element.getBoundingClientRect().right > innerWidth + 1;
  return (!scrolled && outside)
    || ((!scrolled || isCell) && element.scrollWidth > element.clientWidth + 1);
}).map(element => `${element.closest('[id]')?.id}: ${element.textContent.trim().slice(0, 60)}`)"""


def opened(browser, report, **options):
    context = browser.new_context(viewport=DESKTOP, **options)
    page = context.new_page()
    page.heard = []
    page.on(
        "console",
        lambda message: page.heard.append(message.text) if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: page.heard.append(str(error)))
    page.on(
        "request",
        lambda request: (
            page.heard.append(request.url) if request.url.startswith(("http", "ws")) else None
        ),
    )
    page.goto(report.as_uri())
    yield page
    context.close()


def scroll_through(page) -> int:
    """Open every detail and bring every figure into view; returns the number of figures."""
    page.eval_on_selector_all(
        "section.detail > details", "all => all.forEach(one => { one.open = true; })"
    )
    figures = page.query_selector_all("figure.plot")
    for figure in figures:
        figure.scroll_into_view_if_needed()
        page.wait_for_function("figure => figure.dataset.drawn === 'true'", arg=figure)
    return len(figures)
