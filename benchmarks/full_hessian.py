"""The full Hessian of one hidden layer against one pass of automatic differentiation for each of its rows."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

import rmtsim
from benchmarks import fresh
from benchmarks.report import Part, Row, Table, Target
from rmtsim.full_hessian.structure import Structure
from rmtsim.training.problem import Drawn, Problem

_GIB = 2**30

#: Rows that are made by automatic differentiation, of thousands.
_ROWS = 12


def run(quick: bool) -> Part:
    """Measure at the size of Figures 2 and 3, and at that of the slides' deep network."""
    sizes = [("ce", 40, 400, [8]), ("mse", 40, 400, [8]), ("ce", 10, 50, [10, 10])]
    if not quick:
        sizes = [("ce", 500, 5000, [8]), ("mse", 500, 5000, [8]), ("ce", 50, 500, [50, 50, 50])]
    rows, targets = [], []
    for loss, size, n_samples, hidden in sizes:
        problem = {"loss": loss, "size": size, "n_samples": n_samples, "hidden": hidden}
        mine = fresh.call("full_hessian", "assembled", timeout=600, **problem)
        kept = fresh.call("full_hessian", "summarised", timeout=600, **problem)
        peer = fresh.call("full_hessian", "rows_by_autodiff", timeout=600, **problem)
        order = mine["order"]
        rows.append(
            {
                "loss": loss,
                "d = C": size,
                "N": n_samples,
                "hidden": "-".join(map(str, hidden)),
                "order": order,
                "assembled s": mine["seconds"],
                "peak GiB": mine["peak"] / _GIB,
                "norms and map s": kept["seconds"],
                "norms and map peak GiB": kept["peak"] / _GIB,
                "a row by autodiff s": peer["seconds"],
                "all rows by autodiff h (extrapolated)": peer["seconds"] * order / 3600,
                "times as fast": peer["seconds"] * order / mine["seconds"],
                "largest relative error of those rows": peer["error"],
            }
        )
        if size == 500:
            targets += [
                Target(f"{loss}: seconds for the Hessian of order {order}", mine["seconds"], 60.0),
                Target(f"{loss}: peak memory, GiB", mine["peak"] / _GIB, 3.0),
            ]
    about = (
        "d = C inputs and classes, ReLU layers of the given widths, LeCun initialisation, float64, 2 BLAS threads, "
        "each measurement in a process of its own, Python included in the peak. A row by autodiff is one jitted "
        "forward-over-reverse pass of JAX (a Hessian-vector product with a unit vector, the same cores), the median of "
        f"{_ROWS} rows after compilation; all rows are that times their number, not run. The error is the largest "
        "difference of those rows to ours, over the largest entry."
    )
    return Part(about, [Table("Full Hessians", rows)], targets)


def assembled(loss: str, size: int, n_samples: int, hidden: list[int]) -> Row:
    """Assemble the matrix."""
    X, weights, y = _drawn(loss, size, n_samples, hidden)
    start = time.perf_counter()
    H = rmtsim.hessian(X, weights[-1], W=weights[:-1], y=y, loss=loss)
    return {"seconds": time.perf_counter() - start, "peak": fresh.peak_memory(), "order": len(H)}


def summarised(loss: str, size: int, n_samples: int, hidden: list[int]) -> Row:
    """Compute block norms and map, without holding the matrix."""
    X, weights, y = _drawn(loss, size, n_samples, hidden)
    start = time.perf_counter()
    Structure(X, weights, y, loss)
    return {"seconds": time.perf_counter() - start, "peak": fresh.peak_memory()}


def rows_by_autodiff(loss: str, size: int, n_samples: int, hidden: list[int]) -> Row:
    """Make some rows by one pass each."""
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    jax.config.update("jax_enable_x64", True)
    X, weights, y = _drawn(loss, size, n_samples, hidden)
    vector, unravel = ravel_pytree([jnp.asarray(W) for W in weights])
    X_, y_ = jnp.asarray(X), jnp.asarray(y)

    def value(vector: Any) -> Any:
        *layers, V = unravel(vector)
        h = X_
        for W in layers:
            h = jax.nn.relu(h @ W.T)
        F = h @ V.T
        if loss == "mse":
            return jnp.mean(jnp.sum((F - jax.nn.one_hot(y_, F.shape[1])) ** 2, axis=1))
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(F), y_[:, None], axis=1))

    row = jax.jit(lambda vector, unit: jax.jvp(jax.grad(value), (vector,), (unit,))[1])
    wanted = np.linspace(0, vector.size - 1, _ROWS).astype(int)
    row(vector, jnp.zeros_like(vector)).block_until_ready()  # compiles
    times, found = [], []
    for k in wanted:
        unit = jnp.zeros_like(vector).at[k].set(1.0)
        start = time.perf_counter()
        found.append(np.asarray(row(vector, unit)))
        times.append(time.perf_counter() - start)
    H = rmtsim.hessian(X, weights[-1], W=weights[:-1], y=y, loss=loss)
    error = float(np.max(np.abs(H[wanted] - np.array(found))) / np.max(np.abs(H)))
    return {"seconds": statistics.median(times), "error": error}


def _drawn(loss: str, size: int, n_samples: int, hidden: list[int]) -> Drawn:
    return Problem(loss, size, size, n_samples, tuple(hidden)).draw()
