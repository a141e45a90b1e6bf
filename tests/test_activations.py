"""Each activation: its derivatives, and blocks and norms against automatic differentiation of the whole network."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from types import ModuleType
from typing import Any

import array_api_strict
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import rmtsim
from rmtsim.arrays.threads import ONE_THREAD
from rmtsim.kernels import explicit_blocks as blocks
from rmtsim.kernels import network_norms
from rmtsim.kernels.classes import GivenRows
from rmtsim.kernels.moments import Moments
from rmtsim.kernels.network_norms import Networks, compute
from rmtsim.kernels.tiling import Tiling
from rmtsim.model.activation import activation_names, get_activation
from tests import autodiff
from tests.cases import Problem, problem

NAMES = ("relu", "gelu", "silu", "tanh", "identity")
SMOOTH = ("gelu", "silu", "tanh")
LOSSES = ("ce", "mse")
#: One and two classes, one neuron, fewer and more samples than dimensions.
HIDDEN_SIZES = [(1, 4, 6, 3), (2, 3, 9, 1), (3, 5, 4, 4), (7, 3, 40, 4)]
TILES = Tiling(tile=4, largest=4, chunk=2, span=100, hold=False)
WHOLE = Tiling(tile=100, largest=100, chunk=100, span=1, hold=True)
Norms = dict[str, tuple[float, float]]

#: What each is, in any number of digits.
EXACT: dict[str, Callable[[Any], Any]] = {
    "gelu": lambda x: x * mpmath.ncdf(x),
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "tanh": mpmath.tanh,
    "identity": lambda x: x,
}


def test_these_are_the_activations() -> None:
    assert set(activation_names()) == set(NAMES)


@pytest.mark.parametrize("name", list(EXACT))
@pytest.mark.parametrize("xp", [np, array_api_strict], ids=["numpy", "strict"])
def test_derivatives_have_all_their_digits(name: str, xp: ModuleType) -> None:
    """Also far from 0, where 1 − tanh² and 1 − Φ would have none; and near zeros of σ′ and σ″ beside their terms."""
    sigma, at = get_activation(name), np.array([-30.0, -11.0, -3.0, -0.7, -1e-9, 0.0, 1e-9, 0.4, 2.2, 7.0, 25.0])
    pre = xp.asarray(at)
    found = [*sigma.value_and_slope(pre, xp)]
    found += [] if sigma.piecewise_linear else [sigma.bend(pre, xp)]
    with mpmath.workdps(200):
        for order, values in enumerate(found):
            expected = [float(mpmath.diff(EXACT[name], mpmath.mpf(x), order)) for x in at]
            np.testing.assert_allclose(np.asarray(values), expected, rtol=3e-13, atol=1e-300, err_msg=str(order))
    np.testing.assert_array_equal(np.asarray(pre), at)


@pytest.mark.parametrize("name", NAMES)
def test_dtypes_are_kept(name: str) -> None:
    sigma, pre = get_activation(name), np.linspace(-3, 3, 7, dtype="float32")
    found = [*sigma.value_and_slope(pre, np), sigma.slope(pre, np)]
    found += [] if sigma.piecewise_linear else [sigma.bend(pre, np)]
    assert {values.dtype for values in found} == {np.dtype("float32")}


def parts(p: Problem, name: str) -> dict[str, np.ndarray]:
    """Layer → its blocks, cut out of the whole Hessian as automatic differentiation finds it."""
    H = autodiff.hessian(p, name)
    assert p.W is not None
    (C, m), d = p.V.shape, p.X.shape[1]
    cut = {
        "hidden": H[: m * d, : m * d].reshape(m, d, m, d),
        "output": H[m * d :, m * d :].reshape(C, m, C, m),
        "cross": H[: m * d, m * d :].reshape(m, d, C, m),
    }
    return {layer: part.transpose(0, 2, 1, 3) for layer, part in cut.items()}


def written_out(p: Problem, name: str) -> dict[str, np.ndarray]:
    """Layer → its blocks, as `rmtsim.kernels.explicit_blocks` has them."""
    return {
        "hidden": blocks.hidden_blocks(p.X, p.V, p.W, p.loss, name, p.y),
        "output": blocks.output_blocks(p.X, p.V, p.W, p.loss, name),
        "cross": blocks.cross_blocks(p.X, p.V, p.W, p.y, p.loss, name),
    }


def means(of_layers: dict[str, np.ndarray]) -> Norms:
    found = {}
    for layer, B in of_layers.items():
        squares = (B**2).sum(axis=(2, 3))
        on = np.eye(*squares.shape, dtype=bool) if layer != "cross" else np.zeros(squares.shape, dtype=bool)
        found[layer] = tuple(float(part.mean()) if part.size else np.nan for part in (squares[on], squares[~on]))
    return found


def measured(p: Problem, name: str, xp: ModuleType = np, dtype: str = "float64") -> Norms:
    X, V, W = (xp.asarray(A.astype(dtype)) for A in (p.X, p.V, p.W))
    found = rmtsim.block_norms(X, V, W=W, y=xp.asarray(p.y), loss=p.loss, activation=name)  # type: ignore[arg-type]
    return {layer: (float(of.diag_sqfro), float(of.offdiag_sqfro)) for layer, of in found.items()}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", HIDDEN_SIZES, ids=str)
def test_blocks_and_norms_equal_autodiff(size: tuple, name: str, loss: str) -> None:
    """Every layer, explicit and without blocks."""
    p = problem(size, loss)
    oracle, explicit = parts(p, name), written_out(p, name)
    found, expected = measured(p, name), means(oracle)
    assert list(found) == ["hidden", "output", "cross"]
    for layer, B in oracle.items():
        assert np.abs(explicit[layer] - B).max() <= 1e-12 * max(np.abs(B).max(), 1e-1), layer
        np.testing.assert_allclose(found[layer], expected[layer], rtol=1e-12, atol=1e-27, err_msg=layer)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", SMOOTH)
def test_the_term_of_the_second_derivative_is_seen(name: str, loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, or with the labels of others, diagonal blocks of the hidden layer are wrong, and nothing else."""
    p = problem((7, 3, 40, 4), loss)
    right, other = measured(p, name), measured(p._replace(y=p.y[::-1]), name)
    sigma = get_activation(name)
    monkeypatch.setattr(type(sigma), "bend", lambda self, pre, xp: 0 * pre)
    without = measured(p, name)
    for wrong in (without, other):
        assert abs(wrong["hidden"][0] / right["hidden"][0] - 1) > 1e-4
        assert wrong["hidden"][1] == right["hidden"][1]
        assert wrong["output"] == right["output"]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_other_array_modules_and_float32(dtype: str, name: str, loss: str, xp: ModuleType) -> None:
    p = problem((7, 3, 40, 4), loss)
    p = p._replace(**{key: getattr(p, key).astype(dtype).astype(float) for key in "XVW"})
    expected = means(written_out(p, name))
    for layer, values in measured(p, name, xp, dtype).items():
        np.testing.assert_allclose(values, expected[layer], rtol=1e-12 if dtype == "float64" else 2e-5, err_msg=layer)


@pytest.mark.parametrize("cut", [WHOLE, TILES], ids=["whole", "tiles"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize("groups", [None, [[range(2), range(2, 3)], [range(3, 5)]]], ids=["as it is", "small groups"])
def test_several_last_layers(name: str, loss: str, cut: Tiling, groups: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two draws with five V each, at once and one after the other."""
    if groups:
        monkeypatch.setattr(network_norms, "weights_at_once", lambda *sizes: groups if sizes[-1] == 5 else [[range(1)]])
    drawn = [[problem((5, 4, 9, 3), loss, seed=10 * draw + r) for r in range(5)] for draw in range(2)]
    X, W, y = (np.stack([getattr(of[0], key) for of in drawn]) for key in ("X", "W", "y"))
    last = [GivenRows(np.stack([of[r].V for of in drawn])) for r in range(5)]
    layers = ("hidden", "output", "cross")

    def values(some: list[GivenRows]) -> dict[str, np.ndarray]:
        found = compute(Networks(X, some, W, y, loss, layers, np, cut, ONE_THREAD, activation=name))
        return {layer: np.array([np.asarray(value) for value in found[layer]]) for layer in layers}

    together, one = values(last), [values([V]) for V in last]
    for layer in layers:
        mean = np.mean([of[layer] for of in one], axis=0)
        np.testing.assert_allclose(together[layer], mean, rtol=1e-12, err_msg=layer)
    for draw in range(2):
        alone = measured(drawn[draw][0], name)
        for layer in layers:
            np.testing.assert_allclose(one[0][layer][:, draw], alone[layer], rtol=1e-12, err_msg=layer)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", NAMES[1:])
def test_a_batch_is_its_draws_to_the_bit(name: str, loss: str) -> None:
    problems = [problem((5, 4, 30, 3), loss, seed) for seed in range(4)]
    arrays = {key: np.stack([getattr(p, key) for p in problems]) for key in ("X", "V", "W", "y")}
    together = rmtsim.block_norms(**arrays, loss=loss, activation=name)
    for b, p in enumerate(problems):
        for layer, values in measured(p, name).items():
            np.testing.assert_array_equal([together[layer][kind][b] for kind in range(2)], values)


def test_certain_samples_keep_the_digits_of_their_gradient() -> None:
    """Rightly labelled, Vᵀ(p − y) is as small as 1 − p; the plain difference would have lost it. In 60 digits."""
    p = problem((3, 4, 6, 2), "ce")
    p = p._replace(X=np.abs(p.X), W=np.abs(p.W), y=np.zeros(6, dtype=int))
    h = np.tanh(p.X @ p.W.T)
    p = p._replace(V=np.outer([1.0, 0.5, 0.0], [1.0, 1.0]) * 60 / h.sum(axis=1).min() + 0.1 * p.V)
    with mpmath.workdps(60):
        X, V, W = (mpmath.matrix(A.tolist()) for A in (p.X, p.V, p.W))
        total = mpmath.mpf(0)
        sums = [mpmath.zeros(X.cols) for _ in range(W.rows)]
        for n in range(X.rows):
            x = X[n, :].T
            z = W * x
            h_n = z.apply(mpmath.tanh)
            P = (V * h_n).apply(mpmath.exp)
            P = P / sum(P)
            for i in range(W.rows):
                mean = sum(P[c] * V[c, i] for c in range(V.rows))
                variance = sum(P[c] * (V[c, i] - mean) ** 2 for c in range(V.rows))
                slope = 1 - h_n[i] ** 2
                gradient = mean - V[0, i]
                sums[i] += (variance * slope**2 - 2 * h_n[i] * slope * gradient) * x * x.T / X.rows
        total = sum(sum(e**2 for e in H) for H in sums) / W.rows
        expected = float(total)
    assert expected < 1e-10
    found = measured(p, "tanh")["hidden"][0]
    assert abs(found / expected - 1) < 1e-11
    wrong = p._replace(y=np.array([1, 2, 1, 2, 1, 2]))  # certain, and mistaken
    oracle = means(parts(wrong, "tanh"))["hidden"]
    np.testing.assert_allclose(measured(wrong, "tanh")["hidden"][0], oracle[0], rtol=1e-10)


def test_the_plain_difference_would_lose_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `Moments.gradient` avoids: mean − v_y from sums over all classes."""
    p = problem((3, 4, 6, 2), "ce")
    p = p._replace(X=np.abs(p.X), W=np.abs(p.W), y=np.zeros(6, dtype=int))
    p = p._replace(V=np.outer([1.0, 0.5, 0.0], [40.0, 40.0]) + 0.1 * p.V)
    right = measured(p, "tanh")["hidden"][0]
    monkeypatch.setattr(Moments, "gradient", lambda self: self._mean_in_float64() - self._of_labels)
    assert abs(measured(p, "tanh")["hidden"][0] / right - 1) > 1e-9


@pytest.mark.parametrize("loss", LOSSES)
def test_identity_takes_arrays_of_any_size(loss: str) -> None:
    """It is homogeneous: with X times 2^150 and V divided by it, the network is the same."""
    p, power = problem((4, 5, 12, 3), loss), 2.0**150
    plain, scaled = measured(p, "identity"), measured(p._replace(X=p.X * power, V=p.V / power), "identity")
    for layer, powers in {"hidden": 0, "output": 4, "cross": 2}.items():
        np.testing.assert_allclose(scaled[layer], np.array(plain[layer]) * power**powers, rtol=1e-12)


@pytest.mark.parametrize(
    ("sizes", "name", "loss"),
    [((4, 3, 3, 3), name, loss) for name in NAMES for loss in LOSSES] + [((3, 3, 2, 3, 2), "gelu", "ce")],
)
def test_deep_full_hessian(sizes: tuple[int, ...], name: str, loss: str) -> None:
    """Two and three hidden layers against automatic differentiation, and the norms of their own blocks."""
    rng = np.random.default_rng(len(sizes))
    X, y = rng.normal(size=(11, sizes[0])), rng.integers(sizes[-1], size=11)
    weights = [rng.normal(size=(n, k)) for k, n in pairwise(sizes)]
    *hidden, V = weights
    arguments: dict[str, Any] = {"W": hidden, "y": y, "loss": loss, "activation": name}
    expected = autodiff.deep_hessian(X, weights, y, loss, name)
    found = rmtsim.hessian(X, V, **arguments)
    assert np.abs(found - expected).max() < 1e-12 * np.abs(expected).max()
    start = 0
    for W, of_layer in zip(weights, rmtsim.layer_norms(X, V, **arguments), strict=True):
        own = expected[start : start + W.size, start : start + W.size].reshape(*W.shape, *W.shape)
        squares, on = np.sum(own**2, axis=(1, 3)), np.eye(len(W), dtype=bool)
        start += W.size
        np.testing.assert_allclose(of_layer.diag_sqfro, squares[on].mean(), rtol=1e-11)
        np.testing.assert_allclose(of_layer.offdiag_sqfro, squares[~on].mean(), rtol=1e-11, atol=1e-25)


@pytest.mark.parametrize("name", SMOOTH)
def test_labels_are_asked_for_where_they_enter(name: str) -> None:
    p = problem((3, 5, 4, 4), "ce")
    assert list(rmtsim.block_norms(p.X, p.V, W=p.W, activation=name)) == ["output"]
    with pytest.raises(rmtsim.InputError, match=f"y: the hidden layer with activation '{name}' needs labels"):
        rmtsim.block_norms(p.X, p.V, W=p.W, activation=name, layers="hidden")
    assert list(rmtsim.block_norms(p.X, p.V, W=p.W, activation="identity")) == ["hidden", "output"]


def test_unknown_activations_get_one_sentence() -> None:
    p = problem((3, 5, 4, 4), "ce")
    for activation in ("swish", "ReLU", 3, None, ["gelu"]):
        with pytest.raises(rmtsim.InputError, match=r"activation: .*; choose one of .*gelu") as caught:
            rmtsim.block_norms(p.X, p.V, W=p.W, y=p.y, activation=activation)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)


def test_autodiff_knows_gelu_without_approximation() -> None:
    """JAX's own default is the tanh approximation, which differs in the fourth digit."""
    at = jnp.asarray([0.7])
    exact, approximate = autodiff.ACTIVATIONS["gelu"](at), jax.nn.gelu(at)
    assert abs(float(exact[0] - approximate[0])) > 1e-5
    np.testing.assert_allclose(np.asarray(exact), get_activation("gelu").value(np.array([0.7]), np), rtol=1e-14)
