"""What becomes of a run on a GPU that fails, that is one of several, or that compiles first. All on the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import rmtsim
from harness.simt.cupy_module import CUBLASError, emulated
from harness.simt.kernels import compiler
from harness.simt.memory import Pool
from rmtsim.arrays import gpu_device
from rmtsim.errors import RunError
from rmtsim.store import Store
from rmtsim.sweeps import batches
from rmtsim.sweeps.runner import run
from rmtsim.sweeps.spec import from_document
from rmtsim.sweeps.thread_workers import thread_workers

pytestmark = pytest.mark.skipif(not compiler(), reason="there is no g++ to compile the kernels with")

POINT = rmtsim.Point("linear", "ce", 10, 20, 60)


@pytest.fixture
def pool() -> Iterator[Pool]:
    with emulated() as found:
        yield found


class CUDARuntimeError(RuntimeError):
    """As CuPy's."""

    def __init__(self, status: int) -> None:
        super().__init__("cudaErrorIllegalAddress: an illegal memory access was encountered")
        self.status = status


class CUDADriverError(CUDARuntimeError):
    """As CuPy's."""


def test_errors_after_which_cuda_fails_for_ever_are_known(pool: Pool) -> None:
    """An ECC error, an illegal address, a launch that took too long or failed, an illegal instruction, one unknown."""
    for kind in (CUDARuntimeError, CUDADriverError):
        assert all(gpu_device.is_fatal(kind(status)) for status in (214, 700, 702, 715, 719, 999))
        assert not gpu_device.is_fatal(kind(2))
        assert gpu_device.is_out_of_memory(kind(2))
        assert not gpu_device.is_out_of_memory(kind(700))
    assert not gpu_device.is_fatal(ValueError())


@pytest.mark.parametrize("status", [1, 13, 14])
def test_what_cublas_fails_by_is_looked_up_at_the_device(
    status: int, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cupy

    assert not gpu_device.is_fatal(CUBLASError(status))

    def fail(*_: Any) -> None:
        raise CUDARuntimeError(700)

    monkeypatch.setattr(cupy.cuda.Device, "synchronize", fail)
    assert gpu_device.is_fatal(CUBLASError(status))
    assert not gpu_device.is_fatal(CUBLASError(3))


def test_of_several_gpus_a_process_says_that_it_uses_one(
    pool: Pool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cupy

    with thread_workers(1, "cupy", 1):
        pass
    assert not caplog.records
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 4)
    with thread_workers(1, "numpy", 1):
        pass
    assert not caplog.records
    with thread_workers(1, "cupy", 1):
        pass
    assert "this process uses one of 4 GPUs; --address ray has a worker on each" in caplog.text


@pytest.mark.parametrize(
    ("driver", "backend", "said"), [(True, "auto", True), (True, "numpy", False), (False, "auto", False)]
)
def test_a_run_says_that_a_gpu_is_there_which_it_cannot_use(
    driver: bool, backend: str, said: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hours on a node with a GPU go by without it, where CuPy is not installed."""
    (tmp_path / "driver").touch()
    monkeypatch.setattr(gpu_device, "_DRIVER", tmp_path / ("driver" if driver else "none"))
    monkeypatch.setattr(gpu_device, "problem", lambda: "CuPy is not installed")
    sampling = {"min_draws": 4, "max_draws": 4, "target_rse": 0.05}
    grid = {"n_classes": [2], "aspect_ratio": [0.5], "dim": [5]}
    spec = from_document({"name": "gpu", "model": "linear", "loss": "ce", "grid": grid, "sampling": sampling})
    messages: list[str] = []
    run(spec, Store(tmp_path / "s"), workers=1, backend=backend, on_message=messages.append)
    sentence = "there is a GPU, but CuPy is not installed; draws are made with NumPy"
    assert (sentence in messages) == said


@pytest.mark.parametrize("status", [700, 2])
def test_a_run_ends_when_the_gpu_is_lost(
    status: int, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is done in the store; after any other error the batch is tried again, up to three times."""
    simulate, calls = batches.simulate_arrays, []

    def failing(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        if len(calls) > 3:  # after the warm-up and a batch
            raise CUDARuntimeError(status)
        return simulate(*arguments, **options)

    monkeypatch.setattr(batches, "_WARM", set())
    monkeypatch.setattr(batches, "simulate_arrays", failing)
    sampling = {"min_draws": 40, "max_draws": 40, "target_rse": 0.01}
    grid = {"n_classes": [2, 10, 20], "aspect_ratio": [0.5], "dim": [30]}
    spec = from_document({"name": "gpu", "model": "linear", "loss": "ce", "grid": grid, "sampling": sampling})
    store = Store(tmp_path / "s")
    if status == 700:
        with pytest.raises(RunError, match=r"the GPU has failed \(cudaErrorIllegalAddress.*same command goes on"):
            run(spec, store, workers=1, backend="cupy")
        assert len(calls) == 4
    else:
        assert run(spec, store, workers=1, backend="cupy").failures
    monkeypatch.setattr(batches, "simulate_arrays", simulate)
    whole = rmtsim.simulate(rmtsim.Point("linear", "ce", 2, 30, 60), 40, backend="cupy")
    run(spec, store, workers=1, backend="cupy")
    rows = store.draws(n_classes=2).sort_values("draw")
    pd.testing.assert_series_equal(rows["diag_sqfro"].reset_index(drop=True), whole["diag_sqfro"], check_exact=True)


def test_the_time_of_compiling_is_not_that_of_draws(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first draw of each kind in a process is made before the clock starts."""
    simulate, clock = batches.simulate_arrays, [0.0]
    compiled: set[str] = set()

    def compiling(point: rmtsim.Point, draws: range, **options: Any) -> Any:
        clock[0] += len(draws) + (0.0 if options["dtype"] in compiled else 1000.0)
        compiled.add(options["dtype"])
        return simulate(point, draws, **options)

    monkeypatch.setattr(batches, "_WARM", set())
    monkeypatch.setattr(batches, "simulate_arrays", compiling)
    monkeypatch.setattr(batches.time, "perf_counter", lambda: clock[0])
    for dtype in ("float32", "float64"):
        for _ in range(2):
            batch = batches.Batch(POINT, range(3), ("linear",), 0, "cupy", dtype, "exact", 1, None)
            assert batch.compute().seconds == 3.0
    assert clock[0] == 2 * (1000.0 + 1 + 2 + 2 * 3.0)  # one draw, two, and the batches
    clock[0] = 0.0
    batches.Batch(POINT, range(3), ("linear",), 0, "numpy", "float64", "exact", 1, None).compute()
    assert clock[0] == 3.0  # a CPU compiles nothing
