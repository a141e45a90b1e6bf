"""The last layer of a trained network: against its blocks written out, and nulls against computations of their own."""

from __future__ import annotations

import json
import math
import re
import tracemalloc
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

import rmtsim
from rmtsim.heads import pairs
from rmtsim.heads.batch import Wanted, batch_memory
from rmtsim.heads.features import Features
from rmtsim.heads.head import Head
from rmtsim.heads.matrix import ArrayMatrix
from rmtsim.heads.nulls import ISOLATES
from rmtsim.heads.pairs import MOST_PROBABLE
from rmtsim.kernels.memory import BASE
from rmtsim.model.choices import NULLS

Values = npt.NDArray[np.float64]

C, D, N, BATCHES = 50, 12, 40, 3


class Written(NamedTuple):
    """All blocks of a batch, (C, C, d, d), and its probabilities (N, C)."""

    blocks: Values
    p: Values


def written_out(X: Values, V: Values, bias: Values | None, bias_as: str, scale: float) -> Written:
    logits = scale * (X @ V.T + (0 if bias is None else bias))
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    if bias is not None and bias_as == "column":
        X = np.column_stack([X, np.ones(len(X))])
    others = np.array([np.delete(p, c, axis=1).sum(axis=1) for c in range(len(V))]).T  # 1 − p to all digits
    weights = -p[:, :, None] * p[:, None, :]
    weights[:, range(len(V)), range(len(V))] = p * others
    outer = X[:, :, None] * X[:, None, :]
    return Written(scale**2 / len(X) * np.tensordot(weights, outer, axes=((0,), (0,))), p)


def squares(blocks: Values) -> Values:
    return np.sum(blocks**2, axis=(2, 3))


def means(written: list[Written]) -> tuple[float, float]:
    norms = np.mean([squares(of.blocks) for of in written], axis=0)
    n_classes = len(norms)
    return float(np.mean(np.diag(norms))), float((norms.sum() - np.trace(norms)) / (n_classes * (n_classes - 1)))


@pytest.fixture(scope="module")
def arrays() -> dict[str, Any]:
    """A head and features with clusters, so that a sample's weights depend on its own vector."""
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(6, D)) * 1.5
    X = centres[rng.integers(6, size=N * BATCHES)] + 0.5 * rng.normal(size=(N * BATCHES, D))
    return {"V": 0.6 * rng.normal(size=(C, D)), "X": X, "bias": rng.normal(size=C)}


def batches(X: Values, seed: int = 0) -> list[Values]:
    order = np.random.default_rng(seed).permutation(len(X))
    return [X[order[k * N : (k + 1) * N]] for k in range(BATCHES)]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("scale", [1.0, 0.7])
@pytest.mark.parametrize("bias_as", [None, "column", "left-out"])
def test_blocks_written_out(bias_as: Any, scale: float, dtype: str, arrays: dict[str, Any]) -> None:
    """Norms, predictions, classes and groups, over several batches."""
    V, X = (arrays[name].astype(dtype) for name in ("V", "X"))
    bias = None if bias_as is None else arrays["bias"].astype(dtype)
    labels = np.arange(C) % 7
    options: dict[str, Any] = {} if bias_as is None else {"bias": bias, "bias_as": bias_as}
    found = rmtsim.measure(V, X, scale=scale, batch=N, nulls=(), classes=True, groups=labels, **options)
    assert (found.n_classes, found.dim, found.batch, found.batches) == (C, D, N, BATCHES)
    assert found.block_dim == D + (bias_as == "column")
    assert found.dtype == dtype
    exact = [
        written_out(x.astype(float), V.astype(float), None if bias is None else bias.astype(float), bias_as, scale)
        for x in batches(X)
    ]
    close = 1e-12 if dtype == "float64" else 1e-5
    diag, offdiag = means(exact)
    whole = C * diag + C * (C - 1) * offdiag
    assert found.diag_sqfro == pytest.approx(diag, rel=close)
    assert found.offdiag_sqfro == pytest.approx(offdiag, rel=close)
    assert found.ratio == pytest.approx(offdiag / diag, rel=close)
    assert found.outside == pytest.approx(C * (C - 1) * offdiag / whole, rel=close)
    by_batch = np.array([means([of]) for of in exact])
    assert found.by_batch[["diag_sqfro", "offdiag_sqfro"]].to_numpy() == pytest.approx(by_batch, rel=close)
    assert found.std_error_diag == pytest.approx(by_batch[:, 0].std(ddof=1) / math.sqrt(BATCHES), rel=100 * close)
    p = np.concatenate([of.p for of in exact])
    assert found.perplexity == pytest.approx(math.exp(-np.sum(p * np.log(p)) / len(p)), rel=close)
    assert found.effective_classes == pytest.approx(1 / np.mean(np.sum(p**2, axis=1)), rel=close)
    q = p.mean(axis=0)
    assert found.entropy_of_mean == pytest.approx(-np.sum(q * np.log(q)), rel=close)
    logits = scale * (X.astype(float) @ V.T.astype(float) + (0 if bias is None else bias))
    assert found.logit_variance == pytest.approx(np.mean(np.var(logits, axis=1)), rel=10 * close)
    norms = np.mean([squares(of.blocks) for of in exact], axis=0)
    assert found.classes is not None
    assert found.classes["frequency"].to_numpy() == pytest.approx(q, rel=close)
    assert found.classes["diag_sqfro"].to_numpy() == pytest.approx(np.diag(norms), rel=close)
    same = (labels[:, None] == labels[None, :]) & ~np.eye(C, dtype=bool)
    assert found.groups is not None
    shares = [np.trace(norms), norms[same].sum(), norms.sum() - np.trace(norms) - norms[same].sum()]
    assert found.groups["share"].to_numpy() == pytest.approx(np.array(shares) / whole, rel=close)
    assert found.groups["blocks"].sum() == C**2


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_head_that_is_sure(dtype: Any, arrays: dict[str, Any]) -> None:
    """Where all but 1e-4 of the probability is in one class, differences of large numbers would lose all digits."""
    V, X = 12 * arrays["V"], arrays["X"]
    labels = np.arange(C) % 3
    found = rmtsim.measure(V, X, batch=N, nulls=(), dtype=dtype, groups=labels, classes=True)
    exact = [written_out(x, V, None, "column", 1.0) for x in batches(X)]
    assert np.median(1 - np.concatenate([of.p for of in exact]).max(axis=1)) < 1e-4
    diag, offdiag = means(exact)
    close = 1e-11 if dtype == "float64" else 1e-4  # logits of some hundred are off by 1e-5
    assert found.ratio == pytest.approx(offdiag / diag, rel=close)
    norms = np.mean([squares(of.blocks) for of in exact], axis=0)
    same = (labels[:, None] == labels[None, :]) & ~np.eye(C, dtype=bool)
    assert found.groups is not None
    assert found.groups["share"][1] == pytest.approx(norms[same].sum() / norms.sum(), rel=close)
    assert found.classes is not None
    assert found.classes["diag_sqfro"].to_numpy() == pytest.approx(np.diag(norms), rel=close)


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


def batched(X: Values) -> Values:
    return X[np.random.default_rng(0).permutation(len(X))]


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


def test_norms_do_not_depend_on_memory_or_threads(arrays: dict[str, Any]) -> None:
    rng = np.random.default_rng(7)
    V, X = rng.normal(size=(600, 8)).astype("float32"), rng.normal(size=(1200, 8)).astype("float32")
    one, other = (
        rmtsim.measure(V, X, nulls="decoupled", permutations=2, threads=threads, memory=memory)
        for threads, memory in ((1, None), (2, "250MiB"))
    )
    assert (one.diag_sqfro, one.offdiag_sqfro) == (other.diag_sqfro, other.offdiag_sqfro)
    assert one.nulls["ratio"].tolist() == other.nulls["ratio"].tolist()
    with pytest.raises(rmtsim.InputError, match=r"memory: a batch of 1200 samples .* give a smaller batch"):
        rmtsim.measure(V, X, nulls=(), memory="230MiB")


def test_memory_does_not_grow_with_the_classes() -> None:
    """What NumPy takes at its peak is within the estimate; exponentials of all classes would take twice as much."""
    rng = np.random.default_rng(14)
    n_classes, dim, size = 30_000, 6, 256
    V, X = 8 * rng.normal(size=(n_classes, dim)).astype("float32"), rng.normal(size=(size, dim)).astype("float32")
    head = Head.of(ArrayMatrix(V, "V"), None, "column", 1.0)
    options: dict[str, Any] = {"nulls": "decoupled", "permutations": 4, "threads": 1}
    rmtsim.measure(V[:100], X, **options)  # loads what is loaded once
    tracemalloc.start()
    found = rmtsim.measure(V, X, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    estimate = batch_memory(head, size, "float32", 1, 5, Wanted()) - BASE
    assert 0.2 * estimate < peak < estimate < 4 * size * n_classes / 2
    assert found.perplexity < 100  # some samples are sure, so there are passes without their leading classes


def test_extreme_features_keep_their_digits(arrays: dict[str, Any]) -> None:
    """Features of 1e-12 with weights of 1e12: fourth powers are below float32's range, norms are not."""
    V, X = arrays["V"].astype("float32"), arrays["X"].astype("float32")
    small = np.float32(2.0**-40)
    a = rmtsim.measure(V, X, batch=N, nulls=())
    b = rmtsim.measure(V / small, X * small, batch=N, nulls=())
    assert b.diag_sqfro == a.diag_sqfro * float(small) ** 4
    assert b.ratio == a.ratio


def test_float64_where_float32_would_lose_digits(arrays: dict[str, Any]) -> None:
    V, X = 100 * arrays["V"].astype("float32"), arrays["X"].astype("float32")
    found, same = rmtsim.measure(V, X, batch=N, nulls=()), rmtsim.measure(V, X, batch=N, nulls=(), dtype="float64")
    assert found.dtype == "float64"  # logits of a thousand
    assert (found.diag_sqfro, found.offdiag_sqfro) == (same.diag_sqfro, same.offdiag_sqfro)


def test_shuffled_or_by_sequence(arrays: dict[str, Any]) -> None:
    V, X = arrays["V"], arrays["X"]
    sequence = rmtsim.measure(V, X, batch=N, nulls=(), by_sequence=True)
    first = means([written_out(X[:N], V, None, "column", 1.0)])
    assert sequence.by_batch["diag_sqfro"][0] == pytest.approx(first[0], rel=1e-12)
    one, same, other = (rmtsim.measure(V, X, batch=N, nulls=(), shuffle=seed) for seed in (1, 1, 2))
    assert one.diag_sqfro == same.diag_sqfro != other.diag_sqfro


def test_what_it_warns_of() -> None:
    rng = np.random.default_rng(8)
    V, X = rng.normal(size=(5, 3)), rng.normal(size=(90, 3))
    said = rmtsim.measure(V, X, nulls=()).notes
    assert len(said) == 1
    assert said[0].startswith("one batch of 90: no standard errors")
    few = rmtsim.measure(V, X, nulls=(), batch=40)
    assert few.notes[0].startswith("2 batches: standard errors are themselves uncertain by 71 %")
    assert few.notes[0].endswith("give smaller batches")
    assert few.notes[1] == "10 rows of 90 are in no batch of 40"
    [single] = rmtsim.measure(V, X[:5], nulls=(), batch=1).notes
    assert single.endswith("give more features")
    blank = rmtsim.measure(np.zeros_like(V), X, nulls="logit_variance", batch=10).null_list[0]
    assert blank.note == "not known where logits have a variance of 0: the theory has variances from 1e-06 to 1e+06"
    assert not rmtsim.measure(V, X, nulls=(), batch=10).notes
    assert not rmtsim.measure(V, X, nulls=(), batch=10, by_sequence=True).notes  # rows that are independent
    walk = X.copy()
    for n in range(1, 90):
        walk[n] = 0.8 * walk[n - 1] + 0.6 * X[n]
    correlated = rmtsim.measure(V, walk, nulls=(), batch=10, by_sequence=True).notes
    assert len(correlated) == 1
    centred = walk - walk.mean(axis=0)
    correlation = np.vdot(centred[:-1], centred[1:]) / np.vdot(centred, centred)
    assert correlated[0].startswith(f"successive rows correlate ({correlation:.2f}): standard errors hold where")
    [shuffled] = rmtsim.measure(V, walk, nulls=(), batch=10).notes
    assert shuffled.startswith(f"successive rows correlate ({correlation:.2f}): standard errors are about further rows")


def test_it_warns_where_vectors_do_not_determine_their_covariance() -> None:
    rng = np.random.default_rng(12)
    V = 0.1 * rng.normal(size=(4, 80))
    [_, said] = rmtsim.measure(V, rng.normal(size=(100, 80)), nulls="gaussian").notes  # the first: a single batch
    found = re.fullmatch(r"gaussian: 100 vectors of effective dimension (\d+) .* too large by (\d+)%; .*", said)
    assert found is not None
    assert float(found[1]) == pytest.approx(80, rel=0.1)
    assert float(found[2]) == pytest.approx(81, rel=0.1)
    assert len(rmtsim.measure(V[:, :8], rng.normal(size=(100, 8)), nulls="gaussian").notes) == 1


def test_batches_are_equal_where_none_is_given() -> None:
    rng = np.random.default_rng(9)
    V, X = rng.normal(size=(3, 2)), rng.normal(size=(4100, 2))
    assert (rmtsim.measure(V, X, nulls=()).batch, rmtsim.measure(V, X[:2048], nulls=()).batch) == (1366, 2048)


def test_it_prints_and_is_plain_data(arrays: dict[str, Any], tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("\n".join(f"tok{k}" for k in range(C)) + "\n", "utf-8")
    found = rmtsim.measure(
        arrays["V"],
        arrays["X"],
        bias=arrays["bias"],
        batch=N,
        nulls=["decoupled", "gaussian"],
        permutations=4,
        top=3,
        groups=np.arange(C) % 2,
        vocabulary=words,
    )
    text = repr(found)
    for part in ("C = 50, d = 12, 3 batches of N = 40, the bias as a column", "decoupled", "within groups", "tok"):
        assert part in text
    html = found._repr_html_()
    assert html.count("<table") == 3
    document = json.loads(json.dumps(found.document()))
    needed = "n_classes dim batch batches diag_sqfro offdiag_sqfro ratio outside std_error_diag std_error_offdiag "
    needed += "std_error_ratio std_error_outside perplexity nulls by_batch"
    assert set(needed.split()) <= set(document)
    for null in document["nulls"]:
        assert {"name", "diag_sqfro", "offdiag_sqfro", "ratio", "outside"} <= set(null)
    assert set(ISOLATES) == set(NULLS)


def test_a_null_that_is_not_known_says_so() -> None:
    """Logits with a hundred times the variance of the theorem's are beyond the theory."""
    rng = np.random.default_rng(10)
    found = rmtsim.measure(10 * rng.normal(size=(5, 150)), rng.normal(size=(20, 150)), nulls="logit_variance")
    [null] = found.null_list
    assert math.isnan(null.norms.ratio)
    assert null.note.startswith("not known where logits have a variance of ")
    assert null.note in found.text()


def test_what_has_no_ratio_is_not_a_number() -> None:
    """Without features all blocks are zero; a batch of one sample has nothing to permute."""
    rng = np.random.default_rng(11)
    none = rmtsim.measure(rng.normal(size=(5, 3)), np.zeros((10, 3)), nulls="gaussian", batch=5, top=1, groups=range(5))
    assert (none.diag_sqfro, none.offdiag_sqfro) == (0, 0)
    assert math.isnan(none.ratio)
    assert math.isnan(none.outside)
    assert "nan" not in none.text()
    one = rmtsim.measure(rng.normal(size=(2, 3)), rng.normal(size=(3, 3)), nulls="decoupled", batch=1)
    assert one.ratio == pytest.approx(1)  # two classes have four equal blocks
    assert "decoupled: it takes at least two samples" in one.text()


V, X = np.ones((4, 3)), np.arange(18.0).reshape(6, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"X": np.ones((6, 5))}, "X: it has 5 columns, and V has 3"),
        ({"X": np.ones(6)}, "X: shape (6,) is not valid; give a matrix (N, d)"),
        ({"X": np.ones((0, 3))}, "X: shape (0, 3) has no entries"),
        ({"V": np.ones((1, 3))}, "V: it has one row"),
        ({"V": np.full((4, 3), np.nan)}, "V: it holds NaN at [0, 0]"),
        ({"X": np.where(X == 7, np.inf, X)}, "X: it holds inf at [2, 1]"),
        ({"V": np.ones((4, 3), complex)}, "V: dtype complex128 is not valid"),
        ({"V": np.full((4, 3), 1e300), "dtype": "float32"}, "V: it holds numbers too large for float32"),
        ({"bias": np.ones(3)}, "bias: shape (3,) does not fit V with 4 rows"),
        ({"bias": np.array([1.0, 2.0, 3.0, np.nan])}, "bias: it holds NaN at [3]"),
        ({"bias_as": "row"}, "bias_as: 'row' is not known; choose one of column, left-out"),
        ({"batch": 7}, "batch: 7 is more than the 6 rows of X; give at most 6"),
        ({"batch": 0}, "batch: 0 is not valid; give a whole number from 1"),
        ({"scale": 0}, "scale: 0 is not valid; give a positive number"),
        ({"scale": math.nan}, "scale: nan is not valid"),
        ({"nulls": "gausian"}, "nulls: 'gausian' is not known (did you mean gaussian?)"),
        ({"permutations": 0}, "permutations: 0 is not valid"),
        ({"top": -1}, "top: -1 is not valid"),
        ({"shuffle": -1}, "shuffle: -1 is not valid"),
        ({"dtype": "float16"}, "dtype: 'float16' is not known"),
        ({"groups": [1, 2, 3]}, "groups has 3 entries and there are 4 classes"),
        ({"groups": [[1, 2], [3, 4]]}, "groups: shape (2, 2) is not valid"),
        ({"vocabulary": "nothing.txt"}, "vocabulary: nothing.txt cannot be read"),
        ({"V": "nothing.npy"}, "V: "),
        ({"memory": "1MiB"}, "memory: a batch of 6 samples"),
        ({"V": 1e300 * V, "X": 1e9 * X}, "X, V: logits reach about"),
    ],
)
def test_bad_input(change: dict[str, Any], words: str) -> None:
    with pytest.raises(rmtsim.InputError) as raised:
        rmtsim.measure(**({"V": V, "X": X} | change))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("v.txt", "a\nb\nc\nd\ne\n", "has 5 names and there are 4 classes"),
        ("v.json", '{"a": 4}', "gives 'a' the number 4, and classes are 0 to 3"),
        ("v.json", '{"a": "b"}', "does not hold what it should; give a list of names"),
        ("v.json", "[1, 2]", "does not hold what it should; give a list of names"),
        ("v.json", "{", "cannot be used (it is not JSON"),
        ("v.txt", b"\xff\xfe", "is not UTF-8 text"),
    ],
)
def test_bad_vocabularies(name: str, content: str | bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(rmtsim.InputError, match=r"^vocabulary: ") as raised:
        rmtsim.measure(V, X, nulls=(), vocabulary=path)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    "content",
    [
        "a\nb\n\nd\n",
        '["a", "b", "", "d"]',
        '{"a": 0, "d": 3, "b": 1}',
        '{"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [{"content": "d", "id": 3}]}',
        '{"model": {"vocab": [["a", -1.5], ["b", -2.5], ["", 0], ["d", 0]]}}',
    ],
)
def test_vocabularies(content: str, tmp_path: Path) -> None:
    path = tmp_path / ("v.json" if content[0] in "[{" else "v.txt")
    path.write_text(content, "utf-8")
    found = rmtsim.measure(V, X, nulls=(), vocabulary=path, classes=True)
    assert found.classes is not None
    assert found.classes["token"].tolist() == ["a", "b", "", "d"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"a": [0, 1], "b": [1, 2, 3]}', "puts class 1 into 'a' and 'b'"),
        ('{"a": [0, 1], "b": [3]}', "puts class 2 into no group"),
        ('{"a": [0, 4]}', "puts 4 into 'a'; give lists of classes, whole numbers from 0 to 3"),
        ('{"a": 0}', "puts None into 'a'"),
        ('["a", "b"]', "has 2 entries and there are 4 classes"),
        ('"a"', "does not hold what it should"),
    ],
)
def test_bad_groups(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "groups.json"
    path.write_text(content, "utf-8")
    with pytest.raises(rmtsim.InputError, match=r"^groups: ") as raised:
        rmtsim.measure(V, X, nulls=(), groups=path)
    assert words in str(raised.value)


def test_groups_from_files_are_those_of_a_list(tmp_path: Path, arrays: dict[str, Any]) -> None:
    labels = ["even", "odd"] * (C // 2)
    (tmp_path / "g.txt").write_text("\n".join(labels), "utf-8")
    members = {name: [k for k in range(C) if labels[k] == name] for name in ("even", "odd")}
    (tmp_path / "g.json").write_text(json.dumps(members), "utf-8")
    found = [
        rmtsim.measure(arrays["V"], arrays["X"], nulls=(), groups=groups).groups["share"].tolist()  # type: ignore[index]
        for groups in (labels, tmp_path / "g.txt", tmp_path / "g.json")
    ]
    assert found[0] == found[1] == found[2]
    assert sum(found[0]) == pytest.approx(1)
    whole = rmtsim.measure(arrays["V"], arrays["X"], nulls=(), groups=["all"] * C)
    assert whole.groups is not None
    assert whole.groups["share"][1] == pytest.approx(whole.outside)
    assert whole.groups["share"][2] == pytest.approx(0, abs=1e-12)
