"""The command line: one verb per file in bench/commands. A verb imports heavy packages only when it
runs.
"""

import argparse
import sys
from collections.abc import Sequence

from bench.commands import (
    audit,
    check,
    doctor,
    export,
    init,
    merge,
    plan,
    predict,
    prepare,
    report,
    run,
    score,
    status,
)
from bench.commands import list as ls
from bench.verb import INTERRUPTED, USER_ERROR, refuse_passwords
from trials.process.versions import own_version
from trials.storage.user import complete_user

# In the order in which --help lists them.
VERBS = (
    init,
    run,
    plan,
    status,
    ls,
    check,
    prepare,
    report,
    merge,
    predict,
    export,
    audit,
    score,
    doctor,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return its exit code: 0 success; 2 an error that the user can fix; 3 finished
    with failures; 129, 130 or 143 stopped by a signal.
    """
    try:
        refuse_passwords(sys.argv[1:] if arguments is None else arguments)
    except ValueError as error:
        print(f"segbench: {error}", file=sys.stderr)
        return USER_ERROR
    options = parser().parse_args(arguments)
    try:
        complete_user()
        return options.verb(options)
    except (ValueError, OSError) as error:
        if options.debug:
            raise
        print("segbench:", "\n".join(error_lines(error)), file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt as error:
        print("segbench: stopped; rerun the same command to continue", file=sys.stderr)
        return getattr(error, "code", INTERRUPTED)


def error_lines(error: Exception) -> list[str]:
    """The lines in which an error is printed: one, or several if it lists the faults of a data set.
    Characters that cannot be printed are escaped.
    """
    from trials.records.faults import FaultyData, printable

    lines = error.lines() if isinstance(error, FaultyData) else [str(error) or type(error).__name__]
    return [printable(line) for line in lines]


def parser() -> argparse.ArgumentParser:
    """All verbs and their flags."""
    top = argparse.ArgumentParser(
        prog="segbench",
        description="Benchmark volumetric segmentation: tune, train and score every combination "
        "of model, loss and sampling.",
        epilog="Start with `segbench run --grid demo`. It needs no data and no GPU and takes "
        "four to five minutes.",
    )
    top.add_argument("--version", action="version", version=f"segbench {own_version()}")
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in VERBS:
        verb.add(verbs)
    return top


if __name__ == "__main__":
    sys.exit(main())
