"""Text of other programs: files that they wrote, in UTF-8 with or without a byte-order mark or in
UTF-16, which Windows tools write; and cells that a spreadsheet will read. Our own files are plain
UTF-8 (atomic.read_text).
"""

import codecs
from pathlib import Path

UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_foreign_text(path: Path, fallback: str = "") -> str:
    """The text of a file, without its byte-order mark. fallback is the encoding of a file that is
    not Unicode, "" for none.

    Raises ValueError naming the first byte that is not text, FileNotFoundError if there is no file.
    """
    raw = path.read_bytes()
    try:
        return raw.decode(_encoding(raw)).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        if fallback:
            return raw.decode(fallback, errors="replace")
        raise ValueError(
            f"it is neither UTF-8 nor UTF-16 text (byte {error.start}); save it as UTF-8"
        ) from None


def _encoding(raw: bytes) -> str:
    """UTF-16 by its mark, or by the zero byte beside its first letter; else UTF-8."""
    if raw.startswith(UTF_16_MARKS):
        return "utf-16"
    if raw[1:2] == b"\0":
        return "utf-16-le"
    return "utf-16-be" if raw[:1] == b"\0" and raw[1:2] else "utf-8-sig"


# A spreadsheet runs a cell that starts with one of these.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def as_text(cell: str) -> str:
    """The cell, with a leading apostrophe if a spreadsheet would run it."""
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell
