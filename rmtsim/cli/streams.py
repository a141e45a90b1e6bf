"""The standard streams as the command line needs them: there, able to say every letter, and on stderr past breaking."""

from __future__ import annotations

import io
import os
import sys
import traceback
from types import TracebackType
from typing import Any

from rmtsim.text.output import presentable, write_line


def prepare_streams() -> None:
    """Give the process streams that may be written to whatever became of them.

    A stream that was closed leads nowhere. Letters that a terminal does not have are written as escapes. Messages go on
    into nothing once they cannot be written: who pipes them into ``head`` does not mean to stop a run. They have a
    descriptor of their own, so that libraries, which write to descriptor 2, can be sent elsewhere.
    """
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # for as long as the process
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    elif isinstance(sys.stderr, io.TextIOWrapper):
        raw = io.BufferedWriter(_Unbreakable(os.dup(sys.stderr.fileno()), "w"))
        encoding = sys.stderr.encoding
        sys.stderr = io.TextIOWrapper(raw, encoding, "backslashreplace", line_buffering=True)
    sys.excepthook = _tell_error


def _tell_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback of an error of ours, as all that is printed: without secrets and control characters."""
    text = "".join(traceback.format_exception(kind, error, trace))
    write_line(presentable(text.rstrip("\n"), lines=True), sys.stderr)


def finish_stdout() -> OSError | None:
    """Write what stdout holds back; return why it cannot be, if so. Nothing is then tried again at the end."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return error
    return None


class _Unbreakable(io.FileIO):
    """Takes what is written, heard or not: a pipe may be closed, a disk full, a terminal gone."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)
