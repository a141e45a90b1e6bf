"""A small store of a sweep that grows shard by shard, with the time that its draws took."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import rmtsim
from rmtsim.store import Store
from rmtsim.store.core_time import CoreTime, Taken
from rmtsim.store.shards import Shard
from rmtsim.sweeps.spec import Spec, from_document
from rmtsim.sweeps.stored_points import StoredPoints


def spec_of(classes: list[int], name: str = "mine", **sampling: object) -> Spec:
    return from_document(
        {
            "name": name, "model": "linear", "loss": "ce",
            "grid": {"n_classes": classes, "aspect_ratio": [0.5], "dim": [12]},
            "sampling": {"min_draws": 4, "max_draws": 8, "target_rse": 1e-6, **sampling},
        }
    )  # fmt: skip


SPEC = spec_of([5, 6])
FIVE, SIX = SPEC.points()


def append(store: Store, *parts: tuple[rmtsim.Point, range], seconds: float | None = None, spec: Spec = SPEC) -> Shard:
    """Commit draws of points as one shard, each draw with a number of core-seconds, if any."""
    rows = pd.concat([rmtsim.simulate(point, draws, seed=spec.sampling.seed) for point, draws in parts])
    taken = CoreTime()
    for point, draws in parts if seconds is not None else ():
        taken.add(point.id, Taken(len(draws), len(draws) * (seconds or 0.0)))
    with store.writer() as writer:
        writer.save_spec(spec.name, spec.document())
        return writer.append(rows, spec.document(), taken)


def fresh(store: Store) -> pd.DataFrame:
    """Return the points as one sees them who reads the whole store."""
    stored = StoredPoints(store)
    stored.refresh()
    return stored.table()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with 4 draws of the first point, which took 2 core-seconds each."""
    store = Store(tmp_path / "s")
    append(store, (FIVE, range(4)), seconds=2.0)
    return store
