"""A seal: a digest of a whole file, kept in the file itself, so that it is copied along with the file."""

from __future__ import annotations

import re
from hashlib import blake2b

#: Placeholder for the digest in a file that is to be sealed.
BLANK = f"blake2b:{'0' * 64}"

_SEAL = re.compile(rb"blake2b:[0-9a-f]{64}")


def seal(data: bytes) -> bytes:
    """Return a file's bytes with their digest in the place of the last ``BLANK``.

    The digest is that of the bytes as they are given here, with the ``BLANK``.

    Raises
    ------
    ValueError
        If there is no ``BLANK``.
    """
    head, blank, tail = data.rpartition(BLANK.encode())
    if not blank:
        raise ValueError("a file to be sealed needs a place for its digest")
    return head + _digest(data) + tail


def seal_holds(data: bytes) -> bool | None:
    """Return whether a file's bytes are those that were sealed; None where there is no seal.

    A damaged seal may look like none. A file that says elsewhere that it is sealed is then known to be damaged.
    """
    found = None
    for found in _SEAL.finditer(data):  # noqa: B007  # the last one counts
        pass
    if found is None:
        return None
    return _digest(data[: found.start()] + BLANK.encode() + data[found.end() :]) == found[0]


def _digest(data: bytes) -> bytes:
    return f"blake2b:{blake2b(data, digest_size=32).hexdigest()}".encode()
