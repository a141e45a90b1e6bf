"""Tables as text, as Markdown, and as rows for JSON.

Columns are as wide as their widest cell. Rich measures letters as a terminal shows them (χ², ±, names in any script);
it is imported where a table has letters beyond ASCII.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
#: Most columns of a line of text.
WIDTH = 110

#: Columns that hold whole numbers, also where a table has them as floats because some are missing.
_WHOLE = {"n_classes", "dim", "n_samples", "width", "diag_power", "offdiag_power"}


def text_table(
    rows: Iterable[Sequence[str] | str],
    align: str = "<",
    gap: int = 2,
    indent: int = 0,
    width: float = math.inf,
    spare: Iterable[Collection[int]] = (),
) -> list[str]:
    """Return the lines of a table, its columns as wide as the widest cell.

    Parameters
    ----------
    rows
        Cells, the first rows possibly heads; or a string for a line across all columns.
    align
        ``"<"`` or ``">"`` for each column; the last holds for all further columns.
    gap, indent
        Spaces between columns, and before the first.
    width, spare
        Where lines would be longer than ``width``, groups of columns that can be spared are left out, the first of
        ``spare`` first, as many as need be, and a last line names them.

    Examples
    --------
    >>> text_table([["C", "ratio"], "linear model", ["1000", "0.5"]], align="<>")
    ['C     ratio', 'linear model', '1000    0.5']
    >>> text_table([["C", "draws", "ratio"], ["1000", "16", "0.5"]], width=12, spare=[[1]])
    ['C     ratio', '1000  0.5', '(18 columns would have room for: draws)']
    """
    grid = [row if isinstance(row, str) else [*map(_one_line, row)] for row in rows]
    cells = [row for row in grid if not isinstance(row, str)]
    widths = _widths(cells)

    def length(columns: Collection[int]) -> int:
        return indent + sum(widths[k] for k in columns) + gap * (len(columns) - 1)

    kept = list(range(len(widths)))
    for group in spare:
        if length(kept) > width:
            kept = [k for k in kept if k not in group]
    left_out = [cells[0][k].strip() for k in range(len(widths)) if k not in kept]
    align, kept_widths = "".join(align[min(k, len(align) - 1)] for k in kept), [widths[k] for k in kept]
    before, between = " " * indent, " " * gap
    shown = [
        row if isinstance(row, str) else before + between.join(_padded([row[k] for k in kept], kept_widths, align))
        for row in grid
    ]
    shown = [line if isinstance(row, str) else line.rstrip() for row, line in zip(grid, shown, strict=True)]
    needed = f"({length(range(len(widths)))} columns would have room for: {', '.join(left_out)})"
    return [*shown, needed] if left_out else shown


def frame_table(
    table: pd.DataFrame, number: str = "{:g}", width: float = math.inf, spare: Iterable[Collection[str]] = ()
) -> list[str]:
    """Return the lines of a table of pandas, right-aligned, under the names of its columns.

    Parameters
    ----------
    table
        The table. What is missing is shown as "-".
    number
        Format of numbers that are not whole.
    width, spare
        As for `text_table`, by the names of columns.
    """
    import pandas as pd

    def cell(value: Any) -> str:
        if pd.isna(value):
            return "-"
        return number.format(value) if isinstance(value, float) else str(value)

    rows = table.astype(object).itertuples(index=False, name=None)
    head = list(map(str, table.columns))
    places = [[head.index(name) for name in group if name in head] for group in spare]
    return text_table([head, *([cell(value) for value in row] for row in rows)], ">", 1, width=width, spare=places)


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], align: str = "<") -> list[str]:
    """Return the lines of a table in Markdown; ``align`` as in `text_table`.

    Examples
    --------
    >>> markdown_table(["C", "ratio"], [["1000", "0.5"]], align=">")
    ['|    C | ratio |', '|-----:|------:|', '| 1000 |   0.5 |']
    """
    grid = [[_one_line(cell).replace("|", r"\|") for cell in row] for row in (head, *rows)]
    widths = [max(1, width) for width in _widths(grid)]
    first, *others = (f"| {' | '.join(_padded(row, widths, align))} |" for row in grid)
    ends = (":" if _is_right(align, k) else "-" for k in range(len(widths)))
    return [first, f"|{'|'.join('-' * (width + 1) + end for width, end in zip(widths, ends, strict=True))}|", *others]


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


def _widths(cells: Sequence[Sequence[str]]) -> list[int]:
    """Return the width of the widest cell of each column."""
    return [max(map(_width, column)) for column in zip(*cells, strict=True)]


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _is_right(align: str, column: int) -> bool:
    return align[min(column, len(align) - 1)] == ">"


def _padded(row: Sequence[str], widths: Sequence[int], align: str) -> list[str]:
    """Return the cells of a row, each as wide as its column; ``align`` as in `text_table`."""
    padded = []
    for k, (text, width) in enumerate(zip(row, widths, strict=True)):
        if _is_right(align, k):
            text = text.rstrip()
            padded.append(" " * (width - _width(text)) + text)
        else:
            padded.append(text + " " * (width - _width(text)))
    return padded


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as plain Python values, whole numbers as such, and None for null, NaN and infinities.

    JSON has none of these three.
    """
    columns = [[_plain(str(name), value) for value in table[name].tolist()] for name in table.columns]
    return [dict(zip(map(str, table.columns), values, strict=True)) for values in zip(*columns, strict=True)]


def _plain(column: str, value: Any) -> Any:
    import pandas as pd  # which takes half a second: the command line speaks without it

    if pd.isna(value) or value in (math.inf, -math.inf):
        return None
    value = getattr(value, "item", lambda: value)()  # of a column of mixed types, NumPy's numbers
    return int(value) if column in _WHOLE else value
