"""Tables and code in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import fill

_WIDTH = 120


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; bars within cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", r"\|") for cell in line) + " |" for line in lines)


def code(text: str, language: str = "text") -> str:
    """Return a block of code."""
    return f"```{language}\n{text.rstrip()}\n```"


def prose(text: str) -> str:
    """Return a paragraph, or an item of a list, in lines; words with a hyphen stay whole, as a page shows a line's end.

    Examples
    --------
    >>> prose("- " + 29 * "one " + "off-diagonal").splitlines()[1]
    '  off-diagonal'
    """
    indent = "  " if text.startswith("- ") else ""
    return fill(text, _WIDTH, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)
