"""The leaderboard in LaTeX: what is read back from it is what was scored, and no name
is a command."""

import re

import pandas as pd
from made_up import MadeUp, plausible_quality, write_run

from reports.build import build_report
from reports.latex import escape_latex
from reports.table import load_run


def test_the_table_reads_back_as_the_scores(tmp_path):
    out = write_run(tmp_path, MadeUp(quality=plausible_quality))
    build_report(out)

    lines = (out / "leaderboard.tex").read_text().splitlines()
    head, *rows = [line.removesuffix(r" \\").split(" & ") for line in lines if line.endswith(r"\\")]
    read = pd.DataFrame(rows, columns=head).replace({r"\\_": "_"}, regex=True)

    finals = load_run(out).query(
        "phase == 'final' and split == 'test' and space == 'native' and true_voxels > 0 and label "
        "> 0"
    )
    means = finals.groupby(["model", "loss", "sampling", "class_name"]).dice.mean()
    assert len(read) == 4
    for row in read.to_dict("records"):
        cell = (row["Model"], row["Loss"], row["Sampling"])
        for name in ("kidney", "tumor", "cyst"):
            column = next(column for column in head if column.startswith(f"{name} ("))
            value, low, high = map(float, re.findall(r"\d\.\d+", row[column]))
            assert abs(value - means[(*cell, name)]) < 0.000501
            assert low <= value <= high
    assert lines[1] == r"\begin{tabular}{lllrrrr}"
    assert [line for line in lines if line.startswith("\\") and "rule" in line] == [
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
    ]


def test_a_name_is_no_command():
    assert escape_latex("a_b & 50 %\n\\input{x}") == r"a\_b \& 50 \% \textbackslash{}input\{x\}"
