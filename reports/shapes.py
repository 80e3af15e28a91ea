"""Shapes drawn over an image, and their frame: records that the page's templates turn into SVG."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """Curves over an image: an SVG path, its CSS colour, and its style: "solid" or "dashed" lines,
    or "filled".
    """

    path: str
    colour: str
    look: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The size of an image in the units of its shapes, and its width / height ratio on the page."""

    width: int
    height: int
    aspect: float
