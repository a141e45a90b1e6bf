"""On a GPU, or its emulator: the same draws give the same numbers as NumPy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import rmtsim
from rmtsim.arrays import philox
from rmtsim.arrays.backend import array_module, get_backend, to_numpy
from rmtsim.arrays.threads import ThreadTeam
from rmtsim.kernels import tiling
from rmtsim.kernels.classes import GivenRows
from rmtsim.kernels.cost import point_tiling
from rmtsim.kernels.memory import BASE, memory
from rmtsim.kernels.network_norms import Networks, compute
from rmtsim.kernels.tiling import with_span
from rmtsim.model.choices import ACTIVATIONS
from rmtsim.model.ensemble import Ensemble
from rmtsim.model.point import Point
from rmtsim.sampling import waves
from rmtsim.sampling.draws import last_layers, sample
from rmtsim.sampling.random_rows import RandomRows
from rmtsim.store import Store
from rmtsim.sweeps.runner import run
from rmtsim.sweeps.spec import from_document

pytestmark = pytest.mark.gpu

#: Pieces are eight times as large on a GPU as on a CPU. On the emulator, which takes a thousand times as long, they are
#: of a CPU's size, and so are the numbers of classes and of samples that are more than a piece.
EMULATED = get_backend("cupy").problem() is not None
CLASSES, SAMPLES = (1100, 600) if EMULATED else (9000, 4200)

POINTS = [
    Point("linear", "ce", 100, 64, 128),
    Point("linear", "ce", 50, 6, 200),
    Point("linear", "ce", CLASSES, 100, 300),  # more than a chunk
    Point("linear", "ce", 100, 50, SAMPLES),  # more than a tile
    Point("linear", "mse", 10, 64, 128),
    Point("one_hidden", "ce", 100, 64, 128, 8),
    Point("one_hidden", "ce", CLASSES, 30, 100, 8),
    Point("one_hidden", "mse", 100, 64, 128, 8),
    Point("linear", "mse", 10, 100, 90),  # Gram matrices of several tiles
    Point("one_hidden", "mse", 3, 70, 80, 70),
    Point("linear", "ce", 3, 50_000, 8),  # many dimensions
]
LARGE = [point for point in POINTS if point.n_classes == CLASSES or point.n_samples == SAMPLES]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut draws as on a CPU where the GPU is emulated."""
    if EMULATED:
        monkeypatch.setattr(tiling, "_GPU_FACTOR", 1)


def test_large_points_are_of_several_pieces() -> None:
    for point in LARGE:
        cut = point_tiling(point, gpu=True)
        assert not cut.one_chunk(point.n_classes) or cut.n_tiles(point.n_samples) > 1


@pytest.mark.parametrize("point", POINTS, ids=lambda p: f"{p.model}-{p.loss}-C{p.n_classes}-d{p.dim}-N{p.n_samples}")
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 1e-6)])
def test_agrees_with_numpy_on_the_same_draws(point: Point, dtype: str, rtol: float) -> None:
    """With NumPy in float64: in float32, the sums of more than a chunk err by more than this on a CPU."""
    X, V, W, y, _ = sample(point, range(2 if point in LARGE else 4), 0, dtype=dtype, xp=np, labels=True)
    arrays = [X, V.all(), W, y if point.model == "one_hidden" else None]
    results = []
    for module, precision in ((np, "float64"), (array_module("cupy"), dtype)):
        X, V, W = (None if A is None else module.asarray(A.astype(precision)) for A in arrays[:3])
        y = None if arrays[3] is None else module.asarray(arrays[3])
        results.append(rmtsim.block_norms(X, V, W=W, y=y, loss=point.loss))
    host, device = results
    for layer in host:
        for a, b in zip(host[layer], device[layer], strict=True):
            np.testing.assert_allclose(to_numpy(b), a, rtol=rtol, atol=0, err_msg=layer)


#: Sizes on both sides of those of a tile and of a chunk.
BORDERS = (1, 2, 3, 5, 17, 63, 64, 65, 100, 128, 129, 200, 257)


def random_point(rng: np.random.Generator) -> Point:
    """Return a point whose sizes are about those at which kernels change, with no more work than the emulator likes."""
    while True:
        C, d, N, m = (int(size) for size in rng.choice(BORDERS, 4))
        loss, activation = str(rng.choice(["ce", "mse"])), str(rng.choice(ACTIVATIONS))
        hidden, of = bool(rng.integers(2)), Ensemble(activation=activation, last_gain=float(rng.choice([1.0, 9.0])))
        if N * N * max(C, d, m * hidden) * (min(m, 20) if hidden else 1) < 2e7 and N > 1:
            model = "one_hidden" if hidden else "linear"
            return Point(model, loss, C, d, N, m if hidden else None, of if hidden else Ensemble())  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(40, 70))  # among them is every kind of product, small and large
def test_random_points_agree_with_numpy_on_the_same_draws(seed: int) -> None:
    """Norms of all blocks; each within rounding of the diagonal ones, or of itself where it has none."""
    rng = np.random.default_rng(seed)
    point, module = random_point(rng), array_module("cupy")
    made = sample(point, range(2), seed, dtype="float64", xp=np, labels=True)
    arrays = [made.X, made.V.all(), *([made.W, made.y] if point.model == "one_hidden" else [])]
    found = [
        rmtsim.block_norms(*given[:2], W=W, y=y, loss=point.loss, activation=point.ensemble.activation)
        for given in (arrays, [module.asarray(A) for A in arrays])
        for W, y in [(*given[2:], None, None)[:2]]
    ]
    for layer, (diag, off) in found[0].items():
        for here, there in zip((diag, off), found[1][layer], strict=True):
            bound = 1e-12 * np.fmax(np.abs(diag), np.abs(here)) + 1e-11 * np.abs(here)
            assert np.all((np.abs(to_numpy(there) - here) <= bound) | np.isnan(here)), (str(point), layer)
            np.testing.assert_array_equal(np.isnan(to_numpy(there)), np.isnan(here))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_classes_of_later_chunks_may_have_far_larger_logits(dtype: str) -> None:
    """By more than exponentials can hold: then the classes pass once more."""
    rng = np.random.default_rng(0)
    X, V = np.abs(rng.normal(size=(20, 6))), rng.normal(size=(CLASSES, 6))
    V[-40:] += 40 if dtype == "float32" else 300  # they share the probability
    logits = X @ V.T
    assert np.max(logits.max(axis=1) - logits[:, : CLASSES // 2].max(axis=1)) > 100
    X, V = (A.astype(dtype) for A in (X, V))
    expected = rmtsim.block_norms(X.astype("float64"), V.astype("float64"))["linear"]
    found = rmtsim.block_norms(*map(array_module("cupy").asarray, (X, V)))["linear"]
    np.testing.assert_allclose(
        [to_numpy(value) for value in found], expected, rtol=1e-11 if dtype == "float64" else 1e-4
    )


@pytest.mark.parametrize("gain", [1.0, 40.0])
def test_sampled_classes_are_so_many_whatever_is_held(gain: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk that is held has more classes than are sampled."""
    monkeypatch.undo()  # chunks as on a GPU
    point = Point("linear", "ce", 5000, 8, 40, ensemble=Ensemble(last_gain=gain))
    least = BASE + memory(point, ("linear",), "float64", with_span(point_tiling(point, gpu=True), 1))
    whole = rmtsim.simulate(point, 2, backend="cupy", diagonal="auto")
    pd.testing.assert_frame_equal(
        rmtsim.simulate(point, 2, backend="cupy", diagonal="auto", memory=least), whole, check_exact=True
    )
    X, V, *_ = sample(point, range(2), 0, dtype="float64", xp=array_module("cupy"))
    cut, team = point_tiling(point), ThreadTeam(1)
    draws = Networks(
        to_numpy(X), [GivenRows(to_numpy(V.all()))], None, None, "ce", ("linear",), np, tiling=cut, team=team
    )
    found = [to_numpy(value) for value in compute(draws, sampled_classes=512)["linear"]]
    np.testing.assert_allclose(whole[["diag_sqfro", "offdiag_sqfro"]].T, found[:2], rtol=1e-9)


@pytest.mark.parametrize("loss", ["ce", "mse"])
@pytest.mark.parametrize(("activation", "gain"), [("relu", 1), ("relu", 40), ("gelu", 40)])
def test_all_neurons_at_once_agree_with_one_after_the_other(loss: str, activation: str, gain: float) -> None:
    """Also where samples have nearly all their probability in one class."""
    rng, module = np.random.default_rng(0), array_module("cupy")
    X, W, V = (rng.normal(size=size) for size in ((3, 70, 9), (3, 5, 9), (3, 6, 5)))
    y, results = rng.integers(6, size=(3, 70)), []
    for xp in (np, module):
        given = [xp.asarray(A) for A in (X, gain * V, W / 3, y)]
        found = rmtsim.block_norms(*given[:2], W=given[2], y=given[3], loss=loss, activation=activation)
        results.append(to_numpy(found["cross"].offdiag_sqfro))
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12)


@pytest.mark.parametrize("point", [POINTS[0], POINTS[1], POINTS[4], POINTS[5], POINTS[7]], ids=str)
def test_several_last_layers_are_means_over_them(point: Point) -> None:
    rows = rmtsim.simulate(point, 2, backend="cupy", weights_per_draw=3)
    X, V, W, y, _ = sample(point, range(2), 0, dtype="float64", xp=array_module("cupy"), labels=True)
    host = [None if A is None else to_numpy(A) for A in (X, W, y if W is not None else None)]
    for layer, found in rows.groupby("layer", observed=True):
        of_each = [
            rmtsim.block_norms(host[0], to_numpy(some.all()), W=host[1], y=host[2], loss=point.loss)
            for some in last_layers(V, 3)
        ]
        for kind, column in enumerate(("diag_sqfro", "offdiag_sqfro")):
            mean = np.mean([of[layer][kind] for of in of_each], axis=0)
            np.testing.assert_allclose(found[column].fillna(0), np.nan_to_num(mean), rtol=1e-12)


@pytest.mark.parametrize("columns", [7, 64])
def test_rows_of_a_stream_are_the_twins(columns: int) -> None:
    V = RandomRows("key", range(2), (3000, columns), 0.25, dtype="float64", xp=array_module("cupy"))
    made = to_numpy(V.rows(slice(1000, 1500)))
    for draw in (0, 1):
        twin = 0.5 * philox.normals(V._identity(draw), 1000 * columns, 1500 * columns)
        np.testing.assert_allclose(made[draw].ravel(), twin, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("point", POINTS[:4], ids=lambda p: f"C{p.n_classes}-N{p.n_samples}")
def test_rows_do_not_depend_on_what_is_held(point: Point) -> None:
    """To the bit: with all the memory there is, and with so little that it runs out and is halved."""
    whole = rmtsim.simulate(point, 2, backend="cupy")
    assert rmtsim.simulate(point, range(1, 2), backend="cupy").diag_sqfro.tolist() == whole.diag_sqfro.tolist()[1:]
    least = BASE + memory(point, ("linear",), "float64", with_span(point_tiling(point, gpu=True), 1))
    pd.testing.assert_frame_equal(rmtsim.simulate(point, 2, backend="cupy", memory=least), whole, check_exact=True)


@pytest.mark.parametrize(
    ("point", "options"),
    [
        (Point("linear", "ce", 30, 20, 60), {}),
        (Point("linear", "ce", 30, 20, 60), {"dtype": "float32", "weights_per_draw": 3}),
        (Point("linear", "ce", 30, 5, 200), {}),  # by features
        (Point("linear", "mse", 30, 20, 60), {}),
        (Point("linear", "ce", 3, 20, 60, ensemble=Ensemble(last_gain=400.0)), {}),  # samples with p near 1
        (Point("one_hidden", "ce", 30, 20, 60, 4), {}),
        (Point("one_hidden", "ce", 30, 20, 60, 4), {"dtype": "float32", "weights_per_draw": 3}),
        (Point("one_hidden", "mse", 30, 20, 60, 4), {}),
        (Point("one_hidden", "ce", 5, 20, 60, 4, Ensemble(activation="gelu")), {}),
        (Point("one_hidden", "mse", 5, 20, 60, 4, Ensemble(activation="tanh", weights="orthogonal")), {}),
    ],
    ids=str,
)
def test_rows_do_not_depend_on_the_batch(point: Point, options: dict) -> None:
    """To the bit, although cuBLAS may take another kernel for another number of products."""
    whole = rmtsim.simulate(point, 7, backend="cupy", **options)
    for size in (1, 3):
        again = rmtsim.simulate(point, 7, backend="cupy", batch=size, **options)
        pd.testing.assert_frame_equal(again, whole, check_exact=True)
    some = rmtsim.simulate(point, range(4, 6), backend="cupy", **options)
    expected = whole[whole["draw"].isin([4, 5])].reset_index(drop=True)
    pd.testing.assert_frame_equal(some, expected, check_exact=True)


@pytest.mark.parametrize("loss", ["ce", "mse"])
def test_small_draws_are_made_in_batches_that_fit(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    point, sizes = Point("linear", loss, 30, 20, 60), []
    whole, compute = rmtsim.simulate(point, 40, backend="cupy"), waves.compute

    def noting(some, **options):
        sizes.append(some.X.shape[0])
        return compute(some, **options)

    monkeypatch.setattr(waves, "compute", noting)
    for draws in (4, 16):
        sizes.clear()
        held = BASE + memory(point, ("linear",), "float64", point_tiling(point, gpu=True), batch=draws)
        found = rmtsim.simulate(point, 40, backend="cupy", memory=held)
        pd.testing.assert_frame_equal(found, whole, check_exact=True)
        assert max(sizes) == draws


def test_running_out_of_memory_halves_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    import cupy

    monkeypatch.setattr("rmtsim.kernels.memory.BASE", 0)
    point, failures = Point("linear", "ce", 3, 100, SAMPLES), []
    whole = rmtsim.simulate(point, 1, backend="cupy")
    compute = waves.compute

    def failing(some, **options):
        if some.tiling.span > 1:
            failures.append(some.tiling.span)
            raise cupy.cuda.memory.OutOfMemoryError(1, 1, 1)
        return compute(some, **options)

    monkeypatch.setattr(waves, "compute", failing)
    pd.testing.assert_frame_equal(rmtsim.simulate(point, 1, backend="cupy"), whole, check_exact=True)
    assert failures


def test_a_sweep_runs_on_the_gpu(tmp_path) -> None:
    grid = {"n_classes": [2, 10], "aspect_ratio": [0.5], "dim": [30]}
    spec = from_document({"name": "gpu", "model": "linear", "loss": "ce", "grid": grid})
    run(spec, Store(tmp_path / "s"), workers=1, backend="auto")
    assert set(Store(tmp_path / "s").read()["backend"]) == {"cupy"}
