"""Who alone has computed what: exactly, in little memory, and in bounded memory beyond that."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

import rmtsim
from rmtsim.store.coverage import Coverage, Series
from rmtsim.sweeps.batches import Batch
from rmtsim.sweeps.jobs import Place
from rmtsim.sweeps.sole_results import SoleResults

POINT = rmtsim.Point("one_hidden", "ce", 3, 4, 8, 2)
BATCH = Batch(POINT, range(2), ("hidden", "output"), 3, "numpy", "float64", "exact", 1, None)
PLACES = [Place(node, f"host-{node}", "10.0.0.1", pid) for node in "abc" for pid in (1, 2)]


def batch(start: int, stop: int) -> Batch:
    return replace(BATCH, draws=range(start, stop))


def draws(found: Coverage) -> set[int]:
    """Return the numbers of the draws, which are the same for both layers."""
    layers = [
        {draw for run in found.get(Series(POINT.id, 3, layer), ()) for draw in run} for layer in ("hidden", "output")
    ]
    assert layers[0] == layers[1]
    assert len(found) in (0, 2)
    return layers[0]


def test_what_places_have_computed_is_known_exactly() -> None:
    rng = np.random.default_rng(0)
    results, own = SoleResults(), {place: set[int]() for place in PLACES}
    for start in range(0, 3000, 3):
        place = PLACES[rng.integers(len(PLACES))]
        results.add(batch(start, start + 3), place)
        own[place] |= set(range(start, start + 3))
    assert draws(results.take(lambda place: place == PLACES[0])) == own[PLACES[0]]
    assert draws(results.take(lambda place: place.node == "b")) == own[PLACES[2]] | own[PLACES[3]]
    assert draws(results.take(lambda place: place.node == "b")) == set()  # they are forgotten
    assert draws(results.take(lambda place: True)) == own[PLACES[1]] | own[PLACES[4]] | own[PLACES[5]]


def test_beyond_the_bound_the_earliest_count_as_of_everyone(caplog: pytest.LogCaptureFixture) -> None:
    results = SoleResults(most=4)
    for k in range(6):
        results.add(batch(k, k + 1), PLACES[k % 2])
    [said] = caplog.messages
    assert (
        "who computed the batches before this one; should a node compute wrongly, all of these are made again" in said
    )
    assert draws(results.take(lambda place: place == PLACES[1])) == {0, 1, 2, 3, 5}
    assert draws(results.take(lambda place: place == PLACES[1])) == set()
    assert draws(results.take(lambda place: place == PLACES[0])) == {4}


def test_a_batch_takes_few_bytes() -> None:
    count, places = 5_000, PLACES[:2]
    of = [batch(2 * k, 2 * k + 2) for k in range(count)]
    tracemalloc.start()
    try:
        results = SoleResults()
        for k, one in enumerate(of):
            results.add(one, places[k % 2])
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 12 * count <= taken < 16 * count
    assert len(draws(results.take(lambda place: place == places[0]))) == count


def test_the_memory_is_bounded() -> None:
    results = SoleResults(most=100)
    for k in range(5000):
        results.add(batch(k, k + 1), PLACES[k % 2])
        assert results._count <= 100
    assert len(list(results._of_anyone[Series(POINT.id, 3, "hidden")])) == 1  # without gaps
