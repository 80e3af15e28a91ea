"""Every table of statistics on one made-up run's page and the numbers of its sentences, compared
value by value with a file.

`python -m pytest tests/reports/printed --update-golden` rewrites the file; its diff is to be read.
"""

import re
from pathlib import Path

import pytest

pytest_plugins = ("printed_fixture",)

GOLDEN = Path(__file__).with_name("golden_tables.tsv")
# Long lists of patients and trials, which other tests count out of the files beside the page.
LISTS = re.compile(r"trials-|timeline|specs|recipes|patients|spacing|studies")
NUMBER = re.compile(r"\d+(?:\.\d+)?")
SIGNED = re.compile(r"(?:[-+\N{MINUS SIGN}](?=\d))?\d+(?:\.\d+)?")


def as_text(printed) -> str:
    """The numbers of each section's finding and of the answer, a line each; then each table: its
    name, its columns and a line a row, each cell with its small print.
    """
    said = re.findall(
        r'<section id="([\w-]+)".*?<p class="finding">(.*?)</p>', printed.page, re.DOTALL
    )
    answer = re.search(
        r'class="block numbers">.*?<aside', printed.section("answer"), re.DOTALL
    ).group()
    answer = re.sub(r"<figure.*?</figure>", "", answer, flags=re.DOTALL)
    lines = [
        f"{name}: {' '.join(SIGNED.findall(re.sub('<[^>]+>|&#[0-9]+;', ' ', text)))}"
        for name, text in (*said, ("answer", answer))
    ]
    for name, texts in printed.texts.items():
        if LISTS.match(name):
            continue
        lines += [f"# {name}", "\t".join(texts.columns)]
        for row, small in zip(texts.to_numpy(), printed.small[name].to_numpy(), strict=True):
            cells = [f"{text} {note}" for text, note in zip(row, small, strict=True)]
            lines.append("\t".join(" ".join(cell.split()) for cell in cells))
    return "\n".join(lines) + "\n"


def test_every_value_in_the_tables_is_the_one_on_file(printed, request):
    text = as_text(printed)
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text(text)
    found, golden = text.splitlines(), GOLDEN.read_text().splitlines()

    assert [NUMBER.sub("0", line) for line in found] == [NUMBER.sub("0", line) for line in golden]
    for line, expected in zip(found, golden, strict=True):
        for number, wanted in zip(NUMBER.findall(line), NUMBER.findall(expected), strict=True):
            # Another version of numpy or scipy may round the last digit differently.
            digits = len(wanted.partition(".")[2])
            slack = 1.01 * 10**-digits if digits else 0
            assert float(number) == pytest.approx(float(wanted), abs=slack), expected
