"""Names and colours of the labels, in the formats of the two viewers that show predictions.

labels.txt is ITK-SNAP's label description file (a line a label: index, R, G, B in 0..255, opacity
in 0..1, visible, visible as a mesh, "name"; itksnap.org, Import Label Descriptions). labels.ctbl is
3D Slicer's colour table (index, name without spaces, R, G, B, opacity in 0..255;
slicer.readthedocs.io, developer guide, Colors).
"""

import colorsys
from collections.abc import Sequence
from pathlib import Path

from trials.records.faults import printable
from trials.storage.atomic import write_text

# A turn by the golden ratio: any number of hues lie far apart.
HUE_STEP = 0.618034


def write_label_files(folder: Path, classes: Sequence[str]) -> None:
    """Write labels.txt and labels.ctbl; classes are names by label, the first one is the
    background.
    """
    write_text(folder / "labels.txt", itk_snap_labels(classes))
    write_text(folder / "labels.ctbl", slicer_colours(classes))


def itk_snap_labels(classes: Sequence[str]) -> str:
    """The text of an ITK-SNAP label description file."""
    lines = ["# ITK-SNAP label description: IDX R G B A VIS MSH LABEL"]
    for label, name in enumerate(classes):
        red, green, blue = colour(label)
        shown = int(label > 0)
        text = printable(name).replace('"', "'")
        lines.append(f'{label} {red} {green} {blue} {shown} {shown} {shown} "{text}"')
    return "\n".join(lines) + "\n"


def slicer_colours(classes: Sequence[str]) -> str:
    """The text of a 3D Slicer colour table."""
    lines = ["# Color table file labels.ctbl", f"# {len(classes)} values"]
    for label, name in enumerate(classes):
        red, green, blue = colour(label)
        word = "_".join(printable(name).split()) or "_"
        lines.append(f"{label} {word} {red} {green} {blue} {255 if label else 0}")
    return "\n".join(lines) + "\n"


def colour(label: int) -> tuple[int, int, int]:
    """The colour of a label, red, green and blue in 0..255; black for the background."""
    if not label:
        return 0, 0, 0
    red, green, blue = colorsys.hsv_to_rgb((label - 1) * HUE_STEP % 1, 0.75, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)
