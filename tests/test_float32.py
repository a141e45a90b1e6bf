"""Float32 next to float64: neurons are on or off as in float64, and covariances keep their digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_strict
import numpy as np
import pytest

import rmtsim
from rmtsim.arrays.backend import array_module, to_numpy
from rmtsim.kernels import moments, precision
from rmtsim.model.ensemble import Ensemble
from rmtsim.model.network import forward
from rmtsim.model.point import Point
from rmtsim.sampling import random_rows
from rmtsim.sampling.draws import sample
from tests.cases import Problem, problem

FLIPPED = (Point("one_hidden", "ce", 100, 100, 200, 8), range(547, 548))  # float32 has a neuron on that is off


def float32_error(largest_logit: float) -> float:
    """Return what a statistic may be off by, relative to float64, as `rmtsim.simulate` states it.

    A logit's error, of which a third comes from the rounding of the draw itself, is one of probabilities and norms. The
    logit is the largest among those of the samples' most probable classes.
    """
    return max(1e-5, 2.0**-22 * largest_logit)


def values(point: Point, drawn: range, dtype: str, backend: str = "numpy") -> np.ndarray:
    rows = rmtsim.simulate(point, drawn, dtype=dtype, backend=backend)
    return rows[["diag_sqfro", "offdiag_sqfro"]].to_numpy()


def test_no_neuron_of_a_draw_is_on_by_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = values(*FLIPPED, "float64")
    np.testing.assert_allclose(values(*FLIPPED, "float32"), expected, rtol=1e-5)

    def in_float32(X: random_rows.RandomRows, W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = X.all()
        return rows, (rows @ W.astype("float32").mT > 0).astype("float32")

    monkeypatch.setattr(random_rows.RandomRows, "all_with_signs", in_float32)
    assert np.nanmax(np.abs(values(*FLIPPED, "float32") / expected - 1)) > 1e-3


@pytest.mark.parametrize("size", [(1300, 3), (40, 90_000)])
def test_signs_and_numbers_come_in_pieces(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_rows, "_DOUBLE_NUMBERS", 2**10)
    made = {
        dtype: random_rows.RandomRows("key", [3, 5], size, 0.1, dtype=dtype, xp=np) for dtype in ("float32", "float64")
    }
    W = np.random.default_rng(0).standard_normal((2, 4, size[1]))
    X, signs = made["float32"].all_with_signs(W)
    np.testing.assert_array_equal(X, made["float32"].all())
    np.testing.assert_array_equal(signs, made["float64"].all() @ W.mT > 0)
    assert X.dtype == signs.dtype == np.float32


def nearly_orthogonal(*lead: int) -> tuple[np.ndarray, np.ndarray]:
    """Return X and W in float32 with products that are zero but for rounding."""
    rng = np.random.default_rng(0)
    W, X = rng.standard_normal((*lead, 3, 50)), rng.standard_normal((*lead, 60, 50))
    X[..., ::2, :] -= X[..., ::2, :] @ W.mT @ np.linalg.inv(W @ W.mT) @ W
    return X.astype("float32"), W.astype("float32")


@pytest.mark.parametrize("lead", [(), (4,), (2, 3), (0,)])
@pytest.mark.parametrize("xp", [np, array_api_strict], ids=["numpy", "strict"])
def test_masks_are_those_of_float64(lead: tuple[int, ...], xp) -> None:
    X, W = nearly_orthogonal(*lead)
    expected = X.astype("float64") @ W.mT.astype("float64") > 0
    active = np.asarray(forward(xp.asarray(X), xp.asarray(W), xp).slopes)
    np.testing.assert_array_equal(active, expected)
    assert active.dtype == np.float32
    assert not lead or 0 in lead or not np.array_equal(X @ W.mT > 0, expected)  # float32 alone errs


def offset(by: float) -> Problem:
    """Return a network whose rows of V share a part, which no covariance sees."""
    p = problem((7, 6, 40, 4), "ce")
    return p._replace(X=0.01 * p.X, V=p.V + by)


def tied(n_classes: int, scale: float, apart: float) -> Problem:
    """Return a network with two leading classes whose rows of V are large and nearly the same."""
    p, rng = problem((n_classes, 6, 40, 4), "ce"), np.random.default_rng(1)
    first = p.V[0] + 12
    return p._replace(X=scale * p.X, V=np.stack([first, first + apart * rng.standard_normal(4), *p.V[2:]]))


LOST = {
    "offset 100": offset(100),
    "offset 1000": offset(1000),
    "tied, 8 classes": tied(8, 1.5, 1e-3),
    "tied, 2 classes": tied(2, 1, 1e-3),
}


def in_both(p: Problem) -> dict[str, np.ndarray]:
    """Return the hidden layer's norms of a network in float32, computed in float32 and in float64."""
    arrays = {dtype: [A.astype("float32").astype(dtype) for A in (p.X, p.V, p.W)] for dtype in ("float32", "float64")}
    found = {}
    for dtype, (X, V, W) in arrays.items():
        norms = rmtsim.block_norms(X, V, W=W, layers="hidden")["hidden"]
        assert norms.dtype == dtype
        found[dtype] = np.array(norms)
    return found


@pytest.mark.parametrize("p", LOST.values(), ids=LOST)
def test_covariances_do_not_see_what_rows_share(p: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    found = in_both(p)
    np.testing.assert_allclose(found["float32"], found["float64"], rtol=1e-5)
    monkeypatch.setattr(moments, "_DOMINATED", 0.0)
    assert np.abs(in_both(p)["float32"] / found["float64"] - 1).max() > 4e-5  # and up to 1e3


@pytest.mark.parametrize("seed", range(20))
def test_random_networks(seed: int) -> None:
    sizes = np.random.default_rng(seed).integers((2, 1, 2, 1), (40, 30, 60, 9))
    found = in_both(problem(tuple(sizes.tolist()), "ce", seed))
    np.testing.assert_allclose(found["float32"], found["float64"], rtol=1e-5, atol=1e-30)


def test_a_draw_does_not_depend_on_the_others_of_its_batch() -> None:
    networks = [offset(0), offset(100)]
    X, V, W = (np.stack(arrays).astype("float32") for arrays in zip(*(p[:3] for p in networks), strict=True))
    together = rmtsim.block_norms(X, V, W=W, layers="hidden")["hidden"]
    for k in range(2):
        alone = rmtsim.block_norms(X[k], V[k], W=W[k], layers="hidden")["hidden"]
        np.testing.assert_array_equal([kind[k] for kind in together], alone)


#: Laws of data and of weights other than the normal.
LAWS = [
    *((data, "gaussian") for data in ("rademacher", "uniform", "student_t:5", "sphere", "ar1:0.5", "spectrum:1")),
    ("spiked:3:10", "gaussian"),
    ("gaussian", "uniform"),
    ("gaussian", "orthogonal"),
    ("student_t:5", "orthogonal"),
]


@pytest.mark.parametrize(("data", "weights"), LAWS)
def test_both_dtypes_see_the_same_draw_of_other_laws(data: str, weights: Any) -> None:
    """All statistics of a draw, in every layer; those of another draw are far off."""
    of = Ensemble(data=data, weights=weights)
    for point in (Point("linear", "ce", 20, 12, 30, ensemble=of), Point("one_hidden", "ce", 20, 12, 30, 4, of)):
        single, double = (values(point, range(6), dtype) for dtype in ("float32", "float64"))
        np.testing.assert_allclose(single, double, rtol=3e-5)
        others = np.abs(double[len(point.layers) :] / double[: -len(point.layers)] - 1)
        assert np.nanmin(others) > 3e-5
        assert np.nanmedian(others) > 1e-2


def largest_logits(point: Point, drawn: range, backend: str) -> np.ndarray:
    """Return the largest |logit| of each draw, among those of the most probable classes."""
    made = sample(point, drawn, 0, dtype="float64", xp=array_module(backend))
    X, V, W = (None if A is None else to_numpy(A) for A in (made.X, made.V.all(), made.W))
    logits = forward(X, W, np, point.ensemble.activation).features @ V.mT
    return np.asarray(np.abs(logits.max(axis=-1)).max(axis=-1))


def share_of_bound(
    point: Point, drawn: range, backend: str = "numpy", bound: Callable[[float], float] = float32_error
) -> float:
    """Return the largest error of a statistic in float32, of any layer, as a share of what it may be."""
    single, double = (values(point, drawn, dtype, backend).reshape(len(drawn), -1) for dtype in ("float32", "float64"))
    scattered = (double != 0) & np.isfinite(double)
    errors = np.abs(single - double)[scattered] / np.abs(double)[scattered]
    bounds = np.array([[bound(largest)] for largest in largest_logits(point, drawn, backend)])
    return float(np.max(errors / np.broadcast_to(bounds, double.shape)[scattered]))


def scaled(factor: float, n_classes: int, width: int | None = None, activation: Any = "relu") -> Point:
    """Return a point whose logits are ``factor`` times the usual ones."""
    of = Ensemble(last_gain=factor**2, activation=activation)
    return Point("linear" if width is None else "one_hidden", "ce", n_classes, 50, 100, width, of)


@pytest.mark.parametrize("factor", [1.0, 10.0, 40.0, 80.0])
@pytest.mark.parametrize("n_classes", [2, 10, 100])
@pytest.mark.parametrize(("width", "activation"), [(None, "relu"), (8, "relu"), (8, "gelu")])
def test_errors_grow_with_the_logits_and_no_faster(
    factor: float, n_classes: int, width: int | None, activation: str
) -> None:
    assert share_of_bound(scaled(factor, n_classes, width, activation), range(8)) <= 1


@pytest.mark.gpu
@pytest.mark.parametrize("factor", [1.0, 80.0])
@pytest.mark.parametrize(("n_classes", "width", "activation"), [(100, None, "relu"), (2, 8, "gelu"), (10, 8, "relu")])
def test_errors_on_a_gpu_do_so_too(factor: float, n_classes: int, width: int | None, activation: str) -> None:
    assert share_of_bound(scaled(factor, n_classes, width, activation), range(4), "cupy") <= 1


def test_few_small_draws_err_by_more_and_means_do_not() -> None:
    """As `rmtsim.simulate` says it, of random sizes and gains."""
    rng, errors, of_means = np.random.default_rng(0), [], []
    for _ in range(36):
        C, d, N, m = (int(rng.integers(*ends)) for ends in ((2, 130), (1, 30), (4, 80), (1, 9)))
        of = Ensemble(last_gain=float(rng.choice([1.0, 3.0, 10.0])))
        point = Point("linear", "ce", C, d, N, ensemble=of) if m == 8 else Point("one_hidden", "ce", C, d, N, m, of)
        single, double = (values(point, range(50), dtype).reshape(50, -1, 2) for dtype in ("float32", "float64"))
        there = np.isfinite(double) & (double != 0)
        errors.append(np.where(there, np.abs(single / np.where(there, double, 1) - 1), np.nan).ravel())
        of_means.append(np.abs(single.sum(axis=0) / double.sum(axis=0) - 1).ravel())
    found = np.concatenate(errors)
    found = found[np.isfinite(found)]
    assert 0 < np.mean(found > 1e-5) < 2e-3  # a few do, so it has to be said
    assert found.max() < 1e-3
    assert np.nanmax(np.concatenate(of_means)) < 1e-5


@pytest.mark.parametrize(
    ("activation", "variance", "within"),
    [("gelu", 1.0, (0, 1e-5)), ("gelu", 1e4, (1e-5, 1e-3)), ("relu", 1e4, (0, 1e-5))],
)
def test_smooth_activations_lose_digits_where_pre_activations_are_large(
    activation: Any, variance: float, within: tuple[float, float]
) -> None:
    """With a variance of 10⁴ their largest are about 300."""
    of = Ensemble(activation=activation, data_variance=variance, last_gain=1 / variance)
    point = Point("one_hidden", "ce", 10, 30, 20, 4, of)
    made = sample(point, range(60), 0, dtype="float64", xp=np)
    largest = np.abs(made.X @ made.W.mT).max() / variance**0.5  # type: ignore[union-attr]
    assert 3 <= largest < 5
    single, double = (rmtsim.simulate(point, 60, dtype=dtype, layers=["hidden"]) for dtype in ("float32", "float64"))
    error = np.abs(single["diag_sqfro"] / double["diag_sqfro"] - 1).max()
    assert within[0] < error < within[1]


def test_what_the_bound_rests_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Differences that lose two digits are made with care, and errors do grow with the logits."""
    lost, large = Point("one_hidden", "ce", 100, 20, 40, 3, Ensemble(last_gain=9.0)), scaled(100, 2)
    assert share_of_bound(lost, range(200)) <= 1
    assert share_of_bound(large, range(64), bound=lambda _: 1e-5) > 1
    monkeypatch.setattr(precision, "_DOMINATED_FLOAT32", precision._DOMINATED)
    assert share_of_bound(lost, range(200)) > 1


def test_draws_at_usual_logits_keep_their_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    usual, large = (Point("one_hidden", "ce", 2, 20, 40, 3, Ensemble(last_gain=gain)) for gain in (1.0, 100.0))
    found = [values(point, range(40), "float32") for point in (usual, large)]
    monkeypatch.setattr(precision, "_DOMINATED_FLOAT32", precision._DOMINATED)
    before = [values(point, range(40), "float32") for point in (usual, large)]
    np.testing.assert_array_equal(found[0], before[0])
    assert not np.array_equal(found[1], before[1])
