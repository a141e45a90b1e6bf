"""Several V for the same X and W, all at once, against one after the other."""

from __future__ import annotations

import tracemalloc
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import rmtsim
from rmtsim.arrays.backend import to_numpy
from rmtsim.arrays.threads import ONE_THREAD, ThreadTeam
from rmtsim.kernels import cost, network_norms
from rmtsim.kernels.classes import GivenRows
from rmtsim.kernels.cost import flops, normals, pairs_of_classes, point_tiling, restricts_pairs, weights_at_once
from rmtsim.kernels.memory import BASE, memory
from rmtsim.kernels.network_norms import Networks, compute
from rmtsim.kernels.tiling import Tiling, with_span
from rmtsim.model.models import model_with
from rmtsim.model.point import Point
from tests.cases import CASES, IDS, problem

WHOLE = Tiling(tile=100, largest=100, chunk=100, span=1, hold=True)
TILES = Tiling(tile=4, largest=4, chunk=2, span=100, hold=False)
COUNT = 5
Found = dict[str, np.ndarray]


def several(
    size: tuple, loss: str, xp: ModuleType, cut: Tiling, team: ThreadTeam = ONE_THREAD, scale: float = 1.0
) -> tuple[Found, Found]:
    """Return the norms of two draws with several V each, and the means over one V after the other."""
    drawn = [[problem(size, loss, seed=10 * draw + r, scale=scale) for r in range(COUNT)] for draw in range(2)]
    X, W, y = (
        None if getattr(drawn[0][0], name) is None else xp.asarray(np.stack([of[0]._asdict()[name] for of in drawn]))
        for name in ("X", "W", "y")
    )
    last = [GivenRows(xp.asarray(np.stack([of[r].V for of in drawn]))) for r in range(COUNT)]
    layers = model_with(size[3]).layer_names

    def values(some: list[GivenRows]) -> Found:
        found = {}
        for name, asked in {"": layers, " alone": tuple({"hidden"} & set(layers))}.items():
            norms = compute(Networks(X, some, W, y, loss, asked, xp, tiling=cut, team=team))
            found |= {layer + name: np.array([to_numpy(value) for value in norms[layer]]) for layer in asked}
        return found

    one = [values([V]) for V in last]
    return values(last), {layer: np.mean([of[layer] for of in one], axis=0) for layer in layers}


def fit_in_a_chunk(n_classes: int, inputs: int, n_samples: int, tiling: Tiling, weights: int) -> bool:
    return weights > 1 and 1 < n_classes <= tiling.chunk


@pytest.fixture(params=["as it is", "pairs", "small groups"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param != "as it is":
        monkeypatch.setattr(network_norms, "restricts_pairs", lambda *_: True)
    if request.param == "pairs":
        monkeypatch.setattr(network_norms, "pairs_of_classes", fit_in_a_chunk)
    if request.param == "small groups":
        monkeypatch.setattr(network_norms, "pairs_of_classes", lambda *_: False)
        few = [[range(2), range(2, 3)], [range(3, COUNT)]]
        monkeypatch.setattr(
            network_norms, "weights_at_once", lambda *sizes: few if sizes[-1] == COUNT else [[range(1)]]
        )
    return str(request.param)


@pytest.mark.parametrize("cut", [WHOLE, TILES], ids=["whole", "tiles"])
@pytest.mark.parametrize(("size", "loss"), CASES, ids=IDS)
def test_means_are_those_of_one_after_the_other(size: tuple, loss: str, cut: Tiling, way: str) -> None:
    found, expected = several(size, loss, np, cut)
    for layer in expected:
        np.testing.assert_allclose(found[layer], expected[layer], rtol=1e-13, atol=1e-30, err_msg=layer)
        assert found[layer].shape == (2, 2)


@pytest.mark.parametrize("loss", ["ce", "mse"])
def test_other_array_modules(loss: str, xp: ModuleType, way: str) -> None:
    found, expected = several((5, 4, 9, 3), loss, xp, TILES)
    for layer in expected:
        np.testing.assert_allclose(found[layer], expected[layer], rtol=1e-13, err_msg=layer)


def test_saturated_samples_of_some_V(way: str) -> None:
    found, expected = several((4, 5, 30, 3), "ce", np, TILES, scale=6.0)
    for layer in expected:
        np.testing.assert_allclose(found[layer], expected[layer], rtol=1e-11, err_msg=layer)


def test_values_do_not_depend_on_memory_or_threads(way: str) -> None:
    size, cut = (5, 6, 30, 4), Tiling(tile=8, largest=8, chunk=2, span=4, hold=True)
    whole, _ = several(size, "ce", np, cut)
    with ThreadTeam(2) as team:
        for other in (with_span(cut, 1), with_span(cut, 2), cut):
            found, _ = several(size, "ce", np, other, team)
            for layer in whole:
                np.testing.assert_array_equal(found[layer], whole[layer])


def test_estimated_terms_are_estimated_for_each_V() -> None:
    p = problem((40, 8, 9, None), "ce")
    last = [GivenRows(problem((40, 8, 9, None), "ce", seed).V[None]) for seed in range(3)]

    def values(some: list[GivenRows]) -> np.ndarray:
        cut = Tiling(tile=4, largest=4, chunk=4, span=9, hold=False)
        draws = Networks(p.X[None], some, None, None, "ce", ("linear",), np, tiling=cut, team=ONE_THREAD)
        return np.ravel(compute(draws, sampled_classes=8)["linear"])

    together, one = values(last), np.array([values([V]) for V in last])
    np.testing.assert_allclose(together[:2], one[:, :2].mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(together[2:], np.sqrt((one[:, 2:] ** 2).sum(axis=0)) / 3, rtol=1e-13)


def test_every_V_is_in_one_group(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_GROUP_NUMBERS", "_BUNDLE_NUMBERS"):
        monkeypatch.setattr(cost, name, getattr(cost, name) // 16)
    for layers in (("hidden",), ("hidden", "output"), ("output",)):
        for count in (1, 2, 7, 100):
            bundles = weights_at_once(
                10, 9, 1000, 8, layers, point_tiling(Point("one_hidden", "ce", 10, 9, 1000, 8)), count
            )
            assert [r for bundle in bundles for some in bundle for r in some] == list(range(count))


def test_a_further_V_costs_little() -> None:
    """At the sizes of the paper's figures: what depends on X is made once, and K is restricted to active samples."""
    point = Point("one_hidden", "ce", 10, 500, 1000, 8)
    assert restricts_pairs(500, 1000, 8, 16)
    assert not restricts_pairs(500, 1000, 8, 1)
    assert not restricts_pairs(20, 1000, 8, 16)  # features are few
    assert not restricts_pairs(500, 20, 8, 16)  # calls cost more than products
    one, many = (flops(point, ("hidden",), weights=count) for count in (1, 101))
    assert (many - one) / 100 < one / 30
    assert normals(point, ("hidden",), weights=101) - normals(point, ("hidden",)) == 100 * 10 * 8
    cut = point_tiling(point)
    assert pairs_of_classes(2, 500, 1000, cut, 16)
    assert pairs_of_classes(20, 8, 1000, cut, 16)
    assert not pairs_of_classes(2, 500, 1000, cut, 1)
    for many in (64, 65, 1000):
        assert not pairs_of_classes(many, 500, 1000, cut, 16)
    two = Point("linear", "ce", 2, 500, 1000)
    one, many = (flops(two, ("linear",), weights=count) for count in (1, 101))
    assert (many - one) / 100 < one / 50
    linear = Point("linear", "ce", 1000, 50, 100)
    assert flops(linear, ("linear",), weights=3) < 3 * flops(linear, ("linear",))


HELD: list[tuple[Point, tuple[str, ...], int]] = [
    (Point("one_hidden", "ce", 20, 60, 700, 5), ("hidden",), 60),
    (Point("one_hidden", "ce", 20, 20, 700, 5), ("hidden", "output"), 30),
    (Point("one_hidden", "ce", 20, 40, 300, 3), ("cross",), 6),
    (Point("linear", "ce", 300, 60, 200), ("linear",), 10),
    (Point("linear", "ce", 8, 60, 300), ("linear",), 40),
    (Point("one_hidden", "ce", 10, 20, 300, 4), ("output",), 40),
]


@pytest.mark.parametrize(("point", "layers", "weights"), HELD, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_memory_is_bounded_by_its_estimate(point: Point, layers: tuple[str, ...], weights: int, dtype: str) -> None:
    options = {"dtype": dtype, "layers": layers, "threads": 1, "weights_per_draw": weights}
    rows = rmtsim.simulate(point, 1, batch=1, **options)  # caches fill
    for cut in (point_tiling(point), with_span(point_tiling(point), 1)):
        estimate = memory(point, layers, dtype, cut, weights=weights)
        tracemalloc.start()
        found = rmtsim.simulate(point, 1, batch=1, memory=BASE + estimate, **options)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert 0.15 * estimate < peak < 1.05 * estimate
        assert found.equals(rows)  # to the bit


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [(100, 20, 600, 4), (40, 4, 200, 3)])
def test_hidden_rows_do_not_depend_on_the_layers_beside_them(size: tuple, dtype: Any) -> None:
    """The digits are all the same, although other layers make for smaller groups of V."""
    point = Point("one_hidden", "ce", *size)
    tiling, layers = point_tiling(point), model_with(size[3]).layer_names
    groups = [weights_at_once(*size, asked, tiling, 6) for asked in (layers, ("hidden",))]
    assert size[0] < 100 or groups[0] != groups[1]
    together, alone = (
        rmtsim.simulate(point, 2, weights_per_draw=6, dtype=dtype, layers=asked) for asked in (layers, ("hidden",))
    )
    values = ["diag_sqfro", "offdiag_sqfro"]
    np.testing.assert_array_equal(together.loc[together["layer"] == "hidden", values], alone[values])
