"""Tables of a page: of cells that are text already, or of a DataFrame."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import pandas as pd

from rmtsim.pages.elements import Content, Markup, element
from rmtsim.text.sizes import format_count

#: Most rows of a table on a page; of more, the first are shown.
MOST_ROWS = 200

#: Rows from which on a folded table stays folded on paper.
LONG = 60

#: What stands where there is no value.
NOTHING = "–"


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[Content] | str],
    caption: str,
    numbers: Collection[int] = (),
    note: Content = None,
    words: Collection[int] = (),
    few: Collection[int] = (),
) -> Markup:
    """Return a table that scrolls by itself where it is wider than the page.

    Parameters
    ----------
    head
        The names of the columns.
    rows
        Their cells; or a text, for a line across all columns that names the group of rows after it.
    caption
        What the table holds.
    numbers
        Columns that are aligned to the right.
    note
        What is to be said below it.
    words, few
        Columns of sentences, and of a few words or a list, which may be broken into lines.
    """

    def cell(tag: str, place: int, content: Content, **attributes: str | None) -> Markup:
        kinds = {"number": numbers, "words": words, "few": few}
        kind = next((name for name, places in kinds.items() if place in places), None)
        return element(tag, content, class_=kind, **attributes)

    groups: list[list[Markup]] = [[]]
    for row in rows:
        if isinstance(row, str):
            across = element("th", row, colspan=str(len(head)), scope="rowgroup")
            groups.append([element("tr", across, class_="group")])
        else:
            groups[-1].append(element("tr", (cell("td", place, one) for place, one in enumerate(row))))
    names = element("tr", (cell("th", place, name, scope="col") for place, name in enumerate(head)))
    called = element("caption", element("span", caption))
    whole = element("table", called, element("thead", names), (element("tbody", lines) for lines in groups if lines))
    scrolled = element("div", whole, class_="scroll", role="region", aria_label=caption, tabindex="0")
    return Markup(scrolled + (element("p", note, class_="note") if note else ""))


def frame_table(frame: pd.DataFrame, caption: str, whole: Content = None, most: int = MOST_ROWS) -> Markup:
    """Return a DataFrame as a table, without the columns that have no values, and those that have one value apart.

    Parameters
    ----------
    frame
        The table; numbers that are not whole are shown in six digits.
    caption
        What it holds.
    whole
        Where all rows are to be had, where there are more than ``most``, of which the first are shown.
    """
    shown = frame.dropna(axis="columns", how="all").head(most)
    alike = [name for name in shown if len(frame) > 1 and frame[name].astype(str).nunique() == 1]
    same = ", ".join(f"{name} = {_cell(frame[name].iloc[0])}" for name in alike)
    rest = shown.drop(columns=alike)
    numeric = [place for place, name in enumerate(rest) if pd.api.types.is_numeric_dtype(rest[name])]
    rows = ([_cell(value) for value in row] for row in rest.astype(object).itertuples(index=False, name=None))
    note: list[Content] = [f"In every row: {same}. "] if same else []
    if len(frame) > most:
        note += [f"The first {format_count(most)} of {format_count(len(frame))} rows. ", whole]
    return table([str(name) for name in rest], rows, caption, numeric, note or None)


def folded(summary: str, *content: Content, long: bool = False) -> Markup:
    """Return content that is folded away below its summary until a reader opens it; if it is long, on paper, too."""
    return element("details", element("summary", summary), *content, class_="long" if long else None)


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple | dict):
        return str(value)
    if pd.isna(value):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)
