"""What the measurement of a last layer is held against: each null against a computation of its own."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

import rmtsim
from rmtsim.heads.features import Features
from rmtsim.heads.matrix import ArrayMatrix
from tests.heads import BATCHES, D, N, Values, batches, clustered, written_out


@pytest.fixture(scope="module")
def arrays() -> dict[str, Any]:
    return clustered()


def test_theory_beside_it() -> None:
    """The theorem's ensemble and that with the model's variance of logits, through the library's own predictions."""
    rng = np.random.default_rng(2)
    n_classes, dim, size = 20, 120, 40
    V, X = 0.2 * rng.normal(size=(n_classes, dim)), rng.normal(size=(2 * size, dim))
    found = rmtsim.measure(V, X, batch=size, nulls=["theorem", "logit_variance"])
    variance = float(np.mean(np.var(X @ V.T, axis=1)))
    for null, gain in zip(found.nulls.itertuples(), (1.0, variance), strict=True):
        point = rmtsim.Point(
            "linear", "ce", n_classes, dim=dim, n_samples=size, ensemble=rmtsim.Ensemble(last_gain=gain)
        )
        exact = rmtsim.predict(point).iloc[0]
        assert null.diag_sqfro == pytest.approx(exact["diag_sqfro"], rel=1e-6)
        assert null.offdiag_sqfro == pytest.approx(exact["offdiag_sqfro"], rel=1e-6)
        assert null.ratio == pytest.approx(exact["ratio"], rel=1e-6)
        assert null.outside == pytest.approx(1 / (1 + 1 / ((n_classes - 1) * exact["ratio"])), rel=1e-6)
    assert variance > 3  # so the two differ


def test_heads_of_the_theorem_are_as_it_says() -> None:
    """Gaussian weights and features, over heads, have the norms of the theorem; weights half as large again do not."""
    rng = np.random.default_rng(15)
    n_classes, dim, size, heads = 30, 100, 50, 24
    found: dict[float, list[list[float]]] = {1.0: [], 1.5: []}
    for _ in range(heads):
        V, X = rng.normal(size=(n_classes, dim)) / math.sqrt(dim), rng.normal(size=(6 * size, dim))
        for factor, norms in found.items():
            of_head = rmtsim.measure(factor * V, X, batch=size, nulls=())
            norms.append([of_head.diag_sqfro, of_head.offdiag_sqfro])
    [null] = rmtsim.measure(V, X, batch=size, nulls="theorem").nulls.itertuples()
    for k, exact in enumerate((null.diag_sqfro, null.offdiag_sqfro)):
        off = {factor: np.array(norms)[:, k] / exact - 1 for factor, norms in found.items()}
        z = {factor: of.mean() / (of.std(ddof=1) / math.sqrt(heads)) for factor, of in off.items()}
        assert abs(z[1.0]) < 4
        assert z[1.5] > 10


def pair_weights(p: Values) -> tuple[Values, Values]:
    """Return G of ‖·‖² = N⁻² ⟨K, G⟩, means over the diagonal and the off-diagonal blocks."""
    n_classes = p.shape[1]
    q, s = p * (1 - p), p * p
    return q @ q.T / n_classes, ((p @ p.T) ** 2 - s @ s.T) / (n_classes * (n_classes - 1))


def test_decoupled(arrays: dict[str, Any]) -> None:
    """The mean over all N! permutations is known: E⟨K_π, G⟩ = tr K tr G/N + (ΣK − tr K)(ΣG − tr G)/(N(N − 1))."""
    V, X = arrays["V"], arrays["X"]
    permutations = 200
    found = rmtsim.measure(V, X, batch=N, nulls="decoupled", permutations=permutations)
    [null] = found.nulls.itertuples()
    rng = np.random.default_rng(3)
    exact, spreads = [], []
    for x in batches(X):
        K, weights = (x @ x.T) ** 2 / N**2, pair_weights(written_out(x, V, None, "column", 1.0).p)
        exact.append(
            [
                np.trace(K) * np.trace(G) / N + (K.sum() - np.trace(K)) * (G.sum() - np.trace(G)) / (N * (N - 1))
                for G in weights
            ]
        )
        orders = [rng.permutation(N) for _ in range(400)]
        spreads.append([np.var([np.vdot(K[order][:, order], G) for order in orders]) for G in weights])
    for k, name in enumerate(("diag", "offdiag")):
        expected = np.mean([of[k] for of in exact])
        value, spread = getattr(null, f"{name}_sqfro"), getattr(null, f"spread_{name}")
        error = spread / math.sqrt(permutations * BATCHES)
        assert abs(value - expected) < 4 * error
        assert spread == pytest.approx(math.sqrt(np.mean([of[k] for of in spreads])), rel=0.15)
        measured = getattr(found, f"{name}_sqfro")  # where features and weights belong together: it is not that
        assert abs(measured - expected) > 20 * error


def test_gaussian(arrays: dict[str, Any]) -> None:
    """Draws by the Cholesky factor of the covariance have the same mean norms; the model's own features do not."""
    V, X = 3 * arrays["V"], arrays["X"]
    found = rmtsim.measure(V, X, batch=N, nulls="gaussian")
    [null] = found.nulls.itertuples()
    rng, factor = np.random.default_rng(4), np.linalg.cholesky(np.cov(X.T))
    draws = []
    for _ in range(100):
        x = X.mean(axis=0) + rng.normal(size=(N, D)) @ factor.T
        K = (x @ x.T) ** 2 / N**2
        draws.append([np.vdot(K, G) for G in pair_weights(written_out(x, V, None, "column", 1.0).p)])
    for k, name in enumerate(("diag", "offdiag")):
        values = np.array(draws)[:, k]
        error = values.std(ddof=1) * math.sqrt(1 / 3 + 1 / len(values))
        assert abs(getattr(null, f"{name}_sqfro") - values.mean()) < 4 * error
    values = np.array(draws)
    ratio = values[:, 1].mean() / values[:, 0].mean()
    assert found.ratio < 0.8 * ratio or found.ratio > 1.25 * ratio


def test_gaussian_vectors_have_mean_and_covariance() -> None:
    rng = np.random.default_rng(6)
    X = rng.exponential(size=(30, 3)) @ rng.normal(size=(3, 3)) + 2
    features = Features.of(ArrayMatrix(X, "X"), 30, 0)
    drawn = np.concatenate([features.gaussian([0, k], np.float64) for k in range(300)])
    n = len(drawn)
    covariance = np.cov(X.T)
    assert np.all(np.abs(drawn.mean(axis=0) - X.mean(axis=0)) < 4 * np.sqrt(np.diag(covariance) / n))
    spread = np.sqrt((covariance**2 + np.outer(np.diag(covariance), np.diag(covariance))) / n)
    assert np.all(np.abs(np.cov(drawn.T) - covariance) < 4 * spread)
    skewness = np.mean((drawn - drawn.mean(axis=0)) ** 3, axis=0) / drawn.std(axis=0) ** 3
    assert np.all(np.abs(skewness) < 4 * math.sqrt(6 / n))  # those of X are near 2


def test_it_warns_where_vectors_do_not_determine_their_covariance() -> None:
    rng = np.random.default_rng(12)
    V = 0.1 * rng.normal(size=(4, 80))
    [_, said] = rmtsim.measure(V, rng.normal(size=(100, 80)), nulls="gaussian").notes  # the first: a single batch
    found = re.fullmatch(r"gaussian: 100 vectors of effective dimension (\d+) .* too large by (\d+)%; .*", said)
    assert found is not None
    assert float(found[1]) == pytest.approx(80, rel=0.1)
    assert float(found[2]) == pytest.approx(81, rel=0.1)
    assert len(rmtsim.measure(V[:, :8], rng.normal(size=(100, 8)), nulls="gaussian").notes) == 1


def test_a_null_that_is_not_known_says_so() -> None:
    """Logits with a hundred times the variance of the theorem's are beyond the theory."""
    rng = np.random.default_rng(10)
    found = rmtsim.measure(10 * rng.normal(size=(5, 150)), rng.normal(size=(20, 150)), nulls="logit_variance")
    [null] = found.null_list
    assert math.isnan(null.norms.ratio)
    assert null.note.startswith("not known where logits have a variance of ")
    assert null.note in found.text()
