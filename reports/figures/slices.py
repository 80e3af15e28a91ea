"""Stored slices of a patient as small images: every channel, the outlines of reference and
prediction, and the errors.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from reports.elements import Slice
from reports.figures.colours import label_colour
from reports.figures.contours import UNIT, outline
from reports.load.stored import Planes, read_slices
from reports.shapes import Frame, Shape

MISSED, FALSE, CONFUSED = 1, 2, 3
# Vermilion, violet and turquoise: distinct from each other and from the grey of a CT.
ERROR_PALETTE = ((255, 90, 54), (178, 140, 255), (40, 224, 208))
ERRORS = tuple(
    zip(
        ("missed", "false", "of another class"),
        (f"rgb{colour}" for colour in ERROR_PALETTE),
        strict=True,
    )
)
# Largest size of the images of one patient: with 12 worst and 4 random patients 3.2 MB of the 8 MB
# of a page.
PATIENT_BYTES = 200_000
# Grey values up to AIR are air or noise; a row or column belongs to the body if more than
# BODY_SHARE of it is above.
AIR, BODY_SHARE = 25, 0.02
# Width of the margin: around masks as a share of their extent, around a body as a share of the
# image's edge.
AROUND, MARGIN = 0.1, 0.02
# A CT with fewer pixels in a row is enlarged here, with better interpolation than a browser's.
LEAST_WIDTH = 360
# (quality, share of the edge) of an image, tried in this order until it is small enough.
CODES = ((85, 1.0), (70, 1.0), (55, 1.0), (55, 0.7), (50, 0.5), (40, 0.35))
Box = tuple[slice, slice]


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturedCase:
    """A patient's slices in axial order, their frame, and the index of the slice with the most
    wrong voxels.

    num_left_out slices are not included because their outlines are too large.
    """

    slices: tuple[Slice, ...]
    frame: Frame
    shown: int
    is_native: bool
    num_left_out: int


def picture_case(
    out: Path, trial: str, case: str, images: str, classes: tuple[str, ...], name: str = "CT"
) -> PicturedCase | None:
    """Draw the stored slices of one patient in one trial; None if there are none, see
    why_no_slices().

    images "masks" leaves the image out; name is what its panel is called. Raises ValueError naming
    the file if the arrays do not fit each other.
    """
    found = read_slices(out, trial, case)
    if found is None:
        return None
    planes, prediction = found
    box = box_of(planes, images, prediction)
    inside = (slice(None), *box)
    reference, prediction = planes.reference[inside], prediction[inside]
    errors = _errors(reference, prediction)
    panels = [
        _panels(*masks, len(classes)) for masks in zip(reference, prediction, errors, strict=True)
    ]
    wrong = (errors > 0).sum((1, 2))
    sizes = [sum(len(shape.path) for _, shapes in each for shape in shapes) for each in panels]
    kept = _affordable(sizes, wrong)
    most = (PATIENT_BYTES - sum(sizes[i] for i in kept)) // len(kept)
    pictures = channel_uris(planes, kept, box, most) if images == "ct" else [()] * len(kept)
    slices = tuple(
        Slice(
            index=int(planes.index[i]),
            images=uris,
            panels=((name, ()), *panels[i]) if images == "ct" else panels[i],
            text=_words(errors[i]),
        )
        for i, uris in zip(kept, pictures, strict=True)
    )
    return PicturedCase(
        slices=slices,
        frame=frame_of(planes, box),
        shown=int(np.argmax(wrong[kept])),
        is_native=planes.is_native,
        num_left_out=len(panels) - len(kept),
    )


def box_of(planes: Planes, images: str, *masks: np.ndarray) -> Box:
    """The rows and columns that are shown: the body of a CT, or the surroundings of masks."""
    is_held = np.max([mask.max(0) for mask in (planes.reference, *masks)], axis=0) > 0
    is_body = planes.images.max((0, 1)) > AIR if images == "ct" else np.zeros_like(is_held)
    return _extent(is_held, is_body, 1), _extent(is_held, is_body, 0)


def _extent(is_held: np.ndarray, is_body: np.ndarray, axis: int) -> slice:
    """The range along the other axis that contains the masks or the body, with a margin; the whole
    axis if there are none.
    """
    size = is_held.shape[1 - axis]
    places = np.flatnonzero(is_held.any(axis) | (is_body.mean(axis) > BODY_SHARE))
    if not places.size:
        return slice(0, size)
    if is_body.any():
        room = round(MARGIN * size)
    else:
        room = round(
            AROUND * max(int(np.ptp(np.flatnonzero(is_held.any(other)))) + 1 for other in (0, 1))
        )
    return slice(max(0, int(places[0]) - room), min(size, int(places[-1]) + 1 + room))


def frame_of(planes: Planes, box: Box) -> Frame:
    """The frame of an image of these rows and columns, in true proportions."""
    height, width = (place.stop - place.start for place in box)
    row_mm, column_mm = planes.pixel_mm
    return Frame(
        width=UNIT * width,
        height=UNIT * height,
        aspect=round(width * column_mm / (height * row_mm), 4),
    )


def borders(labels: np.ndarray, num_classes: int, look: str) -> tuple[Shape, ...]:
    """The outline of every label of a slice [H, W] in its colour; look is "solid" or "dashed"."""
    colours = [label_colour(label) for label in range(1, num_classes)]
    return _shapes(labels, colours, look)


def _panels(
    reference: np.ndarray, prediction: np.ndarray, errors: np.ndarray, num_classes: int
) -> tuple[tuple[str, tuple[Shape, ...]], ...]:
    both = borders(reference, num_classes, "solid") + borders(prediction, num_classes, "dashed")
    return ("reference and prediction", both), (
        "errors",
        _shapes(errors, list(ERROR_PALETTE), "filled"),
    )


def _shapes(
    labels: np.ndarray, colours: list[tuple[int, int, int]], look: str
) -> tuple[Shape, ...]:
    # Small enough to be invisible at the about 400 pixels of an image on the page.
    tolerance = max(0.1, max(labels.shape) / 1500)
    paths = [
        (outline(labels == label, tolerance), colour) for label, colour in enumerate(colours, 1)
    ]
    return tuple(Shape(path, f"rgb{colour}", look) for path, colour in paths if path)


def _affordable(sizes: list[int], wrong: np.ndarray) -> list[int]:
    """Indices of the slices whose outlines fit into half of a patient's bytes, those with the most
    wrong voxels first; at least one.
    """
    kept: list[int] = []
    taken = 0
    for i in np.argsort(-wrong, kind="stable").tolist():
        taken += sizes[i]
        if not kept or taken <= PATIENT_BYTES // 2:
            kept.append(i)
    return sorted(kept)


def _errors(reference: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """MISSED where only the reference has a class, FALSE where only the prediction does, CONFUSED
    where both have different classes.
    """
    errors = np.zeros(reference.shape, np.uint8)
    errors[(reference > 0) & (prediction == 0)] = MISSED
    errors[(reference == 0) & (prediction > 0)] = FALSE
    errors[(reference > 0) & (prediction > 0) & (reference != prediction)] = CONFUSED
    return errors


def _words(errors: np.ndarray) -> str:
    missed, false, confused = (int((errors == kind).sum()) for kind in (MISSED, FALSE, CONFUSED))
    return f"{missed} missed, {false} false, {confused} of another class"


def channels_of(record: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the images' channels in run.json; () if they are not recorded."""
    return tuple((record.get("data") or {}).get("channels") or ())


def image_name(record: Mapping[str, Any]) -> str:
    """What the page calls an image: a CT, unless run.json names other channels."""
    return "CT" if channels_of(record) in ((), ("CT",)) else "image"


def shown_channels(record: Mapping[str, Any], pictures: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """The channels between which a reader chooses, of pictures with an image each; () for one."""
    num = min(map(len, pictures), default=0)
    return channels_of(record)[:num] if num > 1 else ()


def image_notes(record: Mapping[str, Any], shown: Sequence[str]) -> str:
    """Sentences about the images below contours: which of several channels they show, and the veil
    over ignored voxels; record is run.json, shown the channels between which a reader chooses.
    """
    channels, text = channels_of(record), ""
    if len(channels) > max(1, len(shown)):
        some = f"{len(shown)} can be chosen" if shown else f"is shown, {channels[0]}"
        text += f" Of {len(channels)} channels the first {some}."
    if (record.get("data") or {}).get("has_ignore"):
        text += " Voxels with the ignore label have a grey veil."
    return text


def channel_uris(planes: Planes, kept: Sequence[int], box: Box, most: int) -> list[tuple[str, ...]]:
    """The images of some slices, one a channel, as data URIs that have at most this many bytes in a
    slice, see ct_uris().
    """
    each = most // len(planes.images)
    of_channels = [ct_uris([channel[i][box] for i in kept], each) for channel in planes.images]
    return list(zip(*of_channels, strict=True))


def ct_uris(images: Sequence[np.ndarray], most: int) -> list[str]:
    """Grey slices uint8 [H, W] as data URIs of at most this many bytes each, at lower quality if
    needed; otherwise the smallest possible.

    Slices of one patient are similar, so each starts with the quality of the previous one.
    """
    uris, code = [], 0
    for image in images:
        while len(uri := _encoded(image, *CODES[code])) > most and code < len(CODES) - 1:
            code += 1
        uris.append(uri)
    return uris


def _encoded(image: np.ndarray, quality: int, share: float) -> str:
    picture = Image.fromarray(np.ascontiguousarray(image))
    scale = share * max(1.0, LEAST_WIDTH / picture.width)
    size = (max(1, round(scale * picture.width)), max(1, round(scale * picture.height)))
    file = BytesIO()
    picture.resize(size, Image.Resampling.BICUBIC).save(file, "WEBP", quality=quality, method=2)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
