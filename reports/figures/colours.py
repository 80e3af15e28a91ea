"""One colour per model, one mark per loss, one fill per sampling, one colour per label: the same in
every figure.
"""

from collections.abc import Sequence

from reports.formatting import distinct
from reports.load.run_folder import Run
from trials.records.spec import Cell

# The style sheet defines the colours --m0 to --m7 (Okabe and Ito 2008) for light and dark pages.
NUM_COLOURS = 8
MARKS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon", "triangle-down")
FILLS = ("", "-open", "-dot", "-open-dot")
# Visible on grey CT in both themes: sky blue, orange, bluish green, reddish purple, yellow.
LABEL_COLOURS = ((86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167), (240, 228, 66))
# Black and white text have equal contrast here: (l + 0.05)^2 = 0.05 * 1.05.
EVEN_LUMINANCE = 0.179
# Cividis (Nunez, Anderton and Renslow 2018) at ten equal steps.
CIVIDIS = (
    "#00224e",
    "#123570",
    "#3b496c",
    "#575d6d",
    "#707173",
    "#8a8678",
    "#a59c74",
    "#c3b369",
    "#e1cc55",
    "#fee838",
)


def model_colour(run: Run, model: str) -> str:
    """The model's colour as a style variable; beyond eight models the colours repeat."""
    models = distinct(cell.model for cell in run.cells)
    return f"var(--m{models.index(model) % NUM_COLOURS})"


def trial_colour(run: Run, model: str) -> str:
    """The colour of a trial's model; grey for a model outside the grid (pretraining may have
    one).
    """
    return (
        model_colour(run, model)
        if any(cell.model == model for cell in run.cells)
        else "var(--muted)"
    )


def mark(run: Run, cell: Cell) -> str:
    """The plotly symbol of a cell: the shape shows its loss, the fill its sampling."""
    losses, samplings = (
        distinct(cell.loss for cell in run.cells),
        distinct(cell.sampling for cell in run.cells),
    )
    return (
        MARKS[losses.index(cell.loss) % len(MARKS)]
        + FILLS[samplings.index(cell.sampling) % len(FILLS)]
    )


def label_colour(label: int) -> tuple[int, int, int]:
    """Red, green and blue, 0..255, of a foreground label."""
    return LABEL_COLOURS[(label - 1) % len(LABEL_COLOURS)]


def heat_colour(value: float) -> tuple[str, str]:
    """Background and text colour of a score in 0..1."""
    place = min(max(value, 0.0), 1.0) * (len(CIVIDIS) - 1)
    i = min(int(place), len(CIVIDIS) - 2)
    low, high = (
        tuple(int(colour[k : k + 2], 16) for k in (1, 3, 5)) for colour in CIVIDIS[i : i + 2]
    )
    mixed = [round(a + (b - a) * (place - i)) for a, b in zip(low, high, strict=True)]
    return "#" + "".join(f"{part:02x}" for part in mixed), "#000" if luminance(
        mixed
    ) > EVEN_LUMINANCE else "#fff"


def luminance(colour: Sequence[int]) -> float:
    """Relative luminance of red, green and blue, 0..255: 0 is black, 1 is white (WCAG 2.2)."""
    linear = [
        part / 3294.6 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in colour
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
