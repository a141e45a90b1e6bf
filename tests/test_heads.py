"""The last layer of a trained network: norms, shares and predictions against its blocks written out."""

from __future__ import annotations

import json
import math
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmtsim
from rmtsim.heads.batch import Wanted, batch_memory
from rmtsim.heads.head import Head
from rmtsim.heads.matrix import ArrayMatrix
from rmtsim.heads.nulls import ISOLATES
from rmtsim.kernels.memory import BASE
from rmtsim.model.choices import NULLS
from tests.heads import BATCHES, C, D, N, batches, clustered, means, squares, written_out


@pytest.fixture(scope="module")
def arrays() -> dict[str, Any]:
    return clustered()


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
