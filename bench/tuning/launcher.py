"""What Ray's cluster launcher says of a cluster file, without starting anything."""

import contextlib
import io
from collections.abc import Mapping
from typing import Any

from ray.autoscaler._private.util import prepare_config, validate_config


def complaint(config: Mapping[str, Any]) -> str:
    """Why `ray up` would refuse the file, in one line; "" where it would take it."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            validate_config(prepare_config(dict(config)))
    except (Exception, SystemExit) as wrong:
        # The launcher raises what it likes, with the whole schema in its text, or prints and
        # leaves.
        told = (
            str(getattr(wrong, "message", ""))
            or printed.getvalue()
            or str(wrong)
            or type(wrong).__name__
        )
        return " ".join(told.split())[:300]
    return ""
