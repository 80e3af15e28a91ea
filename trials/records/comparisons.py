"""The comparisons that a grid declares before it runs and its report tests: pure values."""

from typing import Annotated

from trials.records.record import OneOf, record

SELECTED, ALL, LEVELS = "selected", "all", "levels"
CLASSES, PATIENTS = "classes", "mean"


@record
class Family:
    """Comparisons that share one chance of a false claim, declared before the run: the report
    corrects by Holm inside each.

    pairs is "selected" (the configuration selected on validation against every other), "all", or
    "levels" (every two models, losses or samplings, over the settings that both have); score is
    "classes" (each class on its own) or "mean" (a patient's mean over its classes; the only one for
    levels). vary "model", "loss" or "sampling" keeps the pairs that differ in this factor only.
    """

    name: str
    pairs: Annotated[str, OneOf(SELECTED, ALL, LEVELS)]
    score: Annotated[str, OneOf(CLASSES, PATIENTS)]
    vary: Annotated[str, OneOf("model", "loss", "sampling")] | None = None

    def __post_init__(self) -> None:
        if self.pairs == LEVELS and self.score != PATIENTS:
            raise ValueError(f"levels are compared by score {PATIENTS!r} alone; got {self.score!r}")


OF_LEVELS = Family(name="levels of a factor", pairs=LEVELS, score=PATIENTS)
# The families of a grid that declares none.
DEFAULT_FAMILIES = (
    Family(name="against the selected configuration", pairs=SELECTED, score=CLASSES),
    Family(name="every pair", pairs=ALL, score=PATIENTS),
    OF_LEVELS,
)
