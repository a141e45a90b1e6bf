"""Tables of text, their columns as wide as the widest cell."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(grid: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table whose rows are ``grid``.

    Examples
    --------
    >>> text_table([["C", "ratio"], ["1000", "0.5"]])
    ['C     ratio', '1000  0.5']
    """
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in grid]
