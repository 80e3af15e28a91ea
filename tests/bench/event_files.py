"""TensorBoard's event files, read back."""

import struct
from collections.abc import Iterator
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData


def events(path: Path) -> Iterator[Event]:
    """The records of one file: a length, its checksum, the record, its checksum."""
    content, at = path.read_bytes(), 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        yield Event.FromString(content[at + 12 : at + 12 + length])
        at += 16 + length


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Each name's values by step, as TensorBoard shows them: where a later file starts again at a
    step, the values from that step on give way.
    """
    found: dict[str, dict[int, float]] = {}
    for path in sorted(folder.glob("events.out.*"), key=lambda path: path.stat().st_mtime_ns):
        for event in events(path):
            if event.session_log.status == event.session_log.START:
                for steps in found.values():
                    for step in [step for step in steps if step >= event.step]:
                        del steps[step]
            for value in event.summary.value:
                if value.WhichOneof("value") == "simple_value":
                    found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def hparams(folder: Path) -> dict[str, str | float]:
    """The settings that TensorBoard lists for a trial."""
    found: dict[str, str | float] = {}
    for path in folder.glob("events.out.*"):
        for value in (value for event in events(path) for value in event.summary.value):
            told = HParamsPluginData.FromString(value.metadata.plugin_data.content)
            for name, one in told.session_start_info.hparams.items():
                found[name] = getattr(one, one.WhichOneof("kind"))
    return found
