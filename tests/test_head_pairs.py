"""The strongest off-diagonal blocks of a last layer: those of all pairs, from few candidates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rmtsim
from rmtsim.heads import pairs
from rmtsim.heads.pairs import MOST_PROBABLE
from tests.heads import C, N, batched, batches, clustered, squares, written_out


@pytest.fixture(scope="module")
def arrays() -> dict[str, Any]:
    return clustered()


@pytest.mark.parametrize("sharpness", [1.0, 6.0])
def test_the_strongest_pairs_are_those_of_all(sharpness: float, arrays: dict[str, Any]) -> None:
    V, X, bias = sharpness * arrays["V"], arrays["X"], arrays["bias"]
    count = 20
    found = rmtsim.measure(V, X, bias=bias, batch=N, nulls=(), top=count)
    norms = np.mean([squares(written_out(x, V, bias, "column", 1.0).blocks) for x in batches(X)], axis=0)
    first, second = np.triu_indices(C, 1)
    order = np.argsort(-norms[first, second])[:count]
    assert found.pairs is not None
    assert found.pairs["class_i"].tolist() == first[order].tolist()
    assert found.pairs["class_j"].tolist() == second[order].tolist()
    assert found.pairs["sqfro"].to_numpy() == pytest.approx(norms[first, second][order], rel=1e-11)
    share = 2 * norms[first, second][order] / (norms.sum() - np.trace(norms))
    assert found.pairs["share"].to_numpy() == pytest.approx(share, rel=1e-11)
    assert found.pairs_certain


@pytest.mark.parametrize("remembered", [2**20, 300])
def test_few_candidates_do(remembered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 44,850 pairs the norms of 64 are computed: what is called certain is so, and the bound on the others holds."""
    monkeypatch.setattr(pairs, "_EVALUATED", 64)
    monkeypatch.setattr(pairs, "_REMEMBERED", remembered)
    rng = np.random.default_rng(13)
    V, X = 4 * rng.normal(size=(300, 5)), rng.normal(size=(80, 5))
    found = rmtsim.measure(V, X, batch=40, nulls=(), top=6)
    exact = [squares(written_out(x, V, None, "column", 1.0).blocks) for x in np.split(batched(X), 2)]
    norms = np.triu(np.mean(exact, axis=0), 1)
    order = np.argsort(-norms.ravel())
    assert found.pairs is not None
    assert (300 * found.pairs["class_i"] + found.pairs["class_j"]).tolist() == order[:6].tolist()
    assert found.pairs_certain
    assert norms.ravel()[order[64]] <= found.pairs_bound  # at least one of these was not computed


def test_pairs_are_not_called_certain_where_they_are_not() -> None:
    """Equal logits: every pair is as strong as another, and most were not looked at."""
    rng = np.random.default_rng(1)
    X, V = rng.normal(size=(60, 4)), 1e-3 * rng.normal(size=(300, 4))
    found = rmtsim.measure(V, X, nulls=(), top=10)
    assert found.n_classes > 2 * MOST_PROBABLE
    assert not found.pairs_certain
    norms = squares(written_out(X, V, None, "column", 1.0).blocks)
    assert found.pairs is not None
    computed = {(pair.class_i, pair.class_j) for pair in found.pairs.itertuples()}
    others = [norms[i, j] for i in range(300) for j in range(i) if (j, i) not in computed]
    assert max(others) <= found.pairs_bound
    assert "may be stronger" in found.text()
