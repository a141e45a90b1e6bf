"""Full Hessians and gradients of networks of any depth against automatic differentiation, before and after training."""

from __future__ import annotations

from functools import partial
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import rmtsim
from rmtsim import InputError
from rmtsim.arrays.backend import to_numpy
from rmtsim.full_hessian import panels
from rmtsim.full_hessian.propagation import loss_and_gradient
from rmtsim.training.adam import Run, Schedule
from rmtsim.training.problem import Problem
from tests import autodiff  # noqa: F401  # sets JAX to float64

#: (loss, hidden layers): linear, one hidden layer, three and four of different widths, one output.
NETWORKS = [
    ("ce", ()),
    ("mse", ()),
    ("ce", (3,)),
    ("mse", (3,)),
    ("ce", (4, 3, 5)),
    ("mse", (4, 3, 5)),
    ("ce", (3, 4, 3, 2)),
    ("binary_ce", (4,)),
    ("binary_mse", (4,)),
    ("binary_ce", (3, 4)),
]
IDS = [f"{loss}-{'-'.join(map(str, hidden)) or 'linear'}" for loss, hidden in NETWORKS]


def drawn(loss: str, hidden: tuple[int, ...], n_classes: int = 4) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    n_classes = 2 if loss.startswith("binary") else n_classes
    X, weights, y = Problem(loss, n_classes, dim=5, n_samples=24, hidden=hidden).draw()
    return X, [2 * W for W in weights], y  # with more gain, deep networks have more to differentiate


def oracle_loss(weights: list[jax.Array], X: jax.Array, y: jax.Array, loss: str) -> jax.Array:
    h = X
    for W in weights[:-1]:
        h = jax.nn.relu(h @ W.T)
    h = h @ weights[-1].T
    if loss == "ce":
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(h), y[:, None], axis=1))
    if loss == "mse":
        return jnp.mean(jnp.sum((h - jax.nn.one_hot(y, h.shape[1])) ** 2, axis=1))
    sign = 2.0 * y - 1
    if loss == "binary_ce":
        return jnp.mean(jax.nn.softplus(-sign * h[:, 0]))
    return jnp.mean((h[:, 0] - sign) ** 2)


@partial(jax.jit, static_argnames="loss")
def oracle(weights: list[jax.Array], X: jax.Array, y: jax.Array, loss: str) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Value, gradient and Hessian by all weights in one vector."""
    vector, unravel = ravel_pytree(weights)

    def by_vector(vector: jax.Array) -> jax.Array:
        return oracle_loss(unravel(vector), X, y, loss)

    return by_vector(vector), jax.grad(by_vector)(vector), jax.hessian(by_vector)(vector)


def flat(weights: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.ravel(W) for W in weights])


def oracle_hessian(X: np.ndarray, weights: list[np.ndarray], y: np.ndarray, loss: str) -> np.ndarray:
    return np.asarray(oracle(weights, X, y, loss)[2])


def assembled(X: np.ndarray, weights: list[np.ndarray], y: np.ndarray, loss: str) -> np.ndarray:
    return rmtsim.hessian(X, weights[-1], W=weights[:-1] or None, y=y, loss=loss)


@pytest.mark.parametrize(("loss", "hidden"), NETWORKS, ids=IDS)
def test_hessian_and_gradient_before_and_after_training(loss: str, hidden: tuple[int, ...]) -> None:
    X, weights, y = drawn(loss, hidden)
    run = Run([W.copy() for W in weights])
    for steps in (0, 40):
        for _ in run.advance(X, y, loss, Schedule(100, 0.05), steps):
            pass
        value, gradient = loss_and_gradient(X, run.weights, y, loss)
        expected, slope, expected_H = oracle(run.weights, X, y, loss)
        assert value == pytest.approx(float(expected), rel=1e-13)
        np.testing.assert_allclose(flat(gradient), slope, rtol=1e-11, atol=1e-13)
        H = assembled(X, run.weights, y, loss)
        np.testing.assert_allclose(H, expected_H, rtol=1e-10, atol=1e-12 * np.abs(expected_H).max())
    assert any(np.any(start != W) for W, start in zip(run.weights, weights, strict=True))


def test_the_residual_term_would_be_missed() -> None:
    """Negative control: with labels that make other residuals, the cross layers differ and the rest does not."""
    X, weights, y = drawn("ce", (4, 3))
    H, other = assembled(X, weights, y, "ce"), assembled(X, weights, (y + 1) % 4, "ce")
    assert np.abs(H - other).max() > 1e-3 * np.abs(H).max()
    for start, stop in zip(*(panels.offsets(weights)[k:] for k in (0, 1)), strict=False):
        np.testing.assert_array_equal(H[start:stop, start:stop], other[start:stop, start:stop])


@pytest.mark.parametrize(("held", "rows"), [(1, 1), (64, 8), (2**24, 512)])
def test_any_pieces_any_backend(held: int, rows: int, xp: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "_HELD", held)
    monkeypatch.setattr(panels, "_LAST_ROWS", rows)
    X, weights, y = drawn("ce", (4, 3))
    mine = [xp.asarray(array) for array in (X, *weights, y)]
    H = to_numpy(rmtsim.hessian(mine[0], mine[3], W=mine[1:3], y=mine[4], loss="ce"))
    np.testing.assert_allclose(H, oracle_hessian(X, weights, y, "ce"), rtol=1e-10, atol=1e-14)


def test_saturated_outputs() -> None:
    X, weights, y = drawn("ce", (4,))
    weights[-1] = 200 * weights[-1]
    H, expected = assembled(X, weights, y, "ce"), oracle_hessian(X, weights, y, "ce")
    np.testing.assert_allclose(H, expected, rtol=1e-9, atol=1e-13 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"W": [np.ones((4, 5)), np.ones((3, 5))]}, r"W\[1\]: 5 columns do not fit the 4 inputs"),
        ({"W": [np.ones((4, 5)), np.ones((2, 4))]}, "V: 3 columns do not fit the 2 inputs"),
        ({"W": [np.ones((4, 5)), np.full((3, 4), np.nan)]}, r"W\[1\]: it holds NaN"),
        ({"W": [np.ones((4, 5)), np.ma.ones((3, 4))]}, r"W\[1\]: it is a masked array.* W\[1\].filled"),
        ({"y": None}, "y: the cross layers need labels"),
        ({"y": np.full(6, 2)}, "y: a label lies outside 0 … 1"),
        ({"loss": "binary_ce"}, "V: 2 rows do not fit loss 'binary_ce', which has one output"),
        ({"loss": "hinge"}, "loss: 'hinge' is not known; choose one of ce, mse, binary_ce, binary_mse"),
        ({"X": np.array(1.0)}, r"X: shape \(\) is not valid; give matrices"),
        ({"X": np.array(1.0), "V": np.ones((1, 3)), "loss": "binary_ce"}, r"X: shape \(\) is not valid"),
        ({"X": np.ones(5)}, r"X: shape \(5,\) is not valid"),
        ({"X": np.ones(5), "V": np.ones((1, 3)), "loss": "binary_mse"}, r"X: shape \(5,\) is not valid"),
        ({"X": np.ones(5), "W": None, "y": None}, r"X: shape \(5,\) is not valid"),
        ({"X": np.full((6, 5), "a")}, "X: dtype <U1 is not valid; give real numbers"),
        ({"X": {1.0}}, "X: set is not an array"),
        ({"V": np.array(1.0)}, r"V: shape \(\) is not valid"),
        ({"W": [np.ones((4, 5)), np.ones(4)]}, r"W\[1\]: shape \(4,\) is not valid"),
        ({"y": [0, [1, 0], 0, 0, 0, 0]}, "y: it is not an array of one shape; give"),
        ({"W": np.ones((3, 5)), "y": [0, [1, 0], 0, 0, 0, 0]}, "y: it is not an array of one shape; give"),
        ({"y": ["a"] * 6}, "y: dtype <U1, shape"),
    ],
)
def test_bad_networks(change: dict, sentence: str) -> None:
    good = {"V": np.ones((2, 3)), "W": [np.ones((4, 5)), np.ones((3, 4))], "y": np.zeros(6, dtype=int), "loss": "ce"}
    arguments = {"X": np.ones((6, 5))} | good | change
    with pytest.raises(InputError, match=sentence):
        rmtsim.hessian(arguments.pop("X"), arguments.pop("V"), **arguments)
