"""What is drawn over a picture, and in which frame: records that the page's templates turn into
SVG.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """Curves over a picture: an SVG path, its CSS colour, and how it looks: "solid" or "dashed"
    lines, or "filled".
    """

    path: str
    colour: str
    look: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A picture's size in the units of its shapes, and its width over its height on the page."""

    width: int
    height: int
    aspect: float
