"""Stores of many points: what is done with draws is done for many points at once, and no point takes much memory."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rmtsim.cli import sweep_verbs
from rmtsim.cli.main import main
from rmtsim.sampling.schema import table_of
from rmtsim.store import Store
from rmtsim.store.core_time import CoreTimeSum, Taken
from rmtsim.sweeps.progress import draws_left
from rmtsim.sweeps.reading import read_states
from rmtsim.sweeps.spec import Spec, from_document
from rmtsim.sweeps.state import PointState, tallies_of
from rmtsim.sweeps.stored_points import StoredPoints
from rmtsim.sweeps.tallies import Moments, Tallies
from tests.synthetic import made_of, write_shards

LAYERS = ("hidden", "output", "cross")
DRAWS = 9


def spec_of(points: int, **sampling: Any) -> Spec:
    grid = {"n_classes": [*range(2, 2 + points)], "aspect_ratio": [0.5], "dim": [4], "width": [3]}
    ends = {"min_draws": 4, "max_draws": DRAWS, "target_rse": 0.05, **sampling}
    return from_document({"name": "many", "model": "one_hidden", "loss": "ce", "grid": grid, "sampling": ends})


def write(store: Store, spec: Spec, batches: list[range]) -> np.ndarray:
    """Write draws, a shard for each batch, with all points in it; return their values, (points, draws, layers, 4)."""
    points = spec.points()
    values = np.random.default_rng(0).lognormal(sigma=0.1, size=(len(points), DRAWS, len(LAYERS), 4))
    values[:, :, 2, 0] = np.nan  # which the cross layer lacks
    values[..., 2:] = 0
    of_points = list(zip(points, values, strict=True))
    shards = [
        [made_of(point, draws, LAYERS, of[draws.start : draws.stop]) for point, of in of_points] for draws in batches
    ]
    write_shards(store, spec, shards)
    return values


def of_state(state: PointState) -> tuple[object, ...]:
    return state.prefix, state.wanted, state.finished, state.precision, state.heavy_tail, list(state.missing())


@pytest.fixture
def additions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of how many points draws are added, call by call."""
    counts, real = list[int](), Tallies.add

    def counted(tallies: Tallies, rows: np.ndarray, values: np.ndarray) -> None:
        counts.append(len(rows))
        real(tallies, rows, values)

    monkeypatch.setattr(Tallies, "add", counted)
    return counts


@pytest.mark.parametrize(
    "batches",
    [[range(9)], [range(1), range(1, 5), range(5, 9)], [range(5, 7), range(4), range(4, 5), range(7, 9)]],
    ids=["at once", "in turn", "not in turn"],
)
def test_many_points_are_as_each_alone(tmp_path: Path, batches: list[range]) -> None:
    """To the bit: precision, tails, and where each ends."""
    spec, store = spec_of(40), Store(tmp_path / "s")
    values = write(store, spec, batches)
    alone = []
    for point, of in zip(spec.points(), values, strict=True):
        state = PointState(point, LAYERS, spec.sampling)
        for draw in range(DRAWS):
            state.add(draw, of[draw : draw + 1, :, :2])
        alone.append(of_state(state))
    assert [of_state(state) for state in read_states(spec, store)] == alone
    assert len({(prefix, finished) for prefix, _, finished, *_ in alone}) > 1  # they end at different draws


def test_draws_of_many_points_are_added_at_once(tmp_path: Path, additions: list[int]) -> None:
    spec, store = spec_of(50, max_draws=4), Store(tmp_path / "s")
    write(store, spec, [range(2), range(2, 4)])
    StoredPoints(store).refresh()
    assert additions == [50]  # the shards are small, and are taken in together
    additions.clear()
    gaps = Store(tmp_path / "gaps")
    write(gaps, spec, [range(1, 2), range(3, 4)])
    StoredPoints(gaps).refresh()
    assert additions == []  # negative control: these wait for the draws before them
    write(gaps, spec, [range(1), range(2, 3)])
    stored = StoredPoints(gaps)
    stored.refresh()
    assert stored.table()["draws"].tolist() == [4] * 50


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many points are looked at, call by call."""
    counts, real = list[int](), Tallies.moments

    def counted(tallies: Tallies, rows: np.ndarray) -> Moments:
        counts.append(len(rows))
        return real(tallies, rows)

    monkeypatch.setattr(Tallies, "moments", counted)
    return counts


def test_points_between_checkpoints_are_looked_at_together(tmp_path: Path, looks: list[int]) -> None:
    """And once, however many columns are made of it: those whose tails are too heavy, too."""
    spec, store = spec_of(20, min_draws=6), Store(tmp_path / "s")
    values = write(store, spec, [range(5)])
    stored = StoredPoints(store)
    stored.refresh()
    assert looks == []  # none is at its first checkpoint
    table = stored.table()
    assert looks == [20]
    stored.table()
    draws_left([*stored.sweeps[0][1].values()])
    assert looks == [20]
    alone = tallies_of(spec.points()[:1], LAYERS)
    alone.add(np.array([0]), values[:1, :5, :, :2])
    assert table["rse"][0] == alone.worst(0)[0]


def test_heavy_tails_are_found_once(looks: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    tallies = Tallies(LAYERS, [{}] * 5, [False])
    tallies.add(np.arange(5), np.random.default_rng(0).lognormal(size=(5, 8, 3, 2)))
    monkeypatch.setattr("rmtsim.sweeps.tallies._AT_ONCE", 2)
    for _ in range(2):
        assert all(len(tallies.heavy(k)) == 9 for k in range(5))
        assert looks == [2, 2, 1]


def test_memory_of_a_point(tmp_path: Path) -> None:
    """Two sizes tell what one point more takes: 2.4 KB are held, and 0.6 KB are needed while the table is made.

    With objects of its own for each sum, estimate and row of the table, a point took 5.6 KB and 1.4 KB.
    """
    held, needed = {}, {}
    for points in (200, 1000):
        store = Store(tmp_path / f"{points}")
        write(store, spec_of(points), [range(4), range(4, 9)])
        gc.collect()
        tracemalloc.start()
        stored = StoredPoints(store)
        stored.refresh()
        gc.collect()
        held[points] = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        assert len(stored.table()) == points
        needed[points] = tracemalloc.get_traced_memory()[1] - held[points]
        tracemalloc.stop()
    assert (held[1000] - held[200]) / 800 < 3500
    assert (needed[1000] - needed[200]) / 800 < 1000


def test_rows_are_laid_out_in_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in one of 23 columns for each point, of 100 KiB."""
    made, real = Counter[int](), pa.Table.from_pylist

    class Counting:
        from_arrays = pa.Table.from_arrays

        @staticmethod
        def from_pylist(rows: list[dict[str, Any]], **options: Any) -> pa.Table:
            made[len(rows)] += 1
            return real(rows, **options)

    some = [made_of(point, range(2), LAYERS, np.ones((2, 3, 4))) for point in spec_of(5).points()]
    expected = pa.concat_tables([table_of([one]) for one in some])
    monkeypatch.setattr("rmtsim.sampling.schema.pa.Table", Counting)
    assert table_of(some).combine_chunks().equals(expected.combine_chunks())
    assert made == {15: 1}


def test_status_says_how_many_points_it_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, store = spec_of(30, target_rse=1e-9), Store(tmp_path / "s")
    write(store, spec, [range(9)])
    assert main(["status", "--store", store.location]) == 4
    assert capsys.readouterr().out.count("\n  C = ") == 30
    monkeypatch.setattr(sweep_verbs, "_POINTS", 12)
    assert main(["status", "--store", store.location]) == 4
    out = capsys.readouterr().out
    assert out.count("\n  C = ") == 12
    assert "… and 18 points more; --model, --classes and --state choose, --json has all" in " ".join(out.split())
    assert main(["status", "--store", store.location, "--json"]) == 4
    assert len(json.loads(capsys.readouterr().out)["points"]) == 30
    assert main(["status", "--store", store.location, "--classes", "30"]) == 4
    assert "C = 30" in capsys.readouterr().out


def test_what_draws_took_is_summed_and_taken_out_again() -> None:
    first, second = {"a": Taken(2, 1.0), "b": Taken(1, 0.5)}, {"b": Taken(3, 1.5), "c": Taken(1, 4.0)}
    total = CoreTimeSum()
    packed = total.add(first)
    total.add(second)
    draws, seconds = total.of(["c", "b", "a", "none"])
    assert (draws.tolist(), seconds.tolist()) == ([1, 4, 2, 0], [4.0, 2.0, 1.0, 0.0])
    total.remove(packed)
    draws, seconds = total.of(["a", "b"])
    assert (draws.tolist(), seconds.tolist()) == ([0, 3], [0.0, 1.5])


def test_sums_of_what_draws_took_are_seldom_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for each shard, whether its points are known or new."""
    copies, real = list[int](), np.pad
    monkeypatch.setattr(np, "pad", lambda array, room: copies.append(len(array)) or real(array, room))
    total = CoreTimeSum()
    for k in range(200):
        total.add({f"{k - k % 2}": Taken(1, 0.5)})
    assert len(copies) <= 2 * 8
    assert total.of(["0", "198"])[0].tolist() == [2, 2]
