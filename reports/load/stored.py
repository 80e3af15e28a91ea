"""Stored arrays of patients for images: slices on the patient's own grid, and whole masks on the
cube. Only reading.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from trials.storage.atomic import exists, read_bytes
from trials.storage.checksum import check_byte_checksum, file_name

WITHOUT = "delete it, and the page is made without these slices"
WITHOUT_BOTH = "delete both, and the page is made without these slices"
# The dtype kinds and the number of axes of each stored array.
STORED = {
    **dict.fromkeys(("image", "sheet"), ("u", 3)),
    **dict.fromkeys(("other_images", "other_sheets"), ("u", 4)),
    **dict.fromkeys(("reference", "prediction", "volume", "sheet_reference"), ("ui", 3)),
    **dict.fromkeys(("index", "sheet_index"), ("ui", 1)),
    **dict.fromkeys(("size_mm", "pixel_mm"), ("f", 1)),
}
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planes:
    """Axial slices of a patient: images uint8 [C, n, H, W] of one or more channels, reference uint8
    [n, H, W], and their slice indices.

    pixel_mm is the edge of a pixel in H and W. is_native is False for slices of the cube, which
    older versions stored; these stored the first channel alone.
    """

    images: np.ndarray
    reference: np.ndarray
    index: np.ndarray
    pixel_mm: tuple[float, float]
    is_native: bool


@dataclass(frozen=True, slots=True)
class Volumes:
    """A patient's whole reference and prediction on the cube, uint8 [D, H, W], and the cube's
    extent in mm.
    """

    reference: np.ndarray
    prediction: np.ndarray
    size_mm: np.ndarray

    @property
    def voxel_mm(self) -> np.ndarray:
        return self.size_mm / self.reference.shape


def has_volumes(out: Path, trial: str, case: str) -> bool:
    """Whether both files of one patient in one trial exist, are undamaged, and hold whole cubes;
    describe_damage() gives the reason if not.
    """
    try:
        return all(
            _is_there(path) and "volume" in _names(path) for path in _paths(out, trial, case)
        )
    except ValueError:
        return False


def describe_damage(out: Path, trial: str, case: str) -> str:
    """Which stored file of one patient in one trial is damaged, and how; "" if none of the existing
    files is.
    """
    for path in _paths(out, trial, case):
        if _is_there(path):
            try:
                _names(path)
            except ValueError as error:
                return str(error).removeprefix(f"{out}/")
    return ""


def why_no_slices(out: Path, trial: str, case: str) -> str:
    """Why read_slices() returns None: damage, or two files of different versions of this program;
    "" if a file does not exist.
    """
    source, predicted = _paths(out, trial, case)
    if (text := describe_damage(out, trial, case)) or not (
        _is_there(source) and _is_there(predicted)
    ):
        return text
    if ("pixel_mm" in _names(source)) == ("index" in _names(predicted)):
        return ""
    older, newer = (source, predicted) if "index" in _names(predicted) else (predicted, source)
    return (
        f"{older.relative_to(out)} holds slices of the cube, as older versions stored them, but "
        f"{newer.relative_to(out)} does not"
    )


def read_slices(out: Path, trial: str, case: str) -> tuple[Planes, np.ndarray] | None:
    """The slices of one patient, and its prediction in them, uint8 [n, H, W]; None if there are
    none, see why_no_slices().

    Raises ValueError naming the files if the arrays do not fit each other.
    """
    source, predicted = _paths(out, trial, case)
    if not (_is_there(source) and _is_there(predicted)) or why_no_slices(out, trial, case):
        return None
    stored, predicted_arrays = (
        _read(source, ("image", "reference", "index")),
        _read(predicted, ("prediction",)),
    )
    image, reference, index, prediction = (
        stored["image"],
        stored["reference"],
        stored["index"],
        predicted_arrays["prediction"],
    )
    if not image.shape == reference.shape == prediction.shape or not 0 < len(index) == len(image):
        shapes = f"image {image.shape} and reference {reference.shape} of {source}"
        raise ValueError(
            f"{predicted}: prediction {prediction.shape} does not fit {shapes}; {WITHOUT_BOTH}"
        )
    if not np.array_equal(predicted_arrays.get("index", index), index):
        raise ValueError(f"{predicted}: index names other slices than {source}; {WITHOUT_BOTH}")
    images = _channels(source, image, stored.get("other_images"))
    return _planes(source, images, reference, index, stored), prediction


def read_sheet(out: Path, trial: str, case: str) -> Planes:
    """Equidistant slices of one patient, if has_volumes() is true. Raises ValueError naming the
    file if they do not fit.
    """
    source, _ = _paths(out, trial, case)
    stored = _read(source, ("sheet", "sheet_index", "volume", "size_mm"))
    image, index, volume = stored["sheet"], stored["sheet_index"], stored["volume"]
    if "sheet_reference" in stored:
        reference = stored["sheet_reference"]
    else:
        reference = volume[[place for place in index.tolist() if 0 <= place < len(volume)]]
    if image.shape != reference.shape or not 0 < len(index) == len(image):
        raise ValueError(
            f"{source}: its sheet, sheet_index and reference do not fit each other; {WITHOUT}"
        )
    images = _channels(source, image, stored.get("other_sheets"))
    return _planes(source, images, reference, index, stored)


def read_volumes(out: Path, trial: str, case: str) -> Volumes | None:
    """The whole cubes of one patient in one trial; None if either file does not exist, is damaged,
    or holds only slices.

    Raises ValueError naming the file if the two do not fit each other.
    """
    if not has_volumes(out, trial, case):
        return None
    source, predicted = _paths(out, trial, case)
    stored, prediction = (
        _read(source, ("volume", "size_mm")),
        _read(predicted, ("volume",))["volume"],
    )
    if stored["volume"].shape != prediction.shape:
        shapes = (
            f"prediction {prediction.shape} does not fit reference {stored['volume'].shape} "
            f"of {source}"
        )
        raise ValueError(f"{predicted}: {shapes}; {WITHOUT_BOTH}")
    if len(stored["size_mm"]) != 3:
        raise ValueError(
            f"{source}: size_mm must hold three lengths; got {len(stored['size_mm'])}; {WITHOUT}"
        )
    return Volumes(stored["volume"], prediction, stored["size_mm"])


def _channels(source: Path, first: np.ndarray, others: np.ndarray | None) -> np.ndarray:
    """The slices of all stored channels, [C, n, H, W]."""
    if others is None:
        return first[None]
    if others.shape[1:] != first.shape:
        raise ValueError(
            f"{source}: slices of further channels {others.shape} do not fit those of the first "
            f"{first.shape}; {WITHOUT}"
        )
    return np.concatenate([first[None], others])


def _planes(
    source: Path, images: np.ndarray, reference: np.ndarray, index: np.ndarray, stored: Arrays
) -> Planes:
    """Slices with the edges of their pixels; an older file gives them by the extent of its cube."""
    is_native = "pixel_mm" in stored
    edges = stored["pixel_mm"] if is_native else stored["size_mm"][1:] / images.shape[2:]
    if len(edges) != 2 or not (np.isfinite(edges).all() and (edges > 0).all()):
        raise ValueError(
            f"{source}: pixel_mm must hold two positive lengths; got {edges.tolist()}; {WITHOUT}"
        )
    row, column = edges.tolist()
    return Planes(
        images=images,
        reference=reference,
        index=index,
        pixel_mm=(row, column),
        is_native=is_native,
    )


def _paths(out: Path, trial: str, case: str) -> tuple[Path, Path]:
    # A case name comes from a file and must not lead to another folder.
    name = f"{file_name(case)}.npz"
    return out / "cases" / name, out / "trials" / trial / "cases" / name


def _is_there(path: Path) -> bool:
    """Whether a file exists; False if its name is too long for the file system."""
    try:
        return exists(path)
    except OSError:
        return False


def _names(path: Path) -> list[str]:
    """The names of a file's arrays. Raises ValueError if the file is damaged."""
    with _opened(path) as file:
        return list(file)


def _read(path: Path, needed: tuple[str, ...]) -> Arrays:
    """The known arrays of a file. Raises ValueError if a needed one is missing, or one has the
    wrong type.
    """
    with _opened(path) as file:
        arrays = {name: file[name] for name in {*needed, *(set(file) & {*STORED})}}
    for name, array in arrays.items():
        kinds, axes = STORED[name]
        if array.dtype.kind not in kinds or array.ndim != axes:
            raise ValueError(
                f"{path}: {name} is {array.dtype} with {array.ndim} axes, which a run does not "
                f"write; {WITHOUT}"
            )
    return arrays


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file of arrays, checked by its checksum, or by zip's own if an older run stored
    none.
    """
    try:
        content = read_bytes(path)
        original = check_byte_checksum(content)
        with np.load(BytesIO(original), allow_pickle=False) as file:
            if original == content and (other := file.zip.testzip()):
                raise ValueError(f"{other} has another checksum")
            yield file
    except (
        Exception
    ) as error:  # zip, deflate and numpy each raise errors of their own for damaged bytes
        raise ValueError(
            f"{path} is damaged ({error or type(error).__name__}); {WITHOUT}"
        ) from None
