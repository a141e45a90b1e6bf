"""Covariances for many V at a time: against the careful sums, and what is not trusted of them."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest

from rmtsim.arrays.threads import ONE_THREAD
from rmtsim.kernels.classes import GivenRows
from rmtsim.kernels.covariances import Covariances, covariances
from rmtsim.kernels.network_norms import Networks, compute
from rmtsim.kernels.pairs import pair
from rmtsim.kernels.tiling import Tiling
from rmtsim.model.network import forward, softmax

CUTS = {
    "whole": Tiling(tile=100, largest=100, chunk=100, span=1, hold=True),
    "tiles": Tiling(tile=16, largest=16, chunk=3, span=1, hold=False),
}
DRAWS, COUNT, C, DIM, N, M = 2, 3, 7, 6, 40, 4

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def arrays(dtype: str = "float64") -> Arrays:
    """X, W and some V of each of two draws."""
    rng = np.random.default_rng(0)
    sizes = [(DRAWS, N, DIM), (DRAWS, M, DIM), (DRAWS, COUNT, C, M)]
    X, W, V = (rng.standard_normal(size).astype(dtype) for size in sizes)
    return X, W, V


def found(X: np.ndarray, W: np.ndarray, V: np.ndarray, cut: str = "whole", xp=np) -> Covariances:
    seen = forward(xp.asarray(X), xp.asarray(W), xp)
    U, active = (A[..., None, :, :] for A in (seen.features, seen.slopes))
    return covariances(U, GivenRows(xp.asarray(V)), active, pair(active, xp), CUTS[cut], ONE_THREAD, xp)


def expected(X: np.ndarray, W: np.ndarray, V: np.ndarray) -> np.ndarray:
    """Cov_p(v_i, v_j) in float64, class by class, (…, R, pairs, N)."""
    X, W, V = (A.astype("float64") for A in (X, W, V))
    seen = forward(X, W, np)
    P = softmax(seen.features[:, None] @ V.mT, np)
    centred = V[..., None, :, :] - (P @ V)[..., None, :]  # (…, R, N, C, m)
    by_sample = np.sum(P[..., None] * pair(centred, np), axis=-2)
    return (by_sample * pair(seen.slopes, np)[:, None]).mT


@pytest.mark.parametrize("xp", [np, array_api_strict], ids=["numpy", "strict"])
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(("dtype", "rounding"), [("float64", 1e-14), ("float32", 2e-6)])
def test_they_are_those_of_the_definition(dtype: str, rounding: float, cut: str, xp) -> None:
    problem = arrays(dtype)
    values, trusted, size = (np.asarray(A) for A in found(*problem, cut, xp))
    right = expected(*problem)
    assert trusted.all()
    assert values.dtype == dtype
    np.testing.assert_allclose(values, right, rtol=0, atol=rounding * np.abs(right).max())
    largest = np.abs(right).max(axis=(-2, -1))
    assert np.all((largest <= size) & (size <= largest * right[0, 0].size ** 0.5))


def test_what_all_rows_of_V_share_is_not_seen() -> None:
    X, W, V = arrays("float32")
    shifted = (0.01 * X, W, V + np.float32(1000))
    right = expected(*shifted)
    values, trusted, _ = found(*shifted)
    assert trusted.all()
    np.testing.assert_allclose(values, right, rtol=0, atol=2e-6 * np.abs(right).max())
    raw = softmax(forward(0.01 * X, W, np).features[:, None] @ shifted[2].mT, np)  # negative control: without a centre
    plain = raw @ pair(shifted[2], np) - pair(raw @ shifted[2], np)
    assert np.abs(plain.mT - right).max() > 0.1 * np.abs(right).max()


def two_leading(V: np.ndarray) -> np.ndarray:
    """One V of one draw gets two leading classes with nearly the same rows."""
    V = V.copy()
    V[1, 2, 0] += 12
    V[1, 2, 1] = V[1, 2, 0] + 1e-3 * V[1, 2, 1]
    return V


def overflowing(V: np.ndarray) -> np.ndarray:
    """One V of one draw has exponentials beyond the range of float32."""
    V = V.copy()
    V[1, 2] *= 60
    return V


@pytest.mark.parametrize("change", [two_leading, overflowing])
@pytest.mark.parametrize("cut", CUTS)
def test_what_has_lost_digits_is_not_trusted_and_found_with_care(change, cut: str) -> None:
    X, W, V = arrays("float32")
    V = change(V)
    values, trusted, _ = found(X, W, V, cut)
    assert not trusted[1, 2]
    assert trusted.sum() == DRAWS * COUNT - 1
    with np.errstate(invalid="ignore"):
        off = np.abs(values - expected(X, W, V)).max(axis=(-2, -1)) / np.abs(expected(X, W, V)).max(axis=(-2, -1))
    assert cut == "tiles" or not off[1, 2] < 1e-5  # negative control: rightly so; chunks are added up in float64
    assert np.max(off[trusted]) < 1e-5

    def norms(A: Arrays, some: range) -> np.ndarray:
        X, W, V = A
        rows, options = [GivenRows(V[:, r]) for r in some], {"tiling": CUTS[cut], "team": ONE_THREAD}
        with np.errstate(over="ignore", invalid="ignore"):  # with care, too, it is tried without a shift first
            return np.array(compute(Networks(X, rows, W, None, "ce", ("hidden",), np, **options))["hidden"])

    in_double = [norms(tuple(A.astype("float64") for A in (X, W, V)), range(r, r + 1)) for r in range(COUNT)]
    together = norms((X, W, V), range(COUNT))
    np.testing.assert_allclose(together, np.mean(in_double, axis=0), rtol=2e-5)
    alone = norms((X[:1], W[:1], V[:1]), range(COUNT))  # a draw knows nothing of what happens to another
    np.testing.assert_array_equal(together[:, :1], alone)
