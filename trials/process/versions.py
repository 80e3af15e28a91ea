"""What results depend on besides the grid: package versions and the CPU. Standard library only."""

import platform
from importlib import metadata
from pathlib import Path

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


def own_version() -> str:
    """The version of segbench; "0" for a checkout that is not installed."""
    try:
        return metadata.version("segbench")
    except metadata.PackageNotFoundError:
        return "0"


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that affect results."""
    return {"python": platform.python_version()} | {
        name: metadata.version(name) for name in PACKAGES
    }


def processor_name() -> str:
    """The CPU's model name on Linux, else the architecture."""
    info = Path("/proc/cpuinfo")
    names = (
        [
            line.partition(":")[2].strip()
            for line in info.read_text().splitlines()
            if line.startswith("model name")
        ]
        if info.is_file()
        else []
    )
    return names[0] if names else platform.machine()
