"""Tensor cores: their kernels on the emulator, what they err by, and where they may be asked for."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import rmtsim
from harness.simt import cupy_module
from harness.simt.kernels import KernelError, Kernels, compiler
from rmtsim.arrays import gpu_launch, tensor_cores
from rmtsim.arrays.backend import array_module, to_numpy
from rmtsim.cli.main import main
from rmtsim.model.point import Point
from rmtsim.store import Store
from rmtsim.store.merge import merge
from rmtsim.store.verify import verify
from rmtsim.sweeps.remote_worker import RemoteWorker, worker_environment

emulated = pytest.mark.skipif(not compiler(), reason="there is no g++ to compile the kernels with")
on_gpu = pytest.mark.gpu

#: Relative errors of sums over pairs of samples stay below this, with sums that are cut off as by the crudest cores.
BOUND = 5e-6

POINT = Point("linear", "ce", 150, 20, 135)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for tensor cores, for Gram matrices of all sizes."""
    monkeypatch.setenv(tensor_cores.VARIABLE, "1")
    monkeypatch.setattr(tensor_cores, "_LARGE", 0)


def grams(kernels: Kernels, A: np.ndarray, B: np.ndarray, slices: int = 1) -> np.ndarray:
    """Return A Bᵀ by the kernel; only the lower triangle where B is A."""
    (n, c), k = A.shape, len(B)
    totals = np.zeros((slices, n, k), dtype=np.float32)
    tiles = -(-n // 128), -(-k // 128)
    blocks = slices * (tiles[0] * (tiles[0] + 1) // 2 if A is B else tiles[0] * tiles[1])
    sizes = (*map(np.int64, (n, k, c, slices)), np.int32(A is B))
    kernels.launch("tensor_grams_float", (blocks,), (256,), (A, B, totals, *sizes))
    found = totals.sum(axis=0, dtype=np.float64)
    return np.tril(found) if A is B else found


def whole_numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).integers(-4, 5, shape).astype(np.float32)


@emulated
@pytest.mark.parametrize("sizes", [(1, 1, 1), (17, 130, 15), (130, 9, 257), (128, 128, 33)])
@pytest.mark.parametrize("seed", [0, 5])
def test_products_of_whole_numbers_are_exact(sizes: tuple[int, int, int], seed: int) -> None:
    n, k, c = sizes
    A, B = whole_numbers(n, c), whole_numbers(k, c)
    kernels = Kernels(gpu_launch.source("tensor"))
    kernels.seed = seed
    np.testing.assert_array_equal(grams(kernels, A, B, 2), A @ B.T)
    np.testing.assert_array_equal(grams(kernels, A, A), np.tril(A @ A.T))


@emulated
@pytest.mark.parametrize("which", [0, 1])
def test_a_barrier_that_is_missing_is_noticed(which: int) -> None:
    """Before the halves are multiplied, and after it, where a warp would overwrite what others still read."""
    source, barrier = gpu_launch.source("tensor"), "        __syncthreads();\n"
    parts = source.split(barrier)
    assert len(parts) == 3
    kernels = Kernels((parts[0] + barrier + parts[1] + parts[2]) if which else parts[0] + parts[1] + barrier + parts[2])
    kernels.seed = 5
    A, B = whole_numbers(130, 100), whole_numbers(128, 100)
    assert not np.array_equal(grams(kernels, A, B), A @ B.T)


@on_gpu
def test_several_draws_of_other_numbers_of_rows() -> None:
    """Draws of A and of B begin at other places."""
    A, B, xp = whole_numbers(3, 2, 20, 150), whole_numbers(3, 2, 33, 150), array_module("cupy")
    totals = xp.zeros((3, 2, 2, 20, 33), dtype=xp.float32)
    tensor_cores.add_grams(totals, xp.asarray(A), xp.asarray(B))
    np.testing.assert_array_equal(to_numpy(totals).sum(axis=-3), A @ B.mT)


@emulated
def test_numbers_that_are_not_finite_are_not_lost() -> None:
    """Above float32's range, and NaN of all bits, which rounding as a number would make 0."""
    A = np.ones((3, 20), dtype=np.float32)
    A[0, 3], A[2, 5] = np.inf, np.array([0x7FFFFFFF], dtype=np.uint32).view(np.float32)[0]
    found = grams(Kernels(gpu_launch.source("tensor")), A, whole_numbers(4, 20))
    assert np.isnan(found[[0, 2]]).all()
    assert np.isfinite(found[1]).all()


def errors(kernels: Kernels) -> dict[str, float]:
    """Return relative errors for the exponentials of 2048 classes: of entries on average, and of Σ K∘(EEᵀ)^power."""
    rng = np.random.default_rng(0)
    E, Z = np.exp(rng.normal(size=(64, 2048))).astype(np.float32), rng.normal(size=(64, 100))
    found, exact = grams(kernels, E, E), np.tril(E.astype(np.float64) @ E.astype(np.float64).T)
    K = np.tril((Z @ Z.T) ** 2) * (2 - np.eye(64))
    off = found[np.tril_indices(64, -1)] / exact[np.tril_indices(64, -1)] - 1
    named = {"off the diagonal": off.mean(), "on the diagonal": np.mean(np.diag(found) / np.diag(exact) - 1)}
    return named | {f"sum {power}": np.sum(K * found**power) / np.sum(K * exact**power) - 1 for power in (1, 2)}


@emulated
def test_errors_of_large_sums() -> None:
    found = errors(Kernels(gpu_launch.source("tensor")))
    assert max(map(abs, found.values())) < BOUND / 2
    assert abs(found["off the diagonal"]) < 1e-6


#: What is wrong → what stands in the source, what in its place, and the error that grows.
MUTANTS = {
    "promotion of longer runs": ("SHORT_RUN = 128", "SHORT_RUN = 1024", "sum 2"),
    "no squares of the lower halves": ("if (square) mma", "if (false) mma", "sum 2"),
    "one product of the three less": ("mma_bf16(run[u][v], a[1], b[0][v]);", "", "sum 1"),
    "lower halves of the rounded number": (
        "upper_half(even - __int_as_float((int)(b1[0] << 16)))",
        "upper_half(even * 0)",
        "sum 1",
    ),
    "cut off, not rounded": ("(bits + 0x7FFF + (bits >> 16 & 1)) >> 16", "bits >> 16", "on the diagonal"),
}


@emulated
@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants_err_by_more(mutant: str) -> None:
    right, wrong, kind = MUTANTS[mutant]
    source = gpu_launch.source("tensor")
    assert source.count(right) == 1
    assert abs(errors(Kernels(source.replace(right, wrong)))[kind]) > BOUND


@emulated
def test_all_lanes_of_a_warp_multiply_together() -> None:
    body = "float sums[4]; unsigned a[4], b[2];\nif (threadIdx.x != 7) mma_bf16(sums, a, b);"
    kernels = Kernels(f'extern "C" __global__ void kernel(double* out)\n{{\n{body}\n}}\n')
    with pytest.raises(KernelError, match="thread 0 waits at mma in line 4, and not all come"):
        kernels.launch("kernel", (1,), (32,), (np.zeros(1),))


def values(dtype: str, **options) -> np.ndarray:
    rows = rmtsim.simulate(POINT, 2, backend="cupy", dtype=dtype, **options)
    return rows[["diag_sqfro", "offdiag_sqfro"]].to_numpy()


@on_gpu
def test_statistics_of_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they are asked for and draws are large; else not a bit changes."""
    exact, before = values("float64"), values("float32")
    monkeypatch.setenv(tensor_cores.VARIABLE, "1")
    np.testing.assert_array_equal(values("float32"), before)
    monkeypatch.setattr(tensor_cores, "_LARGE", 0)
    found = values("float32")
    assert not np.array_equal(found, before)
    np.testing.assert_allclose(found, exact, rtol=1e-5)
    np.testing.assert_array_equal(values("float32", batch=1), found)


@on_gpu
@pytest.mark.usefixtures("asked")
def test_a_shard_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that rows are those of another arithmetic: verify and merge take differences for rounding."""

    def stored(name: str, draws: range) -> Store:
        rows = rmtsim.simulate(POINT, draws, backend="cupy", dtype="float32")
        with Store(tmp_path / name).writer() as writer:
            writer.append(rows, {})
        return Store(tmp_path / name)

    with_them = stored("with", range(2))
    (shard,) = with_them.shards()
    with shard.open() as opened:
        assert opened.metadata["blas"].endswith(f"NVRTC 13.0, {tensor_cores.NAME}")
    monkeypatch.delenv(tensor_cores.VARIABLE)
    without = stored("without", range(1, 3))
    assert not verify(with_them, 2).findings
    merge([str(tmp_path / "with")], without)
    assert set(without.read()["draw"]) == {0, 1, 2}


@pytest.mark.parametrize(
    ("backend", "dtype", "said"),
    [
        ("numpy", "float32", "tensor cores are those of a GPU, and the backend is numpy"),
        pytest.param("cupy", "float64", "draws are in float32, and not in float64", marks=on_gpu),
    ],
)
@pytest.mark.usefixtures("asked")
def test_where_they_make_no_sense(backend: str, dtype: str, said: str) -> None:
    with pytest.raises(rmtsim.InputError, match=f"^{tensor_cores.VARIABLE}: .*{said}"):
        rmtsim.simulate(POINT, 1, backend=backend, dtype=dtype)


@on_gpu
@pytest.mark.usefixtures("asked")
def test_an_older_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cupy_module._PROPERTIES, "major", 7)
    monkeypatch.setitem(cupy_module._PROPERTIES, "minor", 5)
    if array_module("cupy").cuda.runtime.getDeviceProperties(0) is not cupy_module._PROPERTIES:
        pytest.skip("a real GPU is what it is")
    with pytest.raises(rmtsim.InputError, match="from sm_80 on, and this GPU is sm_75"):
        rmtsim.simulate(POINT, 1, backend="cupy", dtype="float32")


@pytest.mark.parametrize("value", ["yes", "2", " 1"])
def test_values_that_mean_nothing(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tensor_cores.VARIABLE, value)
    with pytest.raises(rmtsim.InputError, match=re.escape(f"{value!r} is not valid; give 1")):
        rmtsim.simulate(POINT, 1)


@pytest.mark.parametrize("kind", ["sweep", "training"])
def test_a_run_that_cannot_use_them_writes_nothing(
    kind: str, asked: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, store = tmp_path / "few.toml", tmp_path / "store"
    grid = "[grid]\nn_classes = [2]\naspect_ratio = [0.5]\ndim = [10]\n"
    spec.write_text(f'name = "few"\nmodel = "linear"\nloss = "ce"\n{grid}')
    what = str(spec) if kind == "sweep" else "training"
    assert main(["run", what, "--store", str(store), "--backend", "numpy"]) == 2
    said = capsys.readouterr().err
    assert tensor_cores.VARIABLE in said
    assert said.count("\n") == 1
    assert not store.exists()


@on_gpu
@pytest.mark.usefixtures("asked")
def test_a_worker_on_a_cluster_starts_with_them() -> None:
    assert tensor_cores.NAME in RemoteWorker().hello("cupy")["kernel"]


def test_workers_are_asked_for_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tensor_cores.VARIABLE, raising=False)
    assert worker_environment()[tensor_cores.VARIABLE] == "0"  # whatever the node of the worker has
    monkeypatch.setenv(tensor_cores.VARIABLE, "1")
    assert worker_environment()[tensor_cores.VARIABLE] == "1"
    tensor_cores.check("auto", "float32", here=False)
    with pytest.raises(rmtsim.InputError, match="float64"):
        tensor_cores.check("auto", "float64", here=False)
