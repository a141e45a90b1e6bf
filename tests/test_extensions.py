"""A loss, an activation and a data law of a user's own, each by public means alone.

Each is checked against a computation that knows nothing of rmtsim: JAX differentiates the loss of the whole network
twice, in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

import rmtsim
from harness.specs import UNTRAINED
from rmtsim.arrays.backend import Array, Module
from rmtsim.cli.main import main
from rmtsim.data.datasets import _LAWS, DataLaw, parse_data, register_data
from rmtsim.data.labelled import Samples, check_sizes, keyed
from rmtsim.full_hessian.description import Look
from rmtsim.model.activation import _ACTIVATIONS, Activation, register_activation
from rmtsim.model.loss import _LOSSES, Curvature, Loss, register_loss
from rmtsim.paper.fig1 import Fig1
from rmtsim.text.named_objects import Registry
from rmtsim.training.adam import Schedule
from rmtsim.training.problem import Problem
from rmtsim.training.trajectory import trajectory
from tests import autodiff  # noqa: F401  # sets JAX to float64

Values = npt.NDArray[np.float64]


class PseudoHuber(Loss):
    """(1/N) Σ_n Σ_c (√(1 + e²) − 1) with the error e = f_c(x_n) − y_nc: its curvature depends on the labels."""

    name, curvature_needs_labels = "pseudo_huber", True

    def value_and_residuals(self, logits: Array, y: Array, xp: Module) -> tuple[float, Array]:
        error, root = self._error(logits, y, xp)
        return float(xp.sum(root - 1) / logits.shape[0]), error / root

    def curvature(self, logits: Array, y: Array | None, xp: Module) -> Curvature:
        return Curvature(self._error(logits, y, xp)[1] ** -3, None)

    def _error(self, logits: Array, y: Array, xp: Module) -> tuple[Array, Array]:
        error = logits - xp.astype(y[:, None] == xp.arange(logits.shape[1])[None, :], logits.dtype)
        return error, (1 + error**2) ** 0.5


class Softplus(Activation):
    """σ(x) = log(1 + e^x): σ′ = 1/(1 + e^−x), σ″ = σ′(1 − σ′)."""

    name = "softplus"

    def value(self, pre: Array, xp: Module) -> Array:
        return xp.log1p(xp.exp(pre))

    def slope(self, pre: Array, xp: Module) -> Array:
        return 1 / (1 + xp.exp(-pre))

    def bend(self, pre: Array, xp: Module) -> Array:
        return self.slope(pre, xp) * (1 - self.slope(pre, xp))


@dataclass(frozen=True)
class Signs(DataLaw):
    """Entries ±s with equal chances; a label tells the sign of the first."""

    name, form = "signs", "signs:S"

    size: float

    @classmethod
    def parse(cls, text: str) -> Signs | None:
        name, _, size = text.partition(":")
        return cls(float(size)) if name == cls.name else None

    @property
    def text(self) -> str:
        return f"{self.name}:{self.size:g}"

    def check(self, n_classes: int, dim: int, n_samples: int) -> None:
        check_sizes(n_classes, dim, n_samples)

    def parameters(self) -> dict[str, Any]:
        return {"kind": self.name, "size": self.size}

    def draw(self, n_classes: int, dim: int, n_samples: int, key: str) -> Samples:
        self.check(n_classes, dim, n_samples)
        X = self.size * np.sign(keyed(self.name, "X", key).standard_normal((n_samples, dim)))
        return X, (X[:, 0] > 0).astype(np.int64)


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    """Register them for this module alone: other tests list the names that come with rmtsim."""
    registries: list[Registry[Any]] = [_LOSSES, _ACTIVATIONS, _LAWS]
    before = [registry.names() and dict(registry._items) for registry in registries]
    register_loss(PseudoHuber())
    register_activation(Softplus())
    register_data(Signs)
    yield
    for registry, items in zip(registries, before, strict=True):
        registry._items = dict(items)


def _pseudo_huber(logits: jax.Array, y: Values) -> jax.Array:
    error = logits - jax.nn.one_hot(y, logits.shape[1])
    return jnp.sum(jnp.sqrt(1 + error**2) - 1, axis=1)


def _cross_entropy(logits: jax.Array, y: Values) -> jax.Array:
    return -jax.nn.log_softmax(logits)[jnp.arange(len(y)), y]


#: What JAX knows the losses and activations by.
LOSSES: dict[str, Callable[[jax.Array, Values], jax.Array]] = {"pseudo_huber": _pseudo_huber, "ce": _cross_entropy}
ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {"softplus": jax.nn.softplus, "relu": jax.nn.relu}

#: Hidden layers: none, one, two.
DEPTHS: tuple[tuple[int, ...], ...] = ((), (4,), (4, 3))


class Network:
    """A network of a few neurons, its data, and its loss as JAX has it."""

    def __init__(self, hidden: tuple[int, ...], loss: str, activation: str, seed: int = 0) -> None:
        rng = np.random.default_rng([seed, len(hidden)])
        sizes = [5, *hidden, 3]
        self.loss, self.activation = loss, activation
        self.X, self.y = rng.normal(size=(11, sizes[0])), rng.integers(3, size=11)
        self.weights = [rng.normal(size=(n, k)) for k, n in pairwise(sizes)]

    @property
    def arguments(self) -> dict[str, Any]:
        """What the functions of rmtsim take."""
        *hidden, V = self.weights
        arrays: dict[str, Any] = {"X": self.X, "V": V, "W": hidden or None, "y": self.y}
        return arrays | {"loss": self.loss, "activation": self.activation}

    def loss_of(self, parameters: jax.Array) -> jax.Array:
        """Mean loss as a function of all weights, layer after layer, row by row."""
        h, start = jnp.asarray(self.X), 0
        for k, W in enumerate(self.weights):
            pre = h @ parameters[start : start + W.size].reshape(W.shape).T
            h = pre if k == len(self.weights) - 1 else ACTIVATIONS[self.activation](pre)
            start += W.size
        return jnp.mean(LOSSES[self.loss](h, self.y))

    @property
    def parameters(self) -> Values:
        return np.concatenate([W.ravel() for W in self.weights])

    def hessian(self) -> Values:
        """The full Hessian by forward over reverse differentiation."""
        return np.asarray(jax.jit(jax.hessian(self.loss_of))(jnp.asarray(self.parameters)))


@cache
def hessian_of(hidden: tuple[int, ...], loss: str, activation: str) -> Values:
    """The Hessian of one of the networks that several tests look at."""
    return Network(hidden, loss, activation).hessian()


CASES = [
    (hidden, loss, activation)
    for hidden in DEPTHS
    for loss, activation in (("pseudo_huber", "relu"), ("ce", "softplus"), ("pseudo_huber", "softplus"))
]


@pytest.mark.parametrize(("hidden", "loss", "activation"), CASES)
def test_full_hessian(hidden: tuple[int, ...], loss: str, activation: str) -> None:
    network, expected = Network(hidden, loss, activation), hessian_of(hidden, loss, activation)
    np.testing.assert_allclose(rmtsim.hessian(**network.arguments), expected, rtol=1e-10, atol=1e-13)
    if hidden and activation == "softplus":  # the oracle tells the activations apart
        relu = rmtsim.hessian(**network.arguments | {"activation": "relu"})
        assert np.abs(relu - expected).max() > 1e-2


@pytest.mark.parametrize(("hidden", "loss", "activation"), CASES)
def test_layer_norms(hidden: tuple[int, ...], loss: str, activation: str) -> None:
    network, H, start = Network(hidden, loss, activation), hessian_of(hidden, loss, activation), 0
    for W, found in zip(network.weights, rmtsim.layer_norms(**network.arguments), strict=True):
        n, rows = W.shape
        part = H[start : start + W.size, start : start + W.size].reshape(n, rows, n, rows)
        norms = np.sum(part**2, axis=(1, 3))
        start += W.size
        off = norms[~np.eye(n, dtype=bool)]
        np.testing.assert_allclose(found.diag_sqfro, np.diagonal(norms).mean(), rtol=1e-10)
        np.testing.assert_allclose(found.offdiag_sqfro, off.mean(), rtol=1e-10, atol=1e-25)


def test_block_norms() -> None:
    """The closed forms take any activation: those of the hidden layer and of what lies between the layers, too."""
    network = Network((4,), "ce", "softplus")
    H, (W, V) = hessian_of((4,), "ce", "softplus"), network.weights
    found = rmtsim.block_norms(**network.arguments | {"W": W})
    (m, d), C = W.shape, len(V)
    own = np.sum(H[: m * d, : m * d].reshape(m, d, m, d) ** 2, axis=(1, 3))
    between = np.sum(H[: m * d, m * d :].reshape(m, d, C, m) ** 2, axis=(1, 3))
    np.testing.assert_allclose(found["hidden"].diag_sqfro, np.diagonal(own).mean(), rtol=1e-12)
    np.testing.assert_allclose(found["hidden"].offdiag_sqfro, own[~np.eye(m, dtype=bool)].mean(), rtol=1e-12)
    np.testing.assert_allclose(found["cross"].offdiag_sqfro, between.mean(), rtol=1e-12)
    with pytest.raises(rmtsim.InputError, match="activation: 'softplus' is not known; choose one of relu"):
        rmtsim.Ensemble(activation="softplus")  # type: ignore[arg-type]  # points have those that come with rmtsim


@pytest.mark.parametrize("hidden", DEPTHS)
def test_training(hidden: tuple[int, ...]) -> None:
    """A step of Adam moves every weight by the rate, against the sign of the gradient that JAX finds."""
    problem = Problem("pseudo_huber", 3, 5, 11, hidden, activation="softplus")
    table = trajectory(problem, Schedule(2, 1e-3, (0, 0.5)), look=Look())
    network = Network(hidden, "pseudo_huber", "softplus")
    drawn = problem.draw()
    network.X, network.y, network.weights = drawn.X, drawn.y, drawn.weights
    start = network.parameters
    loss_and_gradient = jax.jit(jax.value_and_grad(network.loss_of))
    value, gradient = loss_and_gradient(jnp.asarray(start))
    moved = start - 1e-3 * np.sign(gradient)
    losses = table[table.quantity == "loss"].sort_values("step")["value"]
    expected = [float(value), float(loss_and_gradient(jnp.asarray(moved))[0])]
    np.testing.assert_allclose(losses, expected, rtol=1e-8)
    whole = table[(table.quantity == "total_sqfro") & (table.layer == 0) & (table.step == 0)]["value"]
    np.testing.assert_allclose(whole.item(), np.sum(network.hessian() ** 2), rtol=1e-10)


def test_training_depends_on_the_activation() -> None:
    """In the identity of a problem only where it is not ReLU: tables made before keep their names."""
    relu, softplus = (Problem("ce", 3, 5, 11, (4,), activation=name) for name in ("relu", "softplus"))
    assert "activation" not in relu.parameters()
    assert relu.id != softplus.id
    assert relu.point is not None
    assert softplus.point is None  # the closed forms are ReLU's


def test_data_law_of_a_specification(tmp_path: Path) -> None:
    """With MSE the diagonal blocks of the linear model are (2/N) XᵀX, whatever the weights: 2s² on the diagonal."""
    (tmp_path / "signs.toml").write_text(UNTRAINED.format(data="signs:0.5"))
    store = tmp_path / "store"
    assert main(["run", str(tmp_path / "signs.toml"), "--store", str(store)]) == 0
    [path] = (store / "experiments").rglob("*.parquet")
    table = pd.read_parquet(path)
    assert set(table["data"]) == {"signs:0.5"}
    X, _, y = Problem("mse", 2, 4, 16, data=parse_data("signs:0.5")).draw()
    assert set(np.unique(X)) == {-0.5, 0.5}
    assert np.array_equal(y, X[:, 0] > 0)
    block = 2 / 16 * X.T @ X
    assert np.all(np.diagonal(block) == 0.5)
    found = table[(table.quantity == "diag_sqfro") & (table.layer == 1)]["value"].item()
    np.testing.assert_allclose(found, np.sum(block**2), rtol=1e-12)
    known = r"data: 'sign' is not known \(did you mean signs\?\); choose one of .*, FILE\.npz, .*signs:S"
    with pytest.raises(rmtsim.InputError, match=known):
        parse_data("sign")


def test_data_law_of_a_figure() -> None:
    """Figure 1 takes any law that is registered; a text that is the form of none is a folder of images."""
    [picture, _] = Fig1().tables(data="signs:0.5").tasks
    assert picture.parameters["data"] == {"kind": "signs", "size": 0.5}
    with pytest.raises(rmtsim.InputError, match="sign"):
        Fig1().tables(data="sign")


def test_labels_are_asked_for_where_they_enter() -> None:
    linear, deep = Network((), "pseudo_huber", "relu"), Network((4,), "ce", "softplus")
    for arguments, what in ((linear.arguments, "loss 'pseudo_huber'"), (deep.arguments, "activation 'softplus'")):
        with pytest.raises(rmtsim.InputError, match=f"y: {what} needs labels"):
            rmtsim.layer_norms(**arguments | {"y": None})
    with pytest.raises(rmtsim.InputError, match="y: loss 'pseudo_huber' needs labels"):
        rmtsim.hessian(**linear.arguments | {"y": None})
    assert rmtsim.layer_norms(**deep.arguments | {"y": None, "activation": "relu"})


def test_closed_forms_are_of_two_losses() -> None:
    network = Network((), "pseudo_huber", "relu")
    with pytest.raises(
        rmtsim.InputError, match="loss: 'pseudo_huber' has no block norms in closed form; choose one of ce"
    ):
        rmtsim.block_norms(network.X, network.weights[0], loss="pseudo_huber")


def test_names_of_others_are_taken() -> None:
    class Mine(PseudoHuber):
        name = "ce"

    class Spaced(Softplus):
        name = "a name"

    with pytest.raises(rmtsim.InputError, match="loss: the name 'ce' is taken"):
        register_loss(Mine())
    with pytest.raises(rmtsim.InputError, match="activation: the name 'a name' is not valid"):
        register_activation(Spaced())
    with pytest.raises(rmtsim.InputError, match=r"activation: 'swish' is not known; choose one of .*, tanh, softplus"):
        rmtsim.hessian(np.ones((2, 2)), np.ones((2, 2)), W=np.ones((2, 2)), y=[0, 1], activation="swish")
