"""Other laws of weights: uniform and orthogonal ones."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

import rmtsim
from rmtsim import Ensemble, Point
from rmtsim.kernels.cost import point_tiling
from rmtsim.kernels.memory import memory
from rmtsim.sampling.draws import sample
from rmtsim.sampling.weight_rows import weight_rows
from tests.laws import MOST, distance

SIZES = [(3, 9), (9, 9), (15, 9), (40, 9), (1, 4), (4, 1), (300, 20)]


@pytest.mark.parametrize("size", SIZES)
def test_orthogonal_weights_are_orthogonal(size: tuple[int, int]) -> None:
    rows, columns = size
    V = weight_rows("orthogonal", "key", range(3), size, 0.25, dtype="float64", xp=np).all()
    gram = V @ V.mT if rows <= columns else V.mT @ V
    expected = 0.25 * max(size) * np.eye(min(size))
    np.testing.assert_allclose(gram, np.broadcast_to(expected, gram.shape), atol=1e-13 * max(size))
    assert np.mean(V**2) == pytest.approx(0.25, rel=1e-12)
    G = weight_rows("gaussian", "key", range(3), size, 0.25, dtype="float64", xp=np).all()
    assert np.abs((G @ G.mT if rows <= columns else G.mT @ G) - expected).max() > 0.1  # negative control


@pytest.mark.parametrize("size", [(3, 5), (5, 4), (24, 6)])
def test_orthogonal_weights_know_no_direction(size: tuple[int, int]) -> None:
    """An entry is a coordinate of a uniform point of the sphere in max(C, d) dimensions, times a constant."""
    V = weight_rows("orthogonal", "key", range(4000), size, 1.0, dtype="float64", xp=np).all()
    n = max(size)
    for i, j in ((0, 0), (size[0] - 1, size[1] - 1), (0, size[1] - 1)):
        assert distance(V[:, i, j], 0.0) < MOST
        assert distance(V[:, i, j] ** 2, 1.0) < MOST
        assert distance(V[:, i, j] ** 4, 3 * n / (n + 2)) < MOST
        assert n > 10 or distance(V[:, i, j] ** 4, 3.0) > MOST  # negative control: a normal
    rng = np.random.default_rng(0)
    raw = np.array([np.linalg.qr(rng.standard_normal((5, 4)))[0][0, 0] for _ in range(2000)])
    assert distance(raw, 0.0) > 20  # negative control: without the signs of R


def test_rows_of_orthogonal_weights_do_not_depend_on_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmtsim.sampling.weight_rows._PIECE_NUMBERS", 2**9)
    for size in ((20, 7), (200, 7), (6, 7)):
        V = weight_rows("orthogonal", "key", range(2), size, 2.0, dtype="float64", xp=np)
        whole = V.all()
        for start, stop in ((0, 1), (3, 6), (0, size[0]), (size[0] - 1, size[0])):
            again = weight_rows("orthogonal", "key", range(2), size, 2.0, dtype="float64", xp=np)
            np.testing.assert_array_equal(again.rows(slice(start, stop)), whole[:, start:stop])
        np.testing.assert_array_equal(V.draw((1,)).all(), whole[1])
        assert not np.allclose(V.other("2").all(), whole)


def test_uniform_weights_are_bounded_and_have_the_variance() -> None:
    """With gains of 1/3 they are what PyTorch draws by default: uniform in ±1/√fan_in."""
    ensemble = Ensemble(weights="uniform", last_gain=1 / 3, hidden_gain=1 / 3)
    drawn = sample(Point("one_hidden", "mse", 30, 40, 5, 20, ensemble), range(40), 3, dtype="float64", xp=np)
    assert drawn.W is not None
    for weights, fan_in in ((drawn.W, 40), (drawn.V.all(), 20)):
        bound = 1 / math.sqrt(fan_in)
        assert 0.999 * bound < np.abs(weights).max() <= bound
        assert distance(weights.ravel() ** 2, 1 / (3 * fan_in)) < MOST
        assert distance(weights.ravel() ** 2, 1 / fan_in) > MOST  # negative control: without the gains


@pytest.mark.parametrize("n_classes", [300, 1500])
def test_what_orthogonal_weights_hold_is_counted(n_classes: int) -> None:
    point = Point("linear", "ce", n_classes, 300, 40, ensemble=Ensemble(weights="orthogonal"))
    counted, of_gaussian = (
        memory(one, ("linear",), "float64", point_tiling(one)) for one in (point, replace(point, ensemble=Ensemble()))
    )
    rmtsim.simulate(point, 1, threads=1)  # what is loaded once
    tracemalloc.start()
    try:
        rmtsim.simulate(point, 1, threads=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < counted
    assert n_classes > 300 or peak > of_gaussian  # negative control: as if they were normal
