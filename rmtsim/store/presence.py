"""Presence of a writer, as the lock of a store shows it; nothing is locked or changed."""

from __future__ import annotations

import fcntl
import os
import time
from typing import NamedTuple

from rmtsim.files.regular_files import regular_descriptor
from rmtsim.store.lock import RENEWAL, claims, parse_claim
from rmtsim.store.storage import Files, LocalFiles


class Presence(NamedTuple):
    """A writer at work."""

    owner: str  #: process, user and host
    since: str  #: since when or for how long, in words

    def __str__(self) -> str:
        return f"{self.owner}, {self.since}"


def who_writes(files: Files) -> Presence | None:
    """Return the writer that is at work in a store; None if there is none.

    On a local directory the system knows. Elsewhere a writer renews its claim: claims are watched for at most the time
    of two renewals, and not at all where there is none.
    """
    return _by_lock(files) if isinstance(files, LocalFiles) else _by_claim(files)


def _by_lock(files: LocalFiles) -> Presence | None:
    try:
        descriptor = regular_descriptor(files.root / ".lock", os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:  # there is none, or it is not ours to read: nothing is known
        return None
    try:
        name = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
        if not name:  # it was given back
            return None
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # which says of a name that a killed process left
    except BlockingIOError:
        begun = time.localtime(os.fstat(descriptor).st_mtime)
        return Presence(name, f"since {time.strftime('%Y-%m-%d %H:%M', begun)}")
    except OSError:
        return None
    else:
        return None
    finally:
        os.close(descriptor)


def _by_claim(files: Files) -> Presence | None:
    first = claims(files)
    end = time.monotonic() + 2 * RENEWAL
    while first and time.monotonic() < end:
        time.sleep(RENEWAL / 10)
        now = claims(files)
        for name, content in now.items():
            if content != first.get(name, content):
                claim = parse_claim(content)
                return Presence(claim["owner"], f"for about {claim['counter'] * RENEWAL:.0f} s")
        first = {name: first.get(name, content) for name, content in now.items()}
    return None
