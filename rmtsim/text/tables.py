"""Tables as text, as Markdown, and as rows for JSON.

Rich lays them out: it aligns by column, measures letters as a terminal shows them (χ², ±, names in any script) and
writes Markdown from the same cells. It is imported where a table is printed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd
    from rich.box import Box
    from rich.text import Text

#: Most columns of a line of text.
WIDTH = 110

#: Columns that hold whole numbers, also where a table has them as floats because some are missing.
_WHOLE = {"n_classes", "dim", "n_samples", "width", "diag_power", "offdiag_power"}

_JUSTIFY: dict[str, Literal["left", "right"]] = {"<": "left", ">": "right"}


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
    from rich.cells import cell_len

    grid = list(rows)
    cells = [row for row in grid if not isinstance(row, str)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]

    def length(columns: Collection[int]) -> int:
        return indent + sum(widths[k] for k in columns) + gap * (len(columns) - 1)

    kept = list(range(len(widths)))
    for group in spare:
        if length(kept) > width:
            kept = [k for k in kept if k not in group]
    left_out = [cells[0][k].strip() for k in range(len(widths)) if k not in kept]
    cells, align = [[row[k] for k in kept] for row in cells], "".join(align[min(k, len(align) - 1)] for k in kept)
    lines = iter(_lines(cells, align, padding=(0, gap, 0, 0)) if cells else [])
    shown = [row if isinstance(row, str) else (" " * indent + next(lines)).rstrip() for row in grid]
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
    ['|    C | ratio |', '|------|-------|', '| 1000 |   0.5 |']
    """
    from rich.box import MARKDOWN

    grid = [[cell.replace("|", r"\|") for cell in row] for row in (head, *rows)]
    return [line for line in _lines(grid, align, padding=(0, 1), box=MARKDOWN) if line.strip()]


def _cell(text: str) -> Text:
    """Return text as a cell of one line, its brackets not read as marks."""
    from rich.text import Text

    return Text(" ".join(text.splitlines()))


def _lines(
    cells: Sequence[Sequence[str]],
    align: str,
    padding: tuple[int, int] | tuple[int, int, int, int],
    box: Box | None = None,
) -> list[str]:
    """Lay out cells, one line a row; where there is a box, the first row is the head."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box, pad_edge=box is not None, padding=padding, show_header=box is not None, header_style="")
    for k in range(len(cells[0])):
        head = _cell(cells[0][k]) if box is not None else ""
        table.add_column(head, justify=_JUSTIFY[align[min(k, len(align) - 1)]], no_wrap=True)
    for row in cells[box is not None :]:
        table.add_row(*map(_cell, row))
    console = Console(
        width=1 << 16,
        color_system=None,
        force_terminal=False,
        force_jupyter=False,
        legacy_windows=False,
        safe_box=False,
        _environ={},
    )
    with console.capture() as captured:
        console.print(table)
    return captured.get().split("\n")[:-1]


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
