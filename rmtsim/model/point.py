"""One point of a sweep: which network, which loss, which sizes, which ensemble."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from rmtsim.errors import InputError
from rmtsim.model.choices import LOSSES, LayerName, LossName, ModelName
from rmtsim.model.ensemble import LECUN, Ensemble, check_data, check_ensemble
from rmtsim.model.layers import BY_NAME
from rmtsim.model.models import get_model
from rmtsim.text.checks import check_choice, check_size, is_several
from rmtsim.text.words import abridge


@dataclass(frozen=True)
class Point:
    """Model, loss, sizes and ensemble: all that fixes the distribution of a draw.

    Parameters
    ----------
    model
        ``"linear"``: logits V x. ``"one_hidden"``: logits V σ(W x) without biases, σ the ensemble's
        activation.
    loss
        ``"ce"``: (1/N) Σ_n −log p_{n,y_n}. ``"mse"``: (1/N) Σ_n ‖f(x_n) − y_n‖², with no ½.
    n_classes, dim, n_samples
        C, d and N.
    width
        Number of hidden neurons m; None for the linear model.
    ensemble
        Laws and variances of data and weights; by default those of the paper's Assumptions 1 and 2.

    Raises
    ------
    InputError
        If a value is of the wrong type, out of range, or does not belong to the model.

    Examples
    --------
    >>> point = Point(model="linear", loss="ce", n_classes=1000, dim=500, n_samples=1000)
    >>> point
    Point(model='linear', loss='ce', n_classes=1000, dim=500, n_samples=1000)
    >>> point.aspect_ratio
    0.5
    >>> Point(model="one_hidden", loss="mse", n_classes=10, dim=64, n_samples=128, width=8).layers
    ('hidden', 'output', 'cross')
    """

    model: ModelName
    loss: LossName
    n_classes: int
    dim: int
    n_samples: int
    width: int | None = None
    ensemble: Ensemble = LECUN

    def __post_init__(self) -> None:
        network = get_model(self.model)
        check_choice("loss", self.loss, LOSSES)
        for name in ("n_classes", "dim", "n_samples"):  # as plain ints, whatever integer type they came as
            object.__setattr__(self, name, check_size(name, getattr(self, name)))
        object.__setattr__(self, "width", network.check_width(self.width))
        check_ensemble(self.ensemble, network)
        check_data(self.ensemble, self.loss, self.dim)

    def __repr__(self) -> str:
        """Return the call that makes the point, without what is as by default."""
        given = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _OPTIONAL}
        given |= {name: getattr(self, name) for name, default in _OPTIONAL.items() if getattr(self, name) != default}
        return f"Point({', '.join(f'{name}={value!r}' for name, value in given.items())})"

    def _repr_html_(self) -> str:
        """Return the point as a table of one row."""
        cells: dict[str, object] = {"model": self.model, "loss": self.loss}
        cells |= {"C": self.n_classes, "d": self.dim, "N": self.n_samples}
        cells |= {} if self.width is None else {"m": self.width}
        cells |= {"d/N": f"{self.aspect_ratio:g}", "ensemble": self.ensemble, "layers": ", ".join(self.layers)}
        head = "".join(f"<th>{name}</th>" for name in cells)
        return f"<table><tr>{head}</tr><tr>{''.join(f'<td>{value}</td>' for value in cells.values())}</tr></table>"

    @property
    def sizes(self) -> str:
        """Return C, d, N and m, as people read them."""
        return format_sizes(self.n_classes, self.dim, self.n_samples, self.width)

    @property
    def aspect_ratio(self) -> float:
        """The aspect ratio γ = d/N."""
        return self.dim / self.n_samples

    @property
    def layers(self) -> tuple[LayerName, ...]:
        """The layers of the Hessian whose block norms this model has."""
        return get_model(self.model).layer_names

    @cached_property
    def id(self) -> str:
        """Content hash of the canonical point: 16 hexadecimal digits, the same on every machine."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.ensemble == LECUN:
            del content["ensemble"]
        else:
            content["ensemble"] = self.ensemble.document()
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def block_shape(self, layer: str) -> tuple[int, int]:
        """Return the numbers of rows and columns of one block.

        Parameters
        ----------
        layer
            One of `layers`.
        """
        return BY_NAME[layer].block_shape(self.dim, self.width)


#: The values that a point has where they are not given.
_OPTIONAL = {"width": None, "ensemble": LECUN}


def check_point(point: Any) -> None:
    """Raise InputError unless it is a Point."""
    if not isinstance(point, Point):
        if is_several(point):
            raise InputError("point: it holds several; give one rmtsim.Point, and call it for each of them")
        raise InputError(f"point: {abridge(point)} is not valid; give an rmtsim.Point")


def check_layers(layers: Any, known: tuple[LayerName, ...]) -> tuple[LayerName, ...]:
    """Return the selection in the order of ``known``; raise InputError unless it is one, and not empty."""
    if not isinstance(layers, Iterable):
        raise InputError(f"layers: {layers!r} is not valid; give a selection of {', '.join(known)}")
    chosen = (layers,) if isinstance(layers, str) else tuple(layers)
    for layer in chosen:
        check_choice("layers", layer, known)
    if not chosen:
        raise InputError(f"layers: the selection is empty; choose one of {', '.join(known)}")
    return tuple(layer for layer in known if layer in chosen)


def format_sizes(n_classes: int, dim: int, n_samples: int, width: int | None) -> str:
    """Return sizes as people read them."""
    return f"C = {n_classes}, d = {dim}, N = {n_samples}" + (f", m = {width}" if width else "")


def name_point(row: Mapping[Any, Any]) -> str:
    """Return the point of a row of the store by its sizes and its identity, for messages."""
    C, d, N, m = (row[name] for name in ("n_classes", "dim", "n_samples", "width"))
    return f"{format_sizes(C, d, N, None if m is None or m != m else int(m))} (point {row['point_id']})"
