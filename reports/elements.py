"""The elements of a section: records that the page's templates render. Strings are plain text; the
templates escape them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reports.shapes import Frame, Shape

# A table of trials shows at most this many rows: a browser takes seconds for 10,000.
LONGEST_TABLE = 2000


@dataclass(frozen=True, slots=True)
class Stated:
    """A number of the page that a check computes again: what it is ("mean", "difference" or
    "first"), of which predictions, by place and weight, its printed text, and the class, -1 for the
    mean of the classes.
    """

    what: str
    of: tuple[tuple[int, float], ...]
    text: str
    label: int = -1


@dataclass(frozen=True, slots=True)
class TableCell:
    """One table cell: its text, the value it sorts by, and its style.

    small follows the text in small print (an interval). look is "" or a class of the style sheet
    (good, bad, quiet, selected, code); swatch is a colour shown before the text; hint is shown on
    hover. states says which number of the page the text is; note is written below the table.
    """

    text: str
    sort: float | str | None = None
    look: str = ""
    swatch: str = ""
    hint: str = ""
    small: str = ""
    states: Stated | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column; numbers are aligned to the right, hint explains the heading."""

    name: str
    is_number: bool = False
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A sortable table; a folded one shows its caption and opens on a click."""

    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    folded: bool = False
    kind: str = field(default="table", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One of the views of a figure, selected by its name; its layout is merged into that of the
    figure.
    """

    name: str
    data: tuple[Mapping[str, Any], ...]
    layout: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A plotly figure: finding, n and rule in the caption, its numbers in a folded table.

    data and layout are plotly's own; colours may name style variables ("var(--ink)"). height and
    least_width are in pixels. views, if given, replace data: the first is drawn, a list labelled
    view_label selects the others.
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

    A cell is (text, background, text colour, hint); one without a background is drawn as a missing
    score.
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
    """A row of large numbers: (value, label, small print)."""

    items: tuple[tuple[str, str, str], ...]
    kind: str = field(default="numbers", init=False)


@dataclass(frozen=True, slots=True)
class Check:
    """One executed check: True if it passed, False if not, None if it could not be run."""

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
    """What to know before the numbers: (title, text, names)."""

    caveats: tuple[tuple[str, str, tuple[str, ...]], ...]
    kind: str = field(default="caveats", init=False)


@dataclass(frozen=True, slots=True)
class Answers:
    """Questions with their answers: (question, what to know first, lines); a line is (text,
    verdict, whether it is resolved).
    """

    items: tuple[tuple[str, str, tuple[tuple[str, str, bool], ...]], ...]
    kind: str = field(default="answers", init=False)


@dataclass(frozen=True, slots=True)
class Facts:
    """Named values, one per line."""

    title: str
    items: tuple[tuple[str, str], ...]
    kind: str = field(default="facts", init=False)


@dataclass(frozen=True, slots=True)
class Code:
    """Text to copy verbatim."""

    title: str
    text: str
    folded: bool = False
    kind: str = field(default="code", init=False)


@dataclass(frozen=True, slots=True)
class Links:
    """Files in the folder of the page: (file name, content)."""

    files: tuple[tuple[str, str], ...]
    kind: str = field(default="links", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One axial slice: its images (data URIs, one a channel; () if left out), its panels (name,
    shapes over the image), and a description.
    """

    index: int
    images: tuple[str, ...]
    panels: tuple[tuple[str, tuple[Shape, ...]], ...]
    text: str


@dataclass(frozen=True, slots=True)
class Pictured:
    """One patient: name, reason to show it, scores, slices in one frame, and the index of the slice
    that is shown first.
    """

    case: str
    why: str
    score: str
    slices: tuple[Slice, ...]
    frame: Frame
    shown: int


@dataclass(frozen=True, slots=True)
class Gallery:
    """Images of patients; legends (title, (name, css colour), ...) name each colour; the licence is
    shown below; a reader chooses between the channels.
    """

    caption: str
    legends: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    patients: tuple[Pictured, ...]
    licence: str
    channels: tuple[str, ...] = ()
    kind: str = field(default="gallery", init=False)


@dataclass(frozen=True, slots=True)
class Switch:
    """A choice between options, each (name, text, blocks). Without a script all are shown."""

    id: str
    legend: str
    options: tuple[tuple[str, str, tuple["Block", ...]], ...]
    kind: str = field(default="switch", init=False)


@dataclass(frozen=True, slots=True)
class Picture:
    """One image: a data URI for each channel (() for none), a description, and shapes in a frame;
    without a frame it is drawn on the page background.
    """

    images: tuple[str, ...]
    text: str
    shapes: tuple[Shape, ...] = ()
    frame: Frame | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Images side by side under one title, in this many columns on a wide page; legend names
    colours (name, css colour); a reader chooses between the channels.
    """

    id: str
    title: str
    caption: str
    pictures: tuple[Picture, ...]
    columns: int
    legend: tuple[tuple[str, str], ...] = ()
    channels: tuple[str, ...] = ()
    kind: str = field(default="sheet", init=False)


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Two blocks beside each other; the second below the first where the page is narrow."""

    blocks: tuple["Block", "Block"]
    kind: str = field(default="side_by_side", init=False)


Block = (
    Table
    | Figure
    | HeatMap
    | Text
    | Numbers
    | Checklist
    | Answers
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
    """One question with its answer: id is the deep link, question the small line above the title,
    finding the answer in words. states are the numbers in its sentences that a check computes
    again.
    """

    id: str
    title: str
    question: str
    finding: str
    blocks: tuple[Block, ...] = ()
    states: tuple[Stated, ...] = ()
