"""Sweep specs: TOML files that name a grid of points and the precision wanted at each."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from rmtsim.arrays.backend import DTYPES
from rmtsim.errors import InputError
from rmtsim.kernels.cost import DIAGONALS
from rmtsim.model.choices import LOSSES, LayerName, LossName, ModelName
from rmtsim.model.ensemble import LECUN, Ensemble, check_ensemble
from rmtsim.model.models import Model, get_model
from rmtsim.model.point import Point
from rmtsim.sampling.simulation import MAX_SEED
from rmtsim.sweeps.documents import (
    builtin,
    check_keys,
    check_name,
    describes_training,
    list_of,
    read_document,
    table_of,
)
from rmtsim.text.checks import MAX_SIZE, check_choice, check_size
from rmtsim.text.words import abridged

MAX_POINTS = 100_000
MAX_DRAWS = 10_000_000
_TOP = ("name", "model", "loss", "layers", "grid", "ensemble", "sampling")
_GRID = ("n_classes", "aspect_ratio", "dim", "width")
_ENSEMBLE = ("init", "data_variance", "hidden_gain", "last_gain")
_SAMPLING = ("seed", "min_draws", "max_draws", "target_rse", "dtype", "diagonal")


@dataclass(frozen=True)
class Sampling:
    """How many draws, of which stream, to which precision.

    ``target_rse`` is the relative standard error to reach on diag, offdiag and their ratio, of every layer; draws go
    on from ``min_draws`` until it is reached, but not past ``max_draws``. ``diagonal`` is that of `rmtsim.simulate`.
    """

    seed: int = 0
    min_draws: int = 16
    max_draws: int = 10_000
    target_rse: float = 0.02
    dtype: str = "float64"
    diagonal: str = "exact"


@dataclass(frozen=True)
class Spec:
    """A sweep: points, the layers to watch at each, their ensemble, and the sampling."""

    name: str
    model: ModelName
    loss: LossName
    layers: tuple[LayerName, ...]
    n_classes: tuple[int, ...]
    aspect_ratio: tuple[float, ...]
    dim: tuple[int, ...]
    width: tuple[int, ...] | None
    sampling: Sampling
    ensemble: Ensemble = LECUN

    def points(self) -> list[Point]:
        """Return the Cartesian product of the grid's lists."""
        return [
            Point(self.model, self.loss, C, d, int(d / _exact(gamma)), m, self.ensemble)
            for d, gamma, m, C in itertools.product(self.dim, self.aspect_ratio, self.width or (None,), self.n_classes)
        ]

    def document(self) -> dict[str, Any]:
        """Return the spec as plain data, which `from_document` reads back."""
        grid = {key: list(getattr(self, key)) for key in _GRID if getattr(self, key) is not None}
        return {
            "name": self.name,
            "model": self.model,
            "loss": self.loss,
            "layers": list(self.layers),
            "grid": grid,
            **({} if self.ensemble == LECUN else {"ensemble": asdict(self.ensemble)}),
            "sampling": asdict(self.sampling),
        }


def builtin_specs() -> list[str]:
    """Names of the specs that come with rmtsim."""
    return [name for name, text in builtin().items() if not describes_training(text)]


def load(source: str) -> Spec:
    """Read a spec from a TOML file, or by the name of one that comes with rmtsim.

    Raises
    ------
    InputError
        If there is no such spec, or anything in it is not valid.
    """
    document = read_document(source, builtin_specs())
    try:
        return from_document(document)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def from_document(document: Mapping[str, Any]) -> Spec:
    """Check plain data and make it a spec.

    Raises
    ------
    InputError
        At the first key or value that is not valid; the sentence names it and what would be.
    """
    check_keys(document, _TOP, "")
    name = check_name(document)
    model = get_model(document.get("model"))
    loss = check_choice("loss", document.get("loss"), LOSSES)
    known = model.layer_names
    layers = list_of(document, "layers", lambda where, layer: check_choice(where, layer, known), default=list(known))
    grid = table_of(document, "grid")
    check_keys(grid, _GRID, "[grid] ")
    if not model.has_width and "width" in grid:
        raise InputError(f"[grid] width: the {model.name} model has none; take the key out")
    sizes = {key: list_of(grid, key, check_size, "[grid] ") for key in ("n_classes", "dim")}
    spec = Spec(
        name=name,
        model=model.name,
        loss=loss,
        layers=tuple(layer for layer in known if layer in layers),
        n_classes=sizes["n_classes"],
        aspect_ratio=list_of(grid, "aspect_ratio", _check_aspect_ratio, "[grid] "),
        dim=sizes["dim"],
        width=list_of(grid, "width", check_size, "[grid] ") if model.has_width else None,
        sampling=_sampling(table_of(document, "sampling")),
        ensemble=_ensemble(table_of(document, "ensemble"), model),
    )
    _check_samples(spec)
    return spec


def _sampling(table: Mapping[str, Any]) -> Sampling:
    check_keys(table, _SAMPLING, "[sampling] ")
    sampling = Sampling(**table)
    check_size("[sampling] seed", sampling.seed, least=0, most=MAX_SEED)
    check_size("[sampling] max_draws", sampling.max_draws, least=2, most=MAX_DRAWS)
    check_size("[sampling] min_draws", sampling.min_draws, least=2, most=MAX_DRAWS)
    if sampling.min_draws > sampling.max_draws:
        raise InputError(
            f"[sampling] min_draws: {sampling.min_draws} is above max_draws = {sampling.max_draws}; give at most that"
        )
    rse = sampling.target_rse
    if isinstance(rse, bool) or not isinstance(rse, int | float) or not 0 < rse < 1:
        raise InputError(
            f"[sampling] target_rse: {abridged(rse)} is not valid; give a number between 0 and 1, say 0.01"
        )
    check_choice("[sampling] dtype", sampling.dtype, DTYPES)
    check_choice("[sampling] diagonal", sampling.diagonal, DIAGONALS)
    return sampling


def _ensemble(table: Mapping[str, Any], model: Model) -> Ensemble:
    check_keys(table, _ENSEMBLE, "[ensemble] ")
    try:
        ensemble = Ensemble(**table)
        check_ensemble(ensemble, model)
    except InputError as error:
        raise InputError(f"[ensemble] {error}") from None
    return ensemble


def _check_samples(spec: Spec) -> None:
    n_points = math.prod(len(values) for values in (spec.n_classes, spec.aspect_ratio, spec.dim, spec.width or (0,)))
    if n_points > MAX_POINTS:
        raise InputError(f"[grid]: {n_points} points are too many; give at most {MAX_POINTS}")
    for d, gamma in itertools.product(spec.dim, spec.aspect_ratio):
        n_samples = d / _exact(gamma)
        if not 1 <= n_samples <= MAX_SIZE:
            raise InputError(
                f"[grid] aspect_ratio: N = dim / aspect_ratio = {d} / {gamma} is not from 1 to {MAX_SIZE}; "
                "give a ratio that keeps it there"
            )
        if n_samples.denominator != 1:
            raise InputError(
                f"[grid] aspect_ratio: N = dim / aspect_ratio = {d} / {gamma} = {float(n_samples):.6g} is not whole; "
                f"give a ratio that divides dim, such as {_nearest_ratio(d, n_samples)!r}"
            )


def _nearest_ratio(d: int, n_samples: Fraction) -> float:
    """Return a ratio of few decimals for which d / ratio is whole and near ``n_samples``."""
    nearest = round(n_samples)
    for distance in range(1000):
        for whole in (nearest + distance, nearest - distance):
            ratio = float(f"{d / whole:.6g}") if whole > 0 else 0.0
            if ratio and (d / _exact(ratio)).denominator == 1:
                return ratio
    return 1.0


def _exact(gamma: float) -> Fraction:
    """Return the decimal number that was written, not its binary neighbour."""
    return Fraction(repr(gamma))


def _check_aspect_ratio(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
        raise InputError(f"{name}: {abridged(value)} is not valid; give a positive number d/N, say 0.5")
