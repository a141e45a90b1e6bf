"""Text as it may leave the program: printable, without secrets, and written in one piece."""

from __future__ import annotations

import json
import math
import os
import sys
from typing import Any, TextIO

from rmtsim.text.addresses import discreet
from rmtsim.text.printable import printable

__all__ = ["in_place", "presentable", "presentable_json", "write_line"]


def presentable(text: object, *, lines: bool = False) -> str:
    """Return text as it may be shown: printable, and with addresses that show no secrets."""
    return printable(discreet(str(text)), lines=lines)


def presentable_json(document: Any, *, indent: int | None = 1) -> str:
    """Return a JSON document as it may be shown, with escapes in place of all that is not plain ASCII."""
    return json.dumps(_presentable(document), indent=indent, allow_nan=False).replace("\x7f", r"\u007f")


def write_line(text: str, stream: TextIO) -> None:
    """Write text that is presentable, and the end of its line, in one piece: several threads may write."""
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except RuntimeError:  # the handler of a signal writes in the midst of another message
        os.write(2, f"{text}\n".encode(errors="backslashreplace"))


def _presentable(value: Any) -> Any:
    """Return plain data without secrets of addresses, and with None for numbers that are not finite."""
    if isinstance(value, str):
        return discreet(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_presentable(key): _presentable(part) for key, part in value.items()}
    return [_presentable(part) for part in value] if isinstance(value, list | tuple) else value


def in_place(stream: TextIO | None = None) -> bool:
    """Return whether a stream, stderr by default, is a terminal, where lines are overwritten; a notebook keeps them.

    A notebook's ``!command`` has a terminal of its own, too; Jupyter and IPython's kernel leave their marks in the
    environment. Settings such as FORCE_COLOR, which are about colours, do not count.
    """
    marks = os.environ
    if marks.get("TERM", "dumb") in ("", "dumb", "unknown") or {"JPY_PARENT_PID", "COLAB_RELEASE_TAG"} & marks.keys():
        return False
    kernel = marks.get("PAGER") == marks.get("GIT_PAGER") == "cat" and "CLICOLOR" in marks
    return not kernel and (sys.stderr if stream is None else stream).isatty()
