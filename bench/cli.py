"""The command line, put together from its verbs, one file each in bench/commands. Heavy packages
are imported by the verb that needs them, when it runs.
"""

import argparse
import sys
from collections.abc import Sequence

from bench.commands import (
    audit,
    check_flags,
    doctor,
    export,
    plan,
    prepare,
    report,
    run,
    score_flags,
    status,
)
from bench.commands import list as ls
from bench.commands.passwords import refuse_passwords
from bench.exit_codes import INTERRUPTED, MENDABLE
from trials.process.versions import own_version

# In the order in which --help lists them.
VERBS = (
    run,
    plan,
    status,
    ls,
    check_flags,
    prepare,
    report,
    export,
    audit,
    score_flags,
    doctor,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return the exit code: 0; 2 what the user can mend; 3 finished with failures;
    130, 143 stopped.
    """
    try:
        refuse_passwords(sys.argv[1:] if arguments is None else arguments)
    except ValueError as error:
        print(f"segbench: {error}", file=sys.stderr)
        return MENDABLE
    options = parser().parse_args(arguments)
    try:
        return options.verb(options)
    except (ValueError, OSError) as error:
        if options.debug:
            raise
        print("segbench:", "\n".join(lines_of(error)), file=sys.stderr)
        return MENDABLE
    except KeyboardInterrupt as error:
        print("segbench: stopped; the same command goes on from here", file=sys.stderr)
        return getattr(error, "code", INTERRUPTED)


def lines_of(error: Exception) -> list[str]:
    """An error as it is printed: one line, or several where it lists the faults of a data set;
    foreign names spelled out.
    """
    from trials.records.faults import FaultyData, printable

    lines = error.lines() if isinstance(error, FaultyData) else [str(error) or type(error).__name__]
    return [printable(line) for line in lines]


def parser() -> argparse.ArgumentParser:
    """All verbs and their flags."""
    top = argparse.ArgumentParser(
        prog="segbench",
        description="Benchmark volumetric segmentation: each cell of model x loss x sampling "
        "tuned, trained, scored.",
        epilog="Start with `segbench run --grid demo`: no data, no GPU, about five minutes.",
    )
    top.add_argument("--version", action="version", version=f"segbench {own_version()}")
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in VERBS:
        verb.add(verbs)
    return top


if __name__ == "__main__":
    sys.exit(main())
