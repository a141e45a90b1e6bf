"""What a store holds of a spec's points, and what is still wanted."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import pandas as pd

from rmtsim.cost import diagonal_classes
from rmtsim.errors import InputError
from rmtsim.estimates import Values
from rmtsim.point import Point
from rmtsim.store import Store
from sweeps.spec import Sampling, Spec
from sweeps.stopping import draws_wanted, worst


class PointState:
    """Draws of one point: those that are stored, in any order, and the decision on them.

    Attributes
    ----------
    prefix
        How many draws there are without a gap from draw 0.
    wanted
        Draws that the point needs, as far as that prefix can tell.
    """

    def __init__(self, point: Point, layers: tuple[str, ...], sampling: Sampling) -> None:
        self.point, self.layers, self.sampling = point, layers, sampling
        self.prefix, self.wanted = 0, sampling.min_draws
        self._columns: dict[str, tuple[list[float], list[float]]] = {layer: ([], []) for layer in layers}
        self._ahead: dict[int, dict[str, tuple[float, float]]] = {}  # draws beyond the first gap

    def add(self, rows: pd.DataFrame) -> None:
        """Take in rows of this point; a row that is there already is the same row."""
        columns = (rows[name].tolist() for name in ("draw", "layer", "diag_sqfro", "offdiag_sqfro"))
        for draw, layer, diag, off in zip(*columns, strict=True):
            if layer in self.layers and draw >= self.prefix:
                self._ahead.setdefault(draw, {})[layer] = (diag, off)
        while self.has(self.prefix):
            for layer, values in self._ahead.pop(self.prefix).items():
                for column, value in zip(self._columns[layer], values, strict=True):
                    column.append(value)
            self.prefix += 1
        self.__dict__.pop("precision", None)
        if self.prefix >= self.wanted:
            self.wanted = draws_wanted(self.arrays(self.prefix), self.prefix, self.sampling)

    def has(self, draw: int) -> bool:
        """Whether every layer of ``draw`` is stored."""
        return len(self.stored_layers(draw)) == len(self.layers)

    def stored_layers(self, draw: int) -> set[str]:
        """Return the layers of ``draw`` that are stored."""
        return set(self.layers) if draw < self.prefix else set(self._ahead.get(draw, ()))

    def arrays(self, count: int) -> dict[str, tuple[Values, Values]]:
        """Layer → (diag, offdiag) of the first ``count`` draws, which must be there without a gap."""
        return {
            layer: (np.array(diag[:count], dtype=float), np.array(off[:count], dtype=float))
            for layer, (diag, off) in self._columns.items()
        }

    @property
    def finished(self) -> bool:
        """Whether no more draws are wanted: target reached, or max_draws used up."""
        return self.prefix >= self.wanted

    @cached_property
    def precision(self) -> tuple[float, str]:
        """Return the largest relative standard error on the draws that count, and of which quantity."""
        count = min(self.prefix, self.wanted)
        return worst(self.arrays(count)) if count >= 2 else (math.inf, "too few draws")

    @property
    def state(self) -> str:
        """State in a word: new, partial, done, or limited (max_draws used up above the target)."""
        if not self.finished:
            return "partial" if self.prefix or self._ahead else "new"
        return "done" if self.precision[0] <= self.sampling.target_rse else "limited"

    @property
    def expected_draws(self) -> int:
        """Draws that the point will need, extrapolated from its precision as rse ∝ 1/√draws; never past max_draws."""
        rse, _ = self.precision
        if self.finished or not math.isfinite(rse):
            return self.wanted
        needed = math.ceil(self.prefix * (rse / self.sampling.target_rse) ** 2)
        return min(max(needed, self.wanted), self.sampling.max_draws)

    def missing(self) -> list[int]:
        """Draws that are wanted and not stored."""
        return [draw for draw in range(self.prefix, self.wanted) if not self.has(draw)]


def read_states(spec: Spec, store: Store, backend: str | None = None) -> list[PointState]:
    """Hold the spec's points against the store.

    Raises
    ------
    InputError
        If the store has draws of the spec's seed and points in another dtype, or on another backend than
        ``backend``, or with another ``diagonal``: a draw is stored once.
    """
    states = {point.id: PointState(point, spec.layers, spec.sampling) for point in spec.points()}
    rows = store.read(
        ["point_id", "seed", "draw", "layer", "diag_sqfro", "offdiag_sqfro", "backend", "dtype", "classes"], states
    )
    rows = rows[rows["seed"] == spec.sampling.seed]
    for column, meant in (("dtype", spec.sampling.dtype), ("backend", backend)):
        other = set(rows[column]) - {meant}
        if meant and other:
            raise InputError(
                f"store: {store.root} holds draws of this sweep computed with {column} {other.pop()}, not {meant}; "
                f"ask for that {column}, or give another --store"
            )
    for point_id, part in rows.groupby("point_id"):
        point = states[str(point_id)].point
        wanted = diagonal_classes(point, spec.sampling.diagonal)
        last = part[part["layer"].isin(("linear", "output"))]
        if others := set(last["classes"]) - {wanted}:
            raise InputError(
                f"store: {store.root} holds draws of this sweep with terms of single classes from {others.pop()} of "
                f"{point.n_classes} classes, not {wanted}; give the other [sampling] diagonal, or another --store"
            )
        states[str(point_id)].add(part)
    return list(states.values())
