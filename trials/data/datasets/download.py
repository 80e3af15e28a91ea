"""KiTS23 from the two places that publish it: images from Hugging Face, masks from the challenge's
repository.

A file gets its name only when it is whole; the same command again fetches what is missing. The
hub's client goes on where a connection broke; masks are small and are fetched at once.
"""

import http.client
import io
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from huggingface_hub import hf_hub_download
from huggingface_hub.utils.tqdm import disable_progress_bars
from isal import igzip, igzip_lib

from trials.data.datasets.kits23 import CASE_IDS, IMAGE, LABELS, case_name
from trials.data.own_folder import list_contents, refuse_foreign
from trials.records.codec import parsed
from trials.storage.atomic import NotWritten, move_into_place, write_whole

IMAGE_REPO = "neheller/KiTS-Challenge-Imaging"
# Where the hub's client lets images grow, with what it remembers of them.
GROWING = ".images.unfinished"
MASK_URL = "https://raw.githubusercontent.com/neheller/kits23/main/dataset"
ATTEMPTS = 4
TIMEOUT_SECONDS = 30.0
PIECE = 1 << 20
TABLE = "kits23.json"
REFUSALS = (400, 401, 403, 404, 410)


def download_kits23(
    root: Path,
    cases: Iterable[str] | None = None,
    hub_url: str | None = None,
    mask_url: str = MASK_URL,
    on_case: Callable[[int, int], None] | None = None,
    pause_seconds: float = 1.0,
) -> None:
    """Fetch cases (None: all 489) and kits23.json into root; what lies there whole is kept.

    hub_url None is the Hugging Face hub. on_case(done, total) follows each case. Before the k-th
    new attempt it waits 2**(k - 1) pauses.

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
    disable_progress_bars()
    fetch(f"{mask_url}/{TABLE}", root / TABLE, pause_seconds)
    for done, case in enumerate(wanted, 1):
        fetch(f"{mask_url}/{case}/{LABELS}", root / case / LABELS, pause_seconds)
        fetch_image(case, root, hub_url, pause_seconds)
        if on_case:
            on_case(done, len(wanted))
    shutil.rmtree(root / GROWING, ignore_errors=True)


def _refuse_foreign_folder(root: Path) -> None:
    """Raise ValueError unless a folder is missing, empty, or holds the table with which every
    download begins.
    """
    names = list_contents(root)
    fix = (
        f"name an empty folder; beside cases of KiTS23 put its {TABLE} (from "
        "github.com/neheller/kits23, dataset/)"
    )
    refuse_foreign(
        root, [] if TABLE in names else names, f"hold {TABLE}, as a folder of KiTS23 does", fix
    )


def fetch_image(case: str, root: Path, hub_url: str | None, pause_seconds: float) -> None:
    """Fetch the image of a case whole. Raises ValueError when it is refused, or cannot be had in
    four attempts.
    """
    path, name = root / case / IMAGE, f"images/{case}.nii.gz"

    def get() -> str | None:
        grown = Path(
            hf_hub_download(
                IMAGE_REPO,
                name,
                repo_type="dataset",
                local_dir=root / GROWING,
                endpoint=hub_url,
            )
        )
        if fault := fault_in(grown):
            grown.unlink()
            return fault
        move_into_place(grown, path)
        return None

    if not path.is_file() or fault_in(path):
        _until_whole(get, f"{hub_url or 'https://huggingface.co'}/{name}", path, pause_seconds)


def fetch(url: str, path: Path, pause_seconds: float = 1.0) -> None:
    """Fetch one small file whole. Raises ValueError when it is refused, or cannot be had in four
    attempts.
    """

    def get() -> str | None:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            content = response.read()
        if fault := fault_of(path.name, io.BytesIO(content)):
            return fault
        write_whole(path, lambda file: file.write(content))
        return None

    if not path.is_file() or fault_in(path):
        _until_whole(get, url, path, pause_seconds)


def fault_in(path: Path) -> str | None:
    """What is wrong with a fetched file, None if it is whole."""
    with path.open("rb") as file:
        return fault_of(path.name, file)


def fault_of(name: str, file: BinaryIO) -> str | None:
    """What is wrong with the content of a file of that name, None if it is whole: a gzip stream to
    its checksum, or JSON to its end.
    """
    try:
        if name.endswith(".json"):
            parsed(file.read().decode("utf-8"))
        else:
            if not file.read(1):
                raise EOFError("it is empty")
            file.seek(0)
            with igzip.open(file, "rb") as stream:
                while stream.read(PIECE):
                    pass
    except (EOFError, ValueError, OSError, igzip_lib.IsalError) as error:  # type: ignore[misc]
        return f"is not whole ({error})"
    return None


def _until_whole(get: Callable[[], str | None], url: str, path: Path, pause_seconds: float) -> None:
    """Call get() until it brought a whole file; it returns what is wrong with one that is not."""
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(pause_seconds * 2 ** (attempt - 1))
        try:
            fault = get()
        except NotWritten:
            raise
        # The hub's client raises what its HTTP library raises, which changes with its version.
        except Exception as error:
            reason = _why(url, error)
            if _status(error) in REFUSALS:
                break
            continue
        if fault is None:
            return
        reason = (
            f"what {url} sent {fault}; try again later, or copy the file to {path} from elsewhere"
        )
    raise ValueError(reason)


def _status(error: BaseException | None) -> int | None:
    """The status with which a server refused, of an error or of one that caused it."""
    while error is not None:
        answered = getattr(error, "response", None)
        if (code := getattr(error, "code", getattr(answered, "status_code", None))) is not None:
            return code
        error = error.__cause__
    return None


def _why(url: str, error: Exception) -> str:
    """One sentence on a connection that failed, and what to do."""
    host = urlsplit(url).netloc
    if (code := _status(error)) is not None:
        reason = http.client.responses.get(code, "")
        return (
            f"{host} answered {code} {reason} for {url}; look whether the file has moved, or try "
            "again later"
        )
    told = getattr(error, "reason", error)
    return (
        f"cannot fetch {url} from {host} ({' '.join(str(told).split())}); run the same command "
        "again when it can be reached, or copy the KiTS23 folder here from a machine that has it"
    )
