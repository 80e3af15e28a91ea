"""A short text with citations and tables, as Markdown (Pandoc) and as LaTeX. Both say the same."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reports.latex import escape_latex

# As Pandoc writes them: [@first; @second].
CITATION = re.compile(r" ?\[(@[\w-]+(?:; @[\w-]+)*)\]")


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph in plain text; "[@key]" or "[@key; @other]" cites references.bib."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataTable:
    """A table of plain text; its first `names` columns are aligned to the left. prose says that the
    cells of its two columns hold sentences, which LaTeX then breaks into lines.
    """

    label: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: int = 1
    prose: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the text: its heading and what follows it."""

    title: str
    content: tuple[Paragraph | DataTable, ...]


def cited(parts: Iterable[Part]) -> list[str]:
    """The distinct keys of the references that a text cites, in their order."""
    found = CITATION.findall(
        "\n".join(
            item.text if isinstance(item, Paragraph) else item.caption
            for part in parts
            for item in part.content
        )
    )
    return list(dict.fromkeys(key[1:] for keys in found for key in keys.split("; ")))


def as_markdown(parts: Sequence[Part]) -> str:
    """The text as Markdown, with Pandoc's citations."""
    blocks = []
    for part in parts:
        blocks.append(f"## {part.title}")
        blocks += [
            item.text if isinstance(item, Paragraph) else _markdown_table(item)
            for item in part.content
        ]
    return "\n\n".join(blocks) + "\n"


def as_latex(parts: Sequence[Part]) -> str:
    """The text as LaTeX to \\input; it needs the package booktabs."""
    blocks = []
    for part in parts:
        blocks.append(f"\\section*{{{escape_latex(part.title)}}}")
        blocks += [
            _latex_text(item.text) if isinstance(item, Paragraph) else _latex_table(item)
            for item in part.content
        ]
    return "\n\n".join(blocks) + "\n"


def _markdown_table(table: DataTable) -> str:
    sides = [":--" if i < table.names else "--:" for i in range(len(table.columns))]
    rows = [table.columns, sides, *table.rows]
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + f"\n\nTable: {table.caption} {{#tbl:{table.label}}}"


def _latex_table(table: DataTable) -> str:
    sides = (
        r"p{0.35\linewidth}p{0.55\linewidth}"
        if table.prose
        else "l" * table.names + "r" * (len(table.columns) - table.names)
    )
    head, *rows = [
        " & ".join(map(escape_latex, row)) + r" \\" for row in (table.columns, *table.rows)
    ]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_latex_text(table.caption)}}}",
            rf"\label{{tab:{table.label}}}",
            rf"\begin{{tabular}}{{{sides}}}",
            r"\toprule",
            head,
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _latex_text(text: str) -> str:
    """Text as LaTeX, its citations as \\cite."""
    pieces = CITATION.split(text)
    return "".join(
        escape_latex(f"|{piece}|")[1:-1] if i % 2 == 0 else _cite(piece)
        for i, piece in enumerate(pieces)
    )


def _cite(keys: str) -> str:
    return rf"~\cite{{{','.join(key[1:] for key in keys.split('; '))}}}"
