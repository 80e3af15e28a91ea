"""Checks of this machine: versions, GPU and driver, memory, disk, open files, ports. First facts
are gathered, then rules check them.
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
from trials.process.versions import PACKAGES
from trials.process.workers import num_cores

GIB, MIB = 2**30, 2**20
# Before 2.54 anyone who reached the dashboard could delete through it (CVE-2026-27482).
SAFE_RAY = "2.54"
# The oldest Linux driver for each major version of CUDA (NVIDIA, CUDA Toolkit release notes).
LEAST_DRIVER = {"11": "450.80.02", "12": "525.60.13", "13": "580.65.06"}
# Memory of a worker with torch, MONAI and a small network: the demo's trials took 0.9 to 2.3 GiB.
GIB_A_WORKER = 2.3
# Ray's object store takes at least 75 MiB; if they do not fit into /dev/shm, it uses the disk.
LEAST_SHM = 75 * MIB
# 489 cases of KiTS23 with two memory maps each, and the other files of a trial.
FILES_OF_KITS23 = 2 * 489 + 256
# The cubes of KiTS23 at 128^3: 3 bytes per voxel, 489 cases; and as much again for results,
# checkpoints and pictures.
DISK_OF_KITS23 = 489 * 128**3 * 3 * 2
DASHBOARD = 8265
PORTS = {DASHBOARD: "dashboard and jobs", 6379: "cluster store", 10001: "Ray client"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Facts about a machine. Sizes are in bytes. cuda is the version that torch was built for, ""
    for none. gpus are names.

    missing names packages that are not installed; open_ports are the ports that listen on every
    address.
    """

    python: str
    versions: Mapping[str, str]
    missing: tuple[str, ...]
    cuda: str
    sees_gpu: bool
    driver: str
    gpus: tuple[str, ...]
    cores: int
    memory: int
    shm: int
    disk: int
    open_files: int
    open_ports: frozenset[int]


def inspect_machine(out: Path) -> Machine:
    """Gather facts about this machine. disk is that of out, or of its nearest existing parent."""
    found = {name: installed(name) for name in PACKAGES}
    cuda, sees_gpu = torch_build() if found["torch"] else ("", False)
    driver, gpus = nvidia()
    shm = Path("/dev/shm")
    return Machine(
        python=platform.python_version(),
        versions={name: version for name, version in found.items() if version},
        missing=tuple(name for name, version in found.items() if not version),
        cuda=cuda,
        sees_gpu=sees_gpu,
        driver=driver,
        gpus=gpus,
        cores=num_cores(),
        memory=available_memory(),
        shm=shutil.disk_usage(shm).total if shm.is_dir() else 0,
        disk=shutil.disk_usage(
            next(folder for folder in (out, *out.parents) if folder.is_dir())
        ).free,
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        open_ports=listening_ports(
            "\n".join(path.read_text() for path in Path("/proc/net").glob("tcp*"))
        ),
    )


def installed(name: str) -> str:
    """A package's version; "" if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def torch_build() -> tuple[str, bool]:
    """The CUDA version that torch was built for, and whether it can use a GPU here."""
    import torch

    return torch.version.cuda or "", torch.cuda.is_available()


def nvidia() -> tuple[str, tuple[str, ...]]:
    """The version of the NVIDIA driver and the names of its GPUs; ("", ()) without a driver."""
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
    """Bytes of memory that are available without swapping; the total if it is not Linux."""
    info = Path("/proc/meminfo")
    if info.is_file():
        return next(
            int(line.split()[1]) * 1024
            for line in info.read_text().splitlines()
            if line.startswith("MemAvailable")
        )
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def listening_ports(table: str) -> frozenset[int]:
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
    """Python, the packages that affect results, and a Ray without known vulnerabilities."""
    if Version(machine.python) < Version("3.11"):
        yield error("python", f"{machine.python} is too old", "install Python 3.11 or newer")
    if machine.missing:
        yield error(
            "packages", f"{', '.join(machine.missing)} not installed", "python -m pip install -e ."
        )
    ray = machine.versions.get("ray")
    if ray and Version(ray) < Version(SAFE_RAY):
        yield error(
            "ray",
            f"{ray}: anyone who reaches its dashboard can delete (CVE-2026-27482)",
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
    """Whether torch can use the GPUs that the driver shows."""
    if not machine.gpus:
        return fine("GPUs", "none: trials run on the CPU")
    names = f"{len(machine.gpus)} x {machine.gpus[0]}, driver {machine.driver}"
    if not machine.cuda:
        return error(
            "GPUs",
            f"{names}, but this torch is built for CPUs only",
            "pip install --force-reinstall torch, from the index that pytorch.org gives for your "
            "CUDA version",
        )
    least = LEAST_DRIVER.get(machine.cuda.partition(".")[0])
    if least and Version(machine.driver) < Version(least):
        return error(
            "GPUs",
            f"{names}: torch is built for CUDA {machine.cuda}, which needs driver {least} or newer",
            "update the NVIDIA driver, or install a torch for an older CUDA",
        )
    if not machine.sees_gpu:
        return error(
            "GPUs",
            f"{names}, but torch sees none",
            "check CUDA_VISIBLE_DEVICES, or restart the machine",
        )
    return fine("GPUs", f"{names}, torch for CUDA {machine.cuda}")


def memory(machine: Machine) -> Finding:
    """Memory for one trial per core, or per GPU if there are any."""
    workers = len(machine.gpus) or machine.cores
    needed = workers * GIB_A_WORKER
    message = f"{machine.memory / GIB:.1f} GiB free for {workers} trials side by side"
    if machine.memory / GIB < needed:
        return warning(
            "memory",
            f"{message}, which may need {needed:.1f}",
            "close other programs, or add memory",
        )
    return fine("memory", message)


def shared_memory(machine: Machine) -> Finding:
    """Room in /dev/shm for Ray's object store."""
    message = f"{machine.shm / MIB:.0f} MiB"
    if machine.shm < LEAST_SHM:
        return warning(
            "/dev/shm",
            f"{message}; Ray needs {LEAST_SHM // MIB} and will use the disk",
            "in a container: docker run --shm-size=1g",
        )
    return fine("/dev/shm", message)


def disk(machine: Machine) -> Finding:
    """Disk space for the prepared data and a run."""
    message = f"{machine.disk / GIB:.1f} GiB free for runs"
    needed = f"KiTS23 at 128^3 and its results take about {DISK_OF_KITS23 / GIB:.0f} GiB"
    fix = "free some space, or choose another disk with --out and --cache"
    if machine.disk < GIB:
        return error("disk", f"{message}; {needed}", fix)
    return (
        warning("disk", f"{message}; {needed}", fix)
        if machine.disk < DISK_OF_KITS23
        else fine("disk", message)
    )


def open_files(machine: Machine) -> Finding:
    """File descriptors for the memory maps of every case."""
    limit = machine.open_files
    if limit != resource.RLIM_INFINITY and limit < FILES_OF_KITS23:
        return error(
            "open files",
            f"at most {limit}; KiTS23 needs {FILES_OF_KITS23}",
            f"run `ulimit -Hn {FILES_OF_KITS23}` as root",
        )
    return fine("open files", "no limit" if limit == resource.RLIM_INFINITY else f"at most {limit}")


def ports(machine: Machine) -> Iterator[Finding]:
    """Ray's ports that anyone who reaches this machine can connect to. The port of the cluster
    store is always open; a token and a firewall protect it.
    """
    for port in sorted(machine.open_ports & PORTS.keys()):
        message = f"port {port} ({PORTS[port]}) listens on every address of this machine"
        if port == DASHBOARD:
            yield error(
                "ports",
                message,
                "start Ray with --dashboard-host=127.0.0.1 and connect with `ray dashboard`",
            )
        else:
            yield warning(
                "ports",
                message,
                "restrict the port to the machines of the cluster in the firewall, and set "
                "RAY_AUTH_MODE=token",
            )
