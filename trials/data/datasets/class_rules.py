"""What the classes of every data set must be, checked when it is opened and before it is scored."""

from collections.abc import Sequence
from itertools import combinations

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
