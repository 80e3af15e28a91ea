"""Text in a CSV file: what a spreadsheet would run as a formula is shown as the text that it is.
Standard library only.
"""

# A spreadsheet runs a cell that begins with one of these.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def as_text(cell: str) -> str:
    """The cell, behind an apostrophe where a spreadsheet would run it."""
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell
