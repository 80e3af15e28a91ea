"""Checkpoints of a training run: the last two, each with its digest in its name and everything that
a bit-exact continuation on a CPU needs.

The random numbers of an epoch are seeded from (seed, epoch), so no generator state is stored.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trials.identity.code_identity import changed_parts
from trials.records.codec import flat, record_hash, to_json
from trials.records.spec import TrialSpec
from trials.storage.atomic import delete, find_files, read_bytes, write_whole
from trials.storage.object_store import StoreUnavailable

KEPT = 2
PATTERN = "checkpoint-*.pt"
DIGITS = 16


@dataclass(slots=True, kw_only=True)
class Checkpoints:
    """The checkpoints of one trial, in its folder: checkpoint-<epoch>-<digest>.pt, each with the
    best weights so far.

    code holds the digests of the training code: a checkpoint of other code is not continued.
    minutes is the minimum time between two; 0 saves one after every epoch. notes collects problems
    with them.
    """

    folder: Path
    spec: TrialSpec
    code: Mapping[str, str] = field(default_factory=dict)
    minutes: float = 0.0
    notes: list[str] = field(default_factory=list)
    _written: float = field(default_factory=time.monotonic)

    def is_due(self) -> bool:
        """Whether enough time has passed since the last checkpoint."""
        return time.monotonic() - self._written >= 60 * self.minutes

    def save(self, epoch: int, state: Mapping[str, Any]) -> None:
        """Write tensors and plain values atomically, then delete all but the last two checkpoints.

        If it cannot be written, that is noted and training continues; it is due again after the
        next epoch.
        """
        content = to_bytes({**state, "spec": to_json(self.spec), "code": dict(self.code)})
        path = self.folder / f"checkpoint-{epoch:06d}-{digest(content)}.pt"
        try:
            write_whole(path, lambda file: file.write(content), patience=0)
        except OSError as error:
            self.notes.append(f"no checkpoint after epoch {epoch} ({error})")
            return
        self._written = time.monotonic()
        with suppress(StoreUnavailable):
            for old in find_files(self.folder, PATTERN, patience=0)[:-KEPT]:
                delete(old, patience=0)

    def load(self) -> dict[str, Any] | None:
        """The newest valid checkpoint, or None if there is none. If one is damaged, that is noted
        and the previous one is used.

        If one is from other code, that is noted and all are deleted: its epochs must not mix with
        new ones. Raises ValueError for a checkpoint of another trial, StoreUnavailable if the store
        does not answer.
        """
        for path in self._newest_first():
            try:
                state = read_checkpoint(path)
            except StoreUnavailable:
                raise
            except (OSError, ValueError) as error:
                self.notes.append(f"{error}; continued from the previous one")
                continue
            _check_spec(path, self.spec, state["spec"])
            if changed := changed_parts(state.get("code", {}), self.code):
                self.notes.append(
                    f"{path.name} was written by other code ({', '.join(changed)}): training "
                    "restarted"
                )
                self._delete_all()
                return None
            return state
        if self.notes:
            self.notes.append("no valid checkpoint was left: training restarted")
        return None

    def discard(self) -> None:
        """Delete all checkpoints, also those half written by a killed process; ignored if the store
        is unavailable.
        """
        with suppress(StoreUnavailable):
            self._delete_all()

    def _delete_all(self) -> None:
        for path in (*find_files(self.folder, PATTERN), *find_files(self.folder, f".{PATTERN}*")):
            delete(path)

    def _newest_first(self) -> list[Path]:
        return find_files(self.folder, PATTERN)[::-1]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Tensors and plain values of a checkpoint, on the CPU; no code is run.

    Raises ValueError naming the file if its bytes do not match the digest in its name, or are not a
    checkpoint.
    """
    content = read_bytes(path)
    if path.stem.rpartition("-")[2] != digest(content):
        raise ValueError(f"{path.name} is damaged")
    try:
        state = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
        json.loads(state["spec"])
    except Exception as error:  # torch may raise anything
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path.name} is not a segbench checkpoint ({reason})") from None
    return state


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> str:
    """Write a network's tensors atomically, for torch.load; returns the file's SHA-256."""
    content = to_bytes({"state_dict": dict(weights)})
    write_whole(path, lambda file: file.write(content))
    return hashlib.sha256(content).hexdigest()


def to_bytes(state: Mapping[str, Any]) -> bytes:
    """The bytes that torch.save writes."""
    buffer = BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def digest(content: bytes) -> str:
    """The first digits of the SHA-256, enough to detect damage."""
    return hashlib.sha256(content).hexdigest()[:DIGITS]


def _check_spec(path: Path, spec: TrialSpec, theirs: str) -> None:
    if theirs == to_json(spec):
        return
    mine, other = flat(json.loads(to_json(spec))), flat(json.loads(theirs))
    keys = sorted(key for key in mine.keys() | other.keys() if mine.get(key) != other.get(key))
    raise ValueError(
        f"{path} must belong to trial {record_hash(spec)}; it is from a trial with another "
        f"{', '.join(keys[:3])}; delete this trial's folder and rerun the grid"
    )
