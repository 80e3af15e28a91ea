"""What the labels of masks mean: classes, regions, and the label that is ignored."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A union of labels, and the distance in mm within which two of its surfaces agree."""

    name: str
    labels: tuple[int, ...]
    tolerance_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSet:
    """What the labels of masks mean. The index of a class is its label; 0 is the background.

    has_ignore says that the label after the last class marks voxels that are not annotated. regions
    are unions of labels that dataset.json declares; class_order holds for each the label that its
    voxels take where they are in no later one (nnU-Net's regions_class_order).
    """

    classes: tuple[str, ...]
    has_ignore: bool = False
    regions: tuple[Region, ...] = ()
    class_order: tuple[int, ...] = ()

    @property
    def num_labels(self) -> int:
        """The number of values that a mask may hold: the classes, and the ignore label."""
        return len(self.classes) + self.has_ignore
