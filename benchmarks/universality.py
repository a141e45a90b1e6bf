"""Which assumptions of the theorems matter: the verdicts of the figure ``universality``, run from nothing.

It writes docs/results/universality.md, the values to docs/results/numbers/universality.md, and the picture that the
page shows, docs/results/universality.png.
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import pandas as pd

import rmtsim
from benchmarks import environment
from benchmarks.report import Part, Table, markdown
from docs.generate.markdown import prose
from rmtsim.figures import get_figure, matplotlib_setup
from rmtsim.figures.parts import part
from rmtsim.text.tables import records

DOCS = Path(__file__).parents[1] / "docs"
PAGE, PICTURE = DOCS / "results" / "universality.md", DOCS / "results" / "universality.png"
VALUES = PAGE.parent / "numbers" / "universality.md"

#: Draws of each point in a quick run.
_FEW = {"min_draws": 8, "max_draws": 8}

#: The columns of the tables, and what they are called.
_LAW = {name: name for name in ("layer", "data", "weights", "activation")}
_VERDICTS = _LAW | {
    "power": "power over theory",
    "std_error_power": "± of it",
    "exponent": "exponent",
    "quotient": "over theory at largest C",
    "std_error_quotient": "± of that",
    "constant": "constant",
    "from_classes": "from C",
    "heavy_tails": "C with too heavy a tail",
}
_VALUES = _LAW | {
    "n_classes": "C",
    "draws": "draws",
    "ratio": "ratio",
    "std_error_ratio": "±",
    "theory": "theory",
    "quotient": "over theory",
    "heavy_tail": "heavy tail",
}


def run(quick: bool) -> Part:
    """Run the sweeps of the figure; write page and picture unless ``quick``."""
    figure = get_figure("universality")
    with tempfile.TemporaryDirectory(prefix="rmtsim-universality-") as folder:
        store = rmtsim.open_store(folder)
        for name in figure.specs:
            start = time.perf_counter()
            rmtsim.run(name, store, progress=False, sampling=_FEW if quick else None)
            print(f"  {name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
        return results(store.draws(), write=not quick)


def results(draws: pd.DataFrame, write: bool) -> Part:
    """Return the verdicts on draws of the figure's sweeps; write page and picture if that is wanted."""
    figure = get_figure("universality")
    numbers = figure.numbers(figure.select(draws))
    tables = []
    for title, name, columns in (("Verdicts", "laws", _VERDICTS), ("Values", "points", _VALUES)):
        table = part(numbers, name)[list(columns)].rename(columns=columns)
        tables.append(Table(title, records(table)))
    found = Part(figure.text(numbers).rpartition("\n\n")[2], tables)
    if write:
        PAGE.write_text(page(found, figure.headline(numbers)), "utf-8")
        VALUES.write_text(values_page(found), "utf-8")
        matplotlib_setup.save(figure.plot(numbers), PICTURE)
        print(f"  {PAGE}, {VALUES} and {PICTURE}: written", file=sys.stderr)
    return found


def page(found: Part, headline: str) -> str:
    """Return the page; every number in it is of the part."""
    processor, numpy = environment.machine()["processor"], environment.versions()["numpy"]
    said = "\n".join(prose(f"- {line}.") for line in headline.split(". "))
    verdicts, _ = found.tables
    return f"""# Which assumptions matter

*Written by `python -m benchmarks --only universality` on {date.today().isoformat()} ({processor}, NumPy {numpy}); every
number is from that run.*

The theorems have Gaussian data and weights, and ReLU. With other laws, and other activations of the hidden layer, is
the power of C in the ratio of off-diagonal to diagonal blocks the same? Is the constant? From which C on?

{said}

![Ratio over the exact theory against C](universality.png)

## Verdicts

{prose(" ".join(found.about.split()))}

{markdown(verdicts)}

[All values](numbers/universality.md), at every C, have a page of their own.

## Not measured

Squared loss, other widths, d and N, and two laws at a time that differ from the theorems'. Laws whose draws have too
heavy a tail are *not decided*.
"""


def values_page(found: Part) -> str:
    """Return the page of the values at every C."""
    return f"""# Which assumptions matter: all values

*Written by `python -m benchmarks --only universality`. [What they say](../universality.md).*

The ratio of off-diagonal to diagonal blocks with its standard error, and over the exact theory for Gaussian data and
weights, and ReLU, at the same sizes. A *heavy tail* is too heavy for the mean to be trusted.

{markdown(found.tables[1])}
"""
