"""The folder where prepared cases lie: each made once, remembered with its sources, and made anew
when they change.
"""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from trials.data.datasets.registry import Case, Dataset, is_ct
from trials.data.nifti.volume import file_axes, spacing_dhw
from trials.data.nifti.voxels import count_labels
from trials.data.prepared.case_checks import Rules, examine_case
from trials.data.prepared.manifest import (
    CaseFindings,
    CaseMoments,
    CaseRecord,
    lies_inside,
    look_at,
    unread,
)
from trials.data.prepared.preprocess import (
    Statistics,
    foreground_moments,
    matching_headers,
    prepare_case,
)
from trials.data.prepared.spaced import prepare_spaced
from trials.data.spacing.plan import set_bytes
from trials.records.codec import from_json, to_json
from trials.records.spec import Cube, Preparation
from trials.storage.atomic import fingerprint, fingerprint_of, write_text, write_whole
from trials.storage.checksum import add_checksum, file_name
from trials.storage.user import user_name

R = TypeVar("R", CaseRecord, CaseMoments, CaseFindings)

# What is kept of a prepared case, in the order of its record; the last two at a spacing alone.
ARRAYS = ("image", "labels", "index", "foreground")
# Files whose digest this process has tested: path, inode, size, time of change, digest.
_SOUND: set[tuple[str, int, int, int, str]] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where cases of one preparation lie; a channel without statistics is normalised by
    its own.
    """

    folder: Path
    preparation: Preparation
    rules: Rules
    statistics: tuple[Statistics | None, ...] = ()


def prepared_record(store: Store, case: Case) -> CaseRecord:
    """The record of a case whose arrays lie whole in the store; made if need be. Raises ValueError
    for a faulty case.
    """
    return _remembered(
        CaseRecord, store, case, partial(_make_arrays, store, case), partial(is_whole, store.folder)
    )


def measured_record(store: Store, case: Case) -> CaseMoments:
    """The moments of a case's foreground; measured if need be. Raises ValueError for a
    faulty case."""
    return _remembered(
        CaseMoments, store, case, partial(_measure, store, case), lambda record: True
    )


def verdict(store: Store, case: Case) -> CaseFindings:
    """Every fault of a case; examined if need be."""
    return _remembered(
        CaseFindings, store, case, partial(_examine, store, case), lambda record: True
    )


def is_sound(path: Path, digest: str) -> bool:
    """Whether a file holds what was written; a process reads it for that once, while size and time
    stay as they were.
    """
    try:
        stat = path.stat()
        key = (str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns, digest)
        if key in _SOUND:
            return True
        if fingerprint(path) != digest:
            return False
    except OSError:
        return False
    _SOUND.add(key)
    return True


def is_whole(folder: Path, record: CaseRecord) -> bool:
    """Whether all arrays of a case are in a folder, with the bytes that were written."""
    paths = [folder / name for name in record.arrays]
    held = zip(paths, record.digests, strict=True)
    return lies_inside(record) and all(
        path.is_file() and fingerprint(path) == digest for path, digest in held
    )


def open_folder(folder: Path) -> None:
    """Make the folder of a store. Raises ValueError where it cannot be made, or not be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"{folder} cannot be made ({error.strerror}); choose another cache"
        ) from None
    if not os.access(folder, os.W_OK):
        raise ValueError(f"{folder} cannot be written by user {user_name()}; choose another cache")


def check_room(store: Store, dataset: Dataset) -> None:
    """Refuse, before any work, a folder that cannot be written, or is too small for the arrays
    of the cases without a record.
    """
    open_folder(store.folder)
    missing = [
        case
        for case in dataset.cases
        if not (store.folder / f"{file_name(case.case)}.json").is_file()
    ]
    needed = set_bytes(store.preparation, missing, len(dataset.channels))
    free = shutil.disk_usage(store.folder).free
    if needed > free:
        raise ValueError(
            f"{store.folder}: {len(missing)} cases need {needed / 1e6:.1f} MB, "
            f"{(needed - free) / 1e6:.1f} MB more than are free; "
            "make room, or choose another cache"
        )


def content_hash(content: object, digits: int) -> str:
    """Name plain values by the first digits of the SHA-256 of their JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:digits]


def _remembered(
    kind: type[R], store: Store, case: Case, make: Callable[[], R], is_whole: Callable[[R], bool]
) -> R:
    """A case's record: from its file while the sources hold the same bytes, otherwise made anew and
    written last.
    """
    path = store.folder / f"{file_name(case.case)}.json"
    known = _read(kind, path)
    record = _of_the_same_bytes(known, case) if known else None
    if record is None or not is_whole(record):
        record = make()
    if record != known:
        write_text(path, add_checksum(to_json(record)))
    return record


def _of_the_same_bytes(known: R, case: Case) -> R | None:
    """The known record, of the files as they lie there now; None where they hold other bytes."""
    if len(case.images) != len(known.images):
        return None
    before = (*known.images, known.labels)
    now = [look_at(*pair) for pair in zip((*case.images, case.labels), before, strict=True)]
    if [source.digest for source in now] != [source.digest for source in before]:
        return None
    return replace(known, images=tuple(now[:-1]), labels=now[-1])


def _read(kind: type[R], path: Path) -> R | None:
    """The record in a file; None, to be made anew, where there is none or it cannot be
    read as one."""
    try:
        return from_json(kind, path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _measure(store: Store, case: Case) -> CaseMoments:
    images, labels = tuple(map(look_at, case.images)), look_at(case.labels)
    assert isinstance(store.preparation, Cube), "a spacing is scaled when a batch is made"
    headers, label_header = matching_headers(case, store.rules)
    moments = tuple(
        foreground_moments(header, label_header, store.rules.labels, store.preparation.clip_hu)
        for header, name in zip(headers, store.rules.channels, strict=True)
        if is_ct(name)
    )
    return CaseMoments(case=case.case, images=images, labels=labels, moments=moments)


def _examine(store: Store, case: Case) -> CaseFindings:
    images, labels = tuple(map(look_at, case.images)), look_at(case.labels)
    return CaseFindings(
        case=case.case,
        images=images,
        labels=labels,
        faults=examine_case(store.rules, case).faults,
    )


def _make_arrays(store: Store, case: Case) -> CaseRecord:
    """Prepare a case and write its arrays, under names that other content never takes. At a spacing
    the image is written before the labels are made.
    """
    images, labels = tuple(map(unread, case.images)), unread(case.labels)
    written: dict[str, str] = {}

    def write(kind: str, array: np.ndarray, digests: tuple[str, ...]) -> None:
        name = f"{file_name(case.case)}-{content_hash(digests, 12)}.{kind}.npy"
        written[name] = write_array(store.folder / name, array)

    if isinstance(store.preparation, Cube):
        prepared = prepare_case(case, store.rules, store.preparation, store.statistics)
    else:
        put_aside = partial(write, "image")
        prepared = prepare_spaced(case, store.rules, store.preparation, put_aside)
    for kind in ARRAYS:
        if (array := getattr(prepared, kind)) is not None:
            write(kind, array, prepared.digests)
    header, num_labels = prepared.header, store.rules.labels.num_labels
    d, h, w = file_axes(header.affine).order
    return CaseRecord(
        case=case.case,
        images=tuple(
            replace(image, digest=digest)
            for image, digest in zip(images, prepared.digests[:-1], strict=True)
        ),
        labels=replace(labels, digest=prepared.digests[-1]),
        file_shape=header.shape,
        affine=tuple(tuple(row) for row in header.affine.tolist()),
        shape=(header.shape[d], header.shape[h], header.shape[w]),
        spacing_mm=spacing_dhw(header),
        class_voxels=tuple(prepared.class_voxels.tolist()),
        ignored_voxels=prepared.ignored_voxels,
        cube_class_voxels=tuple(
            # Plane by plane: a mask of all voxels would be as large as the labels.
            np.sum([count_labels(plane, num_labels) for plane in prepared.labels], axis=0)[
                : len(store.rules.classes)
            ].tolist()
        ),
        mean=prepared.mean,
        sd=prepared.sd,
        arrays=tuple(written),
        digests=tuple(written.values()),
        image_voxels=prepared.image_voxels,
        notes=prepared.notes,
    )


def write_array(path: Path, array: np.ndarray) -> str:
    """Write a .npy file whole and return its fingerprint. Raises OSError naming it where it cannot
    be written.
    """
    # numpy's own writing to an open file goes past Python's: where the disk is full its last
    # kilobytes are lost in silence.
    array = np.ascontiguousarray(array)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    parts = (header.getvalue(), array.data)
    write_whole(path, lambda file: [file.write(part) for part in parts])
    return fingerprint_of(*parts)
