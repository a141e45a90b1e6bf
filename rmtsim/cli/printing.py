"""What the command line prints: data on stdout, messages on stderr, the library's own messages among them."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rmtsim.errors import RunError
from rmtsim.text.output import presentable, presentable_json, write_line

__all__ = [
    "line_width",
    "print_json",
    "print_message",
    "print_sentence",
    "print_text",
    "printed_messages",
    "stdout_refused",
    "wrapped",
]

#: Columns of what goes into a file or a pipe.
_WIDE = 1 << 16


def print_message(message: object) -> None:
    """Print a message to the user on stderr, as one line."""
    write_line(presentable(message), sys.stderr)


def print_text(text: object, *, lines: bool = False) -> None:
    """Print text on stdout: one line, or with ``lines`` several."""
    _print_data(presentable(text, lines=lines))


def print_sentence(text: object) -> None:
    """Print a line on stdout; a terminal gets it broken at spaces, with what goes on indented."""
    print_text(wrapped(presentable(text)), lines=True)


def wrapped(line: str) -> str:
    """Return a line broken at spaces where it is longer than the terminal is wide, with a hanging indent."""
    width, indent = line_width(), len(line) - len(line.lstrip()) + 4
    if len(line) <= width:
        return line
    rest = " " * indent
    return textwrap.fill(line, width, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False)


def print_json(document: Any) -> None:
    """Print a JSON document on stdout."""
    _print_data(presentable_json(document))


def line_width() -> int:
    """Return the columns of the terminal, or as many as COLUMNS says; without bounds for a file or a pipe."""
    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        return _WIDE
    return shutil.get_terminal_size((_WIDE, 24)).columns


def stdout_refused(error: OSError) -> str:
    """Return the sentence for a stdout that does not take the data."""
    return f"stdout cannot be written ({error.strerror or error}); send it elsewhere"


def _print_data(text: str) -> None:
    try:
        write_line(text, sys.stdout)
    except BrokenPipeError:  # a reader such as `head` has seen enough
        raise
    except OSError as error:
        raise RunError(stdout_refused(error)) from error


class _Messages(logging.Handler):
    """Prints each record's message as `print_message` does, without level or time."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message; stderr is looked up each time, since a live display may stand in for it."""
        print_message(record.getMessage())


@contextmanager
def printed_messages() -> Iterator[None]:
    """Print what the library logs, from INFO upwards, while a command runs."""
    logger, handler = logging.getLogger("rmtsim"), _Messages()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # handlers of other libraries, on the root logger, would print it again
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before
