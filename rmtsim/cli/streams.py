"""The standard streams as the command line needs them: there, able to say every letter, and on stderr past breaking."""

from __future__ import annotations

import io
import os
import sys
from typing import Any


def prepare_streams() -> None:
    """Give the process streams that may be written to whatever became of them.

    A stream that was closed leads nowhere. Letters that a terminal does not have are written as escapes. Messages go on
    into nothing once nobody reads them: who pipes them into ``head`` does not mean to stop a run.
    """
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # for as long as the process
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    elif isinstance(sys.stderr, io.TextIOWrapper):
        raw = io.BufferedWriter(_Unbreakable(sys.stderr.fileno(), "w", closefd=False))
        encoding = sys.stderr.encoding
        sys.stderr = io.TextIOWrapper(raw, encoding, "backslashreplace", line_buffering=True)


class _Unbreakable(io.FileIO):
    """Takes what is written, heard or not."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(data)
