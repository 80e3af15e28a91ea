"""Sections to one HTML file that opens offline: one packed plotly.js, figures as JSON, a policy
that lets nothing out.
"""

import base64
import gzip
import hashlib
import json
import math
import re
from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from reports.elements import Column, Figure, Section, TableCell

# A figure with more characters of JSON than this is packed like plotly.js: what is short stays
# readable.
PACKED_FROM = 40_000
# A folded table with more rows than this is put into the page as a text, which the page reads when
# it has the time.
LONG_FROM = 100
# The last argument of the call that plotly.js is.
FACTORY = re.compile(r"(?<= : this, )(\(\) => \{.*\})(?=\)\);\s*\Z)", re.DOTALL)
NO_BREAK = "\N{NO-BREAK SPACE}"


def render(title: str, subtitle: str, sections: Sequence[Section], stamp: str = "") -> str:
    """The page as text. Strings in sections are escaped; equal sections give equal text. stamp
    stands above all else.

    The content security policy names our two scripts by their hashes, so no string from a file can
    run as a third.
    """
    environment = templates()
    sources = environment.loader
    assert sources is not None
    style, script = (sources.get_source(environment, name)[0] for name in ("style.css", "page.js"))
    return environment.get_template("page.html").render(
        title=title,
        subtitle=subtitle,
        stamp=stamp,
        sections=sections,
        style=Markup(style),
        script=Markup(script),
        script_digest=digest(script),
        plotly_digest=digest(plotly()),
        plotly=packed_plotly(),
        long_from=LONG_FROM,
    )


@cache
def templates() -> Environment:
    """The templates, which take longer to compile than a small page to fill."""
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"table_row": table_row, "drawing": drawing, "unbroken": unbroken}
    return environment


def table_row(row: Sequence[TableCell], columns: Sequence[Column]) -> Markup:
    """A table's row; its first cell heads it. A large page has 40,000 cells, over which a template
    takes five times as long.
    """
    cells = [
        _cell(entry, column.is_number, "td")
        for entry, column in zip(row[1:], columns[1:], strict=True)
    ]
    return Markup(f"<tr>{_cell(row[0], columns[0].is_number, 'th')}{''.join(cells)}</tr>")


def _cell(entry: TableCell, is_number: bool, tag: str) -> str:
    scope = ' scope="row"' if tag == "th" else ""
    words = " ".join(word for word in ("number" if is_number else "", escape(entry.look)) if word)
    look = f' class="{words}"' if words else ""
    sort = f' data-sort="{escape(sort_key(entry))}"' if is_number or entry.sort is not None else ""
    hint = f' title="{escape(entry.hint)}"' if entry.hint else ""
    swatch = (
        f'<i class="swatch" style="background:{escape(entry.swatch)}"></i>' if entry.swatch else ""
    )
    small = f" <small>{escape(entry.small)}</small>" if entry.small else ""
    pill = '<span class="pill">selected</span>' if entry.look == "selected" else ""
    return f"<{tag}{scope}{look}{sort}{hint}>{swatch}{escape(entry.text)}{small}{pill}</{tag}>"


def sort_key(entry: TableCell) -> str:
    """What a column sorts by: a number as it is, n/a as nothing, anything else its text."""
    if isinstance(entry.sort, float) and math.isnan(entry.sort):
        return ""
    return str(entry.text if entry.sort is None else entry.sort)


def unbroken(text: str) -> str:
    """Prose in which no line ends between a number and its sign or unit: 'n = 4', '95 %'."""
    return re.sub(
        r"(?<=\bn) = (?=\d)|(?<=\d) (?=%)", lambda found: found[0].replace(" ", NO_BREAK), text
    )


def digest(script: str) -> str:
    """A script's name in a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def drawing(figure: Figure) -> tuple[Markup, bool]:
    """What plotly draws of a figure as JSON that is safe inside a script element, and whether it is
    packed.
    """
    views = [{"data": view.data, "layout": view.layout} for view in figure.views]
    content = {"data": figure.data, "layout": figure.layout, "views": views}
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return (
        (Markup(pack(text)), True)
        if len(text) > PACKED_FROM
        else (htmlsafe_json_dumps(content), False)
    )


def pack(text: str) -> str:
    """Text, gzipped without a clock, in base64."""
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


@cache
def plotly() -> str:
    """plotly.js with its factory in parentheses, by which a browser compiles it as it reads it, not
    again when it is called.
    """
    return FACTORY.sub(r"(\1)", get_plotlyjs())


@cache
def packed_plotly() -> str:
    """plotly.js as the page holds it."""
    return pack(plotly())
