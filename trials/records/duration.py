"""How long something takes, in words."""


def duration(seconds: float) -> str:
    """Seconds in the largest unit that keeps two figures: 40 s, 12 min, 5.5 h, 3.2 days."""
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.{0 if seconds / unit >= 10 else 1}f} {name}"
    return f"{seconds / 86_400:.1f} days"
