"""Downloads against a real server on this machine that cuts connections, lies about lengths and
sends rubbish.
"""

import gzip
import hashlib
import http.server
import json
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field

import huggingface_hub.constants
import numpy as np
import pytest

from trials.data.datasets.download import download_kits23

IMAGE = gzip.compress(np.random.default_rng(0).bytes(300_000), mtime=0)
MASK = gzip.compress(bytes(5000), mtime=0)
FACTS = json.dumps([{"case_id": "case_00000"}]).encode()
IMAGE_PATH = "/datasets/neheller/KiTS-Challenge-Imaging/resolve/main/images/case_00000.nii.gz"
MASK_PATH = "/dataset/case_00000/segmentation.nii.gz"


@dataclass
class Site:
    """What the server holds, how it misbehaves at first (path -> faults, one a request), and what
    it was asked.
    """

    files: dict[str, bytes]
    faults: dict[str, list[str]] = field(default_factory=dict)
    ranges: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def counts(self):
        return Counter(path for path, _ in self.asked)


class Answer(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        """What the hub tells of a file before it is fetched."""
        content = self.server.site.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()

    def do_GET(self):
        site: Site = self.server.site
        wanted = self.headers.get("Range", "")
        site.asked.append((self.path, wanted))
        fault = site.faults[self.path].pop(0) if site.faults.get(self.path) else ""
        content = site.files.get(self.path)
        if fault.isdecimal() or content is None:
            self.send_error(int(fault or 404))
            return
        start = int(wanted[6:-1]) if wanted and site.ranges else 0
        if start >= len(content):
            self.send_error(416)
            return
        body = content[start:]
        length = len(body) + {"claims more": 1000, "claims less": -1000}.get(fault, 0)
        if fault == "rubbish":
            body = b"<html>Sign in</html>".ljust(length)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(length))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(body[: length // 3 if fault == "cut" else length])

    def log_message(self, *arguments):
        """The test's output stays readable."""


@pytest.fixture
def site(monkeypatch):
    # The tests' switch against the hub's client; here it speaks to this machine alone.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    site = Site({IMAGE_PATH: IMAGE, MASK_PATH: MASK, "/dataset/kits23.json": FACTS})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        server.site = site
        site.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield site
        server.shutdown()
        thread.join()


def download(site, root, **options):
    urls = {"hub_url": site.url, "mask_url": f"{site.url}/dataset"}
    download_kits23(root, **{"cases": ["case_00000"], "pause_seconds": 0, **urls, **options})


def files(root):
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


WHOLE = {
    "kits23.json": FACTS,
    "case_00000/imaging.nii.gz": IMAGE,
    "case_00000/segmentation.nii.gz": MASK,
}


def test_a_case_is_fetched_with_its_mask_and_the_clinical_table(site, tmp_path):
    calls = []

    download(site, tmp_path / "kits", on_case=lambda *numbers: calls.append(numbers))

    assert files(tmp_path / "kits") == WHOLE
    assert calls == [(1, 1)]


@pytest.mark.parametrize(
    ("path", "faults"),
    [
        (IMAGE_PATH, ["rubbish"]),
        (IMAGE_PATH, ["503", "502"]),
        (IMAGE_PATH, ["claims less"]),
        (MASK_PATH, ["cut", "cut", "503"]),
        (MASK_PATH, ["rubbish"]),
        (MASK_PATH, ["claims less"]),
        (MASK_PATH, ["claims more"]),
        (MASK_PATH, ["429"]),
    ],
)
def test_a_server_that_fails_at_first_is_asked_again_until_the_file_is_whole(
    site, tmp_path, path, faults
):
    site.faults = {path: list(faults)}

    download(site, tmp_path)

    assert files(tmp_path) == WHOLE


def test_a_cut_image_goes_on_at_the_byte_where_it_stopped(site, tmp_path, monkeypatch):
    # The client writes what came in pieces of this size, of which a small file has none.
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    site.faults = {IMAGE_PATH: ["cut"]}

    download(site, tmp_path)

    start = len(IMAGE) // 3 // 1000 * 1000
    wanted = [wanted for path, wanted in site.asked if path == IMAGE_PATH]
    assert wanted == ["", f"bytes={start}-"]
    assert files(tmp_path) == WHOLE


def test_a_download_that_stopped_before_an_image_goes_on_with_it(site, tmp_path):
    site.faults = {IMAGE_PATH: ["503", "503", "503", "503"]}
    with pytest.raises(ValueError, match="503"):
        download(site, tmp_path)
    assert "case_00000/imaging.nii.gz" not in files(tmp_path)
    site.asked.clear()

    download(site, tmp_path)

    assert site.counts() == {IMAGE_PATH: 1}
    assert files(tmp_path) == WHOLE


def test_whole_files_are_not_asked_for_again(site, tmp_path):
    download(site, tmp_path)
    site.asked.clear()

    download(site, tmp_path)

    assert site.asked == []


def test_a_damaged_file_that_was_there_is_fetched_again(site, tmp_path):
    download(site, tmp_path)
    (tmp_path / "case_00000" / "imaging.nii.gz").write_bytes(IMAGE[:-4])

    download(site, tmp_path)

    assert files(tmp_path) == WHOLE


def test_a_file_that_stays_corrupt_is_refused_and_never_gets_its_name(site, tmp_path):
    damaged = bytearray(IMAGE)
    damaged[1000] ^= 1
    site.files[IMAGE_PATH] = bytes(damaged)

    with pytest.raises(ValueError, match=r"case_00000.nii.gz sent is not whole") as caught:
        download(site, tmp_path)

    assert "\n" not in str(caught.value)
    assert site.counts()[IMAGE_PATH] == 4
    assert "case_00000/imaging.nii.gz" not in files(tmp_path)


def test_a_file_that_is_not_there_is_asked_for_once(site, tmp_path):
    del site.files[MASK_PATH]

    with pytest.raises(
        ValueError, match=r"127.0.0.1:\d+ answered 404 Not Found for http://.*segmentation.nii.gz"
    ):
        download(site, tmp_path)

    assert site.counts()[MASK_PATH] == 1


def test_without_a_network_one_sentence_names_the_host_and_the_way_out(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{unused.getsockname()[1]}"

        with pytest.raises(ValueError, match="cannot fetch") as caught:
            download_kits23(tmp_path, ["case_00000"], mask_url=f"http://{host}", pause_seconds=0)

    message = str(caught.value)
    assert f"from {host} (" in message
    assert "or copy the KiTS23 folder here" in message
    assert "\n" not in message


def test_a_case_that_kits23_does_not_have_is_refused_before_anything_is_fetched(tmp_path):
    with pytest.raises(ValueError, match="KiTS23 has no case_00300"):
        download_kits23(tmp_path / "kits", ["case_00000", "case_00300"])

    assert not (tmp_path / "kits").exists()


@pytest.mark.parametrize(
    "name", ["dataset.json", "phantoms.json", "case_00000/imaging.nii.gz", ".bashrc"]
)
def test_a_folder_of_other_files_is_refused_before_anything_is_fetched(site, tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"of the user")

    with pytest.raises(
        ValueError,
        match=r"or hold kits23.json, as a folder of KiTS23 does; it holds .*; name an empty folder",
    ):
        download(site, tmp_path)

    assert files(tmp_path) == {name: b"of the user"}
    assert site.asked == []


def test_cases_beside_the_table_of_kits23_are_completed(site, tmp_path):
    (tmp_path / "case_00000").mkdir()
    (tmp_path / "case_00000" / "imaging.nii.gz").write_bytes(IMAGE)
    (tmp_path / "kits23.json").write_bytes(FACTS)

    download(site, tmp_path)

    assert files(tmp_path) == WHOLE


def test_a_download_that_was_cut_in_its_first_file_goes_on(site, tmp_path):
    site.faults = {"/dataset/kits23.json": ["cut", "503", "503", "503"]}
    with pytest.raises(ValueError, match="503"):
        download(site, tmp_path)
    assert files(tmp_path) == {}

    download(site, tmp_path)

    assert files(tmp_path) == WHOLE


def test_an_image_that_the_hub_does_not_have_is_asked_for_once(site, tmp_path):
    del site.files[IMAGE_PATH]

    with pytest.raises(ValueError, match=r"answered 404 Not Found for .*images/case_00000.nii.gz"):
        download(site, tmp_path)

    assert site.counts()[IMAGE_PATH] == 0
