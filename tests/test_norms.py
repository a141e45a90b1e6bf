"""Block norms without blocks against the norms of explicit blocks."""

from __future__ import annotations

from types import ModuleType

import mpmath
import numpy as np
import pytest

import rmtsim
from rmtsim.arrays.backend import to_numpy
from rmtsim.kernels import grams, precision
from tests.cases import CASES, IDS, Problem, problem
from tests.explicit_norms import explicit


def measured(p: Problem, xp: ModuleType, dtype: str) -> dict[str, tuple[float, float]]:
    X, V, W = (None if a is None else xp.asarray(a.astype(dtype)) for a in (p.X, p.V, p.W))
    result = rmtsim.block_norms(X, V, W=W, y=xp.asarray(p.y), loss=p.loss)
    return {layer: (float(n.diag_sqfro), float(n.offdiag_sqfro)) for layer, n in result.items()}


@pytest.mark.parametrize(("size", "loss"), CASES, ids=IDS)
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 1e-5)])
def test_equals_explicit_blocks(size: tuple, loss: str, dtype: str, rtol: float, xp: ModuleType) -> None:
    p = problem(size, loss)
    if dtype == "float32":  # the blocks of the rounded arrays
        p = p._replace(**{k: getattr(p, k).astype(dtype).astype(float) for k in "XV"})
        p = p if p.W is None else p._replace(W=p.W.astype(dtype).astype(float))
    values, expected = measured(p, xp, dtype), explicit(p)
    assert list(values) == list(expected)
    for layer in expected:
        np.testing.assert_allclose(values[layer], expected[layer], rtol=rtol, atol=1e-30, err_msg=layer)


@pytest.mark.parametrize("size", [(6, 3, 60, None), (6, 30, 60, None), (6, 12, 60, 3), (6, 12, 6, 3)])
def test_both_contractions_agree(size: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    p = problem(size, "ce")
    values = []
    for few in (True, False):
        monkeypatch.setattr(grams, "few_features", lambda inputs, n_samples, few=few: few)
        values.append(measured(p, np, "float64"))
    for layer in values[0]:
        np.testing.assert_allclose(values[0][layer], values[1][layer], rtol=1e-12)


@pytest.mark.parametrize("loss", ["ce", "mse"])
@pytest.mark.parametrize("size", [(5, 4, 9, None), (5, 4, 30, 3)])
def test_a_batch_is_its_draws_to_the_bit(size: tuple, loss: str) -> None:
    problems = [problem(size, loss, seed) for seed in range(5)]
    X, V, y = (np.stack([getattr(p, k) for p in problems]) for k in "XVy")
    W = None if size[3] is None else np.stack([p.W for p in problems])
    together = rmtsim.block_norms(X, V, W=W, y=y, loss=loss)
    for b, p in enumerate(problems):
        alone = rmtsim.block_norms(p.X, p.V, W=p.W, y=p.y, loss=loss)
        for layer in alone:
            for whole, part in zip(together[layer], alone[layer], strict=True):
                assert np.array_equal(to_numpy(whole)[b], part, equal_nan=True)


def test_an_empty_batch_has_no_norms() -> None:
    p = problem((3, 5, 4, 4), "ce")
    X, V, W, y = (np.stack([A] * 2)[:0] for A in (p.X, p.V, p.W, p.y))
    for loss in ("ce", "mse"):
        for norms in rmtsim.block_norms(X, V, W=W, y=y, loss=loss).values():
            assert all(value.shape == (0,) for value in norms)


def test_large_logits_stay_finite_and_right() -> None:
    p = problem((5, 4, 12, 3), "ce", scale=300.0)
    values, expected = measured(p, np, "float64"), explicit(p)
    for layer in expected:
        assert np.isfinite(values[layer][1])
        np.testing.assert_allclose(values[layer], expected[layer], rtol=1e-9)


def test_moderate_size_in_float32() -> None:
    p = problem((200, 40, 150, None), "ce", scale=40**-0.5)
    single, double = measured(p, np, "float32"), measured(p, np, "float64")
    np.testing.assert_allclose(single["linear"], double["linear"], rtol=1e-5)


def test_layers_follow_the_arguments() -> None:
    p = problem((3, 5, 4, 4), "ce")
    assert list(rmtsim.block_norms(p.X, p.V, W=p.W)) == ["hidden", "output"]
    assert list(rmtsim.block_norms(p.X, p.V, W=p.W, y=p.y)) == ["hidden", "output", "cross"]
    assert list(rmtsim.block_norms(p.X, p.V, W=p.W, layers=("output",))) == ["output"]
    assert list(rmtsim.block_norms(p.X, p.V, W=p.W, y=list(p.y))) == ["hidden", "output", "cross"]


GOOD = problem((3, 5, 4, 4), "ce")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": "hinge"}, "choose one of ce, mse"),
        ({"X": GOOD.X[0]}, "give matrices"),
        ({"X": {"x": 1.0}}, "^X: dict is not an array"),
        ({"V": len}, "^V: builtin_function_or_method is not an array"),
        ({"W": [GOOD.W, GOOD.W]}, "W: it is a sequence of 2 layers.*rmtsim.layer_norms, or to rmtsim.hessian"),
        ({"W": (GOOD.W,)}, "W: it is a sequence of 1 layer,.*rmtsim.layer_norms"),
        ({"W": [GOOD.W.tolist(), GOOD.W[:, :2].tolist()]}, "W: it is a sequence of 2 layers"),
        ({"y": [[0], [0, 1]]}, "^y: it is not an array of one shape"),
        ({"V": GOOD.V[:, :2]}, r"V is \(C, m\)"),
        ({"W": GOOD.W[:, :2]}, r"W is \(m, d\)"),
        ({"W": GOOD.W[:0]}, "every axis needs at least one"),
        ({"X": GOOD.X * np.nan}, "finite"),
        ({"y": GOOD.y + 3}, r"outside 0 … 2"),
        ({"y": GOOD.y[:2]}, r"whole numbers"),
        ({"y": GOOD.y + 0.5}, r"whole numbers"),
        ({"y": None, "layers": ("cross",)}, "needs labels"),
        ({"layers": ("linear",)}, "choose one of hidden, output, cross"),
        ({"layers": 3}, "layers: 3 is not valid; give a selection of hidden, output, cross"),
    ],
)
def test_bad_arrays_get_one_sentence(change: dict, words: str) -> None:
    arguments = {"X": GOOD.X, "V": GOOD.V, "W": GOOD.W, "y": GOOD.y, **change}
    with pytest.raises(rmtsim.InputError, match=words) as caught:
        rmtsim.block_norms(arguments.pop("X"), arguments.pop("V"), **arguments)
    assert "\n" not in str(caught.value)


def test_no_hidden_layers_are_the_linear_model() -> None:
    X, V = GOOD.X, GOOD.V.repeat(2, axis=1)[:, : GOOD.X.shape[1]]
    expected = rmtsim.block_norms(X, V)
    assert rmtsim.block_norms(X, V, W=[]) == expected
    np.testing.assert_array_equal(rmtsim.hessian(X, V, W=()), rmtsim.hessian(X, V))


@pytest.mark.parametrize("factor", [1.0, 1e-30])
def test_norms_without_axes_are_scalars(factor: float) -> None:
    for norms in rmtsim.block_norms(factor * GOOD.X, GOOD.V, W=GOOD.W, y=GOOD.y).values():
        assert all(type(value) is np.float64 for value in norms)


def test_hessian_needs_labels_and_no_batch() -> None:
    with pytest.raises(rmtsim.InputError, match="needs labels"):
        rmtsim.hessian(GOOD.X, GOOD.V, W=GOOD.W)
    with pytest.raises(rmtsim.InputError, match="give matrices"):
        rmtsim.hessian(GOOD.X[None], GOOD.V[None])


def test_saturated_softmax_needs_the_form_without_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    p = problem((3, 5, 8, None), "ce", scale=12.0)
    expected = explicit(p)["linear"]
    np.testing.assert_allclose(measured(p, np, "float64")["linear"], expected, rtol=1e-12)
    monkeypatch.setattr(precision, "_DOMINATED", 0.0)
    plain = measured(p, np, "float64")["linear"]
    assert abs(plain[1] / expected[1] - 1) > 1e-12


def exact_values(p: Problem) -> tuple[float, float, float]:
    """Mean ‖H_{v_i v_i}‖², ‖H_{w_i w_i}‖² and ‖H_{w_i v_j}‖² by (15), (14) and (18) in 60 digits."""
    with mpmath.workdps(60):
        X, V, W = (mpmath.matrix(A.tolist()) for A in (p.X, p.V, p.W))
        N, d, C, m = X.rows, X.cols, V.rows, W.rows
        output, hidden = [mpmath.zeros(m) for _ in range(C)], [mpmath.zeros(d) for _ in range(m)]
        cross = [[mpmath.zeros(d, m) for _ in range(C)] for _ in range(m)]
        for n in range(N):
            x = X[n, :].T
            sigma = (W * x).apply(lambda g: max(g, mpmath.mpf(0)))
            weights = (V * sigma).apply(mpmath.exp)
            P = weights / sum(weights)
            for c in range(C):
                output[c] += P[c] * sum(P[k] for k in range(C) if k != c) * sigma * sigma.T / N
            for i in range(m):
                mean = sum(P[c] * V[c, i] for c in range(C))
                if sigma[i] > 0:
                    hidden[i] += sum(P[c] * (V[c, i] - mean) ** 2 for c in range(C)) * x * x.T / N
                    for c in range(C):
                        e = mpmath.zeros(m, 1)
                        e[i] = P[c] - (1 if p.y[n] == c else 0)
                        cross[i][c] += x * (e + P[c] * (V[c, i] - mean) * sigma).T / N
        every = (output, hidden, [block for row in cross for block in row])
        return tuple(float(sum(sum(e**2 for e in H) for H in Hs) / len(Hs)) for Hs in every)


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 1e-3)])
def test_saturated_norms_keep_their_digits(dtype: str, rtol: float) -> None:
    """Every sample is classified, and rightly, with a margin of 20 or more: in float32 1 - p would have no digit."""
    p = problem((3, 4, 6, 2), "ce")
    p = p._replace(X=np.abs(p.X), W=np.abs(p.W), y=np.zeros(6, dtype=int))
    sigma = p.X @ p.W.T
    p = p._replace(V=np.outer([1.0, 0.5, 0.0], [1.0, 1.0]) * 50 / sigma.sum(axis=1).min() + 0.1 * p.V)
    p = p._replace(**{k: getattr(p, k).astype(dtype).astype(float) for k in "XVW"})
    output, hidden, cross = exact_values(p)
    values = measured(p, np, dtype)
    assert output < 1e-10
    assert cross < 1e-10
    found = [values["output"][0], values["hidden"][0], values["cross"][1]]
    np.testing.assert_allclose(found, [output, hidden, cross], rtol=rtol)
