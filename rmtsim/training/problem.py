"""A learning problem: data, network and loss, and its draws."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from rmtsim.arrays.backend import DTYPES, Array, Module, array_module
from rmtsim.data.datasets import DataLaw
from rmtsim.data.gaussian import Gaussian
from rmtsim.data.labels import parse_labels
from rmtsim.data.row_laws import RowLaw
from rmtsim.errors import InputError
from rmtsim.kernels.memory import BASE
from rmtsim.model.activation import get_activation
from rmtsim.model.choices import ACTIVATIONS, LOSSES, WEIGHTS, WeightsName
from rmtsim.model.ensemble import Ensemble, norms_have_mean
from rmtsim.model.loss import get_loss
from rmtsim.model.models import model_with
from rmtsim.model.point import Point
from rmtsim.sampling.draws import sample
from rmtsim.sampling.random_rows import STREAM
from rmtsim.sampling.simulation import MAX_SEED
from rmtsim.sampling.weight_rows import weight_rows
from rmtsim.text.checks import check_choice, check_size


class Drawn(NamedTuple):
    """Data, initial weights and labels of one draw."""

    X: Array  #: (N, d)
    weights: list[Array]  #: layers from the input on, each (outputs, inputs)
    y: Array  #: (N,)


#: Assumption 1 with random labels.
GAUSSIAN = Gaussian()


@dataclass(frozen=True)
class Problem:
    """A network without biases with LeCun's variances at its start, with data and a loss.

    Parameters
    ----------
    loss
        ``"ce"``, ``"mse"``, ``"binary_ce"``, ``"binary_mse"``, or a registered loss (`rmtsim.model.loss`). Those of
        one output need two classes.
    n_classes, dim, n_samples
        C, d and N.
    hidden
        Neurons of each hidden layer; empty for the linear model.
    data
        Where X and y come from; by default Assumption 1 with random labels.
    dtype
        ``"float64"`` or ``"float32"``: of the weights while they are trained. Hessians are always in float64.
    activation
        ``"relu"``, ``"gelu"``, ``"silu"``, ``"tanh"``, ``"identity"``, or a registered one (`rmtsim.model.activation`).
    weights
        Law of the initial weights, of variance 1/fan_in: ``"gaussian"``, ``"uniform"`` or ``"orthogonal"``, as in
        `rmtsim.Ensemble`.
    labels
        Law of the labels of data that have none of their own: ``"uniform"``, or ``"zipf:S"``
        (`rmtsim.data.labels`).

    Raises
    ------
    InputError
        If a value is not valid.
    """

    loss: str
    n_classes: int
    dim: int
    n_samples: int
    hidden: tuple[int, ...] = ()
    data: DataLaw = GAUSSIAN
    dtype: str = "float64"
    activation: str = "relu"
    weights: WeightsName = "gaussian"
    labels: str = "uniform"

    def __post_init__(self) -> None:
        one_output = get_loss(self.loss).one_output
        get_activation(self.activation)
        check_choice("dtype", self.dtype, DTYPES)
        for name in ("n_classes", "dim", "n_samples"):
            object.__setattr__(self, name, check_size(name, getattr(self, name)))
        if not isinstance(self.hidden, Iterable):
            raise InputError(f"hidden: {self.hidden!r} is not valid; give the widths of the layers, say (8,)")
        object.__setattr__(self, "hidden", tuple(check_size("hidden", width) for width in self.hidden))
        if not isinstance(self.data, DataLaw):
            raise InputError(f"data: {self.data!r} is not a data law; give one of rmtsim.data, say Clusters(20)")
        check_choice("weights", self.weights, WEIGHTS)
        object.__setattr__(self, "labels", parse_labels(self.labels).text)
        if self.labels != type(self).labels and not isinstance(self.data, RowLaw):
            raise InputError(
                f"labels: {self.labels!r} was given, but {self.data.name} data have labels of their own; leave it out"
            )
        if one_output and self.n_classes != 2:
            raise InputError(f"n_classes: {self.n_classes} does not go with loss {self.loss!r}; give 2")

    @property
    def n_outputs(self) -> int:
        """Outputs of the last layer: C, or 1 with a binary loss."""
        return 1 if get_loss(self.loss).one_output else self.n_classes

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(outputs, inputs) of each layer."""
        sizes = [self.dim, *self.hidden, self.n_outputs]
        return list(zip(sizes[1:], sizes[:-1], strict=True))

    @property
    def n_parameters(self) -> int:
        """Order of the Hessian."""
        return sum(rows * columns for rows, columns in self.shapes)

    @property
    def memory(self) -> int:
        """Approximate bytes held while a Hessian is described: data, activations, a panel and its factors."""
        widest = max(max(rows, columns) for rows, columns in self.shapes)
        panel = max(widest, 512) * self.n_parameters
        activations = 6 * self.n_samples * sum(rows for rows, _ in self.shapes)
        return BASE + 8 * (3 * panel + activations + self.n_samples * self.dim + 3 * 2**24)

    @property
    def point(self) -> Point | None:
        """The sweeps' point of the same law, or None: these are its draws, its theory, if any, holds at the start."""
        if len(self.hidden) > 1 or not get_loss(self.loss).closed_form or not isinstance(self.data, RowLaw):
            return None
        if self.activation not in ACTIVATIONS:  # one of a user's own
            return None
        if self.labels != type(self).labels or not norms_have_mean(self.data, self.loss, self.dim):
            return None
        width = self.hidden[0] if self.hidden else None
        loss = check_choice("loss", self.loss, LOSSES)
        activation = self.activation if self.hidden else type(self).activation
        activation = check_choice("activation", activation, ACTIVATIONS)
        ensemble = Ensemble(data=self.data.text, weights=self.weights, activation=activation)
        return Point(model_with(width).name, loss, self.n_classes, self.dim, self.n_samples, width, ensemble)

    def parameters(self) -> dict[str, Any]:
        """All that a draw is a function of, but its number and seed, as JSON takes it."""
        return {
            "loss": self.loss,
            "n_classes": self.n_classes,
            "dim": self.dim,
            "n_samples": self.n_samples,
            "hidden": list(self.hidden),
            "data": self.data.parameters(),
            "dtype": self.dtype,
            **self.other_laws,
        }

    @property
    def other_laws(self) -> dict[str, str]:
        """Activation and laws of weights and labels, where they are not the default: tables of that do not name it."""
        names = ("activation", "weights", "labels")
        return {name: getattr(self, name) for name in names if getattr(self, name) != getattr(type(self), name)}

    @cached_property
    def id(self) -> str:
        """Content hash: 16 hexadecimal digits, the same on every machine."""
        return hashlib.sha256(json.dumps(self.parameters(), sort_keys=True).encode()).hexdigest()[:16]

    def draw(self, draw: int = 0, seed: int = 0, xp: Module | None = None) -> Drawn:
        """Return data, weights and labels of a draw, in the problem's dtype.

        Where there is a ``point``, they are those that `rmtsim.simulate` draws for it.

        Raises
        ------
        InputError
            If draw or seed is not a whole number from 0, or C, d or N do not fit the data.
        """
        check_size("draw", draw, least=0)
        check_size("seed", seed, least=0, most=MAX_SEED)
        xp = array_module("numpy") if xp is None else xp
        if self.point is not None:
            drawn = sample(self.point, range(draw, draw + 1), seed, dtype=self.dtype, xp=xp, labels=True)
            layers = [] if drawn.W is None else [drawn.W[0, ...]]
            assert drawn.y is not None
            return Drawn(drawn.X[0, ...], [*layers, drawn.V.all()[0, ...]], drawn.y[0, ...])
        key = f"{STREAM}/{seed}/{self.id}"
        X, y = self.data.draw(self.n_classes, self.dim, self.n_samples, f"{key}/data/{draw}")
        if self.labels != type(self).labels:
            y = parse_labels(self.labels).draw(self.n_classes, self.n_samples, f"{key}/data/{draw}")
        weights = [
            weight_rows(self.weights, f"{key}/W{k}", draw, shape, 1.0 / shape[1], dtype=self.dtype, xp=xp).all()
            for k, shape in enumerate(self.shapes, 1)
        ]
        return Drawn(xp.astype(xp.asarray(X), getattr(xp, self.dtype)), weights, xp.asarray(y))
