"""Specs of sweeps: a grid of points, and the precision wanted at each."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import attrs

from rmtsim.arrays.backend import DTYPES
from rmtsim.errors import InputError
from rmtsim.kernels.cost import DIAGONALS, cost
from rmtsim.model.choices import LAYERS, LOSSES, MODELS, LayerName, LossName, ModelName
from rmtsim.model.ensemble import LECUN, Ensemble, check_data, check_ensemble
from rmtsim.model.models import get_model
from rmtsim.model.point import Point
from rmtsim.sampling.simulation import MAX_SEED
from rmtsim.sampling.weights import AUTO, MAX_WEIGHTS, weights_of
from rmtsim.store.coverage import Request
from rmtsim.sweeps.declaration import document_of, key, table
from rmtsim.sweeps.documents import builtin, describes_training, read_document
from rmtsim.sweeps.parsing import parse
from rmtsim.sweeps.values import choice, list_of, pattern, real, whole, whole_or
from rmtsim.text.checks import MAX_SIZE

MAX_POINTS = 100_000
MAX_DRAWS = 10_000_000

#: Names of specs, which become names of files.
NAMES = pattern(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", "up to 64 letters, digits, '_', '.', '-'")

_in_grid = partial(key, table="grid")
_in_sampling = partial(key, table="sampling")


@attrs.frozen(kw_only=True)
class Sampling:
    """The number of draws, their stream, and the precision that they should reach.

    Draws go on from ``min_draws`` until ``target_rse`` is reached and can be trusted (`rmtsim.sweeps.stopping`), but
    not past ``max_draws``.

    Raises
    ------
    InputError
        If a value is not valid.
    """

    seed: int = _in_sampling(whole(0, MAX_SEED), "Seed of all random streams: equal seeds give equal draws.", default=0)
    min_draws: int = _in_sampling(whole(2, MAX_DRAWS), "Draws of a point before its precision is judged.", default=16)
    max_draws: int = _in_sampling(
        whole(2, MAX_DRAWS), "Draws of a point at most, whether it has reached the target or not.", default=10_000
    )
    target_rse: float = _in_sampling(
        real("a number between 0 and 1", "0.01", lambda x: 0 < x < 1),
        "Relative standard error to reach, on the mean squared norms of diagonal and off-diagonal blocks and on their "
        "ratio, in every layer. One above 5 % is not trusted: draws then go on, to `max_draws` at most.",
        default=0.02,
    )
    dtype: str = _in_sampling(choice(DTYPES), "Precision of the arithmetic.", default="float64")
    diagonal: str = _in_sampling(
        choice(DIAGONALS),
        "Whether terms of single classes come from all classes, or with `auto` from a random choice of them where "
        "there are many.",
        default="exact",
    )
    weights_per_draw: int | str = _in_sampling(
        whole_or((AUTO,), 1, MAX_WEIGHTS),
        "Last layers V of each draw (X, W, V₁ … V_R), over which its norms are averaged; with `auto` as many as pay at "
        "each point in every layer that is measured, by a fixed rule.",
        default=1,
        omit_default=True,
    )

    def __attrs_post_init__(self) -> None:
        if self.min_draws > self.max_draws:
            raise InputError(
                f"[sampling] min_draws: {self.min_draws} is above max_draws = {self.max_draws}; give at most that"
            )

    def weights(self, point: Point, layers: tuple[str, ...]) -> int:
        """Return the number of last layers of each draw of a point."""
        return weights_of(self.weights_per_draw, point, layers, self.diagonal)

    def cost(self, point: Point, layers: tuple[str, ...]) -> float:
        """Return the work of a draw of a point, in flops, the making of its normals included."""
        return cost(point, layers, self.diagonal, self.weights(point, layers))


@attrs.frozen(kw_only=True)
class Spec:
    """A sweep: points, the layers to measure at each, their ensemble, and the sampling.

    The parameters are the keys of a spec's file, those of its table ``[grid]`` without the table, ``ensemble`` as a
    `rmtsim.Ensemble`; the reference of specs says what each means. Lists may be lists or tuples.

    Raises
    ------
    InputError
        If a value is not valid, or values do not go together.

    Examples
    --------
    >>> spec = Spec(name="mine", model="linear", loss="ce", n_classes=[2, 10], aspect_ratio=[0.5], dim=[50])
    >>> [point.n_samples for point in spec.points()]
    [100, 100]
    >>> Spec(name="mine", model="linear", loss="ce", n_classes=[2, 2.5], aspect_ratio=[0.5], dim=[50])
    Traceback (most recent call last):
    rmtsim.errors.InputError: [grid] n_classes: 2.5 is not valid; give a whole number from 1 to 1000000000
    """

    name: str = key(NAMES, "Name of the sweep; a store keeps its spec under it.")
    model: ModelName = key(choice(MODELS), "Network: logits V x (`linear`), or V σ(W x) (`one_hidden`).")
    loss: LossName = key(choice(LOSSES), "Cross-entropy, or the squared error ‖f(x) − y‖²; a mean over samples.")
    layers: tuple[LayerName, ...] = key(
        list_of(choice(LAYERS)),
        "Layers of the Hessian to measure: `linear` for the linear model; `hidden`, `output` and the `cross` layer "
        "between them for one hidden layer.",
        default=None,
        default_text="all of the model",
        narrowed=lambda spec: list_of(choice(get_model(spec.model).layer_names)),
    )
    n_classes: Sequence[int] = _in_grid(
        list_of(whole()), "Numbers of classes C; a single class has no off-diagonal blocks."
    )
    aspect_ratio: Sequence[float] = _in_grid(
        list_of(real("a positive number d/N", "0.5", lambda x: 0 < x <= sys.float_info.max)),
        "Ratios d/N of input dimension to samples; N = dim / aspect_ratio must be whole. There is no key for N.",
    )
    dim: Sequence[int] = _in_grid(list_of(whole()), "Input dimensions d.")
    width: Sequence[int] | None = _in_grid(
        list_of(whole()),
        "Numbers of hidden neurons m: needed for `one_hidden`, not valid for `linear`.",
        default=None,
        default_text="none",
    )
    ensemble: Ensemble = table(Ensemble, LECUN, omit_default=True)
    sampling: Sampling = table(Sampling, Sampling())

    def __attrs_post_init__(self) -> None:
        model = get_model(self.model)
        chosen = tuple(layer for layer in model.layer_names if layer in (self.layers or model.layer_names))
        object.__setattr__(self, "layers", chosen)
        if self.width is not None and not model.has_width:
            raise InputError(f"[grid] width: the {model.name} model has none; take the key out")
        if self.width is None and model.has_width:
            raise InputError(
                f"[grid] width: the {model.name} model has a hidden layer; give a list of widths, such as [8]"
            )
        try:
            check_ensemble(self.ensemble, model)
            for d in self.dim:
                check_data(self.ensemble, self.loss, d)
        except InputError as error:
            raise InputError(f"[ensemble] {error}") from None
        self._check_grid()

    def _check_grid(self) -> None:
        lists = (self.n_classes, self.aspect_ratio, self.dim, self.width or (0,))
        n_points = math.prod(map(len, lists))
        if n_points > MAX_POINTS:
            raise InputError(f"[grid]: {n_points} points are too many; give at most {MAX_POINTS}")
        for d, gamma in itertools.product(self.dim, self.aspect_ratio):
            n_samples = d / _exact(gamma)
            if not 1 <= n_samples <= MAX_SIZE:
                raise InputError(
                    f"[grid] aspect_ratio: N = dim / aspect_ratio = {d} / {gamma} is not from 1 to {MAX_SIZE}; "
                    "give a ratio that keeps it there"
                )
            if n_samples.denominator != 1:
                shown = f"{float(n_samples):.6g}"
                value = (
                    f"= {shown} is not whole" if "." in shown else f"is not just {shown}, for {d}/{shown} is no decimal"
                )
                raise InputError(
                    f"[grid] aspect_ratio: N = dim / aspect_ratio = {d} / {gamma} {value}; give a ratio that divides "
                    f"dim, such as {_nearest_ratio(d, n_samples)!r}"
                )

    def points(self) -> list[Point]:
        """Return the Cartesian product of the grid's lists."""
        sizes = [(d, int(d / _exact(gamma))) for d, gamma in itertools.product(self.dim, self.aspect_ratio)]
        return [
            Point(self.model, self.loss, C, d, n_samples, m, self.ensemble)
            for (d, n_samples), m, C in itertools.product(sizes, self.width or (None,), self.n_classes)
        ]

    def document(self) -> dict[str, Any]:
        """Return the spec as plain data, which `from_document` reads back."""
        return document_of(self)


def builtin_specs() -> list[str]:
    """Names of the specs of sweeps that come with rmtsim."""
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
    """Make a spec of plain data, such as a stored document.

    Raises
    ------
    InputError
        If keys or values are not valid; a sentence for each names it and what would be.
    """
    return parse(Spec, document)


def is_sweep(document: Mapping[str, Any]) -> bool:
    """Return whether a stored document is the spec of a sweep, and not what was written without one.

    Raises
    ------
    InputError
        If it has sampling, as a spec of a sweep has, and is not valid.
    """
    if "sampling" not in document:
        return False
    from_document(document)
    return True


def requests_of(document: Mapping[str, Any]) -> list[Request]:
    """Return the draws that a stored document asks for at least: min_draws of every point.

    A document without sampling was not written by a sweep, and asks for none.

    Raises
    ------
    InputError
        If it has sampling, and is not a valid spec of a sweep.
    """
    if not is_sweep(document):
        return []
    spec = from_document(document)
    sampling = spec.sampling
    return [Request(point.id, sampling.seed, spec.layers, sampling.min_draws) for point in spec.points()]


def _nearest_ratio(d: int, n_samples: Fraction) -> float:
    """Return a ratio of few decimals for which d / ratio is whole and near ``n_samples``."""
    nearest = round(n_samples)
    for distance in range(1000):
        for count in (nearest + distance, nearest - distance):
            ratio = float(f"{d / count:.6g}") if count > 0 else 0.0
            if ratio and (d / _exact(ratio)).denominator == 1:
                return ratio
    return 1.0


def _exact(gamma: float) -> Fraction:
    """Return the decimal number that was written, not its binary neighbour."""
    return Fraction(repr(gamma))
