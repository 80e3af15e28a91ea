"""This machine: versions, gpu and driver, memory, disk, open files, ports. First the facts, then
rules over them.
"""

import os
import platform
import resource
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.version import Version

from bench.doctor.findings import Finding, error, fine, warning
from trials.process.workers import num_cores

GIB, MIB = 2**30, 2**20
PACKAGES = (
    "torch",
    "monai",
    "segmentation-models-pytorch",
    "nibabel",
    "numpy",
    "ray",
    "optuna",
    "pandas",
    "plotly",
)
# Before 2.54 anybody who reached the dashboard could delete through it (CVE-2026-27482).
SAFE_RAY = "2.54"
# NVIDIA, CUDA Toolkit release notes: the least driver on Linux by CUDA's major version.
LEAST_DRIVER = {"11": "450.80.02", "12": "525.60.13", "13": "580.65.06"}
# A worker's torch, MONAI and a small network: the demo's trials took between 0.9 and 2.3 GiB.
GIB_A_WORKER = 2.3
# Ray's store of objects takes at least 75 MiB; where they do not fit into /dev/shm, it goes to the
# disk.
LEAST_SHM = 75 * MIB
# 489 cases of KiTS23, two maps each, and what else a trial opens.
FILES_OF_KITS23 = 2 * 489 + 256
# The cubes of KiTS23 at 128^3: 3 bytes a voxel, 489 cases; and as much again for results,
# checkpoints and pictures.
DISK_OF_KITS23 = 489 * 128**3 * 3 * 2
DASHBOARD = 8265
PORTS = {DASHBOARD: "dashboard and jobs", 6379: "cluster store", 10001: "Ray client"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Facts of a machine. Sizes in bytes; cuda is that of torch's build, "" for one without; gpus
    by name.

    missing names packages that are not installed, open_ports the ports that listen on every
    address.
    """

    python: str
    versions: Mapping[str, str]
    missing: tuple[str, ...]
    cuda: str
    sees_card: bool
    driver: str
    gpus: tuple[str, ...]
    cores: int
    memory: int
    shm: int
    disk: int
    open_files: int
    open_ports: frozenset[int]


def gather(out: Path) -> Machine:
    """Look at this machine; out, or the nearest folder above it that exists, tells the disk."""
    found = {name: installed(name) for name in PACKAGES}
    cuda, sees_card = torch_build() if found["torch"] else ("", False)
    driver, gpus = nvidia()
    shm = Path("/dev/shm")
    return Machine(
        python=platform.python_version(),
        versions={name: version for name, version in found.items() if version},
        missing=tuple(name for name, version in found.items() if not version),
        cuda=cuda,
        sees_card=sees_card,
        driver=driver,
        gpus=gpus,
        cores=num_cores(),
        memory=available_memory(),
        shm=shutil.disk_usage(shm).total if shm.is_dir() else 0,
        disk=shutil.disk_usage(
            next(folder for folder in (out, *out.parents) if folder.is_dir())
        ).free,
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        open_ports=listening(
            "\n".join(path.read_text() for path in Path("/proc/net").glob("tcp*"))
        ),
    )


def installed(name: str) -> str:
    """A package's version, "" where it is not there."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def torch_build() -> tuple[str, bool]:
    """The CUDA that torch was built for, and whether it can use a gpu here."""
    import torch

    return torch.version.cuda or "", torch.cuda.is_available()


def nvidia() -> tuple[str, tuple[str, ...]]:
    """NVIDIA's driver and the gpus it shows, ("", ()) where there is none."""
    if shutil.which("nvidia-smi") is None:
        return "", ()
    query = ["nvidia-smi", "--query-gpu=driver_version,name", "--format=csv,noheader"]
    rows = [
        line.split(", ", 1)
        for line in subprocess.run(query, capture_output=True, text=True).stdout.splitlines()
    ]
    gpus = [row for row in rows if len(row) == 2]
    return (gpus[0][0] if gpus else ""), tuple(name for _, name in gpus)


def available_memory() -> int:
    """What Linux says can be had without swapping; elsewhere all there is."""
    info = Path("/proc/meminfo")
    if info.is_file():
        return next(
            int(line.split()[1]) * 1024
            for line in info.read_text().splitlines()
            if line.startswith("MemAvailable")
        )
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def listening(table: str) -> frozenset[int]:
    """The ports that listen on every address, from the text of /proc/net/tcp and tcp6 (proc(5):
    state 0A, address zero).
    """
    rows = [line.split() for line in table.splitlines()]
    local = [row[1].rpartition(":") for row in rows if len(row) > 3 and row[3] == "0A"]
    return frozenset(int(port, 16) for address, _, port in local if not address.strip("0"))


def machine_findings(machine: Machine) -> Iterator[Finding]:
    """Every rule on a machine."""
    yield from versions(machine)
    yield gpu(machine)
    yield memory(machine)
    yield shared_memory(machine)
    yield disk(machine)
    yield open_files(machine)
    yield from ports(machine)


def versions(machine: Machine) -> Iterator[Finding]:
    """Python, the packages that decide a number, and a Ray without known holes."""
    if Version(machine.python) < Version("3.11"):
        yield error("python", f"{machine.python} is too old", "take Python 3.11 or newer")
    if machine.missing:
        yield error(
            "packages", f"{', '.join(machine.missing)} missing", "python -m pip install -e ."
        )
    ray = machine.versions.get("ray")
    if ray and Version(ray) < Version(SAFE_RAY):
        yield error(
            "ray",
            f"{ray}: its dashboard deletes for anybody (CVE-2026-27482)",
            f"pip install -U 'ray[tune]>={SAFE_RAY}'",
        )
    yield fine(
        "versions",
        ", ".join(
            f"{name} {version}"
            for name, version in {"python": machine.python, **machine.versions}.items()
        ),
    )


def gpu(machine: Machine) -> Finding:
    """Whether torch can use the gpus that the driver shows."""
    if not machine.gpus:
        return fine("GPUs", "none: trials run on the CPU")
    names = f"{len(machine.gpus)} x {machine.gpus[0]}, driver {machine.driver}"
    if not machine.cuda:
        return error(
            "GPUs",
            f"{names}, but this torch is built for processors alone",
            "pip install --force-reinstall torch, from the index that pytorch.org names for your "
            "CUDA",
        )
    least = LEAST_DRIVER.get(machine.cuda.partition(".")[0])
    if least and Version(machine.driver) < Version(least):
        return error(
            "GPUs",
            f"{names}: CUDA {machine.cuda}, for which torch is built, needs driver {least}",
            "update NVIDIA's driver, or install a torch for an older CUDA",
        )
    if not machine.sees_card:
        return error(
            "GPUs",
            f"{names}, but torch sees none",
            "look at CUDA_VISIBLE_DEVICES, or restart the machine",
        )
    return fine("GPUs", f"{names}, torch for CUDA {machine.cuda}")


def memory(machine: Machine) -> Finding:
    """Room for one trial a core, or a gpu where there are some."""
    workers = len(machine.gpus) or machine.cores
    needed = workers * GIB_A_WORKER
    told = f"{machine.memory / GIB:.1f} GiB free for {workers} trials side by side"
    if machine.memory / GIB < needed:
        return warning(
            "memory",
            f"{told}, which may need {needed:.1f}",
            "close other programs, or give the machine more",
        )
    return fine("memory", told)


def shared_memory(machine: Machine) -> Finding:
    """Room for Ray's store of objects."""
    told = f"{machine.shm / MIB:.0f} MiB"
    if machine.shm < LEAST_SHM:
        return warning(
            "/dev/shm",
            f"{told}; Ray needs {LEAST_SHM // MIB} and will use the disk",
            "in a container: docker run --shm-size=1g",
        )
    return fine("/dev/shm", told)


def disk(machine: Machine) -> Finding:
    """Room for the prepared data and a run."""
    told = f"{machine.disk / GIB:.1f} GiB free for runs"
    needed = f"KiTS23 at 128^3 and its results take about {DISK_OF_KITS23 / GIB:.0f}"
    fix = "make room, or name another disk by --out and --cache"
    if machine.disk < GIB:
        return error("disk", f"{told}; {needed}", fix)
    return (
        warning("disk", f"{told}; {needed}", fix)
        if machine.disk < DISK_OF_KITS23
        else fine("disk", told)
    )


def open_files(machine: Machine) -> Finding:
    """Descriptors for the maps of every case."""
    limit = machine.open_files
    if limit != resource.RLIM_INFINITY and limit < FILES_OF_KITS23:
        return error(
            "open files",
            f"at most {limit}; KiTS23 needs {FILES_OF_KITS23}",
            f"ulimit -Hn {FILES_OF_KITS23}, as root",
        )
    return fine("open files", "no limit" if limit == resource.RLIM_INFINITY else f"at most {limit}")


def ports(machine: Machine) -> Iterator[Finding]:
    """Ray's doors that are open to whoever reaches this machine. Its store always is; a token and a
    firewall guard it.
    """
    for port in sorted(machine.open_ports & PORTS.keys()):
        told = f"port {port} ({PORTS[port]}) listens on every address of this machine"
        if port == DASHBOARD:
            yield error(
                "ports",
                told,
                "start Ray with --dashboard-host=127.0.0.1, and reach it by `ray dashboard`",
            )
        else:
            yield warning(
                "ports",
                told,
                "let the firewall admit the cluster's own machines alone, and set "
                "RAY_AUTH_MODE=token",
            )
