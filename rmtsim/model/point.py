"""One point of a sweep: which network, which loss, which sizes, which ensemble."""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from rmtsim.errors import InputError
from rmtsim.model.ensemble import LECUN, Ensemble, check_ensemble
from rmtsim.text.words import abridged

MODELS = ("linear", "one_hidden")
LOSSES = ("ce", "mse")

#: The layers of the Hessian whose block norms a model has, in the order in which they are reported.
LAYERS = {"linear": ("linear",), "one_hidden": ("hidden", "output", "cross")}

#: No size may pass this: it keeps every element count inside an int64, and typing errors outside.
MAX_SIZE = 10**9


@dataclass(frozen=True)
class Point:
    """Model, loss, sizes and ensemble: all that fixes the distribution of a draw.

    Parameters
    ----------
    model
        ``"linear"``: logits V x. ``"one_hidden"``: logits V σ(W x) with σ = ReLU and no biases.
    loss
        ``"ce"``: (1/N) Σ_n −log p_{n,y_n}. ``"mse"``: (1/N) Σ_n ‖f(x_n) − y_n‖², with no ½.
    n_classes, dim, n_samples
        C, d and N.
    width
        m, the number of hidden neurons; None for the linear model.
    ensemble
        Variances of data and weights; by default those of the paper's Assumptions 1 and 2.

    Raises
    ------
    InputError
        If a value is of the wrong type, out of range, or does not belong to the model.

    Examples
    --------
    >>> point = Point(model="linear", loss="ce", n_classes=1000, dim=500, n_samples=1000)
    >>> point.aspect_ratio
    0.5
    >>> Point(model="one_hidden", loss="mse", n_classes=10, dim=64, n_samples=128, width=8).layers
    ('hidden', 'output', 'cross')
    """

    model: str
    loss: str
    n_classes: int
    dim: int
    n_samples: int
    width: int | None = None
    ensemble: Ensemble = LECUN

    def __post_init__(self) -> None:
        check_choice("model", self.model, MODELS)
        check_choice("loss", self.loss, LOSSES)
        for name in ("n_classes", "dim", "n_samples"):
            self._set_size(name)
        if self.model == "linear" and self.width is not None:
            raise InputError(f"width: {self.width!r} was given, but the linear model has none; leave it out")
        if self.model == "one_hidden":
            if self.width is None:
                raise InputError("width: the one_hidden model needs it; give a whole number of at least 1")
            self._set_size("width")
        check_ensemble(self.ensemble, self.model)

    def _set_size(self, name: str) -> None:
        """Check a size and keep it as a plain int, whatever integer type it came as."""
        object.__setattr__(self, name, check_size(name, getattr(self, name)))

    @property
    def sizes(self) -> str:
        """Return C, d, N and m, as people read them."""
        return format_sizes(self.n_classes, self.dim, self.n_samples, self.width)

    @property
    def aspect_ratio(self) -> float:
        """γ = d/N."""
        return self.dim / self.n_samples

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers of the Hessian whose block norms this model has."""
        return LAYERS[self.model]

    @cached_property
    def id(self) -> str:
        """Content hash of the canonical point: 16 hexadecimal digits, the same on every machine."""
        content = asdict(self)
        if self.ensemble == LECUN:
            del content["ensemble"]
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def block_shape(self, layer: str) -> tuple[int, int]:
        """Rows and columns of one block of ``layer``."""
        m = self.width or 0
        shapes = {
            "linear": (self.dim, self.dim),
            "hidden": (self.dim, self.dim),
            "output": (m, m),
            "cross": (self.dim, m),
        }
        return shapes[layer]


def check_point(point: Any) -> None:
    """Raise InputError unless it is a Point."""
    if not isinstance(point, Point):
        raise InputError(f"point: {point!r} is not valid; give an rmtsim.Point")


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise InputError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise InputError(f"{name}: {abridged(value)} is not known; choose one of {', '.join(choices)}")


def check_layers(layers: Any, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the selection in the order of ``known``; raise InputError unless it is one, and not empty."""
    if not isinstance(layers, Iterable):
        raise InputError(f"layers: {layers!r} is not valid; give a selection of {', '.join(known)}")
    chosen = (layers,) if isinstance(layers, str) else tuple(layers)
    for layer in chosen:
        check_choice("layers", layer, known)
    if not chosen:
        raise InputError(f"layers: the selection is empty; choose from {', '.join(known)}")
    return tuple(layer for layer in known if layer in chosen)


def check_size(name: str, value: Any, least: int = 1, most: int = MAX_SIZE) -> int:
    """Return ``value`` as an int; raise InputError unless it is a whole number from ``least`` to ``most``."""
    try:
        size = operator.index(value)
    except TypeError:
        size = least - 1
    if isinstance(value, bool) or not least <= size <= most:
        raise InputError(f"{name}: {abridged(value)} is not valid; give a whole number from {least} to {most}")
    return size


def format_sizes(n_classes: int, dim: int, n_samples: int, width: int | None) -> str:
    """Return sizes as people read them."""
    return f"C = {n_classes}, d = {dim}, N = {n_samples}" + (f", m = {width}" if width else "")
