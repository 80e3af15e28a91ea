"""Stored slices of a patient as small pictures: CT, reference, prediction and error, each a layer of its own."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from reports.palette import label_colour
from reports.section import Slice
from trials.files import is_there, read_bytes
from trials.seal import unsealed_bytes

MISSED, FALSE, CONFUSED = 1, 2, 3
# Vermilion, violet and white: apart from each other, from grey, and from the colours of the labels.
ERROR_PALETTE = ((255, 90, 54), (178, 140, 255), (255, 255, 255))
ERRORS = tuple(zip(("missed", "false", "of another class"), (f"rgb{colour}" for colour in ERROR_PALETTE), strict=True))
MASK_ALPHA = 165
WITHOUT = "delete it, and the page goes without these slices"
WITHOUT_BOTH = "delete both, and the page goes without these slices"
# Below this many pixels a lossy code saves nothing and shows its blocks.
LOSSLESS_PIXELS = 64 * 64
# Of each stored array what its type and its axes must be.
STORED = {
    **dict.fromkeys(("image", "sheet"), ("u", 3)),
    **dict.fromkeys(("reference", "prediction", "volume"), ("ui", 3)),
    **dict.fromkeys(("index", "sheet_index"), ("ui", 1)),
    "size_mm": ("f", 1),
}


@dataclass(frozen=True, slots=True)
class PicturedCase:
    """A patient's slices in axial order, and the place of the one with most wrong voxels."""

    slices: tuple[Slice, ...]
    shown: int


@dataclass(frozen=True, slots=True)
class Volumes:
    """A patient's whole reference and prediction on the cube, uint8 [D, H, W], and the cube's extent in mm.

    sheet uint8 [n, H, W] is the image in the equidistant slices that sheet_index names.
    """

    reference: np.ndarray
    prediction: np.ndarray
    size_mm: np.ndarray
    sheet: np.ndarray
    sheet_index: np.ndarray

    @property
    def voxel_mm(self) -> np.ndarray:
        return self.size_mm / self.reference.shape


def _is_there(path: Path) -> bool:
    """Whether a file can be read; none has a name too long for its folder."""
    try:
        return is_there(path)
    except OSError:
        return False


def has_volumes(out: Path, trial: str, case: str) -> bool:
    """Whether both files of one patient under one trial are there, whole, and hold whole cubes; damage() says why not."""
    try:
        return all(_is_there(path) and "volume" in _names(path) for path in _paths(out, trial, case))
    except ValueError:
        return False


def damage(out: Path, trial: str, case: str) -> str:
    """Which stored file of one patient under one trial is damaged, and how; "" where none of those that are there is."""
    for path in _paths(out, trial, case):
        if _is_there(path):
            try:
                _names(path)
            except ValueError as error:
                return str(error).removeprefix(f"{out}/")
    return ""


def read_volumes(out: Path, trial: str, case: str) -> Volumes | None:
    """The whole cubes of one patient under one trial; None where either file is not there, damaged, or holds slices alone.

    Raises ValueError naming the file if the two do not fit each other.
    """
    if not has_volumes(out, trial, case):
        return None
    source, predicted = _paths(out, trial, case)
    stored, prediction = _read(source, ("volume", "size_mm", "sheet", "sheet_index")), _read(predicted, ("volume",))["volume"]
    if stored["volume"].shape != prediction.shape:
        shapes = f"prediction {prediction.shape} does not fit reference {stored['volume'].shape} of {source}"
        raise ValueError(f"{predicted}: {shapes}; {WITHOUT_BOTH}")
    places, depth = stored["sheet_index"].tolist(), len(prediction)
    if len(places) != len(stored["sheet"]) or not all(0 <= place < depth for place in places) or len(stored["size_mm"]) != 3:
        raise ValueError(f"{source}: its sheet, sheet_index and size_mm do not fit its volume; {WITHOUT}")
    return Volumes(stored["volume"], prediction, stored["size_mm"], stored["sheet"], stored["sheet_index"])


def picture_case(out: Path, trial: str, case: str, images: str, classes: tuple[str, ...]) -> PicturedCase | None:
    """Draw the stored slices of one patient under one trial; None where either file is not there, or damaged.

    images "masks" leaves the CT out. Raises ValueError naming the file if the arrays do not fit each other.
    """
    if not _are_whole(out, trial, case):
        return None
    source, predicted = _paths(out, trial, case)
    stored, prediction = _read(source, ("image", "reference", "index")), _read(predicted, ("prediction",))["prediction"]
    image, reference = stored["image"], stored["reference"]
    if not image.shape == reference.shape == prediction.shape or not 0 < len(stored["index"]) == len(image):
        shapes = f"image {image.shape} and reference {reference.shape} of {source}"
        raise ValueError(f"{predicted}: prediction {prediction.shape} does not fit {shapes}; {WITHOUT_BOTH}")
    errors = _errors(reference, prediction)
    palette = tuple(label_colour(label) for label in range(1, len(classes)))
    slices = tuple(
        Slice(
            index=int(stored["index"][i]),
            image=ct_uri(image[i]) if images == "ct" else "",
            reference=_mask(reference[i], palette),
            prediction=_mask(prediction[i], palette),
            error=_mask(errors[i], ERROR_PALETTE),
            text=_words(errors[i]),
        )
        for i in range(len(image))
    )
    return PicturedCase(slices, int(np.argmax((errors > 0).sum(axis=(1, 2)))))


def _paths(out: Path, trial: str, case: str) -> tuple[Path, Path]:
    name = f"{case.replace('/', '_')}.npz"  # a case's name comes from a file, and must lead nowhere else
    return out / "cases" / name, out / "trials" / trial / "cases" / name


def _are_whole(out: Path, trial: str, case: str) -> bool:
    """Whether both files are there, and neither is damaged."""
    return all(map(_is_there, _paths(out, trial, case))) and not damage(out, trial, case)


def _names(path: Path) -> list[str]:
    """The names of a file's arrays. Raises ValueError where a byte of it is not what was written."""
    with _opened(path) as file:
        return list(file)


def _read(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    with _opened(path) as file:
        arrays = {name: file[name] for name in names}
    for name, array in arrays.items():
        kinds, axes = STORED[name]
        if array.dtype.kind not in kinds or array.ndim != axes:
            raise ValueError(f"{path}: {name} is {array.dtype} of {array.ndim} axes, which is none of ours; {WITHOUT}")
    return arrays


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A file of arrays, held to its digest or, where an older run gave it none, to zip's own sums."""
    try:
        content = read_bytes(path)
        original = unsealed_bytes(content)
        with np.load(BytesIO(original), allow_pickle=False) as file:
            if original == content and (other := file.zip.testzip()):
                raise ValueError(f"{other} has another checksum")
            yield file
    except Exception as error:  # zip, deflate and numpy each raise errors of their own for damaged bytes
        raise ValueError(f"{path} is damaged ({error or type(error).__name__}); {WITHOUT}") from None


def _errors(reference: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """MISSED where only the reference holds a class, FALSE where only the prediction does, CONFUSED where they name two."""
    errors = np.zeros(reference.shape, np.uint8)
    errors[(reference > 0) & (prediction == 0)] = MISSED
    errors[(reference == 0) & (prediction > 0)] = FALSE
    errors[(reference > 0) & (prediction > 0) & (reference != prediction)] = CONFUSED
    return errors


def _words(errors: np.ndarray) -> str:
    missed, false, confused = (int((errors == kind).sum()) for kind in (MISSED, FALSE, CONFUSED))
    return f"{missed} missed, {false} false, {confused} of another class"


def ct_uri(image: np.ndarray) -> str:
    """A grey slice uint8 [H, W] as a data URI."""
    file = BytesIO()
    Image.fromarray(image).save(file, "WEBP", quality=85, method=4, lossless=image.size <= LOSSLESS_PIXELS)
    return _data_uri("webp", file.getvalue())


def mask_uri(labels: np.ndarray, num_classes: int) -> str:
    """A slice of labels uint8 [H, W] in their colours, background transparent, as a data URI."""
    return _mask(labels, tuple(label_colour(label) for label in range(1, num_classes)))


def _mask(labels: np.ndarray, colours: tuple[tuple[int, int, int], ...]) -> str:
    picture = Image.fromarray(np.minimum(labels, len(colours)).astype(np.uint8), "P")
    picture.putpalette([0, 0, 0, *(part for colour in colours for part in colour)])
    file = BytesIO()
    picture.save(file, "PNG", transparency=bytes([0, *[MASK_ALPHA] * len(colours)]), optimize=True)
    return _data_uri("png", file.getvalue())


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
