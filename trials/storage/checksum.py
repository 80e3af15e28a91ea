"""SHA-256 of what this project writes: a file's content with its checksum, so that any changed byte
is detected on reading; and a file's name for a case, with a digest where the case's own name is
long or has letters that not every file system holds. Standard library only.
"""

import hashlib
import re

CHECKSUM_KEY = ',\n "sha256": "'
CHECKSUM_PREFIX = b"sha256:"
SHA256_DIGITS = 64
WRONG_CHECKSUM = "its content does not match its checksum"


def add_checksum(text: str) -> str:
    """The JSON text of a mapping with its own SHA-256 as last key; check_checksum() removes the key
    again.
    """
    return (
        text.removesuffix("\n}") + f'{CHECKSUM_KEY}{hashlib.sha256(text.encode()).hexdigest()}"\n}}'
    )


def check_checksum(text: str) -> str:
    """The text that add_checksum() was given; text without a checksum is returned unchanged. Raises
    ValueError if the text was altered.
    """
    body, seal, digest = text.rpartition(CHECKSUM_KEY)
    if not seal:
        return text
    original = body + "\n}"
    if digest != hashlib.sha256(original.encode()).hexdigest() + '"\n}':
        raise ValueError(
            f"{WRONG_CHECKSUM}; if you edited it on purpose, delete its last key, sha256"
        )
    return original


def add_byte_checksum(content: bytes) -> bytes:
    """A file's bytes followed by their SHA-256, which readers of zip archives ignore."""
    return content + CHECKSUM_PREFIX + hashlib.sha256(content).hexdigest().encode()


def check_byte_checksum(content: bytes) -> bytes:
    """The bytes that add_byte_checksum() was given; bytes without a checksum are returned
    unchanged. Raises ValueError if they were altered.
    """
    original, seal, digest = content.rpartition(CHECKSUM_PREFIX)
    if not seal or len(digest) != SHA256_DIGITS:
        return content
    if digest != hashlib.sha256(original).hexdigest().encode():
        raise ValueError(WRONG_CHECKSUM)
    return original


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
