"""A finding of doctor, and how all findings are printed. A rule is a function from gathered facts
to findings.
"""

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trials.records.faults import printable

# An error stops a run or is a security hole; a warning may be. What is fine is listed too, so that
# the user sees what was checked.
FINE, WARNING, ERROR = "fine", "warning", "error"
STYLES = {FINE: "green", WARNING: "yellow", ERROR: "bold red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The subject of a check, its result and its fix; fix is "" if there is nothing to do."""

    level: str
    subject: str
    message: str
    fix: str = ""


def fine(subject: str, message: str) -> Finding:
    """A finding without a problem."""
    return Finding(level=FINE, subject=subject, message=message)


def warning(subject: str, message: str, fix: str) -> Finding:
    """A finding that may be a problem."""
    return Finding(level=WARNING, subject=subject, message=message, fix=fix)


def error(subject: str, message: str, fix: str) -> Finding:
    """A finding that must be fixed before a run."""
    return Finding(level=ERROR, subject=subject, message=message, fix=fix)


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that must be fixed."""
    return [finding for finding in findings if finding.level == ERROR]


def print_findings(findings: Sequence[Finding], as_json: bool) -> None:
    """Print a table with a row per finding, the most severe last, and a line with counts; or one
    JSON object.
    """
    if as_json:
        print(
            json.dumps(
                {"findings": [dataclasses.asdict(finding) for finding in findings]}, indent=1
            )
        )
        return
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for finding in sorted(findings, key=lambda finding: list(STYLES).index(finding.level)):
        message = Text(printable(finding.message))
        if finding.fix:
            message.append(f"\n-> {finding.fix}", style="cyan")
        table.add_row(
            Text(finding.level, style=STYLES[finding.level]), Text(finding.subject), message
        )
    counts = {level: sum(finding.level == level for finding in findings) for level in STYLES}
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    console.print(table)
    console.print(f"{counts[ERROR]} errors, {counts[WARNING]} warnings, {counts[FINE]} fine")
