"""rmtsim against its peers on the same draw; and where they run out of memory."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import rmtsim
from benchmarks import fresh, methods
from benchmarks.report import Part, Row, Table, Target
from benchmarks.timing import SPREAD, interleaved, timed
from rmtsim.arrays.machine import total_memory
from rmtsim.model.point import Point
from rmtsim.sampling.draws import sample
from rmtsim.text.sizes import format_bytes

_DRAWS = 256  # of a call of simulate, which computes them in batches that fit in a core's cache
_CALLS = 50  # of block_norms in a repeat
_BATCH = 16  # draws of a call of block_norms with leading axes
_BATCH_GIVEN = f"block_norms, {_BATCH} draws given"
#: Units of work in a call, by how its name starts; the longest start comes last and counts.
_PER_CALL = {"simulate": _DRAWS, "block_norms": _CALLS, _BATCH_GIVEN: _CALLS * _BATCH}
_RATIO = "times_as_fast_as_jax"
_LIMIT = min(total_memory(), 2**36)  # bytes of address space, where memory is to run out


def run(quick: bool) -> Part:
    """Compare all peers at a size where all of them run, and at one where rmtsim alone does."""
    small = Point("linear", "ce", *((20, 16, 32) if quick else (100, 64, 128)))
    large = Point("linear", "ce", 5000, 256, 512)
    rows = _same_draw(small, repeats=3 if quick else 7)
    wanted = [
        Target(
            f"{row['method']}: times as fast as jitted jax.hessian in {row['dtype']}", row[_RATIO], 2000, at_most=False
        )
        for row in rows
        if row["method"] == _BATCH_GIVEN
    ]
    return Part(
        "Mean squared norms of all C² blocks of one draw of the linear CE model, one core. All methods agree on the "
        "same draw, to 1e-10 in float64 and 1e-4 in float32, before any is timed. JAX, torch and NumPy make all blocks "
        "of arrays that are given; the norms of the blocks are not in the times of JAX and torch. simulate makes its "
        f"draws too, {_DRAWS} of them in batches. Ratios are to JAX in the same dtype. {SPREAD}",
        [
            Table(f"Same draw, {_sizes(small)}", rows),
            Table(
                f"Out of memory, {_sizes(large)}: each in a process limited to {format_bytes(_LIMIT)}",
                _out_of_memory(large),
            ),
        ],
        [] if quick else wanted,
    )


def _same_draw(point: Point, repeats: int) -> list[Row]:
    X, V = _arrays(point)
    with_jax = methods.jax_hessian(X, V)
    expected = methods.means(methods.norms_of_hessian(with_jax(), V))
    _agree(rmtsim.block_norms(X, V, loss="ce")["linear"], expected)
    for method in ("numpy", "torch") if methods.HAS_TORCH else ("numpy",):
        _agree(methods.norms_by(method, X, V), expected)
    for dtype, rtol in (("float64", 1e-10), ("float32", 1e-4)):
        row = rmtsim.simulate(point, 1, dtype=dtype).iloc[0]
        _agree((row.diag_sqfro, row.offdiag_sqfro), expected, rtol)

    small = [array.astype("float32") for array in (X, V)]
    in_float32 = methods.jax_hessian(*small)
    _agree(methods.means(methods.norms_of_hessian(in_float32(), V)), expected, 1e-4)
    drawn = sample(point, range(_BATCH), 0, dtype="float64", xp=np)
    batch = drawn.X, drawn.V.all()
    small_batch = [array.astype("float32") for array in batch]
    with_torch = methods.torch_hessian(X, V) if methods.HAS_TORCH else None
    works = {
        "jitted jax.hessian, float64": with_jax,
        "jitted jax.hessian, float32": in_float32,
        **({"torch, double backward, float64": lambda: with_torch(range(V.size))} if with_torch else {}),
        "NumPy, explicit blocks, float64": lambda: methods.numpy_blocks(X, V),
        "block_norms, arrays given, float64": lambda: [rmtsim.block_norms(X, V, loss="ce") for _ in range(_CALLS)],
        f"{_BATCH_GIVEN}, float64": lambda: [rmtsim.block_norms(*batch, loss="ce") for _ in range(_CALLS)],
        f"{_BATCH_GIVEN}, float32": lambda: [rmtsim.block_norms(*small_batch, loss="ce") for _ in range(_CALLS)],
        "simulate, float64": lambda: rmtsim.simulate(point, _DRAWS, threads=1),
        "simulate, float32": lambda: rmtsim.simulate(point, _DRAWS, threads=1, dtype="float32"),
    }
    per_call = {name: count for name in works for word, count in _PER_CALL.items() if name.startswith(word)}
    found = interleaved(works, repeats, per_call=per_call)
    rows: list[Row] = []
    for name, timing in found.items():
        method, _, dtype = name.rpartition(", ")
        by_jax = found[f"jitted jax.hessian, {dtype}"].seconds
        rows.append({"method": method, "dtype": dtype, **timing.columns("ms"), _RATIO: by_jax / timing.seconds})
    return rows if with_torch else [*rows, {"method": "torch: not installed"}]


def _out_of_memory(point: Point) -> list[Row]:
    """Try every method under a limit on memory; bytes needed are counted from the shapes of its largest arrays."""
    C, d, N = point.n_classes, point.dim, point.n_samples
    full = (C * d) ** 2 * 8
    needs = {"jax": full, "torch": full, "numpy": full + N * C * C * 8}
    names = {"jax": "jitted jax.hessian", "torch": "torch, all rows kept", "numpy": "NumPy, explicit blocks"}
    rows: list[Row] = []
    for method, name in names.items():
        row: Row = {"method": name, "GB_needed": needs[method] / 1e9}
        if method == "torch" and not methods.HAS_TORCH:
            rows.append(row | {"outcome": "not installed"})
            continue
        found = fresh.call("peers", "attempt", limit=_LIMIT, timeout=120, method=method, sizes=[C, d, N])
        rows.append(row | {"outcome": _outcome(found)})
    if methods.HAS_TORCH:
        some = range(0, C * d, C * d // 8)[:8]
        took = timed(partial(methods.torch_hessian(*_arrays(point)), some)).seconds / len(some) * C * d
        rows.append(
            {
                "method": "torch, row by row, none kept",
                "GB_needed": 3 * N * C * 8 / 1e9,
                "outcome": f"{took / 3600:.3g} hours, from the time of 8 rows",
            }
        )
    for dtype in ("float64", "float32"):
        arguments = {"method": "rmtsim", "sizes": [C, d, N], "dtype": dtype}
        found = fresh.call("peers", "attempt", limit=_LIMIT, **arguments)
        row = {"method": f"rmtsim.simulate, {dtype}", "GB_needed": found.get("peak_bytes", float("nan")) / 1e9}
        rows.append(row | {"outcome": _outcome(found)})
    return rows


def attempt(method: str, sizes: list[int], dtype: str = "float64") -> dict[str, Any]:
    """Try one method in this process; return its time in seconds and its peak memory."""
    point = Point("linear", "ce", *sizes)
    if method == "rmtsim":
        timing = timed(lambda: rmtsim.simulate(point, 1, dtype=dtype, threads=1), least=7)
        return {"seconds": timing.seconds, "peak_bytes": fresh.peak_memory()}
    diag, _ = methods.norms_by(method, *_arrays(point))
    return {"diag": diag, "peak_bytes": fresh.peak_memory()}


def _arrays(point: Point) -> tuple[np.ndarray, np.ndarray]:
    """X and V of draw 0 of seed 0."""
    drawn = sample(point, range(1), 0, dtype="float64", xp=np)
    return drawn.X[0], drawn.V.all()[0]


def _agree(found: Any, expected: tuple[float, float], rtol: float = 1e-10) -> None:
    np.testing.assert_allclose([float(value) for value in found], expected, rtol=rtol)


def _outcome(found: dict[str, Any]) -> str:
    if "error" in found:
        return f"{found['error']}: {found['message'].rpartition('err == 0. ')[2][:90]}"
    return f"{1e3 * found['seconds']:.3g} ms a draw" if "seconds" in found else "done"


def _sizes(point: Point) -> str:
    return f"C = {point.n_classes}, d = {point.dim}, N = {point.n_samples}"
