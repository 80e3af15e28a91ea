"""The channels of an image: their names in dataset.json, and the files that hold them."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from trials.records.faults import FileFault
from trials.records.record import shown

# Far more than any scanner's; every channel costs its own cube in memory and on disk.
MAX_CHANNELS = 64
CHANNEL_SUFFIX = re.compile(r"(.+)_([0-9]{4})", re.DOTALL)


def channel_names(path: Path, facts: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the channels in the order of their numbers, from dataset.json at path.

    One name alone is that of the only channel, and a list holds them in their order. Raises
    ValueError naming the key unless it numbers them 0, 1, 2, ..., up to 64.
    """
    channels = facts.get("channel_names", facts.get("modality"))
    if isinstance(channels, str) and channels:
        channels = [channels]
    if isinstance(channels, list):
        channels = {str(number): name for number, name in enumerate(channels)}
    if not isinstance(channels, dict) or not channels:
        raise ValueError(
            f"{path}: key 'channel_names' (nnU-Net) or 'modality' (Decathlon) must name the "
            "channels; add it"
        )
    if len(channels) > MAX_CHANNELS:
        raise ValueError(
            f"{path}: images have at most {MAX_CHANNELS} channels; got {len(channels)}; keep fewer"
        )
    names = [channels.get(str(number)) for number in range(len(channels))]
    if not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"{path}: channels must be numbered 0, 1, 2, ... and have names; got "
            f"{shown(channels)}; correct it"
        )
    return tuple(map(str, names))


def channel_files(folder: Path, case: str, ending: str, channels: int) -> tuple[Path, ...]:
    """The files of a case's channels as nnU-Net names them: CASE_0000, CASE_0001, ..."""
    return tuple(folder / f"{case}_{channel:04d}{ending}" for channel in range(channels))


def split_channel(stem: str, cases: Collection[str]) -> tuple[str, int]:
    """The case and the channel of an image's name without its ending: ("scan_1", 0) of scan_1_0000.

    cases are the names with a mask; an image that bears one of them has no suffix and counts as
    channel 0.
    """
    found = CHANNEL_SUFFIX.fullmatch(stem)
    if found is None or (stem in cases and found[1] not in cases):
        return stem, 0
    return found[1], int(found[2])


def undeclared(file: Path, channel: int, channels: int) -> FileFault:
    """The fault of a file whose channel dataset.json does not name."""
    text = f"is channel {channel}, but dataset.json names {channels} (0 to {channels - 1})"
    fix = "name the channel in 'channel_names', or remove the file"
    return FileFault(file, "channels", text, fix)
