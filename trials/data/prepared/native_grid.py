"""A prepared case on its own grid: its mask, and some axial planes of its image, whose file is read
as a stream and never held whole.
"""

import numpy as np

from trials.data.nifti.header import channel_header
from trials.data.nifti.volume import file_axes, from_dhw, read_labels, to_dhw
from trials.data.nifti.voxels import apply_scaling, stored_slabs, with_planes
from trials.data.prepared.manifest import CaseRecord, unchanged


def native_planes(record: CaseRecord, wanted: np.ndarray, channel: int = 0) -> np.ndarray:
    """Read axial planes of a channel of a case's image, float32 [n, H, W] in the order of wanted,
    scaled (HU for a CT).

    wanted holds plane numbers 0..D-1, counted from the head down. Raises ValueError if the image is
    not the one that was prepared.
    """
    paths = [unchanged(source) for source in record.images]
    header = channel_header(paths, channel, len(record.mean))
    axes = file_axes(header.affine)
    at = record.shape[0] - 1 - wanted if axes.flips[0] else wanted
    across = 2 - axes.order[0]  # a slab's axes are the file's in reverse
    shape = list(header.shape[::-1])
    shape[across] = len(at)
    planes = np.empty(shape, np.float32)
    for place, slab in with_planes(stored_slabs(header)):
        if across:
            planes[place] = apply_scaling(header, slab.take(at, across))
        else:
            is_here = (at >= place.start) & (at < place.stop)
            planes[is_here] = apply_scaling(header, slab[at[is_here] - place.start])
    turned = planes.T.transpose(axes.order)
    return np.flip(turned, tuple(axis for axis in (1, 2) if axes.flips[axis]))


def native_labels(record: CaseRecord) -> np.ndarray:
    """Read a case's own mask at full size, uint8 [D, H, W]; K marks ignored voxels. Raises
    ValueError if it is not the one that was prepared.
    """
    num_labels = len(record.class_voxels) + (record.ignored_voxels > 0)
    volume = read_labels(unchanged(record.labels), num_labels)
    return to_dhw(volume.voxels, np.array(record.affine))


def to_file_axes(record: CaseRecord, labels: np.ndarray) -> np.ndarray:
    """Turn (D, H, W) labels on the native grid into the axes of the case's own file, as
    write_labels wants them.
    """
    assert labels.shape == record.shape, "labels lie on the case's native grid"
    return np.ascontiguousarray(from_dhw(labels, np.array(record.affine)))
