"""Kernels in CUDA's dialect, compiled as C++ by g++ and launched on emulated blocks (``simt.hpp``)."""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rmtsim.theory.disk_cache import directory

_HEADER = Path(__file__).with_name("simt.hpp")

#: No product and sum are fused: the GPU does so where it likes, and no test may depend on it.
_FLAGS = ("-std=c++17", "-ffp-contract=off", "-shared", "-fPIC", "-Wall", "-Wno-unknown-pragmas")

#: Each library has variables of its own: by default those of templates would be one for all that are loaded.
_OWN = ("-fvisibility=hidden", "-fno-gnu-unique")

#: What a launch may have (CUDA C++ Programming Guide, compute capabilities 8 and 9).
_MOST_THREADS, _MOST_BLOCKS = 1024, (2**31 - 1, 65535, 65535)

#: After the kernels: a table of them, and functions to ask and to launch them by name.
_TABLE = """
#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim
namespace simt {
struct Named { const char* name; int (*parameters)(char*, int*); void (*run)(void**); };
static const Named NAMED[] = {%s};
static const Named* named(const char* name)
{
    for (const auto& kernel : NAMED)
        if (!std::strcmp(kernel.name, name)) return &kernel;
    return nullptr;
}
}
extern "C" __attribute__((visibility("default"))) int simt_parameters(const char* name, char* kinds, int* sizes)
{
    const auto* kernel = simt::named(name);
    return kernel ? kernel->parameters(kinds, sizes) : -1;
}
extern "C" __attribute__((visibility("default"))) const char* simt_launch(
    const char* name, const unsigned* g, const unsigned* b, void** given, unsigned seed)
{
    const auto run = simt::named(name)->run;
    return simt::launch(run, {g[0], g[1], g[2]}, {b[0], b[1], b[2]}, given, seed) ? nullptr : simt::error;
}
"""


class Parameter(NamedTuple):
    """A parameter of a kernel and its bytes: ``p`` a pointer, ``f`` or ``i`` a number, ``s`` a structure."""

    kind: str
    size: int


class KernelError(RuntimeError):
    """A kernel did what is undefined on a GPU, or a launch does not fit its kernel."""


@cache
def _own_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="rmtsim-simt-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def kept_in() -> Path:
    """Return the folder of compiled libraries: in rmtsim's cache directory, or of this process where there is none."""
    cache_directory = directory()
    return _own_folder() if cache_directory is None else cache_directory / "simt"


def compiler() -> str | None:
    """Return the path of g++, or None where there is none."""
    return shutil.which("g++")


class Kernels:
    """The kernels of a source.

    Parameters
    ----------
    source
        CUDA C++, with its kernels declared ``extern "C" __global__``.
    folder
        Where compiled libraries are kept, by default `kept_in`; processes that share it compile a source once.
    level
        Of optimisation, which takes most of the time of compiling.

    Attributes
    ----------
    seed
        Of the order in which threads run; 0 for the order of their numbers, and then blocks too.
    """

    def __init__(self, source: str, folder: Path | None = None, level: str = "-O2") -> None:
        self.seed = 0
        library = _compiled(source, folder or kept_in(), (*_FLAGS, *_OWN, level))
        self._library = ctypes.PyDLL(str(library))  # which keeps the interpreter's lock: one launch
        self._library.simt_launch.restype = ctypes.c_char_p

    @cache  # noqa: B019  # one object for each source lives as long as the process
    def parameters(self, name: str) -> tuple[Parameter, ...]:
        """Return the parameters of a kernel; raise KeyError if there is none of that name."""
        kinds, sizes = (ctypes.c_char * 64)(), (ctypes.c_int * 64)()
        count = self._library.simt_parameters(name.encode(), kinds, sizes)
        if count < 0:
            raise KeyError(name)
        return tuple(Parameter(kinds[k].decode(), sizes[k]) for k in range(count))

    def launch(
        self, name: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: Sequence[Any], run: bool = True
    ) -> None:
        """Run a kernel, or only check that it could be; raise KernelError where it could not.

        Arguments are NumPy arrays, passed by address, and NumPy scalars of the kernel's widths.
        """
        grid, block = ((*sizes, 1, 1)[:3] for sizes in (grid, block))
        if not 0 < np.prod(block) <= _MOST_THREADS or not all(map(_fits, grid, _MOST_BLOCKS)):
            raise KernelError(f"{name}: no launch can have a grid {grid} of blocks {block}")
        values = [_value(name, k, *pair) for k, pair in enumerate(self._pairs(name, arguments))]
        if not run:
            return
        given = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
        sizes = ((ctypes.c_uint * 3)(*numbers) for numbers in (grid, block))
        failure = self._library.simt_launch(name.encode(), *sizes, given, self.seed)
        if failure:
            raise KernelError(f"{name}: {failure.decode()}")

    def _pairs(self, name: str, arguments: Sequence[Any]) -> list[tuple[Parameter, Any]]:
        parameters = self.parameters(name)
        if len(parameters) != len(arguments):
            raise KernelError(f"{name} has {len(parameters)} parameters, and {len(arguments)} arguments were given")
        return list(zip(parameters, arguments, strict=True))


def _fits(blocks: int, most: int) -> bool:
    return 0 < blocks <= most


def _value(name: str, place: int, parameter: Parameter, given: Any) -> ctypes.Array[ctypes.c_char] | ctypes.c_void_p:
    """Return what stands in memory for an argument; raise KernelError if it is not what the kernel reads."""
    if isinstance(given, np.ndarray):
        found = Parameter("p", 8)
    elif isinstance(given, np.generic):
        found = Parameter({"f": "f", "V": "s"}.get(given.dtype.kind, "i"), given.itemsize)
    else:
        raise KernelError(f"{name}: argument {place} is {type(given).__name__}, neither an array nor a NumPy scalar")
    if found != parameter:
        raise KernelError(f"{name}: argument {place} is {found}, and the kernel reads {parameter}")
    if isinstance(given, np.ndarray):
        return ctypes.c_void_p(given.ctypes.data if given.size else 0)
    return ctypes.create_string_buffer(given.tobytes(), given.itemsize)


def _compiled(source: str, folder: Path, flags: tuple[str, ...]) -> Path:
    """Return the library of a source, compiled now if nobody has yet; nobody waits for another's source."""
    text = f'#include "{_HEADER}"\n#line 1 "kernels.cu"\n{source}{_TABLE % _rows(source)}'
    key = hashlib.sha256(f"{text}{_HEADER.read_text('utf-8')}{flags}".encode()).hexdigest()[:16]
    library = folder / f"simt-{key}.so"
    if library.exists():  # whole, since it was renamed
        return library
    folder.mkdir(parents=True, exist_ok=True)
    with open(library.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                made = Path(scratch, "kernels.so")
                command = [compiler() or "g++", *flags, "-x", "c++", "-", "-o", str(made)]
                done = subprocess.run(command, input=text.encode(), capture_output=True)
                if done.returncode:
                    raise KernelError(done.stderr.decode("utf-8", "replace"))
                made.replace(library)
    return library


def _rows(source: str) -> str:
    """Return the rows of the table of kernels: all that are declared, those of macros by their instances."""
    declared = re.findall(r'extern "C" __global__ void(?:\s|\\|__launch_bounds__\([^)]*\))*(\w+?)(_##T)?\(', source)
    types = re.findall(r"^KERNELS_FOR\((\w+)\)", source, re.MULTILINE)
    names = [f"{name}_{kind}" for name, by_type in declared for kind in (types if by_type else [""])]
    names = [name.removesuffix("_") for name in names]
    return ", ".join(f'{{"{name}", Entry<&{name}>::parameters, Entry<&{name}>::run}}' for name in names)
