"""What several tests share: the fixtures folder, one demo run, and one small prepared set of
phantoms.
"""

import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = {path.stem: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
COMMANDS = [
    line
    for text in (README, *PAGES.values())
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    for line in block.strip().splitlines()
]
ROOMS = ("bench", "trials", "reports")
BUILD = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# Two processes share two cores: a thread pool in each would only make them wait for one another.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
# What a shell starts in the background ignores Ctrl-C and hands that on: some tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of real masks and official figures that SEGBENCH_FIXTURES names."""
    folder = os.environ.get("SEGBENCH_FIXTURES")
    if not folder:
        pytest.skip("SEGBENCH_FIXTURES names no folder of real KiTS23 masks")
    return Path(folder)


@contextmanager
def without_gpus() -> Iterator[None]:
    """Hide the machine's GPUs from the trials of this process, and from the processes that it
    starts.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.cuda.is_available", lambda: False)
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        yield


@pytest.fixture
def on_cpu() -> Iterator[None]:
    """For a test of what only a CPU promises: the same bits from run to run, divergence noticed at
    its step.
    """
    with without_gpus():
        yield


@pytest.fixture(scope="module")
def module_on_cpu() -> Iterator[None]:
    """The same for every test of a file, and for the fixtures that they share."""
    with without_gpus():
        yield


@dataclass(frozen=True)
class Ran:
    """A finished command and the run folder it wrote."""

    out: Path
    code: int
    stdout: str
    stderr: str
    seconds: float


# What nobody may find again in what a run leaves.
SECRET = "canary-3f1b9c-secret"
SECRETS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "HF_TOKEN",
    "RAY_AUTH_TOKEN",
    "GITHUB_TOKEN",
)


def on_one_core() -> list[str]:
    """What makes a command use one core, another in each process that shares the tests: a worker
    less to start.
    """
    cores = sorted(os.sched_getaffinity(0)) if shutil.which("taskset") else []
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    return ["taskset", "--cpu-list", str(cores[process % len(cores)])] if cores else []


def bench_run(*arguments: object, cwd: Path, under: Sequence[str] = (), **variables: str) -> Ran:
    """Run `python -m bench.run` as a user does who has secrets and further variables in the
    environment; under is what the command starts with.
    """
    command = [*under, sys.executable, "-m", "bench.run", *map(str, arguments)]
    started = time.monotonic()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | dict.fromkeys(SECRETS, SECRET) | variables,
    )
    out = (
        Path(arguments[arguments.index("--out") + 1])
        if "--out" in arguments
        else cwd / "runs" / "demo"
    )
    return Ran(
        out=out,
        code=done.returncode,
        stdout=done.stdout,
        stderr=done.stderr,
        seconds=time.monotonic() - started,
    )


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Ran:
    """The demo, run once for every test that looks at it."""
    ran = bench_run("--grid", "demo", cwd=tmp_path_factory.mktemp("demo"))
    assert ran.code == 0, ran.stderr[-4000:]
    return ran


@pytest.fixture(scope="session")
def small_cache(tmp_path_factory) -> Path:
    """Twelve phantoms prepared at 32^3; the folder that open_cache takes."""
    from trials.data.datasets.opening import open_dataset
    from trials.data.datasets.phantoms.writing import write_phantoms
    from trials.data.prepared.cache import prepare_dataset
    from trials.records.spec import Cube

    place = tmp_path_factory.mktemp("small")
    write_phantoms(place / "phantoms", 12, 0)
    return prepare_dataset(
        open_dataset("phantoms", place / "phantoms"),
        Cube(edge=32),
        place / "cache",
        workers=1,
    )


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The wheel of this tree, built from a copy."""
    place = tmp_path_factory.mktemp("wheel")
    for name in ROOMS:
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place)
    called([sys.executable, "-c", BUILD], place)
    return next((place / "dist").glob("*.whl"))


def called(command: list[str | Path], cwd: Path) -> str:
    """Run a command as a user does, to whom our clone is unknown, and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def environment(wheel, tmp_path_factory) -> Path:
    """A virtual environment with the wheel, which sees the packages of this one but not our clone:
    paths in a .pth file of another environment do not count.
    """
    place = tmp_path_factory.mktemp("environment")
    called([sys.executable, "-m", "venv", "--without-pip", place], place)
    pip = [sys.executable, "-m", "pip", "--python", place / "bin" / "python"]
    called([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], place)
    packages = next(place.glob("lib/python3*/site-packages"))
    seen = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "packages.pth").write_text("\n".join(seen))
    return place


class Store:
    """An object store that speaks S3, on a port of loopback that it keeps while it is stopped and
    started.
    """

    def __init__(self) -> None:
        self.port = 0
        self.start()
        self.port = self.server.get_host_and_port()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        from moto.server import ThreadedMotoServer

        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self.server.start()

    def stop(self) -> None:
        self.server.stop()


@pytest.fixture(scope="session")
def store() -> Iterator[Store]:
    """One object store for all tests."""
    store = Store()
    yield store
    store.stop()


@pytest.fixture
def bucket(store, request, monkeypatch, tmp_path) -> Path:
    """A new bucket, as to_path() gives it; what a node keeps on its own disk lies in
    tmp_path/scratch.

    The package does not ask again by itself: how long we ask is what the tests are about.
    """
    import boto3

    from trials.storage.atomic import to_path

    names = {
        "ENDPOINT_URL": store.url,
        "ACCESS_KEY_ID": "key",
        "SECRET_ACCESS_KEY": "secret",
        "DEFAULT_REGION": "us-east-1",
    }
    names["MAX_ATTEMPTS"] = "1"
    for name, value in names.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("SEGBENCH_SCRATCH", str(tmp_path / "scratch"))
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:60].strip("-")
    boto3.client("s3").create_bucket(Bucket=name)
    return to_path(f"s3://{name}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that rewrites what tests compare with."""
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden tables")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two processes share the tests, a file at a time: the demo, which takes longest, comes first.

    Tests marked `gpu` are skipped where torch sees no GPU.
    """
    items.sort(key=lambda item: item.path.name != "test_demo.py")
    for item in items:
        if item.get_closest_marker("gpu") and not sees_gpu():
            item.add_marker(pytest.mark.skip(reason="needs a GPU, and torch sees none"))


@functools.cache
def sees_gpu() -> bool:
    """Whether torch sees a GPU; torch is loaded for tests that ask for one alone."""
    import torch

    return torch.cuda.is_available()
