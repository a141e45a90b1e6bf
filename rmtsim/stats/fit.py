"""Verdicts on a set of draws: the claims on decay rates and the comparison point by point."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from rmtsim.sampling.schema import ENSEMBLE
from rmtsim.stats.claims import SWEEP_COLUMNS, claims_of
from rmtsim.stats.comparison import compare, in_units_of_draws
from rmtsim.stats.render import render, tally
from rmtsim.stats.summary import summarize
from rmtsim.store import Store
from rmtsim.text.tables import WIDTH, records

__all__ = ["Fit", "fit"]


#: Columns of the HTML table that identify a sweep over C, where they vary; n_samples follows from the others.
_IN_HTML = ["width", "aspect_ratio", "dim", *ENSEMBLE]

_NOTHING = "No measured value has a theory to be held against."


@dataclass(frozen=True, repr=False)
class Fit:
    """Decay rates fitted to draws and held against the theory; prints as a table of verdicts.

    Attributes
    ----------
    claims
        One row for each claim of Theorems 1 and 2 on a layer: its power of C and constant beside those fitted, and
        the verdict. Constants are the theorems', so those of d × d blocks are of the squared norm over d; the column
        ``divided_by_dim`` says where.
    compared
        `points` with squared norms of d × d blocks divided by d, as tables print them.
    points
        One row for each measured value beside the theory at its own C, d and N, with the verdict, in the units of
        `rmtsim.summarize`.

    Examples
    --------
    >>> import pandas as pd
    >>> import rmtsim
    >>> points = [rmtsim.Point("linear", "mse", C, dim=20, n_samples=40) for C in (2, 10, 20, 40, 80)]
    >>> fit = rmtsim.fit(pd.concat([rmtsim.simulate(point, draws=32) for point in points]))
    >>> fit.points[["layer", "quantity", "verdict"]].iloc[0].tolist()
    ['linear', 'diag', 'agrees']
    >>> sorted(fit.document())
    ['claims', 'points']
    """

    claims: pd.DataFrame
    compared: pd.DataFrame

    @property
    def points(self) -> pd.DataFrame:
        """The comparison of every measured value with the theory, in the units of draws."""
        return in_units_of_draws(self.compared)

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        """Return the claims as a table, then the tally of the points."""
        varying = [name for name in SWEEP_COLUMNS if name in _IN_HTML and self.claims[name].nunique() > 1]
        table = self.claims[["model", "loss", "layer", *varying, "quantity"]].assign(
            power=self.claims["exponent_theorem"].map(_number("{:.0f}")),
            off_by=_deviation(self.claims, "exponent_deviation", "{:+.4f}"),
            constant=self.claims["constant_theorem"].map(_number("{:.4g}")),
            constant_off_by=_deviation(self.claims, "constant_deviation_percent", "{:+.2f}"),
            verdict=self.claims["verdict"],
        )
        table = table.rename(columns={"off_by": "off by", "constant_off_by": "off by, %"})
        note = (
            "Off by: what power and constant are off from the theory's at the same C, d and N. Squared norms of d × d "
            "blocks are divided by d."
        )
        html = table.to_html(index=False, border=0, na_rep="")
        return f"{html}<p>{note}</p><pre>{escape(self.tally())}</pre>"

    def text(self, width: int = WIDTH) -> str:
        """Return the claims as a table, then the tally of the points and those that fail.

        Parameters
        ----------
        width
            Characters of a line.
        """
        failing = (self.compared["verdict"] == "differs") | ~self.compared["within_limit"].fillna(True)
        parts = [render(self.claims, width), self.tally(width)]
        return "\n\n".join([*parts, render(self.compared[failing], width)] if failing.any() else parts)

    def tally(self, width: int = WIDTH) -> str:
        """Count the points that agree, with what they were held to."""
        tested = self.compared[~self.compared["verdict"].isin(["exact", "not tested"])]
        counted = f"Measured values against the theory at their own C, d, N: {tally(self.compared, 'agree')}."
        counted = textwrap.fill(counted, width)
        if tested.empty:
            return counted if (self.compared["verdict"] == "exact").any() else _NOTHING
        close = tested["within_limit"].dropna()
        rse = (tested["std_error"] / tested["measured"].abs()).groupby(tested["layer"], sort=False).max()
        near = (
            f"{close.sum()} of {len(close)} values are no farther from the limit d, N → ∞ than the theory at their own "
            "sizes is, within their errors."
        )
        largest = ", ".join(f"{layer} {value:.2%}" for layer, value in rse.items())
        lines = [near, f"Largest relative standard error: {largest}."]
        return "\n".join([counted, *(textwrap.fill(line, width) for line in lines)])

    def document(self) -> dict[str, list[dict[str, Any]]]:
        """Return ``{"claims": […], "points": […]}``, one object a line of the tables, null for what is missing."""
        return {"claims": records(self.claims), "points": records(self.compared)}


def _deviation(claims: pd.DataFrame, name: str, how: str) -> list[str]:
    """Return deviations with their standard errors; nothing where there is no fit."""
    pairs = zip(claims[name], claims[f"std_error_{name}"], strict=True)
    return ["" if pd.isna(value) else f"{how.format(value)} ± {error:.2g}" for value, error in pairs]


def _number(how: str) -> Callable[[float], str]:
    return lambda value: "" if pd.isna(value) else how.format(value)


def fit(draws: pd.DataFrame | Store | str | os.PathLike[str]) -> Fit:
    """Fit decay rates in the number of classes to draws, and hold them and every mean against the theory.

    Parameters
    ----------
    draws
        A table with the store's columns, one row per (point, seed, draw, layer), or a store or its location, for all
        its draws.

    Returns
    -------
    Fit
        Its ``claims`` and ``points`` are DataFrames; printed, it is the table of verdicts.

    Raises
    ------
    InputError
        If there is no store at the location, or the table lacks columns, has no rows, or has rows twice.

    Examples
    --------
    >>> import pandas as pd
    >>> import rmtsim
    >>> points = [rmtsim.Point("linear", "mse", C, dim=20, n_samples=40) for C in (2, 10, 20, 40, 80)]
    >>> fit = rmtsim.fit(pd.concat([rmtsim.simulate(point, draws=32) for point in points]))
    >>> fit.claims[["quantity", "exponent_theorem", "verdict"]].iloc[:2].values.tolist()
    [['diag', 0.0, 'agrees'], ['offdiag', 0.0, 'exact']]
    """
    return fit_summary(summarize(draws))


def fit_summary(summary: pd.DataFrame) -> Fit:
    """Return `fit` of the draws of a summary, as `summarize` returns it."""
    return Fit(claims_of(summary), compare(summary))
