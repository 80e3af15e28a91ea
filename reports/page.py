"""Render the sections as one HTML file that works offline: one compressed plotly.js, figures as
JSON, and a policy that blocks every request.
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

# A figure with more characters of JSON than this is compressed like plotly.js; short ones stay
# readable.
PACKED_FROM = 40_000
# A folded table with more rows than this is stored as text, which the page parses later.
LONG_FROM = 100
# plotly.js is one function call; this is its last argument.
FACTORY = re.compile(r"(?<= : this, )(\(\) => \{.*\})(?=\)\);\s*\Z)", re.DOTALL)
NO_BREAK = "\N{NO-BREAK SPACE}"


def render(
    title: str,
    subtitle: str,
    sections: Sequence[Section],
    stamp: str = "",
    details: Sequence[Section] = (),
) -> str:
    """The page as text. Strings in sections are escaped; equal sections give equal text. stamp is
    shown at the top; details follow the sections, each closed until it is opened. Printed, the page
    is a summary of the sections and of those details that are open.

    The content security policy lists the hashes of our two scripts, so no string from a file can
    run as a script.
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
        details=details,
        style=Markup(style),
        script=Markup(script),
        script_digest=digest(script),
        plotly_digest=digest(plotly()),
        plotly=packed_plotly(),
        long_from=LONG_FROM,
    )


@cache
def templates() -> Environment:
    """The compiled templates; compiling takes longer than rendering a small page."""
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "table_row": table_row,
        "drawing": drawing,
        "unbroken": unbroken,
        "notes": notes,
        "breakable": breakable,
    }
    return environment


def table_row(row: Sequence[TableCell], columns: Sequence[Column]) -> Markup:
    """A table row with its first cell as heading. Written here because a large page has 40,000
    cells, and a template takes five times as long.
    """
    cells = [
        _cell(cell, column.is_number, "td")
        for cell, column in zip(row[1:], columns[1:], strict=True)
    ]
    return Markup(f"<tr>{_cell(row[0], columns[0].is_number, 'th')}{''.join(cells)}</tr>")


def breakable(name: str) -> Markup:
    """A name that a line may break after any of its underscores."""
    return escape(name).replace("_", Markup("_<wbr>"))


def notes(rows: Sequence[Sequence[TableCell]]) -> list[str]:
    """The distinct notes of a table's cells, in their order."""
    return list(dict.fromkeys(cell.note for row in rows for cell in row if cell.note))


def _cell(cell: TableCell, is_number: bool, tag: str) -> str:
    scope = ' scope="row"' if tag == "th" else ""
    words = " ".join(word for word in ("number" if is_number else "", escape(cell.look)) if word)
    look = f' class="{words}"' if words else ""
    sort = f' data-sort="{escape(sort_key(cell))}"' if is_number or cell.sort is not None else ""
    hint = f' title="{escape(cell.hint)}"' if cell.hint else ""
    swatch = (
        f'<i class="swatch" style="background:{escape(cell.swatch)}"></i>' if cell.swatch else ""
    )
    small = f" <small>{escape(cell.small)}</small>" if cell.small else ""
    pill = '<span class="pill">selected</span>' if cell.look == "selected" else ""
    return f"<{tag}{scope}{look}{sort}{hint}>{swatch}{breakable(cell.text)}{small}{pill}</{tag}>"


def sort_key(cell: TableCell) -> str:
    """The sort key of a cell: its number, "" for NaN, otherwise its text."""
    if isinstance(cell.sort, float) and math.isnan(cell.sort):
        return ""
    return str(cell.text if cell.sort is None else cell.sort)


def unbroken(text: str) -> str:
    """Text without line breaks between a number and its sign or unit: 'n = 4', '95 %'."""
    return re.sub(
        r"(?<=\bn) = (?=\d)|(?<=\d) (?=%)", lambda found: found[0].replace(" ", NO_BREAK), text
    )


def digest(script: str) -> str:
    """The hash by which a content security policy allows a script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def drawing(figure: Figure) -> tuple[Markup, bool]:
    """The plotly content of a figure as JSON that is safe inside a script element, and whether it
    is compressed.
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
    """Text as base64 of gzip, without a time stamp."""
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


@cache
def plotly() -> str:
    """plotly.js with its factory function in parentheses, so that a browser compiles it while
    parsing, not again at the call.
    """
    return FACTORY.sub(r"(\1)", get_plotlyjs())


@cache
def packed_plotly() -> str:
    """plotly.js in compressed form, as stored in the page."""
    return pack(plotly())
