"""The text for a paper: its numbers are those of the tables, and what it cites has an entry."""

import re

from made_up import MadeUp, plausible_quality, write_run

from reports.manuscript.document import DataTable, Paragraph, Part, as_latex, as_markdown, cited
from reports.manuscript.references import DATASETS, LOSSES, MODELS, PACKAGES, entries
from reports.manuscript.write import write_manuscript
from reports.table import load_run
from trials.identity.code_identity import BUILT_IN


def test_the_numbers_of_the_text_are_those_of_the_run(tmp_path):
    out = write_run(tmp_path, MadeUp(quality=plausible_quality, tunings=5))

    text = (write_manuscript(out) / "paper.md").read_text()

    finals = load_run(out).query(
        "phase == 'final' and split == 'test' and space == 'native' and true_voxels > 0"
    )
    means = (
        finals[finals.label > 0].groupby(["model", "loss", "sampling", "class_name"]).dice.mean()
    )
    rows = re.findall(r"^\| (\w+) \| (\w+) \| (\w+) \| .*\d\.\d{3}.* \|$", text, re.M)
    assert {tuple(row) for row in rows} == set(means.index.droplevel("class_name"))
    found = re.search(
        r"(\w+) with the loss (\w+) and the sampling (\w+) had the highest Dice.*?"
        r"kidney (\d\.\d+) \[",
        text,
    )
    assert float(found[4]) == round(means[(*found.groups()[:3], "kidney")], 3)
    assert "4 validation patients" in text
    assert "with 5 trials" in text


def test_every_citation_has_an_entry_and_no_other_is_written(tmp_path):
    out = write_run(tmp_path, MadeUp(quality=plausible_quality))

    folder = write_manuscript(out)

    written = set(re.findall(r"^@\w+\{([\w-]+),", (folder / "references.bib").read_text(), re.M))
    assert written == set(re.findall(r"@([\w-]+)[;\]]", (folder / "paper.md").read_text()))
    in_latex = re.findall(r"\\cite\{([\w,-]+)\}", (folder / "paper.tex").read_text())
    assert written == {key for keys in in_latex for key in keys.split(",")}


def test_every_model_loss_and_package_of_ours_has_its_reference():
    assert set(MODELS) == set(BUILT_IN["model"])
    assert set(LOSSES) == set(BUILT_IN["loss"])
    named = [key for table in (MODELS, LOSSES, DATASETS) for keys in table.values() for key in keys]
    named += [key for _, key in PACKAGES.values()]
    assert set(named) <= set(entries())


def test_names_of_a_user_are_text_in_both_languages():
    table = DataTable(
        label="t",
        caption="A & B [@holm1979].",
        columns=("a_b", "50 %"),
        rows=(("x|y", "\u22120.1"),),
    )
    parts = [Part("One", (Paragraph("Cost: 5 % of $1 [@holm1979; @cui2019]."), table))]

    assert cited(parts) == ["holm1979", "cui2019"]
    assert r"| x\|y | " in as_markdown(parts)
    latex = as_latex(parts)
    assert r"Cost: 5 \% of \$1~\cite{holm1979,cui2019}." in latex
    assert r"a\_b & 50 \% \\" in latex
    assert r"x|y & $-$0.1 \\" in latex
