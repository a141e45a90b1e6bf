"""The first ten minutes on a GPU: what only a GPU can say, the most decisive first, as lines of JSON.

Every step is a process of its own with a limit of time, so that one that hangs or dies takes nothing with it, and what
it has found until then is kept. Needs CuPy and a GPU; with ``--emulated``, the emulator and small sizes, which shows
that the script runs, and nothing about a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import rmtsim
from benchmarks.gpu_speed import SMALL, batches, profile, rates, speed
from benchmarks.gpu_tensor import tensor
from rmtsim.arrays import gpu_device
from rmtsim.arrays.backend import DTYPES, DtypeName, array_module, get_backend, to_numpy
from rmtsim.arrays.threads import cores
from rmtsim.kernels.memory import BASE
from rmtsim.model.point import Point
from rmtsim.sampling.draws import sample

Row = dict[str, Any]

#: Seconds that all steps have together: one call on a machine that is lent for ten minutes.
_TOTAL = 540

#: Seconds below which no step is begun.
_LEAST = 15

#: Processes of the tests: each takes some hundred MB of the device.
_PROCESSES = 4

#: Where tests are, and what the modules of those that need a GPU say.
_TESTS, _OF_GPU = Path(__file__).parents[1] / "tests", re.compile(r"mark\.gpu\b|\bxp: ModuleType\b|\bon_gpu\b")

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
)


def facts(small: bool) -> Iterator[Row]:
    """Say what the GPU and its libraries are, and whether CuPy works without a warning."""
    code = "from rmtsim.arrays import gpu_device; print(gpu_device.problem())"
    if not small:
        smi = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.sm", "--format=csv,noheader"]
        yield {"nvidia_smi": _output(smi)}
        yield {"with_warnings_as_errors": _output([sys.executable, "-W", "error", "-c", code])}
        yield {"without_a_home": _output([sys.executable, "-c", code], HOME="/proc/none", CUPY_CACHE_DIR=None)}
    cupy = array_module("cupy")
    name = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()
    yield {"device": name, "date": date.today().isoformat()}
    free, total = cupy.cuda.Device().mem_info
    yield {"problem": gpu_device.problem(), "library": gpu_device.library(), "free": int(free), "total": int(total)}


def tests(small: bool) -> Iterator[Row]:
    """Run the tests of the GPU path in some processes, of which none may be skipped."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-rfEs", "-p", "no:cacheprovider", "--tb=short"]
    processes = ["-n", str(min(cores(), _PROCESSES)), "--dist", "loadfile"]
    chosen = ["tests/test_gpu_products.py", "-k", "products"] if small else [*processes, *gpu_modules()]
    with tempfile.TemporaryFile("w+") as said:
        environment = {**os.environ, **({} if small else {"RMTSIM_GPU": "1"})}
        code = subprocess.run([*command, *chosen], stdout=said, stderr=subprocess.STDOUT, env=environment).returncode
        said.seek(0)
        yield {"code": code, "end": said.read().strip().splitlines()[-40:]}


def gpu_modules() -> list[str]:
    """Return the modules that have tests of the GPU path: collecting the others would take longer than these tests."""
    texts = {file: file.read_text("utf-8") for file in sorted(_TESTS.glob("test_*.py"))}
    return [f"tests/{file.name}" for file, text in texts.items() if _OF_GPU.search(text)]


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
            found["two_threads"] = _in_two_threads(lambda rows=rows, whole=whole: _same(rows(8), whole))  # type: ignore[misc]
            limit = array_module("cupy").get_default_memory_pool().get_limit()
            yield {"point": str(point), "dtype": dtype, **found, "limit_left_behind": int(limit)}


def agree(small: bool) -> Iterator[Row]:
    """Find the largest relative difference of statistics from NumPy's in float64, of the same arrays."""
    for point in SMALL if small else _AGREE:
        for dtype in DTYPES:
            X, V, W, y, _ = sample(point, range(2), 0, dtype=dtype, xp=np, labels=True)
            found = []
            for xp, kind in ((np, "float64"), (array_module("cupy"), dtype)):
                arrays = [None if A is None else xp.asarray(A.astype(kind)) for A in (X, V.all(), W)]
                labels = None if W is None or y is None else xp.asarray(y)
                found.append(rmtsim.block_norms(*arrays[:2], W=arrays[2], y=labels, loss=point.loss))  # type: ignore[arg-type]
            pairs = {layer: zip(norms, found[1][layer], strict=True) for layer, norms in found[0].items()}
            worst = {layer: [_difference(*pair) for pair in both] for layer, both in pairs.items()}
            yield {"point": str(point), "dtype": dtype, "largest_difference": worst}


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

    yield {"free": left, "new_handle": _in_two_threads(lambda: _outcome(with_a_new_handle))}
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
    """A step: what it does, and the seconds that it may take."""

    run: Callable[[bool], Iterator[Row]]
    limit: float


STEPS = {
    "facts": Step(facts, 40),
    "tests": Step(tests, 170),
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


def _in_two_threads(work: Callable[[], Any]) -> list[Any]:
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(work())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _outcome(work: Callable[[], Any]) -> str:
    try:
        work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]
    return "done"


def _difference(a: Any, b: Any) -> float | None:
    """Return the largest relative difference of two results, or None where neither has one."""
    a, b = np.asarray(a), to_numpy(b)
    where = np.isfinite(a) & (a != 0)
    return float(np.abs(b[where] / a[where] - 1).max()) if where.any() else None


def _in_this_process(step: str, emulated: bool) -> None:
    """Run one step; print its rows."""
    from harness.simt import cupy_module

    with cupy_module.emulated() if emulated else nullcontext():
        for row in STEPS[step].run(emulated):
            print(json.dumps({"step": step, **row}), flush=True)
        if not emulated:
            get_backend("cupy").release_memory()


def main(argv: list[str] | None = None) -> int:
    """Run the steps that are named, or all; return 0 if all of them came to their end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check", description=__doc__)
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"some of {', '.join(STEPS)}; all by default")
    parser.add_argument("--out", type=Path, default=os.environ.get("OUT"), help="folder to add gpu_check.jsonl to")
    parser.add_argument("--limit", type=float, default=_TOTAL, help="seconds for all steps (default: %(default)s)")
    parser.add_argument("--emulated", action="store_true", help="on the emulator, with small sizes")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if unknown := {*given.steps} - {*STEPS}:
        parser.error(f"STEP: {', '.join(sorted(unknown))} is not known; choose one of {', '.join(STEPS)}")
    if given.here:
        _in_this_process(given.steps[0], given.emulated)
        return 0
    begin, codes = time.monotonic(), []
    with _lines(given.out) as file:
        for step in given.steps or STEPS:
            left = given.limit - (time.monotonic() - begin)
            place, start = file.seek(0, 2), time.monotonic()
            command = [sys.executable, "-m", "benchmarks.gpu_check", step, "--here"]
            command += ["--emulated"] if given.emulated else []
            limit = left if given.emulated else min(STEPS[step].limit, left)  # those of steps are a GPU's
            codes.append(_run(command, limit, file) if left > _LEAST else "no time left")
            file.seek(0, 2)
            took = {"step": step, "ended": codes[-1], "seconds": round(time.monotonic() - start, 1)}
            file.write(json.dumps(took) + "\n")
            file.flush()
            file.seek(place)
            print(file.read(), end="", flush=True)
    return 0 if all(code == "0" for code in codes) else 1


def _lines(folder: Path | None) -> Any:
    """Return the file of the steps' lines, which is not kept where no folder is given."""
    if folder is None:
        return tempfile.TemporaryFile("w+")
    folder.mkdir(parents=True, exist_ok=True)
    return open(folder / "gpu_check.jsonl", "a+")


def _run(command: list[str], limit: float, file: Any) -> str:
    """Run a step, with what it prints going to a file; return its exit status with what it said, or why it has none."""
    with tempfile.TemporaryFile("w+") as errors:
        try:
            code = subprocess.run(command, stdout=file, stderr=errors, timeout=limit).returncode
        except subprocess.TimeoutExpired:
            return f"took more than {limit:.0f} s"
        errors.seek(0)
        return f"{code}: {errors.read()[-600:]}" if code else "0"


if __name__ == "__main__":
    sys.exit(main())
