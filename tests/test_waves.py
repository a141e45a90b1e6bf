"""On a GPU, or its emulator: draws that need care, among others that do not, have the bits that they have alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rmtsim
from rmtsim.errors import InputError
from rmtsim.kernels.doubts import AT_ONCE, CarefulDoubts, NotedDoubts
from rmtsim.model.ensemble import Ensemble
from rmtsim.model.point import Point
from rmtsim.sampling.waves import Waves

#: At these gains some of sixteen draws have a sample with nearly all its probability in one class, or such a V.
FEW = Ensemble(last_gain=4.0)
POINTS = [Point("linear", "ce", 12, 20, 60, ensemble=FEW), Point("one_hidden", "ce", 12, 20, 60, 4, FEW)]
DRAWS = 16


class Calls(list[tuple[range, type, list[int]]]):
    """Of each time that draws were made: which, with what doubts, and the places of those that were in doubt."""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    seen, made = Calls(), Waves._made

    def noting(self: Waves, draws: range, doubts: Any, *arguments: Any) -> Any:
        found = made(self, draws, doubts, *arguments)
        seen.append((draws, type(doubts), found[1]))
        return found

    monkeypatch.setattr(Waves, "_made", noting)
    return seen


def simulated(point: Point, draws: int | range = DRAWS, **options: Any) -> pd.DataFrame:
    return rmtsim.simulate(point, draws, backend="cupy", **options)


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "weights"), [("float64", 1), ("float32", 3)])
@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.model)
def test_rare_draws_have_the_bits_of_any_other_wave(point: Point, dtype: str, weights: int, calls: Calls) -> None:
    options = {"dtype": dtype, "weights_per_draw": weights}
    whole = simulated(point, **options)
    (_, first, doubtful), *others = calls
    assert first is NotedDoubts
    assert 0 < len(doubtful) <= DRAWS // 2
    again = (
        [range(k, k + 1) for k in doubtful] if len(doubtful) <= 2 else [range(DRAWS)]
    )  # each alone where they are few
    assert others == [(draws, CarefulDoubts, []) for draws in again]
    for size in (1, 5):
        pd.testing.assert_frame_equal(simulated(point, batch=size, **options), whole, check_exact=True)
    for start in (doubtful[0], DRAWS // 2):  # at other places of a wave
        some = simulated(point, range(start, DRAWS), **options)
        there = whole[whole["draw"] >= start].reset_index(drop=True)
        pd.testing.assert_frame_equal(some, there, check_exact=True)


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "weights"), [("float64", 1), ("float32", 3)])
@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.model)
def test_draws_made_without_care_have_the_bits_of_those_with(
    point: Point, dtype: str, weights: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a wave that is asked about at once, in one that is made with care, and where nothing is made again."""
    options = {"dtype": dtype, "weights_per_draw": weights}
    whole, made = simulated(point, **options), Waves._made
    for kind in (AT_ONCE, None):

        def by_kind(self: Waves, draws: range, _: Any, *given: Any, kind: Any = kind) -> Any:
            return made(self, draws, kind or CarefulDoubts(), *given)

        monkeypatch.setattr(Waves, "_made", by_kind)
        pd.testing.assert_frame_equal(simulated(point, **options), whole, check_exact=True)
    monkeypatch.setattr(Waves, "_made", lambda self, *given: (made(self, *given)[0], []))
    careless = simulated(point, **options)  # negative control
    differs = (careless["diag_sqfro"] != whole["diag_sqfro"]) | (careless["offdiag_sqfro"] != whole["offdiag_sqfro"])
    differs &= whole["offdiag_sqfro"].notna() & whole["diag_sqfro"].notna()
    assert whole[differs]["draw"].nunique() <= DRAWS // 2
    assert differs.any() or weights > 1  # with several V, terms of pairs of classes need no care


@pytest.mark.gpu
def test_where_most_draws_are_in_doubt_waves_are_made_with_care(calls: Calls) -> None:
    point = replace(POINTS[0], ensemble=Ensemble(last_gain=100.0))
    whole = simulated(point, batch=4)
    first, *others = calls
    assert first[:2] == (range(4), NotedDoubts)
    assert others == [(range(k, k + 4), CarefulDoubts, []) for k in (0, 4, 8, 12)]
    calls.clear()
    pd.testing.assert_frame_equal(simulated(point, batch=16), whole, check_exact=True)


@pytest.mark.gpu
def test_a_draw_that_a_dtype_cannot_hold_is_refused_as_on_a_cpu() -> None:
    point = Point("linear", "ce", 12, 20, 60, ensemble=Ensemble(last_gain=1e5))
    for backend in ("numpy", "cupy"):
        with pytest.raises(InputError, match=r"logits reach .*, too much for float32; give dtype float64"):
            rmtsim.simulate(point, 3, backend=backend, dtype="float32")


@pytest.mark.gpu
@pytest.mark.parametrize("variance", [1e-6, 1e6])
@pytest.mark.parametrize("loss", ["ce", "mse"])
def test_powers_of_two_are_put_back_on_the_device(
    loss: str, variance: float, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the bits of the host."""
    ensemble = Ensemble(data_variance=variance, last_gain=1 / variance)
    points = [Point("linear", loss, 12, 20, 60, ensemble=ensemble), Point("one_hidden", loss, 12, 20, 60, 4, ensemble)]
    found = [simulated(point, 4) for point in points]
    assert [kind for _, kind, _ in calls] == [NotedDoubts, NotedDoubts]
    made = Waves._made
    monkeypatch.setattr(Waves, "_made", lambda self, draws, doubts, *given: made(self, draws, AT_ONCE, *given))
    for point, rows in zip(points, found, strict=True):
        assert rows["diag_sqfro"].dropna().gt(0).all()
        pd.testing.assert_frame_equal(simulated(point, 4), rows, check_exact=True)


def test_notes_say_which_draws_are_in_doubt() -> None:
    doubts, values = NotedDoubts(), np.arange(5.0)
    assert not doubts.arise(np.arange(10).reshape(5, 2) == 3, np)
    assert not doubts.outside(np.array([1.0, 1.0, np.nan, 1.0, 2.0]), np, above=0.0, below=2.0)
    assert not doubts.outside(values, np, above=-1.0)
    assert not doubts.arise(np.zeros((5, 2, 3), dtype=bool), np)
    doubts.powers(np.array([0.0, np.nan, 1.0, -1.0, 1.0]), 900)
    (found,), doubtful = doubts.fetch([values], np)
    assert found.tolist() == values.tolist()
    assert doubtful.tolist() == [False, True, True, False, True]
    for e, wrong in ((900, 0), (-900, 1)):
        doubts = NotedDoubts()
        doubts.powers(np.array([2.0**300, 2.0**-300]), e)
        assert doubts.fetch([np.zeros(2)], np)[1].tolist() == [wrong == 0, wrong == 1]


@pytest.mark.parametrize(("values", "outside"), [([1.0, 2.0], False), ([1.0, 3.0], True), ([0.0, 1.0], True)])
def test_doubts_are_asked_about_at_once(values: list[float], outside: bool) -> None:
    assert AT_ONCE.outside(np.array(values), np, above=0.0, below=3.0) is outside
    assert AT_ONCE.outside(np.array([*values, np.nan]), np, above=0.0, below=3.0)
    assert AT_ONCE.arise(np.array([outside, False]), np) is outside
