"""Draws of a store point by point: what needs all draws of a point, and no more, holds no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import rmtsim
from rmtsim.cli.main import main
from rmtsim.errors import InputError
from rmtsim.store import Store
from rmtsim.store.coverage import Coverage, RangeSet, Series
from rmtsim.store.shards import OpenShard, Shard
from rmtsim.store.whole_points import whole_points
from rmtsim.store.withdraw import withdraw
from rmtsim.sweeps.spec import Spec, from_document
from tests.synthetic import made_of, write_shards

POINTS = 8


def spec_of(draws: int) -> Spec:
    grid = {"n_classes": [*range(10, 10 + POINTS)], "aspect_ratio": [0.5], "dim": [4]}
    ends = {"min_draws": draws, "max_draws": draws}
    return from_document({"name": "wide", "model": "linear", "loss": "mse", "grid": grid, "sampling": ends})


def write(store: Store, draws: int, shards: int = 4) -> Store:
    """Write draws of all points, in shards that have some of each."""
    spec, rng = spec_of(draws), np.random.default_rng(0)
    made = []
    for some in np.array_split(np.arange(draws), shards):
        values = np.zeros((POINTS, len(some), 1, 4))
        values[..., 0, 0] = rng.lognormal(0, 0.1, (POINTS, len(some)))
        numbers = range(int(some[0]), int(some[-1]) + 1)
        made.append([made_of(point, numbers, ["linear"], of) for point, of in zip(spec.points(), values, strict=True)])
    return write_shards(store, spec, made)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write(Store(tmp_path_factory.mktemp("whole") / "s"), 100)


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two points in a part, and four at a time."""
    monkeypatch.setattr("rmtsim.store.whole_points.ROWS", 200)
    monkeypatch.setattr("rmtsim.store.whole_points.HELD", 400)


def test_parts_are_whole_points_in_order(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, real = list[str](), Shard.open

    def opening(shard: Shard) -> OpenShard:
        opened.append(shard.name)
        return real(shard)

    monkeypatch.setattr(Shard, "open", opening)
    [whole] = whole_points(store)
    pd.testing.assert_frame_equal(whole, store.read())
    assert len(opened) == 2 * 4  # once each, and once for `read`
    opened.clear()
    monkeypatch.setattr("rmtsim.store.whole_points.ROWS", 250)
    assert [len(part) for part in whole_points(store)] == [200] * 4
    assert len(opened) == 4
    opened.clear()
    monkeypatch.setattr("rmtsim.store.whole_points.HELD", 799)
    parts = [*whole_points(store)]
    assert len(opened) == 3 * 4  # once to count, and twice for two turns
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole)


def test_points_that_go_while_the_store_is_read_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those that a writer takes out between the count and a turn."""
    store = write(Store(tmp_path / "s"), 20, shards=1)
    monkeypatch.setattr("rmtsim.store.whole_points.ROWS", 20)
    monkeypatch.setattr("rmtsim.store.whole_points.HELD", 40)
    parts = whole_points(store)
    held = [next(parts)]
    with store.writer() as writer:
        writer.remove([shard.name for shard in store.shards()])
    held += parts
    assert [len(part) for part in held] == [20, 20]  # of the turn that was read
    write(store, 20, shards=1)
    parts, points = whole_points(store), sorted(point.id for point in spec_of(20).points())
    next(parts)
    gone = Coverage()
    for point in points[3:]:
        gone.setdefault(Series(point, 0, "linear"), RangeSet()).add(range(20))
    with store.writer() as writer:
        withdraw(store, writer, gone)
    assert [part["point_id"].unique().tolist() for part in parts] == [[points[1]], [points[2]]]


@pytest.mark.usefixtures("in_parts")
def test_fits_and_summaries_are_those_of_all_draws_together(store: Store) -> None:
    """To the last bit."""
    draws = store.draws()
    assert rmtsim.fit(store).document() == rmtsim.fit(draws).document()
    pd.testing.assert_frame_equal(rmtsim.summarize(store), rmtsim.summarize(draws), check_exact=True)


def test_verbs_write_the_same_in_parts(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def outputs(name: str) -> tuple[str, bytes]:
        assert main(["fit", "--store", str(store.root), "--points", "--where", "n_classes != 12"]) == 0
        assert main(["export", "--store", str(store.root), "--sweep", "wide", "--out", name]) == 0
        return capsys.readouterr().out, Path(name).read_bytes()

    whole = outputs("whole.csv")
    monkeypatch.setattr("rmtsim.store.whole_points.ROWS", 200)
    monkeypatch.setattr("rmtsim.store.whole_points.HELD", 400)
    assert outputs("parts.csv") == whole


def test_memory_does_not_grow_with_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three times the rows as much is held, if a turn is as large; if all rows are one turn, three times as much."""
    few, many = (write(Store(tmp_path / str(n)), 100 * n, shards=n) for n in (5, 15))

    def held(store: Store) -> int:
        before = int(pa.total_allocated_bytes())
        return max(int(pa.total_allocated_bytes()) - before for _ in whole_points(store))

    assert held(many) > 2 * held(few)  # negative control
    monkeypatch.setattr("rmtsim.store.whole_points.ROWS", 1500)
    monkeypatch.setattr("rmtsim.store.whole_points.HELD", 3000)
    assert held(many) < 1.5 * held(few)


def test_an_empty_store_and_none_are_told_apart(tmp_path: Path) -> None:
    empty = Store(tmp_path / "empty")
    with empty.writer():
        pass
    for store, why in ((empty, "no rows"), (Store(tmp_path / "none"), "there is no folder")):
        for function in (rmtsim.summarize, rmtsim.fit):
            call: Any = function
            with pytest.raises(InputError, match=why):
                call(store)
