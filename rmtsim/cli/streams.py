"""Standard streams that are robust to closed pipes, missing descriptors and limited encodings."""

from __future__ import annotations

import io
import os
import sys
import traceback
from types import TracebackType
from typing import Any

from rmtsim.text.output import presentable, write_line


def prepare_streams() -> None:
    """Replace stdout and stderr by streams that can always be written to.

    A closed stream discards what is written. Letters that a terminal does not have are written as escapes. Messages
    are discarded once stderr is broken: whoever pipes them into ``head`` does not mean to stop a run. They have a
    descriptor of their own, so that the output of libraries, on descriptor 2, can be redirected.
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
    sys.excepthook = _print_error


def _print_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback of an unexpected error, without secrets and control characters."""
    text = "".join(traceback.format_exception(kind, error, trace))
    write_line(presentable(text.rstrip("\n"), lines=True), sys.stderr)


def finish_stdout() -> OSError | None:
    """Flush stdout; return the error if that fails, after which nothing is written to it any more."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return error
    return None


class _Unbreakable(io.FileIO):
    """A file that ignores errors of writing: a pipe may be closed, a disk full, a terminal gone."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)
