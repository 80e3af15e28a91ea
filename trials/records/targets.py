"""What a network predicts: every label of the masks, or regions, which are unions of labels and may
lie in one another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from trials.records.record import Count, record

LABELS, REGIONS = "labels", "regions"


@record
class TargetRegion:
    """A region that a network predicts on a channel of its own.

    labels are those that it is the union of. label is the one that its voxels take in a predicted
    mask where no later region holds them, as in nnU-Net's regions_class_order.
    """

    name: str
    labels: tuple[Count, ...]
    label: Count


@dataclass(frozen=True, slots=True)
class Targets:
    """What the channels of a network stand for, and what is counted: each of num_labels labels, or
    each of the regions where there are some.
    """

    num_labels: int
    regions: tuple[TargetRegion, ...] = ()

    @property
    def channels(self) -> int:
        """The K of logits [B, K, ...]."""
        return len(self.regions) or self.num_labels

    @property
    def order(self) -> tuple[int, ...]:
        """The label of each channel's voxels, see TargetRegion; empty where channels are labels."""
        return tuple(region.label for region in self.regions)

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The labels of everything that is counted. The first is the background, which is what is
        in no region.
        """
        if not self.regions:
            return tuple((label,) for label in range(self.num_labels))
        held = {label for region in self.regions for label in region.labels}
        return (self.outside(held), *(region.labels for region in self.regions))

    def outside(self, labels: Sequence[int] | set[int]) -> tuple[int, ...]:
        """All other labels."""
        return tuple(label for label in range(self.num_labels) if label not in labels)


def membership(groups: Sequence[Sequence[int]], num_labels: int) -> list[list[int]]:
    """Whether each group [G] holds each label [K]: 1 or 0."""
    return [[int(label in group) for label in range(num_labels)] for group in groups]


def target_names(classes: Sequence[str], regions: Sequence[TargetRegion]) -> tuple[str, ...]:
    """The names of what is counted; classes are those of the labels."""
    return (classes[0], *(region.name for region in regions)) if regions else tuple(classes)


def targets_text(regions: Sequence[TargetRegion]) -> str:
    """What is predicted, as in "regions whole (1+2), core (2), each with a sigmoid"."""
    if not regions:
        return "labels, with a softmax"
    names = (f"{region.name} ({'+'.join(map(str, region.labels))})" for region in regions)
    return f"regions {', '.join(names)}, each with a sigmoid"
