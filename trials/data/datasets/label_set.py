"""What the labels of masks mean and must be: classes, regions, and the label that is ignored."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations


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


# Labels are stored as uint8, in prepared cubes and in predictions.
MAX_LABELS = 256


def check_classes(where: object, classes: Sequence[str], num_labels: int) -> None:
    """Raise ValueError unless every label has a name of its own and fits the stored type.

    where is the folder that the error names; classes are names by label, 0 the background;
    num_labels is their number, and one more for an ignore label.
    """
    if len(classes) < 2 or num_labels > MAX_LABELS:
        raise ValueError(
            f"{where}: labels must be 2 to {MAX_LABELS} with the background, since each is stored "
            f"in one byte; got {num_labels}; merge classes, or take a part of them"
        )
    for label, name in enumerate(classes):
        if not name.strip():
            raise ValueError(f"{where}: label {label} has no name; give it one")
    for (first, name), (second, other) in combinations(enumerate(classes), 2):
        if name == other:
            raise ValueError(
                f"{where}: labels {first} and {second} are both named {name!r}, so their scores "
                "could not be told apart; rename one"
            )
