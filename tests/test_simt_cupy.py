"""The stand-in for CuPy: it refuses what CuPy refuses, and counts what the device holds and does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.simt.cupy_module import emulated
from harness.simt.kernels import KernelError, compiler
from harness.simt.memory import Pool
from rmtsim.arrays import gpu, gpu_device, gpu_launch, gpu_tiles

pytestmark = pytest.mark.skipif(not compiler(), reason="there is no g++ to compile the kernels with")


@pytest.fixture
def pool() -> Iterator[Pool]:
    with emulated() as found:
        yield found


def test_the_stand_in_refuses_what_cupy_refuses(pool: Pool) -> None:
    import cupy

    a, b = cupy.asarray(np.ones(3)), np.ones(3)
    for refused in (
        lambda: np.asarray(a),
        lambda: a + b,
        lambda: b * a,
        lambda: np.exp(a),
        lambda: cupy.exp(b),
        lambda: cupy.concat([a, b]),
        lambda: cupy.astype(b, np.float32),
        lambda: a.__setitem__(0, b),
        lambda: cupy.vecdot(a, a),
    ):
        with pytest.raises((TypeError, AttributeError)):
            refused()
    assert np.array_equal(cupy.asnumpy(2 * a + np.float64(1)), 2 * b + 1)


def test_new_arrays_are_nan_and_writing_outside_is_noticed(pool: Pool) -> None:
    import cupy

    assert np.isnan(cupy.asnumpy(cupy.empty((3, 4)))).all()
    source = 'extern "C" __global__ void kernel(double* out)\n{\nout[threadIdx.x] = 1;\n}\n'
    module = cupy.RawModule(code=source, options=())
    run = module.get_function("kernel")
    run((1,), (32,), (cupy.empty(32),))
    with pytest.raises(KernelError, match="wrote outside"):
        run((1,), (32,), (cupy.empty(31),))


def test_the_pool_counts_as_that_of_cupy(pool: Pool) -> None:
    import cupy

    held = cupy.empty(2**20, dtype=np.uint8)
    view = held[5:]
    del held
    assert (pool.used_bytes(), pool.total_bytes()) == (2**20, 2**20)
    pool.set_limit(size=2**20 + 2**10)
    with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
        cupy.empty(2**11, dtype=np.uint8)  # all that the pool has counts
    del view
    assert (pool.used_bytes(), pool.free_bytes()) == (0, 2**20)
    pool.free_all_blocks()
    assert pool.total_bytes() == 0


def test_launches_waits_and_transfers_are_counted(pool: Pool) -> None:
    import cupy

    a = cupy.asarray(np.ones((2, 3, 4)))
    assert (pool.counts.uploaded, pool.counts.launches, pool.counts.touched) == (192, 0, 0)
    a[0].mT, cupy.reshape(a, (6, 4)), cupy.broadcast_to(a, (5, 2, 3, 4))  # views
    assert pool.counts.launches == 0
    a + 1
    a.mT @ a  # which CuPy copies first
    assert pool.counts.launches == 3
    assert pool.counts.touched == 2 * 192 + 2 * 192 + (192 + 192 + 2 * 4 * 4 * 8)  # a sum, a copy, a product
    bool(cupy.any(a)), cupy.asnumpy(a)
    assert (pool.counts.launches, pool.counts.waits, pool.counts.downloaded) == (4, 2, 193)


def test_the_gpus_names_that_are_used_are_emulated(pool: Pool) -> None:
    """What the modules of the GPU take from CuPy, the stand-in has."""
    import cupy

    trees = [ast.parse(Path(module.__file__).read_text("utf-8")) for module in (gpu, gpu_device, gpu_launch, gpu_tiles)]
    used = {ast.unparse(node) for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert "cupy.cuda.Device" in used
    for name in sorted(name for name in used if name.startswith("cupy.") and "(" not in name):
        found = cupy
        for part in name.split(".")[1:]:
            found = getattr(found, part)
