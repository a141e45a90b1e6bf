"""Verdicts on a set of draws: the claims on decay rates and the comparison point by point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rmtsim.stats.claims import claims, claims_of
from rmtsim.stats.points import points, points_of
from rmtsim.stats.render import render
from rmtsim.stats.summary import summarize
from rmtsim.stats.verdict import TOLERANCE
from rmtsim.text.tables import records

__all__ = ["Report", "claims", "points", "render", "report"]


@dataclass(frozen=True)
class Report:
    """The two tables of verdicts, to be printed or written as JSON."""

    claims: pd.DataFrame
    points: pd.DataFrame

    def text(self) -> str:
        """Return the claims as a table, then the tally of the points and those that fail."""
        failing = (self.points["verdict"] == "differs") | ~self.points["within_limit"].fillna(True)
        parts = [render(self.claims), self._tally()]
        return "\n\n".join([*parts, render(self.points[failing])] if failing.any() else parts)

    def _tally(self) -> str:
        """Count the points that agree, with what they were held to."""
        tested = self.points[self.points["verdict"] != "not tested"]
        if tested.empty:
            return "No measured value has a theory to be held against."
        z = tested.loc[np.isfinite(tested["z"]), "z"]
        rse = (tested["std_error"] / tested["measured"].abs()).groupby(tested["layer"], sort=False).max()
        return (
            f"Measured values against the theory at their own C, d, N: {(tested['verdict'] == 'agrees').sum()} of "
            f"{len(tested)} agree;\nlargest |z| {z.abs().max():.2f}, root mean square {(z**2).mean() ** 0.5:.2f}.\n"
            f"Within {TOLERANCE:g} standard errors plus the finite-size deviation of the limit d, N → ∞: "
            f"{tested['within_limit'].sum()} of {len(tested)}.\n"
            f"Largest relative standard error: {', '.join(f'{layer} {value:.2%}' for layer, value in rse.items())}."
        )

    def document(self) -> dict[str, list[dict[str, Any]]]:
        """Return ``{"claims": […], "points": […]}``, one object a line of the tables, null for what is missing."""
        return {"claims": records(self.claims), "points": records(self.points)}


def report(draws: pd.DataFrame) -> Report:
    """Both tables of verdicts on draws with the store's columns."""
    summary = summarize(draws)
    return Report(claims_of(summary), points_of(summary))
