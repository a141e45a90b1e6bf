"""Verdicts on a set of draws: the claims on decay rates and the comparison point by point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.claims import claims, claims_of
from analysis.points import points, points_of
from analysis.render import render, to_records
from analysis.summary import summarize

__all__ = ["Report", "claims", "points", "render", "report", "to_records"]


@dataclass(frozen=True)
class Report:
    """The two tables of verdicts, to be printed or written as JSON."""

    claims: pd.DataFrame
    points: pd.DataFrame

    def text(self) -> str:
        """Return the claims as a table, then the tally of the points and those that differ."""
        counts = self.points["verdict"].value_counts()
        tally = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        text = f"{render(self.claims)}\n\nMeasured values beside the theory at their C, d, N: {tally}."
        different = self.points[self.points["verdict"] == "differs"]
        return text if different.empty else f"{text}\n\n{render(different)}"

    def document(self) -> dict[str, list[dict[str, Any]]]:
        """Return ``{"claims": […], "points": […]}``, one object a line of the tables, null for what is missing."""
        return {"claims": to_records(self.claims), "points": to_records(self.points)}


def report(draws: pd.DataFrame) -> Report:
    """Both tables of verdicts on draws with the store's columns."""
    summary = summarize(draws)
    return Report(claims_of(summary), points_of(summary))
