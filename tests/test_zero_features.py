"""Samples, neurons and weights that are zero: what is zero by law is 0, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rmtsim
from rmtsim.model.choices import ACTIVATIONS


@pytest.fixture
def network() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "X": rng.normal(size=(10, 3)),
        "V": rng.normal(size=(4, 2)),
        "W": rng.normal(size=(2, 3)),
        "y": rng.integers(4, size=10),
    }


def norms(X: Any, V: Any, W: Any, y: Any, **options: Any) -> np.ndarray:
    found = rmtsim.block_norms(X, V, W=W, y=y, **options)
    return np.array([value for layer in found.values() for value in layer])


@pytest.mark.parametrize("loss", ["ce", "mse"])
@pytest.mark.parametrize("activation", ["identity", "gelu", "tanh"])
def test_a_neuron_that_gives_zero_has_a_slope(loss: str, activation: str, network: dict[str, Any]) -> None:
    """Its features are 0 and its weights in V play a part, as those of one that gives nearly 0."""
    W = network["W"].copy()
    W[0] = 0
    nearly = np.where(W == 0, 1e-9, W)
    options: dict[str, Any] = {"loss": loss, "activation": activation}
    exact, close = (norms(**(network | {"W": given}), **options) for given in (W, nearly))
    np.testing.assert_allclose(exact, close, rtol=1e-7)
    whole = [rmtsim.hessian(**(network | {"W": given}), **options) for given in (W, nearly)]
    assert np.abs(whole[0][:3, :3]).max() > 0.01
    np.testing.assert_allclose(*whole, atol=1e-7)


def test_the_weights_of_a_neuron_that_relu_never_lets_through_play_no_part(network: dict[str, Any]) -> None:
    network["X"], network["W"] = np.abs(network["X"]), np.abs(network["W"]) * [[-1.0], [1.0]]
    V = network["V"].copy()
    V[:, 0] *= 1e150
    np.testing.assert_array_equal(norms(**network), norms(**(network | {"V": V})))


@pytest.mark.parametrize("loss", ["ce", "mse"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_samples_that_are_zero_have_blocks_that_are(loss: str, activation: str, network: dict[str, Any]) -> None:
    """Also in one draw of a batch; weights of such samples are not zero."""
    X = np.stack([network["X"], 0 * network["X"]])
    V, W, y = (np.stack([network[name]] * 2) for name in ("V", "W", "y"))
    found = norms(X, V, W, y, loss=loss, activation=activation)
    assert (found[:, 1][~np.isnan(found[:, 1])] == 0).all()
    alone = norms(**network, loss=loss, activation=activation)
    np.testing.assert_array_equal(found[:, 0], alone)


@pytest.mark.parametrize("layer", ["hidden", "cross"])
def test_slopes_below_the_range_of_float32_are_made_in_float64(layer: Any) -> None:
    """And those below that of float64 are refused: no block is 0 where neurons are but far from 0."""
    V, W = np.array([[0.3], [-0.2]], dtype=np.float32), np.ones((1, 1), dtype=np.float32)

    def norm(z: float, dtype: str) -> Any:
        given = [A.astype(dtype) for A in (np.full((4, 1), z), V, W)]
        return rmtsim.block_norms(given[0], given[1], W=given[2], y=[0, 1, 1, 0], layers=layer, activation="tanh")[
            layer
        ][layer == "cross"]

    assert 0 < norm(60.0, "float64") < 1e-90
    assert norm(60.0, "float32") == norm(60.0, "float64")
    with pytest.raises(rmtsim.InputError, match="below what float64 holds"):
        norm(400.0, "float32")
