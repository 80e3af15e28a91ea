"""One case from its two files to an image and labels at one spacing, with what drawing patches and
scaling intensities need to know of it. It writes nothing.
"""

import math

import numpy as np

from trials.data.datasets.label_set import LabelSet
from trials.data.datasets.registry import Case, is_ct
from trials.data.nifti.header import Header
from trials.data.nifti.voxels import StreamStats, apply_scaling, stored_slabs
from trials.data.prepared.case_checks import Rules, check_varies, image_notes, label_notes
from trials.data.prepared.grids import prepared_shape
from trials.data.prepared.preprocess import Moments, PreparedCase, joined, matching_headers
from trials.data.spacing.class_voxels import class_voxel_index
from trials.data.spacing.intensities import STORED_PER_DEVIATION, Histogram
from trials.data.spacing.plan import native_grid
from trials.data.spacing.resample import ToStored, resample_channel, resample_labels
from trials.records.spec import Spacing


def prepare_spaced(case: Case, rules: Rules, preparation: Spacing) -> PreparedCase:
    """Prepare one case at a spacing: a CT channel as int16 HU, any other as thousandths of the
    volume's own deviation from its mean. Raises FileFault, a ValueError.
    """
    headers, label_header = matching_headers(case, rules)
    size, label_met = prepared_shape(preparation, native_grid(headers[0])), StreamStats()
    image = np.empty((len(headers), *size), np.int16)
    channels = [
        _prepare_channel(header, label_header, into, is_ct(name), rules.labels)
        for header, into, name in zip(headers, image, rules.channels, strict=True)
    ]
    labels, voxels = resample_labels(label_header, size, rules.labels.num_labels, label_met)
    class_voxels = voxels[: len(rules.classes)]
    digests = {
        header.path: met.digest for header, (met, _, _) in zip(headers, channels, strict=True)
    }
    notes = [
        note
        for number, (header, (met, _, _)) in enumerate(zip(headers, channels, strict=True))
        for note in image_notes(rules, case.case, header, met, number)
    ] + label_notes(rules, case.case, label_header, label_met, class_voxels)
    return PreparedCase(
        image=image,
        labels=labels,
        header=label_header,
        class_voxels=class_voxels,
        ignored_voxels=int(voxels.sum() - class_voxels.sum()),
        mean=tuple(used.offset for _, used, _ in channels),
        sd=tuple(used.sd for _, used, _ in channels),
        # The channels of one file share its notes.
        notes=tuple(dict.fromkeys(notes)),
        digests=(*digests.values(), label_met.digest),
        index=class_voxel_index(labels, len(rules.classes)),
        foreground=np.concatenate(
            [
                np.insert(foreground.pairs(), 0, number, axis=1)
                for number, (_, _, foreground) in enumerate(channels)
            ]
        ),
    )


def _prepare_channel(
    header: Header, label_header: Header, into: np.ndarray, is_hu: bool, names: LabelSet
) -> tuple[StreamStats, ToStored, Histogram]:
    """Stream one channel into its array: what was met in its file, how its intensities were stored,
    and those of a CT's foreground.
    """
    met, to_stored = StreamStats(), ToStored()
    if not is_hu:
        mean, sd = volume_statistics(header, met)
        check_varies(header, met)
        to_stored = ToStored(mean, sd, STORED_PER_DEVIATION)
    foreground = resample_channel(header, label_header, into, to_stored, names, met)
    check_varies(header, met)
    return met, to_stored, foreground if is_hu else Histogram()


def volume_statistics(header: Header, met: StreamStats) -> tuple[float, float]:
    """Mean and standard deviation of all voxels of an image, read as a stream; deviation 0 if it is
    constant.
    """
    total = Moments()
    for stored in stored_slabs(header, met):
        voxels = apply_scaling(header, stored).astype(np.float64)
        mean = float(voxels.mean())
        part = Moments(count=voxels.size, mean=mean, squares=float(np.square(voxels - mean).sum()))
        total = joined(total, part)
    return total.mean, math.sqrt(total.squares / total.count)
