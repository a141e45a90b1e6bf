"""Figures over the number of classes: the base class of Figures 8 and 9 of the paper and of their analogues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import pandas as pd

from rmtsim.errors import InputError
from rmtsim.figures.figure import Figure
from rmtsim.figures.figure_data import CURVE_POINTS, figure_data
from rmtsim.figures.headlines import claims_headline, heavy_tails
from rmtsim.figures.parts import join_parts, part
from rmtsim.sampling.schema import ENSEMBLE
from rmtsim.stats.claims import claims_of
from rmtsim.stats.group_means import QUANTITIES
from rmtsim.stats.render import render, tally
from rmtsim.stats.slow_values import SlowValues, slow_values
from rmtsim.stats.summary import summarize

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

#: Most series, each a sweep over C with all else fixed, that a reader can distinguish in a figure.
MOST_SERIES = 12

#: Columns that distinguish series over C, beside the ensemble.
_SERIES = ("width", "aspect_ratio", "dim")


class DecayFigure(Figure):
    """Norms of one model and one loss against C, beside the theory.

    Its numbers have three parts (`rmtsim.figures.parts.part`): ``points``, every measured value beside the theory at
    its own size, with its z-score and verdict; ``curves``, the theory between the points; and ``claims``, the fitted
    power and constant of every series beside the theorem's, with their verdicts.

    Attributes
    ----------
    model, loss, layers
        Draws that it shows; each layer has a row of panels.
    heading
        Title of the drawing.
    quantities
        Norms that it shows, each with a column of panels.
    landmarks
        Numbers of classes that have a name.
    """

    claims = True
    model: ClassVar[str]
    loss: ClassVar[str]
    layers: ClassVar[tuple[str, ...]]
    heading: ClassVar[str]
    quantities: ClassVar[tuple[str, ...]] = QUANTITIES
    landmarks: ClassVar[Mapping[int, str]] = {}

    def select(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of the figure's model, loss and layers."""
        found = rows[(rows["model"] == self.model) & (rows["loss"] == self.loss) & rows["layer"].isin(self.layers)]
        for layer in self.layers:
            if not (found["layer"] == layer).any():
                raise InputError(
                    f"{self.name}: the draws hold no rows of {self.model} {self.loss}, layer {layer}; run such "
                    "a sweep into this store first"
                )
        series = found[[*_SERIES, *ENSEMBLE]].drop_duplicates()
        if len(series) > MOST_SERIES:
            varying = ", ".join(str(name) for name in series if series[name].nunique(dropna=False) > 1)
            raise InputError(
                f"{self.name}: the draws hold {len(series)} series over C, of different {varying}, and "
                f"{MOST_SERIES} can be distinguished; take some with --sweep NAME, or with --where, such as --where "
                f"'dim == {series['dim'].max()}'"
            )
        return found

    def slow_values(self, rows: pd.DataFrame) -> SlowValues:
        """Return those at all sizes, and along the curves."""
        return slow_values(rows, curve_points=CURVE_POINTS)

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the measured points and the theory's curves, and the claims on their decay rates."""
        summary = summarize(rows)
        data = figure_data(summary)
        return join_parts({"points": data.points, "curves": data.curves, "claims": claims_of(summary)})

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw values over C for each layer and quantity, and below them how far they are from the theory."""
        from rmtsim.figures.decay_drawing import plot_decay

        return plot_decay(part(numbers, "points"), part(numbers, "curves"), self)

    def text(self, numbers: pd.DataFrame) -> str:
        """Return the claims as a table, how many of the points agree with the theory, and those not to be trusted."""
        points = part(numbers, "points")
        return "\n\n".join([render(part(numbers, "claims")), tally(points), *heavy_tails(points)])

    def headline(self, numbers: pd.DataFrame) -> str:
        """Return the power of every ratio beside the theorem's, and how many of the points agree with the theory."""
        return claims_headline(part(numbers, "claims"), part(numbers, "points"))
