"""Memory and time of predicting the scan with the most slices, 1,059 of 512 x 512, by a network of
width 4: from its file to labels on its own grid.

    python -m benchmarks.predict_large                 at the low resolution of KiTS23
    python -m benchmarks.predict_large --fullres       at the full one too, which takes an hour
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.compare import keep, memory, reset_peak
from benchmarks.spacing import CLASSES, FULLRES, write_large
from trials.data.nifti.header import read_header
from trials.data.prepared.case_checks import Rules
from trials.data.spacing.intensities import Scaling
from trials.inference.network import Network
from trials.inference.trained import Trained, predict_labels
from trials.models.build import build
from trials.records.spec import Spacing

PATCH = (128, 128, 128)
SPACINGS = {"low": (2.36, 1.84, 1.84), "full": FULLRES}
WIDTH, OVERLAP = 4, 0.5


def trained_of(mm: tuple[float, float, float]) -> Trained:
    """A network of random weights, as a trial of patches at a spacing leaves it."""
    module = build("dynunet", len(CLASSES), width=WIDTH, edges=PATCH)
    network = Network(
        module=module,
        dims=3,
        slice_axis="axial",
        device=torch.device("cpu"),
        autocast=None,
        patch=PATCH,
        scalings=(Scaling(-100.0, 300.0, 100.0, 80.0, -100),),
    )
    return Trained(
        network=network,
        preparation=Spacing(mm=mm),
        statistics=(),
        batch_size=1,
        overlap=OVERLAP,
        threads=1,
    )


def predict(image: Path, resolution: str) -> None:
    """Predict the scan in this process, and print what it took."""
    trained, header = trained_of(SPACINGS[resolution]), read_header(image)
    reset_peak()
    before, clock = memory("VmRSS"), time.process_time()
    labels, _ = predict_labels([trained], [header], Rules(classes=CLASSES))
    seconds, peak = time.process_time() - clock, memory("VmHWM")
    mm = " x ".join(f"{edge:g}" for edge in SPACINGS[resolution])
    print(
        f"{mm:<20}{labels.size / 1e6:16.0f}{seconds:8.0f}{peak / 1024:10.2f}{before / 1024:10.2f}"
    )


def main() -> None:
    """Print and keep the table, each row by a process of its own."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--fullres", action="store_true", help="the full resolution too")
    options.add_argument("--row", choices=SPACINGS, help=argparse.SUPPRESS)
    options.add_argument("--image", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.row:
        predict(given.image, given.row)
        return
    lines = [
        f"{'grid, mm':<20}{'native Mvoxel':>16}{'CPU s':>8}{'peak GiB':>10}{'before':>10}",
    ]
    with tempfile.TemporaryDirectory() as place:
        write_large(Path(place), "most slices")
        for row in SPACINGS if given.fullres else ["low"]:
            command = [sys.executable, "-m", "benchmarks.predict_large", "--row", row]
            command += ["--image", str(Path(place) / "image.nii")]
            ran = subprocess.run(command, capture_output=True, text=True, check=True)
            lines.append(ran.stdout.rstrip())
    about = (
        f"Predicting 1,059 slices of 512 x 512: dynunet of width {WIDTH}, windows of 128^3, "
        f"overlap {OVERLAP:g}, one process"
    )
    keep("predict_large", about, lines)


if __name__ == "__main__":
    main()
