"""What a store holds, as text and as HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from typing import TypeAlias

import pandas as pd
import pyarrow as pa

from rmtsim.errors import InputError, RunError
from rmtsim.text.words import number_of

#: Reads columns of all draws, in parts: `rmtsim.store.Store.tables`.
Reader: TypeAlias = Callable[[list[str]], Iterable[pa.Table]]

#: The columns that a row of the HTML table is for, and the sizes whose values it lists.
_KIND, _SIZES = ["model", "loss"], ["n_classes", "dim", "aspect_ratio", "width"]

#: The columns that identify a draw. A draw has a row in the store for each layer.
_DRAW = ["point_id", "seed", "draw"]

#: Values of a size that are listed one by one; of more, the first and the last are.
_LISTED = 6


def text_of(location: str, read: Reader) -> str:
    """Return the store's location, and how many points and draws it holds."""
    return f"Store({location!r}, {_contents(read)})"


def html_of(location: str, read: Reader) -> str:
    """Return the same, with a table of the models, losses and sizes."""
    title = f"<p><b>Store</b> {escape(location)}: {escape(_contents(read))}</p>"
    try:
        draws = _distinct(read, [*_DRAW, *_KIND, *_SIZES])
    except (InputError, RunError):
        return title
    if draws.empty:
        return title
    rows = [
        {
            **dict(zip(_KIND, kind, strict=True)),
            **{name: _values(group[name]) for name in _SIZES},
            "points": group["point_id"].nunique(),
            "draws": len(group),
        }
        for kind, group in draws.groupby(_KIND)
    ]
    return title + pd.DataFrame(rows).to_html(index=False, border=0)


def _contents(read: Reader) -> str:
    try:
        draws = _distinct(read, _DRAW)
    except (InputError, RunError) as error:  # what shows an object must not fail
        return str(error)
    return f"{number_of(draws['point_id'].nunique(), 'point')}, {number_of(len(draws), 'draw')}"


def _distinct(read: Reader, columns: list[str]) -> pd.DataFrame:
    """Return the distinct rows that a store has in some columns."""
    parts = [table.group_by(columns).aggregate([]).to_pandas() for table in read(columns)]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    return table.drop_duplicates()


def _values(values: pd.Series) -> str:
    """Return the values of a size, or the first and the last of many."""
    known = sorted(values.dropna().unique())
    shown = [f"{value:g}" for value in known]
    return ", ".join(shown) if len(shown) <= _LISTED else f"{shown[0]} … {shown[-1]} ({len(shown)} values)"
