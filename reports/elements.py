"""What a section is made of: records that the page's templates draw. Strings are plain text; the
templates escape them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reports.shapes import Frame, Shape

# A table of trials is cut here: a browser takes seconds over 10,000 rows.
LONGEST_TABLE = 2000


@dataclass(frozen=True, slots=True)
class TableCell:
    """One table cell: its text, the value it sorts by, and how it looks.

    small follows the text in small print (an interval). look is "" or a word of the style sheet
    (good, bad, quiet, selected, code); swatch is a colour shown before the text; hint is shown on
    hover.
    """

    text: str
    sort: float | str | None = None
    look: str = ""
    swatch: str = ""
    hint: str = ""
    small: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column; numbers stand right, hint explains the heading."""

    name: str
    is_number: bool = False
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A sortable table; folded ones open on a click and say what they hold."""

    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    folded: bool = False
    kind: str = field(default="table", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One of the things that a figure shows in turn, by the name it is picked by; layout is laid
    over the figure's own.
    """

    name: str
    data: tuple[Mapping[str, Any], ...]
    layout: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A plotly figure: finding, number and rule in the caption, its numbers in a folded table.

    data and layout are plotly's own; colours may name style variables ("var(--ink)"). height and
    least_width in pixels. views, with what is picked among them in view_label, take the place of
    data: the first is drawn, a picker shows the others.
    """

    id: str
    caption: str
    data: tuple[Mapping[str, Any], ...] = ()
    layout: Mapping[str, Any]
    table: Table
    height: int
    least_width: int = 0
    views: tuple[View, ...] = ()
    view_label: str = ""
    kind: str = field(default="figure", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """A table coloured by value. groups are (heading, number of columns) above columns; rows (name,
    colour, cells).

    A cell is (text, background, text colour, hint); an empty background draws it as a marked hole.
    """

    id: str
    title: str
    caption: str
    groups: tuple[tuple[str, int], ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[tuple[str, str, str, str], ...]], ...]
    kind: str = field(default="heatmap", init=False)


@dataclass(frozen=True, slots=True)
class Text:
    """Paragraphs."""

    paragraphs: tuple[str, ...]
    kind: str = field(default="text", init=False)


@dataclass(frozen=True, slots=True)
class Numbers:
    """A row of large numbers: (value, what it is, the fine print)."""

    items: tuple[tuple[str, str, str], ...]
    kind: str = field(default="numbers", init=False)


@dataclass(frozen=True, slots=True)
class Check:
    """One executed check: True holds, False does not, None could not be run."""

    claim: str
    holds: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class Checklist:
    """Executed checks in reading order."""

    checks: tuple[Check, ...]
    kind: str = field(default="checklist", init=False)


@dataclass(frozen=True, slots=True)
class Caveats:
    """What to know first: (title, text, names)."""

    caveats: tuple[tuple[str, str, tuple[str, ...]], ...]
    kind: str = field(default="caveats", init=False)


@dataclass(frozen=True, slots=True)
class Facts:
    """Named values, one a line."""

    title: str
    items: tuple[tuple[str, str], ...]
    kind: str = field(default="facts", init=False)


@dataclass(frozen=True, slots=True)
class Code:
    """Text to be copied as it is."""

    title: str
    text: str
    folded: bool = False
    kind: str = field(default="code", init=False)


@dataclass(frozen=True, slots=True)
class Links:
    """Files beside the page: (file name, what it holds)."""

    files: tuple[tuple[str, str], ...]
    kind: str = field(default="links", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One axial slice: its image (data URI, "" where left out), (panel's name, shapes over the
    image), ... and words for it.
    """

    index: int
    image: str
    panels: tuple[tuple[str, tuple[Shape, ...]], ...]
    text: str


@dataclass(frozen=True, slots=True)
class Pictured:
    """One patient: heading, score line, slices in one frame, and the place in slices that is shown
    first.
    """

    case: str
    why: str
    score: str
    slices: tuple[Slice, ...]
    frame: Frame
    shown: int


@dataclass(frozen=True, slots=True)
class Gallery:
    """Patients as pictures; legends (title, (name, css colour), ...) name each colour; licence
    stands under them.
    """

    caption: str
    legends: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    patients: tuple[Pictured, ...]
    licence: str
    kind: str = field(default="gallery", init=False)


@dataclass(frozen=True, slots=True)
class Switch:
    """A selection of what is shown: options are (its name, words under it, blocks). All show where
    no script runs.
    """

    id: str
    legend: str
    options: tuple[tuple[str, str, tuple["Block", ...]], ...]
    kind: str = field(default="switch", init=False)


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: image (data URI, "" for none), words under it, and shapes in a frame; no frame
    stands on the page itself.
    """

    image: str
    text: str
    shapes: tuple[Shape, ...] = ()
    frame: Frame | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Pictures side by side under one title, so many columns wide where the page is; legend names
    colours (name, css colour).
    """

    id: str
    title: str
    caption: str
    pictures: tuple[Picture, ...]
    columns: int
    legend: tuple[tuple[str, str], ...] = ()
    kind: str = field(default="sheet", init=False)


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Two blocks, the first wider; below each other where the page is narrow."""

    blocks: tuple["Block", "Block"]
    kind: str = field(default="side_by_side", init=False)


Block = (
    Table
    | Figure
    | HeatMap
    | Text
    | Numbers
    | Checklist
    | Caveats
    | Facts
    | Code
    | Links
    | Gallery
    | Sheet
    | Switch
    | SideBySide
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One question answered: id is the deep link, question the small line above the title, finding
    the answer in words.
    """

    id: str
    title: str
    question: str
    finding: str
    blocks: tuple[Block, ...] = ()
