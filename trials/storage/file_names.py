"""The names of our own files for a case: its name, or a digest where its name is long or has
letters that not every file system holds. Standard library only.
"""

import hashlib
import re

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
OTHER = re.compile(r"[^A-Za-z0-9]+", re.ASCII)


def file_name(case: str) -> str:
    """A file name without an ending, of up to 64 ASCII letters, digits, '_', '.' and '-'; equal for
    equal cases alone.
    """
    if PLAIN.fullmatch(case):
        return case
    digest = hashlib.sha256(case.encode()).hexdigest()[:20]
    return f"{OTHER.sub('-', case).strip('-')[:40] or 'case'}-{digest}"
