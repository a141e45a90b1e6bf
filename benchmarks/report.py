"""What a part of the benchmarks gives back, as text and as JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from rmtsim.text.tables import markdown_table, text_table

Row = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """A bound that a measured value is held against."""

    what: str
    value: float
    bound: float
    at_most: bool = True

    @property
    def met(self) -> bool:
        """Whether the value keeps the bound."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound


@dataclass(frozen=True)
class Table:
    """Rows of one kind; the keys of a row name the columns, with their units."""

    title: str
    rows: list[Row]


@dataclass(frozen=True)
class Part:
    """One part of the benchmarks: what it measures and how, its tables, and the bounds it was to keep."""

    about: str
    tables: list[Table]
    targets: list[Target] = field(default_factory=list)


def document(part: Part) -> dict[str, Any]:
    """Return the part as plain data, numbers to five digits."""
    return {
        "about": part.about,
        "tables": [{"title": table.title, "rows": [_rounded(row) for row in table.rows]} for table in part.tables],
        "targets": [
            _rounded({"what": t.what, "value": t.value, "at_most" if t.at_most else "at_least": t.bound, "met": t.met})
            for t in part.targets
        ],
    }


def text(name: str, part: Part) -> str:
    """Return the part as tables for reading."""
    lines = ["", f"== {name} ==", part.about]
    for table in part.tables:
        lines += ["", table.title, *_lines(table.rows)]
    for target in part.targets:
        relation, verdict = "at most" if target.at_most else "at least", "met" if target.met else "MISSED"
        lines.append(f"  target {verdict}: {target.what} = {target.value:.4g}, wanted {relation} {target.bound:.4g}")
    return "\n".join(lines)


#: A number in words, such as −0.26 or 1,000; or the sign of one that is not there.
_NUMBER = re.compile(r"[-−+]?[0-9][0-9,]*(\.[0-9]+)?(e[-+]?[0-9]+)?|-")


def markdown(table: Table) -> str:
    """Return the rows of a table in Markdown."""
    (head, *cells), align = _cells(table.rows)
    return "\n".join(markdown_table(head, cells, align))


def _lines(rows: list[Row]) -> list[str]:
    cells, align = _cells(rows)
    return text_table(cells, align, indent=2)


def _cells(rows: list[Row]) -> tuple[list[list[str]], str]:
    """Return the cells as text, and how columns are aligned; the header is the union of the rows' keys."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[name.replace("_", " ") for name in names], *([_shown(row.get(name)) for name in names] for row in rows)]
    numeric = [all(_is_number(row.get(name)) for row in rows) for name in names]
    return cells, "".join(">" if right else "<" for right in numeric)


def _is_number(value: Any) -> bool:
    """Whether a cell is a number, also one that is written already, or one that is not there."""
    return isinstance(value, int | float | None) or (isinstance(value, str) and bool(_NUMBER.fullmatch(value)))


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def _rounded(row: Row) -> Row:
    return {key: float(f"{value:.5g}") if isinstance(value, float) else value for key, value in row.items()}
