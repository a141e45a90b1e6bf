"""How often a draw asks something of a GPU: launches of kernels, waits and transfers, as the emulator counts them.

A launch takes a few microseconds and a wait several times that, whatever the size of the work: below some thousand
samples they are what a draw costs.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

import rmtsim
from harness.simt.cupy_module import emulated, nothing_computed
from harness.simt.kernels import compiler
from harness.simt.memory import Counts
from rmtsim.arrays.backends.cupy_backend import CuPyBackend
from rmtsim.kernels.cost import DiagonalName, point_tiling, weights_at_once
from rmtsim.kernels.doubts import NotedDoubts
from rmtsim.kernels.memory import BASE, batch_size, memory
from rmtsim.kernels.probabilities import Softmax
from rmtsim.kernels.tiling import with_span
from rmtsim.model.activation import layers_with_labels
from rmtsim.model.ensemble import Ensemble
from rmtsim.model.point import Point

pytestmark = pytest.mark.skipif(not compiler(), reason="there is no g++ to compile the kernels with")

#: Draws that are made together.
BATCH = 16

#: What a draw may take, and what may come back of it, for each last layer that it has: norms, and what tells doubts.
LAUNCHES, BYTES = 10, 160

POINTS = [
    Point("linear", "ce", 100, 64, 128),
    Point("linear", "ce", 50, 6, 200),  # few features
    Point("linear", "mse", 10, 64, 128),
    Point("one_hidden", "ce", 10, 20, 100, 8),
    Point("one_hidden", "ce", 100, 20, 40, 8),  # too many classes for a weight vector of each pair
    Point("one_hidden", "mse", 10, 20, 100, 8),
    Point("one_hidden", "ce", 10, 20, 100, 8, Ensemble(activation="gelu")),
    Point("one_hidden", "mse", 10, 20, 100, 8, Ensemble(activation="gelu")),
    Point("one_hidden", "ce", 10, 20, 100, 8, Ensemble(data_variance=1e6, last_gain=1e-6)),  # scaled, and back
    Point("one_hidden", "ce", 10, 5, 60, 8, Ensemble(activation="tanh")),  # few features in either layer
]

#: Launches of a draw that are reached, of all layers with one last layer.
REACHED = [1.7, 1.7, 0.7, 5.7, 5.7, 3.9, 7.4, 5.5, 6.2, 8]

#: What is asked of a point: each layer alone, and all; several last layers in float64 of all alone, to save time.
CASES = [
    (point, layers, weights, dtype)
    for point in POINTS
    for layers in dict.fromkeys((*zip(point.layers), point.layers))
    for weights in (1, 3)
    for dtype in ("float32", "float64")
    if weights == 1 or dtype == "float32" or layers == point.layers
]


def counts(point: Point, draws: int, *, computed: bool = True, **options: Any) -> Counts:
    """Return what draws ask of the GPU; not ``computed``, which takes a tenth of the time, as ordinary draws do."""
    with emulated() as pool, nullcontext() if computed else nothing_computed():
        rmtsim.simulate(point, 1, backend="cupy", **options)
        pool.counts.clear()
        rmtsim.simulate(point, draws, backend="cupy", **options)
        return pool.counts


def of_a_wave(point: Point, layers: tuple[str, ...], weights: int, dtype: str) -> Counts:
    return counts(point, BATCH, layers=layers, weights_per_draw=weights, dtype=dtype)


@cache
def of_the_wave(point: Point, layers: tuple[str, ...], weights: int, dtype: str) -> Counts:
    """Return the same with nothing computed."""
    return counts(point, BATCH, computed=False, layers=layers, weights_per_draw=weights, dtype=dtype)


def check_wave(found: Counts, point: Point, layers: tuple[str, ...], weights: int) -> None:
    """Raise AssertionError where a wave takes more than it may."""
    assert found.launches <= LAUNCHES * BATCH
    assert found.waits == 1
    labels = not set(layers).isdisjoint(layers_with_labels(point.ensemble.activation))
    assert found.uploaded == (8 * point.n_samples * BATCH if labels else 0)
    assert found.downloaded <= weights * BYTES * BATCH


@pytest.mark.parametrize(("point", "layers", "weights", "dtype"), CASES, ids=str)
def test_a_wave_of_draws(point: Point, layers: tuple[str, ...], weights: int, dtype: str) -> None:
    """Ten launches a draw, one wait, and nothing sent to the device but labels, for each layer and for all at once."""
    check_wave(of_the_wave(point, layers, weights, dtype), point, layers, weights)


@pytest.mark.parametrize(("point", "weights"), [(POINTS[1], 1), (POINTS[3], 3), (POINTS[6], 1)], ids=str)
def test_what_is_counted_is_what_draws_ask(point: Point, weights: int) -> None:
    """Nothing depends on the numbers, as long as no draw is in doubt."""
    wave = point, point.layers, weights, "float32"
    assert of_the_wave(*wave) == of_a_wave(*wave)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("point", "launches"), list(zip(POINTS, REACHED, strict=True)))
def test_a_draw_of_one_last_layer(point: Point, launches: float, dtype: str) -> None:
    """What is reached, of all layers: far below what may be."""
    assert of_the_wave(point, point.layers, 1, dtype).launches <= launches * BATCH


@pytest.mark.parametrize(("weights", "dtype"), [(1, "float64"), (3, "float32")])
@pytest.mark.parametrize(
    ("point", "launches"),
    [
        (Point("linear", "ce", 2, 40, 60, ensemble=Ensemble(last_gain=10.0)), 13),  # samples with p above 0.99
        (Point("one_hidden", "ce", 2, 20, 60, 4, Ensemble(last_gain=100.0)), 22),
    ],
    ids=str,
)
def test_a_wave_of_draws_that_need_care(point: Point, launches: int, weights: int, dtype: str) -> None:
    """It waits once, too; only the first of them is made twice. It has more launches."""
    one, more = (
        counts(point, draws, batch=BATCH, weights_per_draw=weights, dtype=dtype) for draws in (BATCH, 3 * BATCH)
    )
    assert more.waits - one.waits == 2
    assert more.launches - one.launches <= 2 * launches * BATCH


@pytest.mark.parametrize(("asked", "what"), [("arise", "waits"), ("outside", "waits"), ("fetch", "downloaded")])
def test_a_wave_that_waits_twice_is_noticed(asked: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative controls: a doubt that is asked about at once, and one whose values of all samples are brought back."""
    right = getattr(NotedDoubts, asked)

    def wrong(self: NotedDoubts, values: Any, *given: Any, **options: Any) -> Any:
        if asked == "fetch":
            self._noted.append((given[0].zeros((BATCH, 100), dtype="float64"), -1.0, 1.0, False))
        else:
            bool(given[0].any(values))
        return right(self, values, *given, **options)

    monkeypatch.setattr(NotedDoubts, asked, wrong)
    point, weights = POINTS[3], 3 if asked == "arise" else 1  # whether covariances are trusted
    found = of_a_wave(point, point.layers, weights, "float64")
    with pytest.raises(AssertionError, match=what):
        check_wave(found, point, point.layers, weights)


@pytest.mark.parametrize("sizes", [(100, 64, 128), (10, 500, 1000), (1000, 1000, 1000)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batches_are_as_large_as_that(sizes: tuple[int, int, int], dtype: str) -> None:
    """At N ≤ 1000 with 16 GiB; the largest in float64 fill a GPU with half of that."""
    least = BATCH // 2 if dtype == "float64" and sizes[0] == 1000 else BATCH
    assert batch_size(Point("linear", "ce", *sizes), ("linear",), dtype, 2**34, gpu=True) >= least


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("diagonal", "launches"), [("exact", 5), ("auto", 5)])
def test_a_chunk_of_classes(diagonal: str, launches: int, dtype: str) -> None:
    """No chunk is waited for, and none copies anything to the device or back."""
    few, more = (
        counts(Point("linear", "ce", 4096 * k, 40, 60), 1, computed=False, dtype=dtype, diagonal=diagonal)
        for k in (2, 4)
    )
    assert more.launches - few.launches <= 2 * launches
    assert (more.waits, more.uploaded, more.downloaded) == (few.waits, 0, few.downloaded)
    assert few.waits == 1


#: Launches for a chunk of classes where exponentials are kept between the passes, and where they are made again. Both
#: begin with the chunk's normals, logits and exponentials.
CHUNKS = [
    # the Gram matrix; diagonal sums
    (Point("linear", "ce", 128256, 1024, 1024), ("linear",), "exact", 5, 8),
    # the Gram matrix and powers of rows; no class again but for the sampled ones
    (Point("linear", "ce", 128256, 1024, 1024), ("linear",), "auto", 5, 5),
    # moments; normals and cross sums
    (Point("one_hidden", "ce", 128256, 1024, 1024, 8), ("cross",), "exact", 6, 8),
    (Point("one_hidden", "ce", 128256, 256, 2048, 64), ("cross",), "exact", 6, 8),
    # moments
    (Point("one_hidden", "ce", 128256, 1024, 1024, 8), ("hidden",), "exact", 4, 4),
]


def of_a_chunk(
    point: Point,
    layers: tuple[str, ...],
    diagonal: DiagonalName,
    dtype: str,
    **options: Any,
) -> Counts:
    """Return what a chunk of 4096 classes asks of the GPU, with nothing computed."""
    found, chunks = [], 16
    for less in (chunks, 0):
        sizes = replace(point, n_classes=point.n_classes - 4096 * less)
        with emulated() as pool:
            given = {"dtype": dtype, "layers": layers, "diagonal": diagonal, "backend": "cupy", **options}
            with nothing_computed():  # what is done once, whatever the number of chunks, is in both
                rmtsim.simulate(sizes, 1, **given)
            found.append(pool.counts)
    few, more = found
    per_chunk = [(getattr(more, k) - getattr(few, k)) / chunks for k in ("launches", "waits", "uploaded", "downloaded")]
    return Counts(*per_chunk)  # type: ignore[arg-type]


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(("point", "layers", "diagonal", "with_kept", "without"), CHUNKS, ids=str)
def test_a_chunk_of_a_large_draw(
    point: Point,
    layers: tuple[str, ...],
    diagonal: DiagonalName,
    with_kept: int,
    without: int,
    kept: bool,
) -> None:
    """At the sizes of language models: no chunk is waited for, and nothing is sent to the device."""
    least = BASE + memory(point, layers, "float32", with_span(point_tiling(point, gpu=True), 1))
    options = {} if kept else {"memory": least}
    found = of_a_chunk(point, layers, diagonal, "float32", **options)
    assert found == Counts(with_kept if kept else without)


def test_a_chunk_that_takes_more_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without sums that stay on the device, and with a wait for every chunk."""
    point, layers = CHUNKS[0][:2]
    with monkeypatch.context() as changed:
        changed.setattr(CuPyBackend, "chunk_sums", lambda self: None)
        assert of_a_chunk(point, layers, "exact", "float32").launches > 12
    count = Softmax.count

    def waiting(self: Softmax, *given: Any) -> Any:
        E = count(self, *given)
        assert not bool(E[..., 0, 0] > 1)
        return E

    with monkeypatch.context() as changed:
        changed.setattr(Softmax, "count", waiting)
        assert of_a_chunk(point, layers, "exact", "float32").waits == 1


@pytest.mark.parametrize("sizes", [(10, 500, 1000), (1000, 1000, 1000)])
def test_several_last_layers_go_side_by_side(sizes: tuple[int, int, int]) -> None:
    """At N ≤ 1000 all three at once, whatever is asked for, and so does a draw's hidden layer."""
    for model, width in (("linear", None), ("one_hidden", 8)):
        point = Point(model, "ce", *sizes, width)
        found = weights_at_once(*sizes, width, point.layers, point_tiling(point, gpu=True), 3)
        assert found == [[range(3)]]
