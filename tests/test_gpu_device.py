"""The GPU as a device: its memory, its name, and whether it works. All on the emulator."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmtsim
from harness.simt import cupy_module, functions
from harness.simt.cupy_module import CUBLASError, emulated
from harness.simt.kernels import compiler
from harness.simt.memory import Allocation, Pool
from rmtsim.arrays import gpu_device, gpu_tiles
from rmtsim.arrays.backend import array_module, resolve
from rmtsim.arrays.gpu_launch import fixed
from rmtsim.errors import InputError
from rmtsim.kernels.memory import BASE
from rmtsim.store import Store
from rmtsim.store.merge import merge
from rmtsim.store.verify import verify

pytestmark = pytest.mark.skipif(not compiler(), reason="there is no g++ to compile the kernels with")

POINT = rmtsim.Point("linear", "ce", 10, 20, 60)
GIB = 2**30


@pytest.fixture
def pool() -> Iterator[Pool]:
    with emulated() as found:
        yield found


def another_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be another kind of GPU, which rounds in its own way."""
    monkeypatch.setitem(cupy_module._PROPERTIES, "multiProcessorCount", 114)
    monkeypatch.setattr(functions, "product", lambda left, right: (1 + 2**-40) * (left @ right))
    gpu_device._library.cache_clear()


# Memory


def test_a_limit_holds_and_is_lifted(pool: Pool) -> None:
    import cupy

    with gpu_device.memory_limit(2**24):
        cupy.empty(2**23, dtype=np.uint8)
        with pytest.raises(MemoryError) as caught:
            cupy.empty(2**25, dtype=np.uint8)
        assert gpu_device.is_out_of_memory(caught.value)
    assert pool.get_limit() == 0
    assert not gpu_device.is_out_of_memory(ValueError("other"))


def test_a_limit_is_beyond_what_the_caller_holds(pool: Pool) -> None:
    import cupy

    held = Allocation(5 * GIB)
    with gpu_device.memory_limit(2**24):
        cupy.empty(2**24, dtype=np.uint8)
    assert gpu_device.free_memory() < 3 * GIB
    norms = rmtsim.block_norms(cupy.asarray(np.ones((60, 20))), cupy.asarray(np.ones((10, 20))), loss="ce")
    assert np.isfinite(float(norms["linear"][0]))
    rmtsim.simulate(POINT, 1, backend="cupy")
    del held


def test_a_limit_of_the_caller_stays(pool: Pool) -> None:
    pool.set_limit(size=2**20)
    assert gpu_device.free_memory() <= 2**20
    with gpu_device.memory_limit(2**24):
        assert pool.get_limit() == 2**20
    assert pool.get_limit() == 2**20


def test_limits_of_threads_add_up_and_leave_nothing(pool: Pool) -> None:
    inside, left = threading.Event(), threading.Event()

    def other() -> None:
        with gpu_device.memory_limit(2**22):
            inside.set()
            left.wait(60)

    thread = threading.Thread(target=other)
    with gpu_device.memory_limit(2**24):
        assert pool.get_limit() == pool.used_bytes() + 2**24
        thread.start()
        inside.wait(60)
        assert pool.get_limit() == pool.used_bytes() + 2**24 + 2**22
        free = gpu_device.free_memory()
    assert pool.get_limit() == pool.used_bytes() + 2**22  # the other is still inside
    left.set()
    thread.join()
    assert pool.get_limit() == 0
    assert free == gpu_device.free_memory()  # nor did it shrink what there is


def test_some_memory_is_left_to_cublas_and_modules(pool: Pool) -> None:
    assert gpu_device.free_memory() <= pool.free_on_device + pool.free_bytes() - GIB // 2
    pool.capacity = GIB  # of a small device, less
    assert gpu_device.free_memory() >= 0.8 * GIB


def test_no_memory_for_a_handle_is_out_of_memory(pool: Pool) -> None:
    pool.others = pool.capacity
    with pytest.raises(MemoryError) as caught:
        gpu_device.free_memory()
    assert gpu_device.is_out_of_memory(caught.value)
    assert not gpu_device.is_out_of_memory(CUBLASError(1))  # elsewhere it is something else
    assert gpu_device.is_out_of_memory(CUBLASError(3))


def test_a_draw_makes_room_for_a_handle(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread's handle is wanted while the pool keeps all memory: the pool gives it back."""
    whole = rmtsim.simulate(POINT, 1, backend="cupy")
    monkeypatch.setitem(cupy_module._state, "handle", 0)
    pool.take(pool.free_on_device - 2**20)
    pool.give_back(pool.used_bytes())
    assert pool.free_on_device < cupy_module._HANDLE
    assert rmtsim.simulate(POINT, 1, backend="cupy", memory=BASE + 2**24).equals(whole)


@pytest.mark.parametrize("memory", [None, "1GiB"])
def test_without_memory_for_a_handle_draws_end_with_a_sentence(
    memory: str | None, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another thread than the first, whether what is free is looked at or what may be used was given."""
    rmtsim.simulate(POINT, 1, backend="cupy")
    monkeypatch.setitem(cupy_module._state, "handle", 0)
    pool.others = pool.capacity - 3 * cupy_module._HANDLE // 4
    with pytest.raises(InputError, match=r"^(backend: the memory of the GPU is used up|.* needs .*, and there are)"):
        rmtsim.simulate(rmtsim.Point("linear", "ce", 300, 300, 300), 1, backend="cupy", memory=memory)


def test_blocks_that_the_pool_keeps_do_not_count(pool: Pool) -> None:
    import cupy

    gpu_device.free_memory()
    pool.take(2**24)
    pool.give_back(2**24)
    with gpu_device.memory_limit(2**24):
        cupy.empty(2**24 - 2**12, dtype=np.uint8)


def test_what_never_changes_is_sent_once_and_is_there_for_all_streams(pool: Pool) -> None:
    numbers = np.arange(97, dtype=np.int64)
    seen = []
    for _ in range(2):
        before = pool.counts.waits, pool.counts.uploaded
        assert fixed(numbers).get().tolist() == numbers.tolist()
        seen.append((pool.counts.waits - before[0], pool.counts.uploaded - before[1]))
    assert seen == [(2, numbers.nbytes), (1, 0)]  # get() waits, too


def test_arrays_of_a_batch_are_gone_before_those_of_the_next(pool: Pool) -> None:
    point = rmtsim.Point("linear", "ce", 3, 2000, 50)
    most = []
    for draws in (1, 4):
        pool.reset()
        rmtsim.simulate(point, draws, backend="cupy", batch=1)
        most.append(pool.most_used)
    assert most[1] <= most[0] + 2**12


# Its name


def test_all_that_bits_depend_on_is_named(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    here = rmtsim.simulate(POINT, 1, backend="cupy").attrs["blas"]
    assert here == "cuBLAS 130100 sm_90 132 SMs CuPy 14.2.0 NVRTC 13.0"
    another_gpu(monkeypatch)
    assert rmtsim.simulate(POINT, 1, backend="cupy").attrs["blas"] == here.replace("132", "114")
    monkeypatch.setenv("CUPY_ACCELERATORS", "")
    gpu_device._library.cache_clear()
    assert gpu_device.library().endswith("NVRTC 13.0 accelerators none")
    gpu_device._library.cache_clear()


def stored(folder: Path, draws: range, blas: str | None = None) -> Store:
    rows = rmtsim.simulate(POINT, draws, backend="cupy")
    rows.attrs["blas"] = blas or rows.attrs["blas"]
    with Store(folder).writer() as writer:
        writer.append(rows, {})
    return Store(folder)


@pytest.mark.parametrize("blas", [None, "cuBLAS"])
def test_draws_of_another_gpu_agree_up_to_rounding(
    blas: str | None, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a shard names the kind of GPU or, as those of earlier versions, cuBLAS alone."""
    monkeypatch.setattr(gpu_tiles, "_SMALL", 0)  # all products are made by cuBLAS, which rounds in its own way
    here = stored(tmp_path / "here", range(4), blas)
    assert not verify(here, 4).findings
    another_gpu(monkeypatch)
    there = stored(tmp_path / "there", range(2, 6), blas)
    assert here.read().merge(there.read(), on=["draw", "diag_sqfro"]).empty  # of the draws that both have
    assert not verify(here, 4).findings
    merged = merge([there.location], here)
    assert (merged.rows, merged.known) == (2, 2)
    assert merged.rounded > 0


def test_other_values_of_the_same_gpu_are_wrong(pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_tiles, "_SMALL", 0)
    here = stored(tmp_path / "here", range(4))
    with here.shards()[0].open() as shard:
        name = shard.metadata["blas"]
    another_gpu(monkeypatch)
    there = stored(tmp_path / "there", range(4), name)
    with pytest.raises(InputError, match="has other values in"):
        merge([there.location], here)
    monkeypatch.setattr(gpu_device, "library", lambda: name)
    assert verify(here, 4).findings


# Whether it works


def test_the_emulated_gpu_works(pool: Pool) -> None:
    assert gpu_device.problem() is None
    assert resolve("auto") == "cupy"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("no product", "CuPy found no working GPU (CUBLAS_STATUS_NOT_INITIALIZED)"),
        ("no kernel", "CuPy found no working GPU (no NVRTC)"),
        ("wrong numbers", "the GPU that CuPy found computes wrong numbers"),
        ("no device", "CuPy found no GPU"),
        ("TF32", "CUPY_TF32: with it products of float32 err by 1e-3; start without it"),
        ("no number", "CUPY_TF32: with it products of float32 err by 1e-3; start without it"),  # which CuPy cannot read
    ],
)
def test_what_does_not_work_is_told(broken: str, said: str, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    import cupy

    if broken == "no product":
        pool.others = pool.capacity - 2**20
    elif broken == "no kernel":
        monkeypatch.setattr(cupy_module.RawModule, "get_function", raising("no NVRTC"))
    elif broken == "wrong numbers":
        monkeypatch.setattr(functions, "product", lambda left, right: 1.01 * (left @ right))
    elif broken == "no device":
        monkeypatch.setattr(cupy.cuda, "is_available", lambda: False)
    else:
        monkeypatch.setenv("CUPY_TF32", "1" if broken == "TF32" else "")
    assert gpu_device.problem() == said
    assert resolve("auto") == "numpy"
    with pytest.raises(InputError):
        array_module("cupy")


def raising(words: str) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(words)

    return fail


def cache_folder(home: Path, temporary: Path, **more: str) -> str:
    """Return CUPY_CACHE_DIR as a process sets it that has this HOME."""
    code = (
        "from rmtsim.arrays import gpu_device as g, os; g._set_cache_folder(); print(os.environ.get('CUPY_CACHE_DIR'))"
    )
    code = code.replace(", os", "; import os")
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(temporary), **more}
    environment.pop("CUPY_CACHE_DIR", None) if not more else None
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_kernels_are_kept_where_files_can_be_written(tmp_path: Path) -> None:
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    temporary.mkdir()
    assert cache_folder(home, temporary) == "None"  # CuPy's own choice
    assert (home / ".cupy" / "kernel_cache").is_dir()
    (tmp_path / "file").touch()
    found = Path(cache_folder(tmp_path / "file", temporary))
    assert found == temporary / f"rmtsim-cupy-{os.getuid()}"
    assert found.stat().st_mode & 0o777 == 0o700
    assert cache_folder(tmp_path / "file", temporary, CUPY_CACHE_DIR="/own") == "/own"
    assert cache_folder(tmp_path / "file", temporary, CUPY_CACHE_DIR="") == str(found)  # CuPy would fail
    for mode in (0o777, 0o770, 0o702):  # others could put kernels there
        found.chmod(mode)
        assert Path(cache_folder(tmp_path / "file", temporary)) != found


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a folder to another user")
def test_kernels_are_not_taken_from_a_folder_of_another_user(tmp_path: Path) -> None:
    own = tmp_path / f"rmtsim-cupy-{os.getuid()}"
    own.mkdir(mode=0o700)
    (tmp_path / "file").touch()
    assert cache_folder(tmp_path / "file", tmp_path) == str(own)
    os.chown(own, 12345, 12345)
    assert Path(cache_folder(tmp_path / "file", tmp_path)) != own


def test_kernels_are_kept_for_a_user_whom_nobody_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with a number for a user: there is no HOME, and none to be looked up."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("CUPY_CACHE_DIR", raising=False)
    monkeypatch.setattr("pwd.getpwuid", raising_key)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    gpu_device._set_cache_folder()
    assert os.environ.pop("CUPY_CACHE_DIR") == str(tmp_path / f"rmtsim-cupy-{os.getuid()}")
    assert not Path("~").exists()


def raising_key(number: int) -> None:
    raise KeyError(number)
