"""The rows of a store, given to the points of a sweep, a piece at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmtsim.errors import InputError
from rmtsim.kernels.cost import diagonal_classes
from rmtsim.model.layers import LAST
from rmtsim.store import Store
from rmtsim.sweeps.spec import Spec
from rmtsim.sweeps.state import Numbers, PointState, Values, add_next, are_next, states_of

_MADE = ["backend", "dtype", "weights_per_draw", "classes"]  # how values were made
#: Columns of the store that the states of points are made of.
COLUMNS = ["point_id", "seed", "draw", "layer", "diag_sqfro", "offdiag_sqfro", *_MADE]


def read_states(spec: Spec, store: Store, backend: str | None = None) -> list[PointState]:
    """Return the state of each of the spec's points in a store, which is read a shard at a time.

    Raises
    ------
    InputError, StoreError
        As `PointReader.take`, and if the store cannot be read.
    """
    [states] = read_states_of_all([spec], store, backend)
    return states


def read_states_of_all(specs: Sequence[Spec], store: Store, backend: str | None = None) -> list[list[PointState]]:
    """Return `read_states` of several specs, for which the store is read once."""
    readers = [PointReader(spec, store, backend) for spec in specs]
    points = {point for reader in readers for point in reader.states}
    for table in store.tables(COLUMNS, points) if points else ():
        for reader in readers:
            reader.take(table)
    return [[*reader.states.values()] for reader in readers]


class PointReader:
    """Gives the points of a sweep their rows of a store.

    Parameters
    ----------
    spec, store
        The sweep, and the store, for messages.
    backend
        What its draws are to be made with; None where that does not matter.

    Attributes
    ----------
    spec
        The sweep.
    states
        Its points, by their identities.
    """

    def __init__(self, spec: Spec, store: Store, backend: str | None = None) -> None:
        self.spec, self.states = spec, states_of(spec)
        self._store, self._backend = store, backend
        self._points = [state.point for state in self.states.values()]
        self._names = pa.array(self.states, pa.string())
        self._weights = np.array([spec.sampling.weights(point, spec.layers) for point in self._points])
        self._classes = np.array([diagonal_classes(point, spec.sampling.diagonal) for point in self._points])

    def take(self, table: pa.Table) -> None:
        """Take in the rows of the sweep in a piece of the store, which may have others.

        Raises
        ------
        InputError
            If rows of the sweep's seed and points are of another dtype, or made on another backend, or with another
            ``diagonal`` or ``weights_per_draw``: a draw is stored once.
        StoreError
            If a draw stands there twice.
        """
        spec = self.spec
        points = pc.index_in(table["point_id"], self._names)
        mine = (
            pc.equal(table["seed"], spec.sampling.seed),
            pc.is_in(table["layer"], pa.array(spec.layers, pa.string())),
            pc.is_valid(points),
        )
        chosen = reduce(pc.and_, mine)
        table, points = table.filter(chosen), points.filter(chosen).to_numpy().astype(np.int64)
        for column, meant in (("dtype", spec.sampling.dtype), ("backend", self._backend)):
            for found in pc.unique(table[column]).to_pylist():
                _check_made(column, found, meant, self._store)
        self._check_weights(table, points)
        self._check_classes(table, points)
        layers = pc.index_in(table["layer"], pa.array(spec.layers, pa.string())).to_numpy().astype(np.int64)
        draws = table["draw"].to_numpy()
        values = np.stack([table[name].to_numpy() for name in ("diag_sqfro", "offdiag_sqfro")], axis=1)
        order = np.lexsort((layers, draws, points))
        self._share_out(points[order], draws[order], layers[order], values[order])

    def _share_out(self, points: Numbers, draws: Numbers, layers: Numbers, values: Values) -> None:
        """Give each point its rows, which are sorted by point, draw and layer."""
        if not len(points):
            return
        size, states = len(self.spec.layers), [*self.states.values()]
        edges = np.flatnonzero(np.concatenate([[True], np.diff(points) != 0, [True]]))
        gaps = np.concatenate([[0], np.cumsum(np.diff(size * draws + layers) != 1)])  # before each row
        starts, ends = edges[:-1], edges[1:] - 1
        gapless = (gaps[starts] == gaps[ends]) & (layers[starts] == 0) & (layers[ends] == size - 1)
        there = [states[k] for k in points[starts].tolist()]
        in_turn = gapless & are_next(there, draws[starts])
        for k in np.flatnonzero(~in_turn).tolist():
            state, held = there[k], slice(starts[k], ends[k] + 1)
            if gapless[k]:
                state.add(int(draws[starts[k]]), values[held].reshape(-1, size, 2))
            else:
                state.add_rows(draws[held], layers[held], values[held])
        if in_turn.any():  # these are taken together
            rows = np.repeat(in_turn, np.diff(edges))
            chosen = [there[k] for k in np.flatnonzero(in_turn).tolist()]
            add_next(chosen, values[rows].reshape(-1, size, 2), np.diff(edges)[in_turn] // size)

    def _check_weights(self, table: pa.Table, points: Numbers) -> None:
        found = table["weights_per_draw"].to_numpy()
        for k in np.flatnonzero(found != self._weights[points])[:1].tolist():
            _check_made("weights_per_draw", int(found[k]), int(self._weights[points[k]]), self._store)

    def _check_classes(self, table: pa.Table, points: Numbers) -> None:
        found, last = table["classes"].to_numpy(), pc.is_in(table["layer"], pa.array(LAST)).to_numpy()
        for k in np.flatnonzero(last & (found != self._classes[points]))[:1].tolist():
            raise InputError(
                f"store: {self._store.location} holds draws of this sweep with terms of single classes from {found[k]} "
                f"of {self._points[points[k]].n_classes} classes, not {self._classes[points[k]]}; give the other "
                "[sampling] diagonal, or another --store"
            )


def _check_made(column: str, found: object, meant: object, store: Store) -> None:
    if meant not in (None, found):
        raise InputError(
            f"store: {store.location} holds draws of this sweep computed with {column} {found}, not {meant}; "
            f"ask for that {column}, or give another --store"
        )
