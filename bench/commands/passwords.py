"""Refuses passwords on the command line: a run records its command and shows it in the report."""

import re
from collections.abc import Sequence

# scheme://user:password@host, or user:password@host:port.
WITH_PASSWORD = re.compile(r"://[^/\s]*:[^/\s]*@|^[^/\s:]+:[^/\s@]+@[\w.-]+(:\d+)?$")


def refuse_passwords(arguments: Sequence[str]) -> None:
    """Raise ValueError, without the password, if an argument is an address with a password."""
    for position, argument in enumerate(arguments):
        if WITH_PASSWORD.search(argument):
            flag = (
                argument.partition("=")[0]
                if argument.startswith("--")
                else arguments[position - 1]
                if position
                else ""
            )
            raise ValueError(
                f"{flag if flag.startswith('--') else 'an argument'}: an address must not contain "
                "a password, because the run folder records the command; set it in the environment "
                "or in a file, such as fsspec's FSSPEC_S3_KEY, AWS_PROFILE or Ray's token file"
            )
