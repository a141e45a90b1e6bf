"""Stores that have the draws of two points in parts."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import rmtsim
import rmtsim.store
import rmtsim.store.compact
import rmtsim.store.repeated_rows
import rmtsim.store.shards
from rmtsim.sampling.schema import KEY
from rmtsim.store import Store

LINEAR = rmtsim.Point("linear", "ce", 5, 12, 30)
HIDDEN = rmtsim.Point("one_hidden", "mse", 5, 12, 30, 3)
SPEC = {"name": "test", "grid": {"dim": [12]}}


def rows_of(draws: range, **options: object) -> pd.DataFrame:
    return pd.concat([rmtsim.simulate(point, draws, **{"seed": 7, **options}) for point in (LINEAR, HIDDEN)])


def store_of(place: Path | str, *parts: pd.DataFrame, spec: dict[str, object] = SPEC) -> Store:
    store = Store(place)
    with store.writer() as writer:
        writer.save_spec(str(spec["name"]), spec)
        for part in parts:
            writer.append(part, spec)
    return store


def snapshot(store: Store) -> dict[Path, tuple[int, int, bytes]]:
    paths = [path for path in Path(store.root).rglob("*") if path.is_file()]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def expected(stop: int) -> pd.DataFrame:
    return rows_of(range(stop)).sort_values(KEY, ignore_index=True)


def altered(rows: pd.DataFrame, **columns: object) -> pd.DataFrame:
    changed = rows.assign(**columns)
    changed.attrs = rows.attrs
    return changed
