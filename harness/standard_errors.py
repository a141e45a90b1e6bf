"""Writes ``standard_errors.csv`` from the store of a `make reproduce`: python -m harness.standard_errors out/store.

The errors are relative ones of diag, offdiag and their ratio at C of 10 and more, with the number of draws; 0 where all
draws are equal by the model.
"""

from __future__ import annotations

import sys

import pandas as pd

from harness.claim_lines import ERRORS, SPECS
from rmtsim.stats.decay_fit import MIN_CLASSES
from rmtsim.stats.group_means import QUANTITIES
from rmtsim.stats.summary import summarize
from rmtsim.store import Store
from rmtsim.sweeps.spec import load


def standard_errors(store: Store) -> pd.DataFrame:
    """Return the table for the draws that a store has of ``SPECS``."""
    parts = []
    for spec in map(load, SPECS):
        rows = store.read(points={point.id for point in spec.points()})
        parts.append(summarize(rows[rows["layer"].isin(spec.layers)]))
    means = pd.concat(parts)
    columns = {f"rse_{quantity}": quantity for quantity in QUANTITIES}
    kept = ["model", "loss", "layer", "aspect_ratio", "n_classes", "draws", *columns]
    return means.loc[means["n_classes"] >= MIN_CLASSES, kept].rename(columns=columns)


if __name__ == "__main__":
    standard_errors(Store(sys.argv[1])).to_csv(ERRORS, index=False, float_format="%.3g")
