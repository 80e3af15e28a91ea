"""The tables of a page as frames of texts, and the numbers in them."""

import re
from html.parser import HTMLParser

import pandas as pd
import pytest


class Tables(HTMLParser):
    """Every table of a page: id to rows of (text, small print)."""

    def __init__(self, page):
        super().__init__()
        self.tables, self.rows, self.cell, self.part = {}, None, None, 0
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag == "table":
            self.rows = self.tables.setdefault(dict(attributes).get("id"), [])
        elif tag == "tr" and self.rows is not None:
            self.rows.append([])
        elif tag in ("td", "th") and self.rows is not None:
            self.cell = ["", "", ""]
        elif tag in ("small", "span"):
            self.part = 1 if tag == "small" else 2

    def handle_endtag(self, tag):
        if tag in ("td", "th") and self.cell is not None:
            self.rows[-1].append((self.cell[0].strip(), self.cell[1].strip()))
            self.cell = None
        elif tag in ("small", "span"):
            self.part = 0
        elif tag == "table":
            self.rows = None

    def handle_data(self, text):
        if self.cell is not None:
            self.cell[self.part] += text


def frames(page):
    """Table id to two frames under its column names: the texts, and the small print."""
    found = {}
    for name, (head, *rows) in Tables(page).tables.items():
        if name:
            columns = [text for text, _ in head]
            found[name] = tuple(
                pd.DataFrame([[cell[part] for cell in row] for row in rows], columns=columns)
                for part in (0, 1)
            )
    return found


def numbers(text):
    """Every number of a text; per cent as a share."""
    text = text.replace("\N{MINUS SIGN}", "-").replace(",", "")
    return [
        float(digits) / (100 if share else 1)
        for digits, share in re.findall(r"([-+]?\d+\.?\d*)( %)?", text)
    ]


def agrees(text, *values, digits=3, what=""):
    """Assert that a text prints these values, rounded; a share below 1 or above 99 % stands as a
    bound in words.
    """
    printed = numbers(text)
    assert len(printed) == len(values), (text, values, what)
    for number, value in zip(printed, values, strict=True):
        worded = "below" in text or "above" in text
        assert number == pytest.approx(value, abs=0.01 if worded else 0.5001 * 10**-digits), (
            text,
            values,
            what,
        )
