"""Monte Carlo: from a point and a range of draws to rows of block norms."""

from __future__ import annotations

import operator
import traceback
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from rmtsim.arrays import tensor_cores
from rmtsim.arrays.backend import DTYPES, Backend, BackendName, DtypeName, array_module, get_backend, resolve
from rmtsim.arrays.machine import usable_memory
from rmtsim.errors import InputError
from rmtsim.kernels.cost import DIAGONALS, DiagonalName, diagonal_classes
from rmtsim.kernels.draw_resources import draw_resources
from rmtsim.kernels.memory import batch_size
from rmtsim.kernels.network_norms import SUMS_OVER_V
from rmtsim.kernels.scaling import OutOfRange
from rmtsim.model.choices import LayerName
from rmtsim.model.point import Point, check_layers, check_point
from rmtsim.sampling.schema import SimulatedDraws, table_of
from rmtsim.sampling.waves import Waves
from rmtsim.sampling.weights import WeightsPerDraw, weights_of
from rmtsim.text.call_progress import CallProgress
from rmtsim.text.checks import check_choice, check_flag, check_size
from rmtsim.text.sizes import as_bytes, format_bytes, format_count

if TYPE_CHECKING:
    import pandas as pd

MAX_SEED = 2**63 - 1

#: About what a row takes while it is laid out as a table.
_ROW_BYTES = 500


def simulate(
    point: Point,
    draws: int | range,
    *,
    seed: int = 0,
    backend: BackendName = "numpy",
    dtype: DtypeName = "float64",
    layers: LayerName | Iterable[LayerName] | None = None,
    diagonal: DiagonalName = "exact",
    weights_per_draw: WeightsPerDraw = 1,
    batch: int | None = None,
    threads: int | None = None,
    memory: float | str | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Simulate draws of a point: mean squared block norms of every layer, one row per draw and layer.

    Parameters
    ----------
    point
        Model, loss, sizes and ensemble.
    draws
        A count, meaning draws 0 … n − 1, or a range of draws.
    seed
        Seed of the stream. Rows are a pure function of (seed, point, draw, backend, dtype, diagonal, weights_per_draw)
        and equal those of a sweep with the same seed.
    backend
        ``"numpy"``, ``"cupy"`` or ``"auto"``.
    dtype
        ``"float64"`` or ``"float32"``: the arithmetic's; both see the same draw. In float32 a statistic is within 1e-5
        of float64, or within 2⁻²² times the draw's largest |logit| where that is more; it is refused where logits are
        above 512. About one norm in a thousand of draws of some hundred samples or fewer is a difference of terms that
        nearly cancel, and errs by more, up to 1e-3; means over draws do not. Smooth activations, such as GELU, lose
        digits in the hidden layer where pre-activations are above some tens: at 300 its norms err by 1e-4, and by more
        beyond; take float64 there.
    layers
        A selection of the point's layers; by default all.
    diagonal
        ``"exact"``: the terms of single classes are summed over all classes. ``"auto"``: for CE with thousands of
        classes, where the last layer's inputs are not few, they are estimated from some of them, without bias, with
        the standard errors in ``std_error_diag`` and ``std_error_offdiag``; sums over pairs are always exact. These
        errors hold for logits of order one, as of the usual ensembles with d of some tens or more. With larger ones a
        few classes have most of the terms: then errors are too small, and estimates may be negative; take
        ``"exact"`` there.
    weights_per_draw
        R: a draw is (X, W, V₁ … V_R), and its row has the means over its R last layers. Their expectation is that of
        R = 1, and so are V₁ and all else of the draw. Where most of the variance comes from V and most of the time goes
        into X, several V give more precision a second. ``"auto"``: as many as pay in every layer asked for, by a fixed
        rule of the point, its layers and what they cost.
    batch
        Draws computed at once; by default as many as suit the cache, or fill the GPU.
    threads
        Threads that share a large draw, by default one for every core; small draws have one.
    memory
        What may be used, the 220 MiB of Python included: bytes, or a size such as ``"1.5GiB"``; by default nearly all
        that the machine, or the GPU, has. A draw that needs more than this is cut into blocks that come one after the
        other. Values do not depend on batch, threads or memory.
    progress
        Whether to show on stderr how far a call is that takes over a few seconds; by default in a terminal or notebook.

    Returns
    -------
    DataFrame
        The columns of the store, sorted by draw, then layer; ``attrs["blas"]`` names what the last
        digits depend on: the BLAS library and its kernel, and with several last layers the way that they are added up.

    Raises
    ------
    InputError
        If an argument is not valid, or the dtype cannot hold a draw's norms.

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
    found = simulate_arrays(
        point,
        draws,
        seed=seed,
        backend=backend,
        dtype=dtype,
        layers=layers,
        diagonal=diagonal,
        weights_per_draw=weights_per_draw,
        batch=batch,
        threads=threads,
        memory=memory,
        progress=progress,
    )
    rows: pd.DataFrame = table_of([found]).to_pandas()
    rows.attrs["blas"] = found.blas
    return rows.astype({"width": "Int64"})


def simulate_arrays(
    point: Point,
    draws: int | range,
    *,
    seed: int = 0,
    backend: str = "numpy",
    dtype: str = "float64",
    layers: Iterable[str] | None = None,
    diagonal: str = "exact",
    weights_per_draw: WeightsPerDraw = 1,
    batch: int | None = None,
    threads: int | None = None,
    memory: float | str | None = None,
    progress: bool | None = False,
) -> SimulatedDraws:
    """Do what `simulate` does, and return arrays."""
    check_point(point)
    draws = _as_range(draws)
    seed = check_size("seed", seed, least=0, most=MAX_SEED)
    check_choice("dtype", dtype, DTYPES)
    check_choice("diagonal", diagonal, DIAGONALS)
    chosen = point.layers if layers is None else check_layers(layers, point.layers)
    count = weights_of(weights_per_draw, point, chosen, diagonal)
    if batch is not None:
        check_size("batch", batch)
    if threads is not None:
        check_size("threads", threads)
    memory = None if memory is None else as_bytes(memory)
    _check_rows(draws, chosen, usable_memory())
    computes = get_backend(resolve(backend))
    tensor_cores.check(computes.name, dtype)
    xp = array_module(computes.name)
    classes = diagonal_classes(point, diagonal)
    waves = Waves(point, seed, chosen, dtype=dtype, xp=xp, sampled_classes=classes, weights=count)
    parts: dict[str, list[np.ndarray]] = {layer: [] for layer in chosen}
    if progress is not None:
        check_flag("progress", progress)
    left, shown = draws, CallProgress("simulate", len(draws), "draws", show=progress)
    place: dict[str, Any] = {"threads": threads, "weights": count, "tick": shown.tick}
    while left:
        try:
            room = memory or (computes.free_memory() if computes.needs_gpu else usable_memory())
            size = batch or batch_size(point, chosen, dtype, room, count, gpu=computes.needs_gpu)
            place["batch"] = size
            with shown, draw_resources(point, chosen, dtype, xp, memory=room, **place) as (tiling, team):
                for part in _split(left, size):
                    for layer, values in waves.norms(part, tiling, team).items():
                        parts[layer].append(values)
                    left = range(part.stop, draws.stop)
                    shown.advance(len(draws) - len(left))
        except OutOfRange as error:
            wanted = "; give dtype float64, or another ensemble" if dtype == "float32" else "; give another ensemble"
            raise InputError(f"point: of draws at {point.sizes}, {str(error).partition(';')[0]}{wanted}") from None
        except Exception as error:
            if not computes.is_out_of_memory(error):
                raise
            traceback.clear_frames(error.__traceback__)  # the arrays of what failed
            computes.release_memory()
            memory = _half(memory, computes)  # hold half as much at once, and go on
    measured = np.zeros((len(draws), len(chosen), 4))  # without standard errors of their own where none are given
    for k, of_layer in enumerate(parts.values()):
        found = np.concatenate(of_layer, axis=-1)
        measured[:, k, : len(found)] = found.T
    library = computes.library() if count == 1 else f"{computes.library()}, {SUMS_OVER_V}"
    return SimulatedDraws(point, draws, chosen, seed, computes.name, dtype, classes, library, measured, count)


def _half(memory: float | None, computes: Backend) -> float:
    """Return half of the memory that there is; raise InputError if there is none, even for the library of products."""
    try:
        return (memory or computes.free_memory()) / 2
    except Exception as error:
        if not computes.is_out_of_memory(error):
            raise
        raise InputError(
            f"backend: the memory of the GPU is used up, and {computes.name} cannot begin; free some, or give numpy"
        ) from error


def _check_rows(draws: range, layers: tuple[str, ...], memory: float) -> None:
    """Raise InputError if the rows do not fit in memory."""
    count = draws.stop - draws.start
    need = float(count) * len(layers) * _ROW_BYTES
    if need > memory:
        raise InputError(
            f"draws: the rows of {format_count(count)} draws take {format_bytes(need)}, and there are "
            f"{format_bytes(memory)}; give fewer, or run a sweep, which keeps its rows in a store"
        )


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
