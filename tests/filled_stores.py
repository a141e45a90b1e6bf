"""Stores of one point that are filled in parts."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import rmtsim
from rmtsim.store import Store
from rmtsim.store.verify import verify

POINT = rmtsim.Point("linear", "ce", 5, 12, 30)
SPEC = {"name": "test"}


def rows_of(draws: range) -> pd.DataFrame:
    return rmtsim.simulate(POINT, draws, seed=7)


def fill(place: Path | str, *parts: range) -> Store:
    store = Store(place)
    with store.writer() as writer:
        writer.save_spec("test", SPEC)
        for part in parts:
            writer.append(rows_of(part), SPEC)
    return store


def holds(store: Store, draws: int) -> None:
    """Check that the store holds the first draws, each once, and nothing else."""
    pd.testing.assert_frame_equal(store.read(), rows_of(range(draws)), check_exact=True)
    assert verify(store).findings == []
