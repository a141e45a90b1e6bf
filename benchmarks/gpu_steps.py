"""The steps of the check on a GPU, each in a process of its own, which `benchmarks.gpu_check` starts.

``python -m benchmarks.gpu_steps STEP --run NAME`` runs one, and prints its rows as lines of JSON that name the run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import rmtsim
from benchmarks import gpu_tests
from benchmarks.gpu_speed import SMALL, batches, profile, rates, speed
from benchmarks.gpu_tensor import tensor
from rmtsim.arrays import gpu_device
from rmtsim.arrays.backend import DTYPES, DtypeName, array_module, get_backend, to_numpy
from rmtsim.kernels.memory import BASE
from rmtsim.model.point import Point
from rmtsim.sampling.draws import sample

Row = dict[str, Any]

_LINEAR, _HIDDEN = partial(Point, "linear", "ce"), partial(Point, "one_hidden", "ce")


#: Points whose rows are compared to the bit.
_BITS = (_LINEAR(10, 500, 1000), _LINEAR(100, 64, 128), _LINEAR(1000, 1000, 1000), _HIDDEN(100, 64, 128, 8))
#: Points whose statistics are compared with NumPy's.
_AGREE = (
    _LINEAR(10, 500, 1000),
    _LINEAR(1000, 500, 1000),
    _LINEAR(20_000, 256, 512),
    _LINEAR(100, 64, 5000),
    _LINEAR(50, 6, 200),
    _HIDDEN(100, 500, 1000, 8),
    _HIDDEN(9000, 30, 100, 8),
    Point("one_hidden", "mse", 100, 64, 128, 8),
    Point("linear", "mse", 10, 100, 100),
    Point("one_hidden", "mse", 10, 100, 100, 70),
    _LINEAR(3, 50_000, 8),
)


def device() -> Row:
    """Return the name of the GPU that steps run on, or why there is none."""
    if reason := get_backend("cupy").problem():
        return {"problem": reason}
    cupy = array_module("cupy")
    return {"device": cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()}


def facts(small: bool) -> Iterator[Row]:
    """Say what the GPU and its libraries are, and whether CuPy works without a warning."""
    code = "from rmtsim.arrays import gpu_device; print(gpu_device.problem())"
    if not small:
        smi = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.sm", "--format=csv,noheader"]
        yield {"nvidia_smi": _output(smi)}
        yield {"with_warnings_as_errors": _output([sys.executable, "-W", "error", "-c", code])}
        yield {"without_a_home": _output([sys.executable, "-c", code], HOME="/proc/none", CUPY_CACHE_DIR=None)}
    cupy = array_module("cupy")
    free, total = cupy.cuda.Device().mem_info
    yield {"problem": gpu_device.problem(), "library": gpu_device.library(), "free": int(free), "total": int(total)}


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.array_equal(a, b, equal_nan=True))


def bits(small: bool) -> Iterator[Row]:
    """Look whether the rows of a draw have the same bits, however it is made."""
    for point in SMALL if small else _BITS:
        for dtype in DTYPES:

            def rows(draws: int | range, point: Point = point, dtype: DtypeName = dtype, **options: Any) -> np.ndarray:
                table = rmtsim.simulate(point, draws, backend="cupy", dtype=dtype, **options)
                return table[["diag_sqfro", "offdiag_sqfro"]].to_numpy()

            whole, layers = rows(8), len(point.layers)
            found: Row = {
                "again": _same(rows(8), whole),
                "alone": _same(rows(range(5, 6)), whole[5 * layers : 6 * layers]),
            }
            found |= {f"batch_{size}": _same(rows(8, batch=size), whole) for size in (1, 2, 4, 8)}
            found["less_memory"] = _same(rows(8, memory=BASE + 2**29), whole)
            found["two_threads"] = in_two_threads(lambda rows=rows, whole=whole: _same(rows(8), whole))  # type: ignore[misc]
            limit = array_module("cupy").get_default_memory_pool().get_limit()
            yield {"point": str(point), "dtype": dtype, **found, "limit_left_behind": int(limit)}


def agree(small: bool) -> Iterator[Row]:
    """Find the largest relative difference of statistics from NumPy's in float64, of the same arrays."""
    for point in SMALL if small else _AGREE:
        for dtype in DTYPES:
            try:
                found: Row = {"largest_difference": _differences(point, dtype)}
            except Exception as error:  # so that the other points are compared all the same
                found = {"no_difference": _named(error)}
            yield {"point": str(point), "dtype": dtype, **found}


def _differences(point: Point, dtype: DtypeName) -> dict[str, list[float | None]]:
    X, V, W, y, _ = sample(point, range(2), 0, dtype=dtype, xp=np, labels=True)
    found = []
    for xp, kind in ((np, "float64"), (array_module("cupy"), dtype)):
        arrays = [None if A is None else xp.asarray(A.astype(kind)) for A in (X, V.all(), W)]
        labels = None if W is None or y is None else xp.asarray(y)
        found.append(rmtsim.block_norms(*arrays[:2], W=arrays[2], y=labels, loss=point.loss))  # type: ignore[arg-type]
    pairs = {layer: zip(norms, found[1][layer], strict=True) for layer, norms in found[0].items()}
    return {layer: [_difference(*pair) for pair in both] for layer, both in pairs.items()}


def memory(small: bool) -> Iterator[Row]:
    """Make draws while the caller holds most of the memory, and ask for a handle of cuBLAS where there is none left."""
    cupy = array_module("cupy")
    point = SMALL[0] if small else _LINEAR(2, 64, 2048)
    held = cupy.empty(2**20 if small else int(0.62 * cupy.cuda.Device().mem_info[0]), dtype=np.uint8)
    yield {"while_62_percent_are_held": _outcome(lambda: rmtsim.simulate(point, 1, backend="cupy"))}
    del held
    gpu_device.release()
    if small:
        return
    hog, left = [], int(cupy.cuda.Device().mem_info[0])
    while left > 2**22:
        try:
            hog.append(cupy.empty(max(2**21, left // 2), dtype=np.uint8))
        except MemoryError:
            break
        left = int(cupy.cuda.Device().mem_info[0])

    def with_a_new_handle() -> None:
        try:
            gpu_device.free_memory()
        except Exception as error:
            raise RuntimeError(
                f"{type(error).__name__}, out of memory: {gpu_device.is_out_of_memory(error)}"
            ) from error

    yield {"free": left, "new_handle": in_two_threads(lambda: _outcome(with_a_new_handle))}
    del hog


def compiling(small: bool) -> Iterator[Row]:
    """Time the first draws of a process: with nothing compiled yet, and again."""
    kinds = [("linear", "float32"), ("linear", "float64"), ("one_hidden", "float32")]
    code = f"""
import time, rmtsim
start = time.perf_counter()
for model, dtype in {kinds}:
    point = rmtsim.Point(model, "ce", 10, 20, 60, 3 if model == "one_hidden" else None)
    rmtsim.simulate(point, 1, backend="cupy", dtype=dtype)
    print(round(time.perf_counter() - start, 2), end=" ", flush=True)
"""
    if small:
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in ("cold", "warm"):
            said = _output([sys.executable, "-c", code], CUPY_CACHE_DIR=folder)
            yield {name: said, "kinds": kinds, "files": len(list(Path(folder).iterdir()))}


class Step(NamedTuple):
    """A step: what it does, the seconds that it may take, and what is told of its errors, however it ends."""

    run: Callable[[bool], Iterator[Row]]
    limit: float
    told: Callable[[str], Row] | None = None


#: The steps in their order. Few take as long as they may: all limits together are more than the time of a check.
STEPS = {
    "facts": Step(facts, 40),
    "tests": Step(gpu_tests.tests, 170, gpu_tests.told),
    "speed": Step(speed, 120),
    "bits": Step(bits, 60),
    "agree": Step(agree, 75),
    "profile": Step(profile, 60),
    "rates": Step(rates, 30),
    "batches": Step(batches, 30),
    "tensor": Step(tensor, 90),
    "memory": Step(memory, 45),
    "compiling": Step(compiling, 90),
}


def _output(command: list[str], **environment: str | None) -> str:
    """Return what a command prints at its end; a variable of its environment that is None is not there."""
    there = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=there, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{type(error).__name__}: {error}"
    return (done.stdout + done.stderr).strip()[-500:]


def in_two_threads(work: Callable[[], Any]) -> list[Any]:
    """Return the answers of some work that two threads do at once; in place of one, the error that it ends with."""
    found: list[Any] = ["no answer", "no answer"]

    def answer(place: int) -> None:
        try:
            found[place] = work()
        except Exception as error:
            found[place] = _named(error)

    threads = [threading.Thread(target=answer, args=(place,)) for place in range(len(found))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _outcome(work: Callable[[], Any]) -> str:
    try:
        work()
    except Exception as error:
        return _named(error)
    return "done"


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _difference(a: Any, b: Any) -> float | None:
    """Return the largest relative difference of two results, or None where neither has one."""
    a, b = np.asarray(a), to_numpy(b)
    where = np.isfinite(a) & (a != 0)
    return float(np.abs(b[where] / a[where] - 1).max()) if where.any() else None


def main() -> None:
    """Run the step that is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_steps", description=__doc__)
    parser.add_argument("step", choices=STEPS, metavar="STEP", help=f"one of {', '.join(STEPS)}")
    parser.add_argument("--run", default="", metavar="NAME", help="name of the run that the step is one of")
    parser.add_argument("--emulated", action="store_true", help="on the emulator, with small sizes")
    given = parser.parse_args()
    from harness.simt import cupy_module

    with cupy_module.emulated() if given.emulated else nullcontext():
        for row in STEPS[given.step].run(given.emulated):
            print(json.dumps({"run": given.run, "step": given.step, **row}), flush=True)
        if not given.emulated:
            get_backend("cupy").release_memory()


if __name__ == "__main__":
    main()
