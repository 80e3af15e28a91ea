"""All results as two tidy tables: one row per trial, case, label and space, and one row per
trial.
"""

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from reports.load.run_folder import SCORE_TYPES, Run, read_run
from trials.records.result import TrialResult
from trials.storage.atomic import write_whole
from trials.storage.foreign_text import as_text

IDENTITY = ("trial", "phase", "dataset", "model", "loss", "sampling", "seed", "fold")
COUNTS = ("true_voxels", "pred_voxels", "overlap_voxels")
SCORE_COLUMNS = (
    *(*IDENTITY, "split", "case", "patient", "label", "class_name", "space"),
    *(*COUNTS, "dice", "iou"),
)
IDENTITY_TYPES = {name: "int64" if name in ("seed", "fold") else "str" for name in IDENTITY}
DTYPES = {str: "str", int: "int64", float: "float64"}


def load_run(folder: Path | str) -> pd.DataFrame:
    """A run as one tidy frame for a notebook: scores_table of a run folder, finished or not.

    Raises ValueError naming the file that is missing or damaged.
    """
    return scores_table(read_run(Path(folder)))


def scores_table(run: Run) -> pd.DataFrame:
    """One row per trial, case, label and space: counts, and Dice and IoU in 0..1, NaN if both masks
    are empty.

    Columns are SCORE_COLUMNS, rows are sorted by trial, split, case, label and space. Contains no
    time and no host name. Raises ValueError if a score's label has no class.
    """
    table = rows_table(run, "scores", SCORE_TYPES, order=("split", "case", "label", "space"))
    labels = table["label"].to_numpy()
    if len(wrong := np.flatnonzero((labels < 0) | (labels >= len(run.classes)))):
        row = table.iloc[wrong[0]]
        raise ValueError(
            f"trial {row['trial']} scores label {row['label']}, but run.json has "
            f"{len(run.classes)} classes; run the grid again"
        )
    counts = [table[name].to_numpy() for name in COUNTS]
    names = pd.Series(run.classes, dtype="str").take(labels).array
    return table.assign(class_name=names, dice=dice_of(*counts), iou=iou_of(*counts))[
        list(SCORE_COLUMNS)
    ]


def rows_table(
    run: Run, kind: str, types: Mapping[str, type], order: Sequence[str]
) -> pd.DataFrame:
    """One row per record of every trial: IDENTITY, the record's fields, and the patient of its
    case. kind is "scores" or "surfaces".

    Rows are sorted by trial, then by the fields of order.
    """
    blocks = [sorted(getattr(result, kind), key=attrgetter(*order)) for result in run.results]
    rows = list(chain.from_iterable(blocks))
    trials = pd.DataFrame(map(identity, run.results), columns=list(IDENTITY)).astype(IDENTITY_TYPES)
    columns = {
        name: pd.Series(list(map(attrgetter(name), rows)), dtype=DTYPES[of])
        for name, of in types.items()
    }
    columns["patient"] = _patients(run, columns["case"])
    places = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
    return trials.take(places).reset_index(drop=True).assign(**columns)


def _patients(run: Run, cases: pd.Series) -> pd.Series:
    """The patient of each case. A large run has a million rows, but few cases."""
    codes, names = cases.factorize()
    patient_of = run.grouping.patients
    patients = pd.Series([patient_of.get(name, name) for name in names], dtype="str")
    return patients.take(codes).reset_index(drop=True)


def identity(result: TrialResult) -> tuple[str | int, ...]:
    """The values of IDENTITY of a trial."""
    spec = result.spec
    cell = (spec.cell.model, spec.cell.loss, spec.cell.sampling)
    return (result.trial, spec.phase, spec.dataset, *cell, spec.seed, spec.fold)


def dice_of(
    true_voxels: np.ndarray, pred_voxels: np.ndarray, overlap_voxels: np.ndarray
) -> np.ndarray:
    """trials.records.result.dice over arrays of one shape."""
    return ratio_of(2 * overlap_voxels, true_voxels + pred_voxels)


def iou_of(
    true_voxels: np.ndarray, pred_voxels: np.ndarray, overlap_voxels: np.ndarray
) -> np.ndarray:
    """trials.records.result.iou over arrays of one shape."""
    return ratio_of(overlap_voxels, true_voxels + pred_voxels - overlap_voxels)


def ratio_of(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where whole is 0."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=np.asarray(whole) != 0)


def trials_table(run: Run) -> pd.DataFrame:
    """One row per trial, sorted by trial: its settings, how it ended, and its cost; mappings as
    JSON.

    A hyperparameter that only this grid searched has its own column after the usual ones.
    """
    settings = {name: value for result in run.results for name, value in result.spec.hyper.items()}
    own = sorted(
        name
        for name, value in settings.items()
        if not isinstance(value, tuple) and name not in _TRIAL_TYPES
    )
    types = _TRIAL_TYPES | dict.fromkeys(own, "float64")
    return pd.DataFrame(
        [_trial_row(result, own) for result in run.results], columns=list(types)
    ).astype(types)


_TRIAL_TYPES = {
    **dict.fromkeys(("trial", "phase", "dataset", "splits", "model", "loss", "sampling"), "str"),
    **dict.fromkeys(("seed", "fold", "number"), "int64"),
    "hyper": "str",
    **dict.fromkeys(("lr", "gamma", "one_minus_beta", "frozen_stages"), "float64"),
    **dict.fromkeys(("weights", "recipe", "state", "reason", "error"), "str"),
    **dict.fromkeys(("val_score", "best_epoch", "epochs", "seconds", "peak_gib"), "float64"),
    **dict.fromkeys(("num_parameters", "num_trainable", "multiply_adds"), "int64"),
    **dict.fromkeys(("device", "threads", "host", "versions", "commit", "started"), "str"),
}


def _trial_row(result: TrialResult, own: Sequence[str]) -> dict[str, Any]:
    spec = result.spec
    names = (
        "trial",
        "state",
        "reason",
        "error",
        "val_score",
        "best_epoch",
        "seconds",
        "peak_gib",
        "commit",
        "started",
    )
    costs = ("num_parameters", "num_trainable", "multiply_adds")
    row: dict[str, Any] = {name: getattr(result, name) for name in (*names, *costs)}
    row |= {
        name: getattr(spec, name)
        for name in ("phase", "dataset", "splits", "seed", "fold", "number", "weights")
    }
    row |= {name: getattr(spec.cell, name) for name in ("model", "loss", "sampling")}
    row |= {
        name: spec.hyper.get(name)
        for name in ("lr", "gamma", "one_minus_beta", "frozen_stages", *own)
    }
    row |= {name: _text(result.facts.get(name)) for name in ("device", "threads", "host")}
    row |= {
        "hyper": compact_json(spec.hyper),
        "recipe": compact_json(spec.recipe),
        "versions": compact_json(result.versions),
    }
    return row | {"epochs": len(result.curve)}


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def compact_json(value: object) -> str:
    """A mapping, record or plain value as one line of JSON with sorted keys."""
    return json.dumps(value, sort_keys=True, separators=(", ", ": "), default=_plain)


def _plain(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def write_tables(run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write scores and trials as .parquet and .csv into the run folder and return them; equal input
    gives equal bytes.
    """
    scores, trials = scores_table(run), trials_table(run)
    for name, table in (("scores", scores), ("trials", trials)):
        write_table(run.out, name, table)
    return scores, trials


def write_table(out: Path, name: str, table: pd.DataFrame) -> None:
    """Write a table as NAME.parquet and NAME.csv, each atomically; text that a spreadsheet would
    execute is quoted in the CSV.
    """
    parquet, text = BytesIO(), BytesIO()
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), parquet)
    # Arrow writes the CSV of a large run ten times as fast as pandas.
    safe = pa.Table.from_pandas(_without_formulas(table), preserve_index=False)
    csv.write_csv(safe, text, csv.WriteOptions(quoting_style="needed"))
    for suffix, content in (("parquet", parquet), ("csv", text)):
        _write(out / f"{name}.{suffix}", content.getvalue())


def _write(path: Path, content: bytes) -> None:
    write_whole(path, lambda file: file.write(content))


def _without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    safe = table.copy(deep=False)
    names: list[str] = list(table.select_dtypes("str").columns)
    for name in names:
        # A large run has a million rows, but few distinct texts.
        texts = {text: as_text(text) for text in table[name].dropna().unique()}
        if any(text != cell for text, cell in texts.items()):
            safe[name] = table[name].map(texts)
    return safe
