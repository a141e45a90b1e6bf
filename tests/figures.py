"""What figures of the registry show of given rows."""

from __future__ import annotations

import pandas as pd

from rmtsim.figures import get_figure


def text_of(name: str, rows: pd.DataFrame) -> str:
    figure = get_figure(name)
    return figure.text(figure.numbers(rows))


def headline_of(name: str, rows: pd.DataFrame) -> str:
    figure = get_figure(name)
    return figure.headline(figure.numbers(rows))
