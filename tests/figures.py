"""What figures of the registry show of given rows, and the curves on their axes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from rmtsim.figures import get_figure


def text_of(name: str, rows: pd.DataFrame) -> str:
    figure = get_figure(name)
    return figure.text(figure.numbers(rows))


def headline_of(name: str, rows: pd.DataFrame) -> str:
    figure = get_figure(name)
    return figure.headline(figure.numbers(rows))


def curves(ax: Axes, kind: str) -> list[np.ndarray]:
    """Return the points of each curve of a kind on some axes."""
    return [np.column_stack(line.get_data()) for line in ax.lines if line.get_label() == f"_{kind}"]
