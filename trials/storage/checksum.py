"""A file's content with its SHA-256, so that every changed byte is seen where it is read. Standard
library only.
"""

import hashlib

SEAL = ',\n "sha256": "'
BYTE_SEAL = b"sha256:"
SHA256_DIGITS = 64
UNSEALED = "its bytes are not those of its digest"


def add_checksum(text: str) -> str:
    """The JSON text of a mapping with the SHA-256 of it as its last key, which check_checksum()
    takes out again.
    """
    return text.removesuffix("\n}") + f'{SEAL}{hashlib.sha256(text.encode()).hexdigest()}"\n}}'


def check_checksum(text: str) -> str:
    """The text that add_checksum() was given; one without a seal comes back as it is. Raises
    ValueError where any of it changed.
    """
    body, seal, digest = text.rpartition(SEAL)
    if not seal:
        return text
    original = body + "\n}"
    if digest != hashlib.sha256(original.encode()).hexdigest() + '"\n}':
        raise ValueError(
            f"{UNSEALED}; a change made on purpose must take its last key, sha256, away"
        )
    return original


def add_byte_checksum(content: bytes) -> bytes:
    """A file's bytes with their SHA-256 behind them, where what reads zip archives
    passes over it."""
    return content + BYTE_SEAL + hashlib.sha256(content).hexdigest().encode()


def check_byte_checksum(content: bytes) -> bytes:
    """The bytes that add_byte_checksum() was given; those without a seal as they are. Raises
    ValueError where any changed.
    """
    original, seal, digest = content.rpartition(BYTE_SEAL)
    if not seal or len(digest) != SHA256_DIGITS:
        return content
    if digest != hashlib.sha256(original).hexdigest().encode():
        raise ValueError(UNSEALED)
    return original
