"""A command that may take only so long, and with which all that it has started ends."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from typing import IO, NamedTuple

#: Seconds that a process which is killed has to go: one that waits for a driver that hangs does not go at all.
_TO_GO = 10


class Ended(NamedTuple):
    """How a command ended: its exit status, None if it was cut off; that in words; what it wrote to its errors."""

    status: int | None
    words: str
    said: str


#: What is said of a command that Ctrl-C, or a signal in its place, has cut off.
STOPPED = "stopped"


def run(command: list[str], limit: float, out: IO[str]) -> Ended:
    """Run a command in a session of its own, and then end what is left of its process group.

    It is cut off after ``limit`` seconds, and where this process gets a KeyboardInterrupt.

    Parameters
    ----------
    command
        The program and its arguments.
    limit
        Seconds that it may take.
    out
        The file that its output goes to.
    """
    status, words = None, STOPPED
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, start_new_session=True)
        try:
            status = process.wait(limit)
            words = str(status)
        except subprocess.TimeoutExpired:
            words = f"took more than {limit:.0f} s"
        except KeyboardInterrupt:
            pass
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_TO_GO)
        errors.seek(0)
        return Ended(status, words, errors.read())
