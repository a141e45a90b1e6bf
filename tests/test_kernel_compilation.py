"""The source of the CUDA kernels: what NVRTC makes of it, without a GPU."""

from __future__ import annotations

import ast
import ctypes
import re
import sys
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from platform import machine
from typing import NamedTuple

import pytest

from rmtsim.arrays import gpu, gpu_chunks, gpu_launch, gpu_tiles

SOURCE = gpu_launch.source()
ARCHITECTURES = ("sm_80", "sm_90")


class Compiled(NamedTuple):
    """PTX, the bytes of the machine code, and what the compiler says that each kernel uses."""

    ptx: str
    size: int
    log: str

    def in_memory(self) -> dict[str, int]:
        """Return the bytes of a thread of each kernel that are in memory: its stack and what is spilled."""
        told = (
            r"Function properties for (\w+)\nptxas +\. +(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes"
        )
        return {name: sum(map(int, sizes)) for name, *sizes in re.findall(told, self.log)}


class Nvrtc:
    """NVIDIA's run-time compiler, from its package on PyPI."""

    def __init__(self) -> None:
        try:
            found = files("nvidia-cuda-nvrtc") or []
        except PackageNotFoundError:
            if sys.platform == "linux" and machine() == "x86_64":
                pytest.fail("nvidia-cuda-nvrtc is missing; it comes with the extra test")
            pytest.skip("the extra test has nvidia-cuda-nvrtc for Linux on x86-64 only")
        # The compiler looks for the builtins by their bare name, and finds them once they are loaded.
        for pattern in (r"libnvrtc-builtins\.so", r"libnvrtc\.so"):
            (path,) = (str(file.locate()) for file in found if re.match(pattern, file.name))
            self._library = ctypes.CDLL(path)

    def compile(self, source: str, *options: str) -> Compiled:
        """Compile a source; raises ValueError with the compiler's words, but for those on what kernels use."""
        options = (*options, "--ptxas-options=-v")
        program, call = ctypes.c_void_p(), self._library
        assert call.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None) == 0
        try:
            arguments = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
            status = call.nvrtcCompileProgram(program, len(options), arguments)
            log = self._text(program, "ProgramLog")
            if status or any(not line.startswith("ptxas ") for line in log.rstrip("\0\n").splitlines()):
                raise ValueError(log)
            size = ctypes.c_size_t()
            assert call.nvrtcGetCUBINSize(program, ctypes.byref(size)) == 0
            return Compiled(self._text(program, "PTX"), size.value, log)
        finally:
            call.nvrtcDestroyProgram(ctypes.byref(program))

    def _text(self, program: ctypes.c_void_p, what: str) -> str:
        size = ctypes.c_size_t()
        assert getattr(self._library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)) == 0
        text = ctypes.create_string_buffer(size.value)
        assert getattr(self._library, f"nvrtcGet{what}")(program, text) == 0
        return text.value.decode()


@pytest.fixture(scope="module")
def nvrtc() -> Nvrtc:
    return Nvrtc()


@pytest.fixture(scope="module", params=ARCHITECTURES)
def compiled(request: pytest.FixtureRequest, nvrtc: Nvrtc) -> Compiled:
    """All kernels, with the options that CuPy compiles them with."""
    return nvrtc.compile(SOURCE, "--std=c++17", "-ftz=true", f"--gpu-architecture={request.param}")


def launched() -> set[str]:
    """Names of the kernels that gpu.py, gpu_tiles.py and gpu_chunks.py run."""
    trees = [ast.parse(Path(module.__file__).read_text("utf-8")) for module in (gpu, gpu_tiles, gpu_chunks)]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [call.args[0] for call in calls if ast.unparse(call.func) in ("launch", "_sums")]
    return {name.value for name in names if isinstance(name, ast.Constant)}


def entries(compiled: Compiled) -> set[str]:
    return set(re.findall(r"\.visible \.entry (\w+)", compiled.ptx))


def test_kernels_compile_to_machine_code(compiled: Compiled) -> None:
    assert ".entry" in compiled.ptx
    assert compiled.size > 10_000


def test_all_that_a_thread_holds_is_in_registers(compiled: Compiled) -> None:
    assert compiled.in_memory() == dict.fromkeys(entries(compiled), 0)


def test_every_kernel_may_have_the_threads_that_it_is_launched_with(compiled: Compiled) -> None:
    """A launch of more threads than its bounds say fails on a GPU."""
    bounds = dict(re.findall(r"\.entry (\w+)\([^)]*\)\s*\.maxntid (\d+)", compiled.ptx))
    assert {name: int(most) for name, most in bounds.items()} == dict.fromkeys(entries(compiled), gpu._THREADS)
    assert gpu._THREADS == gpu_tiles._SIDE**2 == gpu_chunks._SIDE**2


def test_what_is_not_in_registers_is_noticed(nvrtc: Nvrtc) -> None:
    """With 32 registers for a thread, 64 numbers of two registers each do not fit."""
    source = """
extern "C" __global__ void __launch_bounds__(1024, 2) crowded(double* x) {
    double held[64];
#pragma unroll
    for (int i = 0; i < 64; ++i) held[i] = x[64 * threadIdx.x + i];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 64; ++i) x[64 * threadIdx.x + 63 - i] = held[i];
}
"""
    assert nvrtc.compile(source, "--gpu-architecture=sm_90").in_memory()["crowded"] > 0


def test_every_kernel_that_is_asked_for_is_there(compiled: Compiled) -> None:
    there = entries(compiled)
    names = launched()
    assert names == {
        "normals",
        "exponentials",
        "diagonal_weights",
        "column_products",
        "pair_weights",
        "weighted_sum",
        "products",
        "quadratic_sums",
        "pair_sums",
        "cross_sums",
        "grams",
        "moments",
        "row_powers",
        "diagonal_sums",
        "total",
    }
    types = {name: ("double",) if name == "total" else ("float", "double") for name in names}
    assert there == {f"{name}_{kind}" for name in names for kind in types[name]}


@pytest.mark.parametrize("architecture", ["sm_75", *ARCHITECTURES])
def test_tensor_cores_multiply_from_sm_80_on(nvrtc: Nvrtc, architecture: str) -> None:
    """Without a register too many, too."""
    source = gpu_launch.source("tensor")
    found = nvrtc.compile(source, "--std=c++17", "-ftz=true", f"--gpu-architecture={architecture}")
    assert found.in_memory() == {"tensor_grams_float": 0}
    products = found.ptx.count("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32")
    assert (products > 0) == (architecture in ARCHITECTURES)
    assert "mma" not in SOURCE


def test_the_source_is_ascii() -> None:
    """CuPy writes it to a file in the encoding of the locale."""
    assert (SOURCE + gpu_launch.source("tensor")).isascii()


@pytest.mark.parametrize(
    ("right", "wrong"), [("double sum = 0;", "double sum = none;"), ("KERNELS_FOR(double)", "KERNELS_FOR(double")]
)
def test_broken_source_is_refused(nvrtc: Nvrtc, right: str, wrong: str) -> None:
    assert right in SOURCE
    with pytest.raises(ValueError, match="error"):
        nvrtc.compile(SOURCE.replace(right, wrong), "--std=c++17", "--gpu-architecture=sm_90")
