"""One thing that doctor looked at, and how all of them are printed. A rule is a function from
gathered facts to findings.
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

# An error stops a run or opens a door; a warning may; what is fine is said too, so that one sees
# what was looked at.
FINE, WARNING, ERROR = "fine", "warning", "error"
STYLES = {FINE: "green", WARNING: "yellow", ERROR: "bold red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was looked at, what was found, and what to do about it; fix is "" where nothing is to be
    done.
    """

    level: str
    subject: str
    message: str
    fix: str = ""


def fine(subject: str, message: str) -> Finding:
    """Nothing to fix."""
    return Finding(level=FINE, subject=subject, message=message)


def warning(subject: str, message: str, fix: str) -> Finding:
    """Something to look at."""
    return Finding(level=WARNING, subject=subject, message=message, fix=fix)


def error(subject: str, message: str, fix: str) -> Finding:
    """Something to fix before a run."""
    return Finding(level=ERROR, subject=subject, message=message, fix=fix)


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """Those that have to be fixed."""
    return [finding for finding in findings if finding.level == ERROR]


def print_findings(findings: Sequence[Finding], as_json: bool) -> None:
    """A table with a row a finding, the worst last where the eye is, and a line that counts them;
    or one JSON object.
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
        told = Text(printable(finding.message))
        if finding.fix:
            told.append(f"\n-> {finding.fix}", style="cyan")
        table.add_row(Text(finding.level, style=STYLES[finding.level]), Text(finding.subject), told)
    counts = {level: sum(finding.level == level for finding in findings) for level in STYLES}
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    console.print(table)
    console.print(f"{counts[ERROR]} to fix, {counts[WARNING]} to look at, {counts[FINE]} fine")
