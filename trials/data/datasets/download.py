"""KiTS23 from the two places that publish it: images from Hugging Face, masks from the challenge's
repository.

A file gets its name only when it is whole, so a download that was cut is resumed by typing the same
command again.
"""

import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from isal import igzip, igzip_lib

from trials.data.datasets.kits23 import CASE_IDS, IMAGE, LABELS, case_name
from trials.data.own_folder import list_contents, refuse_foreign
from trials.records.codec import parsed
from trials.storage.atomic import move_into_place, read_text

IMAGE_URL = "https://huggingface.co/datasets/neheller/KiTS-Challenge-Imaging/resolve/main/images"
MASK_URL = "https://raw.githubusercontent.com/neheller/kits23/main/dataset"
ATTEMPTS = 4
TIMEOUT_SECONDS = 30.0
PIECE = 1 << 20
TABLE = "kits23.json"
REFUSALS = (400, 401, 403, 404, 410)
BROKEN = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)


def download_kits23(
    root: Path,
    cases: Iterable[str] | None = None,
    image_url: str = IMAGE_URL,
    mask_url: str = MASK_URL,
    on_case: Callable[[int, int], None] | None = None,
    pause_seconds: float = 1.0,
) -> None:
    """Fetch cases (None: all 489) and kits23.json into root; what lies there whole is kept, what
    was cut is resumed.

    on_case(done, total) follows each case. Before the k-th new attempt it waits 2**(k - 1) pauses.
    Raises ValueError in one line, naming the host or the file and what to do, when a file cannot be
    had, and before anything is fetched for a folder that holds other things and no kits23.json.
    """
    known = [case_name(number) for number in CASE_IDS]
    wanted = known if cases is None else list(cases)
    if strangers := sorted(set(wanted) - set(known)):
        raise ValueError(
            f"KiTS23 has no {', '.join(strangers)}; cases are case_00000-case_00299 and "
            "case_00400-case_00588"
        )
    _refuse_foreign_folder(root)
    root.mkdir(parents=True, exist_ok=True)
    fetch(f"{mask_url}/{TABLE}", root / TABLE, pause_seconds)
    for done, case in enumerate(wanted, 1):
        (root / case).mkdir(exist_ok=True)
        fetch(f"{image_url}/{case}.nii.gz", root / case / IMAGE, pause_seconds)
        fetch(f"{mask_url}/{case}/{LABELS}", root / case / LABELS, pause_seconds)
        if on_case:
            on_case(done, len(wanted))


def _refuse_foreign_folder(root: Path) -> None:
    """Raise ValueError unless a folder is missing, empty, or holds the table with which every
    download begins.
    """
    names = list_contents(root)
    fix = (
        f"name an empty folder; beside cases of KiTS23 put its {TABLE} (from "
        "github.com/neheller/kits23, dataset/)"
    )
    is_ours = TABLE in names or partial_of(root / TABLE).name in names
    refuse_foreign(root, [] if is_ours else names, f"hold {TABLE}, as a folder of KiTS23 does", fix)


def partial_of(path: Path) -> Path:
    """Where a file grows until it is whole."""
    return path.with_name(f".{path.name}.partial")


def fetch(url: str, path: Path, pause_seconds: float = 1.0) -> None:
    """Fetch one file whole. Raises ValueError when it is refused, or cannot be had in four
    attempts.
    """
    if path.is_file() and fault_in(path) is None:
        return
    partial = partial_of(path)
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(pause_seconds * 2 ** (attempt - 1))
        try:
            _receive(url, partial)
        except BROKEN as error:
            reason = _why(url, error)
            if isinstance(error, urllib.error.HTTPError) and error.code in REFUSALS:
                break
            continue
        if fault := fault_in(partial, path.name):
            partial.unlink()
            reason = (
                f"what {url} sent {fault}; try again later, or copy the file to {path} from "
                "elsewhere"
            )
            continue
        move_into_place(partial, path)
        return
    raise ValueError(reason)


def fault_in(path: Path, name: str = "") -> str | None:
    """What is wrong with a fetched file, None if it is whole: a gzip stream to its checksum, or
    JSON to its end.
    """
    try:
        if (name or path.name).endswith(".json"):
            parsed(read_text(path))
        else:
            with igzip.open(path, "rb") as file:
                while file.read(PIECE):
                    pass
    except (EOFError, ValueError, OSError, igzip_lib.IsalError) as error:  # type: ignore[misc]
        return f"is not whole ({error})"
    return None


def _receive(url: str, partial: Path) -> None:
    """Append to the partial file what it still lacks of the URL. Raises one of BROKEN if the
    connection fails on the way.
    """
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            start, total = _span(response)
            if start not in (0, have):
                raise http.client.HTTPException(
                    f"the server resumed at byte {start} instead of {have}"
                )
            _append(response, partial, start)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        # Nothing lies beyond what we have: either it is whole, or it is not a part of this file.
        return
    size = partial.stat().st_size
    if total is not None and size != total:
        if size > total:
            partial.unlink()
        raise http.client.HTTPException(f"{size} of {total} bytes came")


def _span(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """Where in the file the answer starts, and how long the whole file is, if the server says."""
    if response.status == 206:
        where, _, total = (
            response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        )
        start = where.partition("-")[0]
        if not start.isdecimal():
            raise http.client.HTTPException("the server sent a part without saying which")
        return int(start), int(total) if total.isdecimal() else None
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _append(response: http.client.HTTPResponse, partial: Path, start: int) -> None:
    with partial.open("ab" if start else "wb") as file:
        while piece := response.read1(PIECE):
            try:
                file.write(piece)
                file.flush()
            except OSError as error:
                raise ValueError(
                    f"cannot write {partial} ({error.strerror}); make room and run again"
                ) from None


def _why(url: str, error: Exception) -> str:
    """One sentence on a connection that failed, and what to do."""
    host = urlsplit(url).netloc
    if isinstance(error, urllib.error.HTTPError):
        return (
            f"{host} answered {error.code} {error.reason} for {url}; look whether the file has "
            "moved, or try again later"
        )
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return (
        f"cannot fetch {url} from {host} ({reason}); run the same command again when it can be "
        "reached, "
        "or copy the KiTS23 folder here from a machine that has it"
    )
