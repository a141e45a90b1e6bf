"""One draw of the linear CE statistics, all C² blocks, against a jitted ``jax.hessian`` of the same draw.

Run with ``make bench`` (or ``python -m benchmarks.linear_ce``). Both are given the same arrays in the same process and
on one core; the medians, their ratio and the machine are printed and written to ``benchmarks/linear_ce.json``.
``rmtsim`` is timed twice: on arrays that exist, as JAX is, and with the making of the draw.
"""

from __future__ import annotations

import os

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import rmtsim
from rmtsim.ensembles import sample
from rmtsim.point import Point

POINT = Point(model="linear", loss="ce", n_classes=100, dim=64, n_samples=128)


def seconds(work: Callable[[], Any], repeats: int) -> float:
    """Median time of a call, after one that warms up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def jax_hessian(X: np.ndarray, V: np.ndarray) -> Callable[[], jax.Array]:
    """Full Hessian by automatic differentiation, compiled."""
    jax.config.update("jax_enable_x64", True)
    C, d = V.shape
    y = np.zeros(len(X), dtype=int)  # the labels do not enter the Hessian

    def loss(parameters: jax.Array, X: jax.Array) -> jax.Array:
        logits = X @ parameters.reshape(C, d).T
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(y)), y])

    hessian = jax.jit(jax.hessian(loss))
    parameters, data = jnp.ravel(V), jnp.asarray(X)

    return lambda: hessian(parameters, data).block_until_ready()


def means_of_blocks(H: jax.Array) -> tuple[float, float]:
    """Mean squared norms of the diagonal and the off-diagonal blocks of a full Hessian."""
    C, d = POINT.n_classes, POINT.dim
    sqfro = np.square(np.asarray(H)).reshape(C, d, C, d).sum(axis=(1, 3))
    diag = np.trace(sqfro)
    return float(diag / C), float((sqfro.sum() - diag) / (C * (C - 1)))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    out = parser.parse_args().out

    (X,), (V,), *_ = sample(POINT, range(1), 0, dtype="float64", xp=np)
    with_jax = jax_hessian(X, V)
    expected = means_of_blocks(with_jax())
    mine = tuple(map(float, rmtsim.block_norms(X, V, loss="ce")["linear"]))
    np.testing.assert_allclose(mine, expected, rtol=1e-10)

    n_draws = 256
    times = {
        "block_norms, arrays given": seconds(lambda: rmtsim.block_norms(X, V, loss="ce"), 200),
        "simulate, float64": seconds(lambda: rmtsim.simulate(POINT, n_draws), 9) / n_draws,
        "simulate, float32": seconds(lambda: rmtsim.simulate(POINT, n_draws, dtype="float32"), 9) / n_draws,
        "jitted jax.hessian": seconds(with_jax, 5),
    }
    slowest = times["jitted jax.hessian"]
    print(
        f"linear CE, C = {POINT.n_classes}, d = {POINT.dim}, N = {POINT.n_samples}: one draw, one core, {_machine()}\n"
    )
    for name, took in times.items():
        print(f"  {name:28s} {1e3 * took:9.3f} ms   {slowest / took:8.0f} times as fast as jax.hessian")
    record = {
        "date": date.today().isoformat(),
        "machine": _machine(),
        "numpy": np.__version__,
        "jax": jax.__version__,
        "point": {"n_classes": POINT.n_classes, "dim": POINT.dim, "n_samples": POINT.n_samples},
        "milliseconds_per_draw": {name: 1e3 * took for name, took in times.items()},
        "times_as_fast_as_jax": {name: slowest / took for name, took in times.items()},
    }
    out.write_text(json.dumps(record, indent=1) + "\n")


def _machine() -> str:
    """Processor and cores, as the system names them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
