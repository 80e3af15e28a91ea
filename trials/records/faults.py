"""What is wrong with a data set, as records: whose fault it is, in which file, which rule it
breaks, and how to fix it.

Standard library only.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# A warning is listed and no more; a bad case may be left out; what is fatal never is.
WARNING, BAD_CASE, FATAL = "warning", "bad case", "fatal"
# Up to so many warnings with the same words are printed one by one.
MOST_ALIKE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. case is "" where it concerns the data set as a whole; code is a short name that
    stays the same.
    """

    case: str
    file: str
    code: str
    message: str
    fix: str
    level: str = BAD_CASE


def set_warning(file: Path, code: str, message: str, fix: str = "") -> Fault:
    """A warning about a data set as a whole, and the file or folder that it is about."""
    return Fault(
        case="", file=printable(str(file)), code=code, message=message, fix=fix, level=WARNING
    )


class FileFault(ValueError):
    """A file that cannot be taken: str() is one line with the file, the rule and what came, and the
    fix.
    """

    def __init__(self, path: Path, code: str, message: str, fix: str, level: str = BAD_CASE):
        super().__init__(path, code, message, fix, level)
        self.path, self.code, self.message, self.fix, self.level = path, code, message, fix, level

    def __str__(self) -> str:
        return f"{self.path}: {self.message}; {self.fix}"

    def of_case(self, case: str) -> Fault:
        """The same as a record."""
        return Fault(
            case=case,
            file=str(self.path),
            code=self.code,
            message=self.message,
            fix=self.fix,
            level=self.level,
        )


class FaultyData(ValueError):
    """Every fault of a data set at once; str() is one line, lines() one a fault."""

    def __init__(self, summary: str, faults: Sequence[Fault]):
        super().__init__(summary, tuple(faults))
        self.summary, self.faults = summary, tuple(faults)

    def __str__(self) -> str:
        return f"{self.summary}: {'; '.join(map(fault_line, self.faults))}"

    def lines(self) -> list[str]:
        """The summary, then a line a fault."""
        return [self.summary, *(f"  {fault_line(fault)}" for fault in self.faults)]


def fault_line(fault: Fault) -> str:
    """A fault in one line: case, file, what is wrong, the fix; what is empty is left out."""
    where = ": ".join(part for part in (fault.case, fault.file, fault.message) if part)
    return f"{where}; {fault.fix}" if fault.fix else where


def fault_lines(faults: Sequence[Fault]) -> list[str]:
    """A line a fault. Warnings with the same words, of more than MOST_ALIKE files, are one line:
    the first, and how many files are like it.
    """
    alike: dict[object, list[Fault]] = {}
    for i, fault in enumerate(faults):
        key = (fault.message, fault.fix) if fault.level == WARNING else i
        alike.setdefault(key, []).append(fault)
    lines = []
    for of_kind in alike.values():
        shown = of_kind if len(of_kind) <= MOST_ALIKE else of_kind[:1]
        lines += [f"{fault.level}: {fault_line(fault)}" for fault in shown]
        if more := len(of_kind) - len(shown):
            lines[-1] += f" (the same in {more} more files; segbench check --json lists them)"
    return lines


def fault_of(error: Exception, case: str) -> Fault:
    """Any error that a user can mend, as the fault of a case."""
    if isinstance(error, FileFault):
        return error.of_case(case)
    return Fault(case=case, file="", code="error", message=str(error), fix="")


def refuse(where: object, faults: Iterable[Fault]) -> None:
    """Raise one FaultyData for all faults that are more than warnings, if there are any."""
    if found := [fault for fault in faults if fault.level != WARNING]:
        raise FaultyData(f"{where} has {len(found)} fault{'s' if len(found) > 1 else ''}", found)


def bad_cases(faults: Iterable[Fault]) -> dict[str, str]:
    """Every case that cannot be used, with its reasons; the names of files, but not of folders."""
    reasons: dict[str, list[str]] = {}
    for fault in faults:
        if fault.level == BAD_CASE:
            reasons.setdefault(fault.case, []).append(
                f"{Path(fault.file).name}: {fault.message}".removeprefix(": ")
            )
    return {case: "; ".join(told) for case, told in sorted(reasons.items())}


def why_no_file(path: Path) -> str | None:
    """Why there is no file of that name; None if there is one. A link to a file is one."""
    if os.path.isfile(path):
        return None
    if os.path.isdir(path):
        return "is a folder, not a file"
    if os.path.exists(path):
        return "is a pipe, a socket or a device, not a regular file"
    return "is a link that leads nowhere" if os.path.lexists(path) else "is missing"


def printable(name: str) -> str:
    """A foreign name in one line: line breaks, marks that turn the text and their like are spelled
    out.
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in name
    )
