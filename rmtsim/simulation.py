"""Monte Carlo: from a point and a range of draws to rows of block norms."""

from __future__ import annotations

import operator
from collections.abc import Iterator

import pandas as pd

from rmtsim import norms
from rmtsim.backend import DTYPES, array_module, resolve, to_numpy
from rmtsim.cost import batch_size
from rmtsim.ensembles import sample
from rmtsim.errors import InputError
from rmtsim.point import Point, check_choice, check_layers, check_size
from rmtsim.schema import rows_of
from rmtsim.threads import single_threaded_blas

MAX_SEED = 2**63 - 1


def simulate(
    point: Point,
    draws: int | range,
    *,
    seed: int = 0,
    backend: str = "numpy",
    dtype: str = "float64",
    layers: tuple[str, ...] | None = None,
    batch: int | None = None,
) -> pd.DataFrame:
    """Simulate draws of a point: mean squared block norms of every layer, one row per draw and layer.

    Parameters
    ----------
    point
        Model, loss and sizes.
    draws
        A count, meaning draws 0 … n − 1, or a range of draws.
    seed
        Seed of the stream. Rows are a pure function of (seed, point, draw, backend, dtype) and equal those of a
        sweep with the same seed.
    backend
        ``"numpy"``, ``"cupy"`` or ``"auto"``.
    dtype
        ``"float64"`` or ``"float32"``: the arithmetic's; both see the same draw.
    layers
        A selection of the point's layers; by default all.
    batch
        Draws computed at once; by default as many as suit the cache. Values do not depend on it.

    Returns
    -------
    DataFrame
        The columns of the store (see the README), sorted by draw, then layer.

    Raises
    ------
    InputError
        If an argument is not valid.

    Examples
    --------
    >>> import rmtsim
    >>> point = rmtsim.Point(model="linear", loss="ce", n_classes=10, dim=50, n_samples=100)
    >>> rows = rmtsim.simulate(point, draws=16, seed=0)
    >>> len(rows)
    16
    >>> bool(rows.offdiag_sqfro.mean() < 0.05 * rows.diag_sqfro.mean())
    True
    >>> again = rmtsim.simulate(point, draws=range(15, 16), seed=0)
    >>> bool(again.diag_sqfro.item() == rows.diag_sqfro.iloc[15])
    True
    """
    draws = _as_range(draws)
    seed = check_size("seed", seed, least=0, most=MAX_SEED)
    check_choice("dtype", dtype, DTYPES)
    layers = point.layers if layers is None else check_layers(layers, point.layers)
    size = batch_size(point, layers, dtype) if batch is None else check_size("batch", batch)
    backend = resolve(backend)
    xp = array_module(backend)
    columns: dict[str, tuple[list[float], list[float]]] = {layer: ([], []) for layer in layers}
    with single_threaded_blas():
        for part in _split(draws, size):
            X, V, W, y = sample(point, part, seed, dtype=dtype, xp=xp, labels="cross" in layers)
            for layer, (diag, off) in norms.compute(X, V, W, y, point.loss, layers, xp).items():
                columns[layer][0].extend(to_numpy(diag))
                columns[layer][1].extend(to_numpy(off))
    return rows_of(point, draws, seed, columns, backend=backend, dtype=dtype)


def _as_range(draws: int | range) -> range:
    if isinstance(draws, range):
        if draws.step != 1 or not 0 <= draws.start < draws.stop <= MAX_SEED:
            raise InputError(f"draws: {draws!r} is not valid; give a non-empty range of step 1 from 0 or later")
        return draws
    try:
        count = operator.index(draws)
    except TypeError:
        count = 0
    if count < 1 or isinstance(draws, bool):
        raise InputError(f"draws: {draws!r} is not valid; give a count of at least 1, or a range")
    return range(count)


def _split(draws: range, size: int) -> Iterator[range]:
    for start in range(draws.start, draws.stop, size):
        yield range(start, min(start + size, draws.stop))
