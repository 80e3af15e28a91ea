"""Checkpoints of a training run: the last two, each named by its digest, with all that a bit-exact
continuation on a CPU takes.

The random numbers of an epoch are seeded from (seed, epoch), so no generator's state needs to be
kept.
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

from trials.identity.code_identity import other_parts
from trials.records.codec import record_hash, to_json
from trials.records.spec import TrialSpec
from trials.storage.atomic import delete, matching, read_bytes, write_whole
from trials.storage.object_store import StoreAway

KEPT = 2
PATTERN = "checkpoint-*.pt"
DIGITS = 16


@dataclass(slots=True, kw_only=True)
class Checkpoints:
    """The checkpoints of one trial, in its folder: checkpoint-<epoch>-<digest>.pt, each with the
    best weights so far.

    code holds the digests of the code that trains: a checkpoint of other code is not continued.
    minutes is the least time between two; 0 asks for one after every epoch. notes tells what went
    wrong with any of them.
    """

    folder: Path
    spec: TrialSpec
    code: Mapping[str, str] = field(default_factory=dict)
    minutes: float = 0.0
    notes: list[str] = field(default_factory=list)
    _written: float = field(default_factory=time.monotonic)

    def is_due(self) -> bool:
        """True when the last one is old enough for another."""
        return time.monotonic() - self._written >= 60 * self.minutes

    def save(self, epoch: int, state: Mapping[str, Any]) -> None:
        """Write tensors and plain values whole, then delete all but the last two.

        Where it cannot be written that is noted and training goes on: it is due again after the
        next epoch.
        """
        content = packed({**state, "spec": to_json(self.spec), "code": dict(self.code)})
        path = self.folder / f"checkpoint-{epoch:06d}-{digest(content)}.pt"
        try:
            write_whole(path, lambda file: file.write(content), patience=0)
        except OSError as error:
            self.notes.append(f"no checkpoint after epoch {epoch} ({error})")
            return
        self._written = time.monotonic()
        with suppress(StoreAway):
            for old in matching(self.folder, PATTERN, patience=0)[:-KEPT]:
                delete(old, patience=0)

    def load(self) -> dict[str, Any] | None:
        """The newest whole checkpoint, or None where training begins. A damaged one is noted and
        the one before it taken.

        One of other code is noted too, and all of them are deleted: no epoch of it may stand beside
        the new ones. Raises ValueError for a checkpoint of another trial, StoreAway where there is
        no telling.
        """
        for path in self._newest_first():
            try:
                state = read_checkpoint(path)
            except StoreAway:
                raise
            except (OSError, ValueError) as error:
                self.notes.append(f"{error}; went on from the one before")
                continue
            _refuse_strangers(path, self.spec, state["spec"])
            if changed := other_parts(state.get("code", {}), self.code):
                self.notes.append(
                    f"{path.name} was made by other code ({', '.join(changed)}): training began "
                    "anew"
                )
                self._delete_all()
                return None
            return state
        if self.notes:
            self.notes.append("no whole checkpoint was left: training began anew")
        return None

    def discard(self) -> None:
        """Delete them all, with what a killed process left half written; a store that stays away
        keeps them.
        """
        with suppress(StoreAway):
            self._delete_all()

    def _delete_all(self) -> None:
        for path in (*matching(self.folder, PATTERN), *matching(self.folder, f".{PATTERN}*")):
            delete(path)

    def _newest_first(self) -> list[Path]:
        return matching(self.folder, PATTERN)[::-1]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Tensors and plain values of a checkpoint, on the processor; never code.

    Raises ValueError naming the file where its bytes are not those its name was made of, or hold
    anything else.
    """
    content = read_bytes(path)
    if path.stem.rpartition("-")[2] != digest(content):
        raise ValueError(f"{path.name} is damaged")
    try:
        state = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
        json.loads(state["spec"])
    except Exception as error:  # torch raises nearly anything
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path.name} is no checkpoint of ours ({reason})") from None
    return state


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> str:
    """Write a network's tensors whole, for torch.load; returns the file's SHA-256."""
    content = packed({"state_dict": dict(weights)})
    write_whole(path, lambda file: file.write(content))
    return hashlib.sha256(content).hexdigest()


def packed(state: Mapping[str, Any]) -> bytes:
    """What torch.save writes."""
    buffer = BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def digest(content: bytes) -> str:
    """The first digits of the SHA-256, enough to tell damage."""
    return hashlib.sha256(content).hexdigest()[:DIGITS]


def _refuse_strangers(path: Path, spec: TrialSpec, theirs: str) -> None:
    if theirs == to_json(spec):
        return
    mine, other = _flat(json.loads(to_json(spec))), _flat(json.loads(theirs))
    keys = sorted(key for key in mine.keys() | other.keys() if mine.get(key) != other.get(key))
    raise ValueError(
        f"{path} belongs to another trial than {record_hash(spec)}, with another "
        f"{', '.join(keys[:3])}; "
        "delete this trial's folder and run the grid again"
    )


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with keys such as hyper.gamma."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        flat |= (
            _flat(value, f"{prefix}{key}.")
            if isinstance(value, dict)
            else {f"{prefix}{key}": value}
        )
    return flat
