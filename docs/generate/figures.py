"""The figures of the registry."""

from __future__ import annotations

from docs.generate.markdown import table
from rmtsim.figures import Figure, all_figures
from rmtsim.figures.registry import listing as registered


def listing() -> str:
    """Return the table of all figures."""
    known = all_figures()
    rows = (
        [f"`{one.name}`", one.title, one.source, _shows(known[one.name]), one.cost, one.full_cost]
        for one in registered().itertuples()
    )
    return table(["name", "what is seen", "source", "shows", "time on 2 cores", "with `--full`"], rows)


def _shows(figure: Figure) -> str:
    """Return the specs whose draws a figure shows, or that it shows tables."""
    return ", ".join(f"`{spec}`" for spec in figure.specs) or "tables"
