"""No password on the command line: a run records the command it was started with, and shows it in
its report.
"""

import re
from collections.abc import Sequence

# scheme://user:password@host, and user:password@host:port alone.
WITH_PASSWORD = re.compile(r"://[^/\s]*:[^/\s]*@|^[^/\s:]+:[^/\s@]+@[\w.-]+(:\d+)?$")


def refuse_passwords(arguments: Sequence[str]) -> None:
    """Raises ValueError, without the password, where an argument is an address or a URL that holds
    one.
    """
    for place, argument in enumerate(arguments):
        if WITH_PASSWORD.search(argument):
            flag = (
                argument.partition("=")[0]
                if argument.startswith("--")
                else arguments[place - 1]
                if place
                else ""
            )
            raise ValueError(
                f"{flag if flag.startswith('--') else 'an argument'}: an address must hold no "
                "password, since the command is "
                "kept in the run folder; let the environment or a file of yours hold it, as "
                "fsspec's FSSPEC_S3_KEY, "
                "AWS_PROFILE or Ray's token file do"
            )
