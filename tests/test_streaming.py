"""Cutting a draw into chunks of classes, tiles of samples and blocks of tiles changes nothing but rounding.

And of these only the pieces themselves do: what is held at once, and who computes it, changes no bit.
"""

from __future__ import annotations

import time
import tracemalloc
from types import ModuleType

import numpy as np
import pytest

import rmtsim
from rmtsim.arrays.threads import ThreadTeam
from rmtsim.kernels import precision, probabilities
from rmtsim.kernels.classes import GivenRows, Rows
from rmtsim.kernels.cost import point_tiling
from rmtsim.kernels.hidden_layer import gram_of_neurons
from rmtsim.kernels.memory import BASE, fitting_tiling, memory
from rmtsim.kernels.network_norms import Networks, Norms, compute
from rmtsim.kernels.pairs import pairs_of
from rmtsim.kernels.tiling import Tiling, tiling, with_span
from rmtsim.model.models import model_with
from rmtsim.model.point import Point
from rmtsim.sampling.random_rows import RandomRows
from rmtsim.text.sizes import format_bytes, parse_bytes
from tests.cases import CASES, IDS, Problem, problem
from tests.explicit_norms import explicit

ONE_THREAD = ThreadTeam(1)


def measured(
    p: Problem, xp: ModuleType, cut: Tiling, team: ThreadTeam = ONE_THREAD, lead: bool = False
) -> dict[str, tuple]:
    arrays = (None if a is None else xp.asarray(a[None] if lead else a) for a in (p.X, p.V, p.W, p.y))
    X, V, W, y = arrays
    layers = model_with(None if W is None else 1).layer_names
    found = compute(Networks(X, [GivenRows(V)], W, y, p.loss, layers, xp, tiling=cut, team=team))
    return {layer: tuple(float(value[0] if lead else value) for value in norms) for layer, norms in found.items()}


def linear_norms(X: np.ndarray, V: Rows, cut: Tiling, team: ThreadTeam = ONE_THREAD) -> Norms:
    """Return the norms of the linear model with cross-entropy."""
    return compute(Networks(X, [V], None, None, "ce", ("linear",), np, tiling=cut, team=team))["linear"]


CUTS = {
    "tiles": Tiling(tile=3, largest=3, chunk=100, span=100, hold=True),
    "chunks": Tiling(tile=100, largest=100, chunk=2, span=1, hold=False),
    "chunks held": Tiling(tile=100, largest=100, chunk=2, span=1, hold=True),
    "all": Tiling(tile=4, largest=4, chunk=2, span=2, hold=False),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize(("size", "loss"), CASES, ids=IDS)
def test_pieces_give_the_whole(size: tuple, loss: str, cut: Tiling, xp: ModuleType) -> None:
    p = problem(size, loss)
    values, expected = measured(p, xp, cut, lead=True), explicit(p)
    for layer in expected:
        np.testing.assert_allclose(values[layer], expected[layer], rtol=1e-12, atol=1e-30, err_msg=layer)


@pytest.mark.parametrize("size", [(7, 30, 23, None), (7, 3, 40, None), (9, 12, 23, 4)])
@pytest.mark.parametrize("loss", ["ce", "mse"])
def test_what_is_held_and_who_computes_change_no_bit(size: tuple, loss: str) -> None:
    p = problem(size, loss)
    whole = tiling(100, 1, 23)
    cut = Tiling(tile=4, largest=4, chunk=2, span=100, hold=False)
    expected = measured(p, np, cut)
    with ThreadTeam(3) as team:
        for span in (1, 2, 3, 6):
            for hold in (False, True):
                held = Tiling(4, 4, 2, span, hold)
                np.testing.assert_equal(measured(p, np, held), expected)
                np.testing.assert_equal(measured(p, np, held, team), expected)
    other = measured(p, np, Tiling(whole.tile, whole.largest, 3, 1, False))
    assert other != expected or loss == "mse"  # another chunk is another sum


def test_what_is_held_changes_no_bit_of_draws_of_one_tile() -> None:
    """Of the samples that a neuron lets through, too: products of other numbers of rows have other bits."""
    for C, d, N, m in ((10, 17, 200, 33), (30, 5, 90, 7)):
        point = Point("one_hidden", "ce", C, d, N, m)
        least = BASE + memory(point, point.layers, "float64", with_span(point_tiling(point), 1))
        whole = rmtsim.simulate(point, 3)
        assert rmtsim.simulate(point, 3, memory=least, batch=1).equals(whole)


def test_every_pair_of_tiles_is_in_one_block() -> None:
    for n_tiles in (1, 2, 5, 8):
        for span in (1, 2, 3, 8):
            blocks = Tiling(4, 4, 2, span, False).blocks(n_tiles)
            pairs = [pair for block in blocks for pair in block]
            assert sorted(pairs) == [(i, j) for i in range(n_tiles) for j in range(i + 1)]
            seen: set[int] = set()
            for block in blocks:  # a tile's normalisation is known before it is used
                seen |= {i for i, j in block if i == j}
                assert {tile for pair in block for tile in pair} <= seen


@pytest.mark.parametrize("width", [None, 3])
def test_logits_that_grow_along_the_classes(width: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first chunk's largest logit lies far below the last's: exp would overflow with the first as the shift."""
    p = problem((6, 5, 8, width), "ce", scale=0.3)
    ramp = np.array([0.0, 0.0, 0.2, 0.4, 3.0, 3.0])  # two classes lead, so probabilities do not saturate
    features = p.X if p.W is None else np.maximum(p.X @ p.W.T, 0)
    direction = features.mean(axis=0)
    p = p._replace(V=p.V + 400 * ramp[:, None] * direction / (direction @ direction))
    values, expected = measured(p, np, CUTS["all"], lead=True), explicit(p)
    for layer in expected:
        assert np.isfinite(expected[layer][1])
        np.testing.assert_allclose(values[layer], expected[layer], rtol=1e-9, err_msg=layer)
    monkeypatch.setattr(probabilities, "_SLACK", np.inf)
    with pytest.warns(RuntimeWarning):
        plain = measured(p, np, CUTS["all"], lead=True)
    assert not np.isfinite(next(iter(plain.values()))).all()


def test_a_draw_with_large_logits_does_not_touch_the_others_of_its_batch() -> None:
    calm, wild = problem((6, 5, 8, None), "ce", 1, scale=0.3), problem((6, 5, 8, None), "ce", 2, scale=300.0)
    X, V = (np.stack([getattr(p, key) for p in (calm, wild)]) for key in "XV")
    together = linear_norms(X, GivenRows(V), CUTS["all"])
    for b, p in enumerate((calm, wild)):
        alone = measured(p, np, CUTS["all"])["linear"]
        assert tuple(value[b] for value in together) == alone


@pytest.mark.parametrize("name", CUTS)
def test_saturated_softmax_in_pieces(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    p = problem((3, 5, 8, None), "ce", scale=12.0)
    expected = explicit(p)["linear"]
    np.testing.assert_allclose(measured(p, np, CUTS[name])["linear"], expected, rtol=1e-12)
    monkeypatch.setattr(precision, "_DOMINATED", 0.0)
    assert abs(measured(p, np, CUTS[name])["linear"][1] / expected[1] - 1) > 1e-12


def test_rows_of_a_stream_do_not_depend_on_the_chunk() -> None:
    for columns in (3, 200, 1000, 70_000):
        V = RandomRows("key", range(2), (40 if columns > 10_000 else 1500, columns), 2.0, dtype="float64", xp=np)
        whole = V.all()
        for chunk in (1, 7, 64, 512):
            starts = range(0, whole.shape[1], chunk) if chunk > 1 else (0, 5, whole.shape[1] - 1)
            for start in starts:
                stop = min(start + chunk, whole.shape[1])
                assert np.array_equal(V.rows(slice(start, stop)), whole[:, start:stop])
        with ThreadTeam(3) as team:
            made = RandomRows("key", range(2), V.shape[1:], 2.0, dtype="float64", xp=np, team=team)
            assert np.array_equal(made.all(), whole)
            assert np.array_equal(made.draw((1,)).rows(slice(3, 9)), whole[1, 3:9])


LARGE = [
    (Point("linear", "ce", 3000, 60, 1100), ("linear",)),
    (Point("linear", "ce", 20_000, 200, 300), ("linear",)),
    (Point("linear", "ce", 700, 8, 3000), ("linear",)),
    (Point("one_hidden", "ce", 3000, 60, 1100, 5), ("hidden", "output")),
    (Point("one_hidden", "ce", 700, 60, 1100, 3), ("cross",)),
    (Point("one_hidden", "mse", 700, 60, 1100, 3), ("hidden", "output", "cross")),
    (Point("one_hidden", "mse", 1000, 20, 20, 100), ("hidden",)),  # with many neurons
    (Point("one_hidden", "ce", 1000, 20, 40, 100), ("hidden",)),
]


@pytest.mark.parametrize(("point", "layers"), LARGE, ids=[f"{p.model}-{p.loss}-C{p.n_classes}" for p, _ in LARGE])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_memory_is_bounded_by_its_estimate(point: Point, layers: tuple[str, ...], dtype: str) -> None:
    """What NumPy takes at its peak is below the estimate and no tiny part of it; with a small budget it is less."""
    rmtsim.simulate(point, 1, dtype=dtype, layers=layers, threads=1)  # caches fill
    whole = point_tiling(point)
    least = with_span(whole, 1)
    peaks, rows = [], []
    for cut in (whole, least):
        estimate = memory(point, layers, dtype, cut)
        tracemalloc.start()
        found = rmtsim.simulate(point, 1, dtype=dtype, layers=layers, threads=1, memory=BASE + estimate)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        rows.append(found)
        assert 0.2 * estimate < peaks[-1] < 1.05 * estimate
    assert rows[0].equals(rows[1])  # to the bit
    if memory(point, layers, dtype, least) < 0.5 * memory(point, layers, dtype, whole):
        assert peaks[1] < 0.7 * peaks[0]


def test_memory_does_not_grow_with_the_classes() -> None:
    few, many = (
        memory(p, ("linear",), "float32", point_tiling(p))
        for p in (Point("linear", "ce", C, 512, 512) for C in (20_000, 10**6))
    )
    assert few == many < 64 * 2**20


def test_the_gram_of_neurons_holds_no_chunk_but_one() -> None:
    """What it holds does not grow with the number of chunks, which may be thousands."""
    cut = Tiling(tile=64, largest=64, chunk=8, span=1, hold=False)
    peaks = []
    for chunks in (4, 200):
        V = np.random.default_rng(0).normal(size=(8 * chunks, 40))
        tracemalloc.start()
        found = gram_of_neurons(GivenRows(V), cut, np)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        np.testing.assert_allclose(found[0], (V.T @ V)[pairs_of(40)], atol=1e-11)
    assert peaks[1] < 1.1 * peaks[0]


def test_twenty_thousand_samples_fit() -> None:
    point = Point("linear", "ce", 1000, 10_000, 20_000)
    whole, cut = point_tiling(point), fitting_tiling(point, ("linear",), "float32", 3 * 2**30)
    assert cut.span < whole.span
    assert BASE + memory(point, ("linear",), "float32", cut) < 3 * 2**30
    assert (cut.tile, cut.chunk) == (whole.tile, whole.chunk)


def test_a_draw_that_cannot_fit_is_refused() -> None:
    point = Point("linear", "ce", 10, 10**5, 10**6)
    with pytest.raises(rmtsim.InputError, match=r"needs .* GiB, Python included, and there are .*give smaller sizes"):
        rmtsim.simulate(point, 1)
    with pytest.raises(rmtsim.InputError, match="and there are 100 MiB"):
        rmtsim.simulate(Point("linear", "ce", 10, 10, 10), 1, memory="100MiB")


@pytest.mark.parametrize("memory", ["10XB", "-1GiB", "", "0", 0, -5, True, float("nan"), float("inf"), [1]])
def test_sizes_that_are_none(memory: object) -> None:
    for call in (
        lambda: rmtsim.simulate(Point("linear", "ce", 3, 4, 5), 1, memory=memory),
        lambda: rmtsim.block_norms(np.ones((5, 4)), np.ones((3, 4)), memory=memory),
    ):
        with pytest.raises(rmtsim.InputError, match="is not a valid size; give"):
            call()


def test_sizes_as_people_write_them() -> None:
    sizes = {"1.5GiB": 1.5 * 2**30, "800MB": 8e8, "4G": 4e9, "512 mib": 2**29, "2e9": 2e9, "1024": 1024.0}
    assert {text: parse_bytes(text) for text in sizes} == sizes
    assert format_bytes(1.5 * 2**30) == "1.5 GiB"


def test_threads_may_share_a_saturated_draw() -> None:
    """The passes that saturation needs make V anew; they must not wait for threads that wait for them."""
    X = np.random.default_rng(0).standard_normal((1, 40, 6))
    cut = Tiling(tile=7, largest=7, chunk=16, span=2, hold=False)
    results = []
    for threads in (1, 3):
        with ThreadTeam(threads) as team:
            V = RandomRows("key", range(1), (100, 6), 25.0, dtype="float64", xp=np, team=team)
            found = linear_norms(X, V, cut, team)
            results.append([value.item() for value in found])
            whole = rmtsim.block_norms(X, V.all())["linear"]
    assert results[0] == results[1]
    np.testing.assert_allclose(results[0], [value.item() for value in whole], rtol=1e-12)


@pytest.mark.parametrize("span", [1, 2, 10])
def test_a_new_start_sees_every_sample(span: int) -> None:
    """Logits near -900, and one chunk's far above: whatever was seen when the pass was broken off, all have shifts."""
    rng = np.random.default_rng(0)
    X = np.concatenate([np.ones((1, 30, 1)), 0.1 * rng.standard_normal((1, 30, 3))], axis=-1)
    V = np.concatenate([np.full((1, 9, 1), -900.0), rng.standard_normal((1, 9, 3))], axis=-1)
    V[0, 5:, 0] += 40
    cut = Tiling(tile=4, largest=4, chunk=2, span=span, hold=False)
    with ThreadTeam(3) as team:
        found = linear_norms(X, GivenRows(V), cut, team)
    expected = explicit(Problem(X[0], V[0], None, np.zeros(30, int), "ce"))["linear"]
    np.testing.assert_allclose([value.item() for value in found], expected, rtol=1e-10)
    whole = Tiling(tile=4, largest=4, chunk=2, span=10, hold=False)
    again = linear_norms(X, GivenRows(V), whole)
    assert [value.item() for value in found] == [value.item() for value in again]


def test_a_team_waits_for_all_before_it_fails() -> None:
    ended = []

    def work(item: int) -> None:
        if item == 0:
            raise KeyError(item)
        time.sleep(0.05)
        ended.append(item)

    with ThreadTeam(3) as team, pytest.raises(KeyError):
        team.map(work, range(3))
    assert sorted(ended) == [1, 2]


def test_a_batch_shrinks_to_what_may_be_held() -> None:
    point = Point("linear", "ce", 3, 4, 8)
    whole = rmtsim.simulate(point, 20)
    least = BASE + memory(point, ("linear",), "float64", with_span(point_tiling(point), 1))
    assert rmtsim.simulate(point, 20, memory=least + 1).equals(whole)
