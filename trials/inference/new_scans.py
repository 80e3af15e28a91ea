"""Predictions of new scans, one file each: finished ones are kept, a scan that cannot be used is
named and the others go on. Beside them lie the names and colours of the labels for two viewers.

labels.txt is ITK-SNAP's label description file (a line a label: index, R, G, B in 0..255, opacity
in 0..1, visible, visible as a mesh, "name"; itksnap.org, Import Label Descriptions). labels.ctbl is
3D Slicer's colour table (index, name without spaces, R, G, B, opacity in 0..255;
slicer.readthedocs.io, developer guide, Colors).
"""

import colorsys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trials.data.datasets.scans import Scan
from trials.data.nifti.header import Header, read_header
from trials.data.nifti.volume import from_dhw, grid_fault, write_labels
from trials.data.nifti.voxels import label_slabs
from trials.data.own_folder import list_contents, refuse_foreign
from trials.data.prepared.case_checks import Rules
from trials.data.prepared.preprocess import channel_notes, image_headers
from trials.inference.trained import Trained, predict_labels
from trials.records.codec import from_json, to_json
from trials.records.faults import Fault, fault_line, fault_of, printable
from trials.records.record import record
from trials.records.result import TrialResult
from trials.records.spec import Cell
from trials.storage.atomic import NotWritten, exists, read_text, remove_abandoned, write_text
from trials.storage.checksum import add_checksum

PREDICTED, KEPT, FAILED = "predicted", "kept", "failed"
PREDICTED_BY = "predictions.json"


@record
class PredictedBy:
    """What made the predictions of a folder: each trial with the SHA-256 of its weights, and the
    configurations.
    """

    cells: tuple[Cell, ...]
    trials: Mapping[str, str]


def open_out(out: Path, finals: Sequence[TrialResult]) -> None:
    """Make a folder the one of these trials' predictions. Raises ValueError if it holds anything
    else.
    """
    made_by = PredictedBy(
        cells=tuple(dict.fromkeys(result.spec.cell for result in finals)),
        trials={result.trial: str(result.facts.get("weights_sha256")) for result in finals},
    )
    path = out / PREDICTED_BY
    if exists(path):
        if from_json(PredictedBy, read_text(path)).trials != made_by.trials:
            raise ValueError(
                f"{out} holds predictions of other trials ({path}); choose a new or empty folder"
            )
    else:
        refuse_foreign(
            out,
            list_contents(out),
            "hold predictions of the same trials",
            "choose a new or empty folder",
        )
        write_text(path, add_checksum(to_json(made_by)))
    remove_abandoned(out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a scan: "predicted", "kept" or "failed"; faults say why it failed, or what is
    worth a look in it.
    """

    case: str
    state: str
    faults: tuple[Fault, ...] = ()


def outcome_lines(outcome: Outcome, place: str, end: str) -> list[str]:
    """What is printed of a scan: its state, then a line for each fault."""
    level = "" if outcome.state == FAILED else "warning: "
    return [
        f"{place} {printable(outcome.case)}: {outcome.state}{end}",
        *(printable(f"  {level}{fault_line(fault)}") for fault in outcome.faults),
    ]


def predict_scans(
    trained: Sequence[Trained], scans: Sequence[Scan], out: Path, rules: Rules
) -> Iterator[Outcome]:
    """Predict each scan by the mean probability of the networks, write OUT/CASE.nii.gz, uint8 on
    the scan's own grid, and yield what became of it.

    A file that is_finished() is kept. Raises NotWritten if a file cannot be written.
    """
    for scan in scans:
        try:
            yield _predict_scan(trained, scan, out / f"{scan.case}.nii.gz", rules)
        except NotWritten:
            raise
        except (ValueError, OSError) as error:
            yield Outcome(case=scan.case, state=FAILED, faults=(fault_of(error, scan.case),))


def is_finished(path: Path, scan: Sequence[Header], num_classes: int) -> bool:
    """Whether a prediction is newer than its scan, lies on its grid, and can be read to its end as
    labels of the classes.
    """
    try:
        found = read_header(path)
        for _ in label_slabs(found, num_classes):
            pass
        written = path.stat().st_mtime_ns
        files = [file for one in scan for file in (one.path, one.data.path)]
        is_newer = all(written >= file.stat().st_mtime_ns for file in files)
    except (ValueError, OSError):
        return False
    return is_newer and grid_fault(scan[0], found, "scan", "") is None


def _predict_scan(trained: Sequence[Trained], scan: Scan, path: Path, rules: Rules) -> Outcome:
    headers = image_headers(scan.images, rules)
    if is_finished(path, headers, len(rules.classes)):
        return Outcome(case=scan.case, state=KEPT)
    labels, met = predict_labels(trained, headers, rules)
    affine = headers[0].affine
    write_labels(path, np.ascontiguousarray(from_dhw(labels, affine)), affine)
    notes = tuple(channel_notes(rules, scan.case, headers, met))
    return Outcome(case=scan.case, state=PREDICTED, faults=notes)


# A turn by the golden ratio: any number of hues lie far apart.
HUE_STEP = 0.618034


def write_label_files(folder: Path, classes: Sequence[str]) -> None:
    """Write labels.txt and labels.ctbl; classes are names by label, the first one is the
    background.
    """
    write_text(folder / "labels.txt", itk_snap_labels(classes))
    write_text(folder / "labels.ctbl", slicer_colours(classes))


def itk_snap_labels(classes: Sequence[str]) -> str:
    """The text of an ITK-SNAP label description file."""
    lines = ["# ITK-SNAP label description: IDX R G B A VIS MSH LABEL"]
    for label, name in enumerate(classes):
        red, green, blue = colour(label)
        shown = int(label > 0)
        text = printable(name).replace('"', "'")
        lines.append(f'{label} {red} {green} {blue} {shown} {shown} {shown} "{text}"')
    return "\n".join(lines) + "\n"


def slicer_colours(classes: Sequence[str]) -> str:
    """The text of a 3D Slicer colour table."""
    lines = ["# Color table file labels.ctbl", f"# {len(classes)} values"]
    for label, name in enumerate(classes):
        red, green, blue = colour(label)
        word = "_".join(printable(name).split()) or "_"
        lines.append(f"{label} {word} {red} {green} {blue} {255 if label else 0}")
    return "\n".join(lines) + "\n"


def colour(label: int) -> tuple[int, int, int]:
    """The colour of a label, red, green and blue in 0..255; black for the background."""
    if not label:
        return 0, 0, 0
    red, green, blue = colorsys.hsv_to_rgb((label - 1) * HUE_STEP % 1, 0.75, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)
