"""Array backends, chosen by name or by the type of the arrays.

A backend is an array module ``xp``, which is passed along, and what only it knows: how draws are made, how memory is
counted, and native forms of the few operations in which a draw spends its time. Any other module that follows the
array API standard computes with the generic forms (the tests run the kernels under ``array_api_strict``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, lru_cache
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import numpy as np

from rmtsim.arrays.dot_products import inner
from rmtsim.arrays.machine import usable_memory
from rmtsim.arrays.threads import blas_kernel
from rmtsim.errors import InputError
from rmtsim.text.checks import check_choice
from rmtsim.text.named_objects import Registry
from rmtsim.text.words import abridge

Array = Any  # an array of numpy, cupy or another array-API module
Module = Any  # such a module

#: The backends that come with rmtsim; ``"auto"`` stands for one that finds a GPU, and for NumPy where none does.
BackendName: TypeAlias = Literal["auto", "numpy", "cupy"]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)

#: Precisions of the arithmetic.
DtypeName: TypeAlias = Literal["float32", "float64"]
DTYPES: tuple[DtypeName, ...] = get_args(DtypeName)


class Backend(ABC):
    """What computes: an array module, and what only it knows.

    A new backend derives from this class, defines `name`, `package` and `module`, and is passed to
    `register_backend`. All else has a generic form. Rows name their backend, and are a function of it.

    Attributes
    ----------
    name
        What users choose it by; it stands in the rows that it computes.
    package
        The top-level package that its arrays belong to.
    stream
        Name of the generator of its draws, which changes whenever the same key starts to give other numbers.
    needs_gpu
        Whether it computes on a GPU: workers then ask for one, and pieces and batches are larger.
    makes_normals
        Whether `normals` makes draws on its device; else they are made by NumPy and handed over.
    sums_pairs
        Whether `pair_sums` and the like add up all pairs of samples with no Gram matrix in memory.
    takes_index_arrays
        Whether entries can be assigned to by arrays of indices, which the array API standard leaves out.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    stream: ClassVar[str] = "sfc64-2"
    needs_gpu: ClassVar[bool] = False
    makes_normals: ClassVar[bool] = False
    sums_pairs: ClassVar[bool] = False
    takes_index_arrays: ClassVar[bool] = False

    @abstractmethod
    def module(self) -> Module:
        """Return the array module."""

    def problem(self) -> str | None:
        """Say why it cannot compute here, or return None if it can."""
        return None

    def to_numpy(self, array: Array) -> np.ndarray:
        """Copy an array to the host."""
        return np.asarray(array)

    def free_memory(self) -> float:
        """Bytes that draws may use."""
        return usable_memory()

    def memory_limit(self, size: float) -> AbstractContextManager[None]:
        """Hold what is allocated inside to ``size`` bytes, where the backend can."""
        return nullcontext()

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether an error says that there is no memory left on a device, so that smaller pieces may do."""
        return False

    def devices(self) -> int:
        """Return how many devices there are, of which a process uses one."""
        return 1

    def capability(self) -> int:
        """Return the compute capability of the GPU in use, such as 90; 0 without one."""
        return 0

    def is_fatal(self, error: BaseException) -> bool:
        """Whether an error has left a device of no use to this process, so that nothing more can be computed."""
        return False

    def release_memory(self) -> None:  # noqa: B027  # most backends keep none
        """Give memory that is kept for later use back to the device."""

    def library(self) -> str:
        """Name the library that multiplies matrices, and its kernel, which the last digits depend on."""
        return blas_kernel()

    def normals(self, names: Sequence[bytes], rows: range, columns: int, scale: float, dtype: str) -> Array:
        """Return rows of a matrix of normals of each stream, (len(names), len(rows), columns), made on the device."""
        raise NotImplementedError(f"{self.name} makes no normals")

    def pair_sums(self, X: Array, E: Array, inverse: Array) -> Array:
        """Return Σ K∘(QQᵀ), Σ K∘(PPᵀ)² and Σ K∘(SSᵀ) over all pairs of samples, (…, 3), in float64.

        K = (XXᵀ)² and (PPᵀ)² are squares of each entry; P = E·inverse, Q = P∘(1 − P) and S = P∘P. X is (…, n, d), E is
        (…, n, c) and ``inverse`` (…, n, 1); the last leading axis of X may have length 1 where that of E is longer.
        """
        raise NotImplementedError(f"{self.name} sums no pairs")

    def quadratic_sums(self, X: Array, A: Array, first: int) -> Array:
        """Return Σ λᵀ K λ over the ``first`` columns λ of A (…, n, c), and over the others, (…, 2), in float64.

        K = (XXᵀ)² is a square of each entry; X is (…, n, d).
        """
        raise NotImplementedError(f"{self.name} sums no pairs")

    def chunk_sums(self) -> Any:
        """Return `rmtsim.arrays.gpu_chunks`, whose sums stay on a device from chunk to chunk; or None."""
        return None

    def fixed(self, array: np.ndarray) -> Array:
        """Return an array that never changes, such as one of indices; a device may keep it."""
        return self.module().asarray(array)

    # The operations in which a draw spends its time. Arrays may have leading axes, which run over draws; a draw's
    # value has the same bits in a batch of any size.

    def exponentials(self, L: Array, shift: Array | None) -> tuple[Array, Array, Array]:
        """Return exp(L − shift), its row sums in float64 and the row maxima of L; may overwrite L (…, n, c).

        ``shift``, the sums and the maxima are (…, n, 1); without a shift, the maxima serve as one.
        """
        xp = self.module()
        highest = xp.max(L, axis=-1, keepdims=True)
        L -= highest if shift is None else shift
        E = self.exp_in_place(L)
        return E, xp.astype(xp.sum(E, axis=-1, keepdims=True), xp.float64), highest

    def normal_cdf(self, A: Array) -> Array:
        """Return Φ of every entry, the distribution function of the standard normal law, to full relative precision."""
        from scipy.special import ndtr  # it takes a while to load, and few need it

        return self.module().asarray(ndtr(self.to_numpy(A)))

    def exp_in_place(self, L: Array) -> Array:
        """Return exp(L); may overwrite L."""
        return self.module().exp(L)

    def diagonal_weights(self, E: Array, inverse: Array) -> tuple[Array, Array]:
        """Return Q = P∘(1 − P) and S = P∘P for P = E·inverse; E is (…, n, c), ``inverse`` (…, n, 1)."""
        Q = E * inverse
        S = Q * Q
        Q -= S
        return Q, S

    def add_product(self, total: Array, A: Array, B: Array) -> Array:
        """Return total + A Bᵀ, (…, n, k); may overwrite ``total``.

        If A is B, only the lower triangle with the diagonal is defined.
        """
        total += A @ B.mT
        return total

    def on_tensor_cores(self, samples: Array, n_classes: int) -> bool:
        """Whether sums over pairs of samples (…, N, inputs) are large, and tensor cores are asked for and make them."""
        return False

    def products(self, A: Array, B: Array) -> Array:
        """Return A Bᵀ, (…, n, k); the leading axes of A (…, n, c) and B (…, k, c) broadcast."""
        return A @ B.mT

    def column_products(self, A: Array, B: Array, left: np.ndarray, right: np.ndarray, scale: np.ndarray) -> Array:
        """Return scale_k times column left_k of A and column right_k of B, for every k, (…, k), by entry.

        A and B are (…, m), ``left``, ``right`` and ``scale`` NumPy arrays (k,).
        """
        xp = self.module()
        found = xp.take(A, self.fixed(left), axis=-1) * xp.take(B, self.fixed(right), axis=-1)
        return found if np.all(scale == 1) else found * xp.astype(self.fixed(scale), A.dtype, copy=False)

    def pair_weights(self, K: Array) -> Array:
        """Return 2K below the diagonal, K on it and 0 above, for K (…, n, n), which may be overwritten."""
        K *= self.module().asarray(_lower_triangle(K.shape[-1], str(K.dtype)))
        return K

    def weighted_sum(self, K: Array, G: Array, left: Array, right: Array, power: int) -> Array:
        """Return Σ K∘(G∘left rightᵀ)^power in float64, with power 1 or 2 by entry.

        K and G are (…, n, k), left (…, n, 1), right (…, k, 1).
        """
        scaled = G * left
        scaled *= right.mT
        if power == 2:
            scaled *= scaled
        return inner(K, scaled, self.module())

    def __repr__(self) -> str:
        return f"{type(self).__module__}.{type(self).__qualname__}()"


class _AnyModule(Backend):
    """A module that follows the array API standard and is not a registered backend."""

    name = "array API"

    def __init__(self, xp: Module) -> None:
        self._xp = xp

    def module(self) -> Module:
        return self._xp


_BACKENDS: Registry[Backend] = Registry("backend", "rmtsim.arrays.backends")


def register_backend(backend: Backend) -> Backend:
    """Make a backend known by its name, and return it; each process that uses it has to import that module.

    Raises
    ------
    InputError
        If the name is not a valid one, or another backend has it.
    """
    _backend_of_package.cache_clear()
    return _BACKENDS.register(backend)


def get_backend(name: str) -> Backend:
    """Return the backend of that name; raise InputError, which lists the names, if there is none."""
    if not isinstance(name, str) or name not in _BACKENDS.names():
        raise InputError(f"backend: {abridge(name)} is not known; choose one of {', '.join(backend_choices())}")
    return _BACKENDS.get(name)


def backend_choices() -> tuple[str, ...]:
    """Return what a user can choose: ``"auto"``, and every backend by its name."""
    return ("auto", *_BACKENDS.names())


def streams() -> set[str]:
    """Return the names of the generators of draws, of all backends."""
    return {backend.stream for backend in _BACKENDS}


def backend_of(xp: Module) -> Backend:
    """Return the backend that an array module belongs to."""
    return _backend_of_package(xp.__name__.partition(".")[0]) or _AnyModule(xp)


@cache
def _backend_of_package(package: str) -> Backend | None:
    return next((backend for backend in _BACKENDS if backend.package == package), None)


def array_module(name: str) -> Module:
    """Return the array module of the backend ``name``, such as ``"numpy"`` or ``"cupy"``.

    Raises
    ------
    InputError
        If the name is unknown, or if the backend cannot compute here.
    """
    backend = get_backend(name)
    problem = backend.problem()
    if problem:
        raise InputError(f"backend: {name!r} was asked for, but {problem}; choose numpy or auto")
    return backend.module()


def resolve(name: str) -> str:
    """Turn ``"auto"`` into a backend that finds a GPU, and ``"numpy"`` where none does; check other names."""
    if check_choice("backend", name, backend_choices()) == "auto":
        with_gpu = (backend for backend in _BACKENDS if backend.needs_gpu and not backend.problem())
        return next((backend.name for backend in with_gpu), "numpy")
    array_module(name)
    return name


def namespace(array: Array, name: str = "arrays") -> Module:
    """Return the array module that ``array`` belongs to; raise InputError, with its name, if it is not an array."""
    if isinstance(array, np.ndarray):
        return np
    backend = _backend_of_array(array)
    if backend is not None:  # CuPy 14 has no __array_namespace__
        return backend.module()
    try:
        return array.__array_namespace__()
    except AttributeError:
        raise InputError(
            f"{name}: {type(array).__name__} is not an array; give NumPy, CuPy or array-API arrays"
        ) from None


def native_module(array: Any) -> Module | None:
    """Return the array module that ``array`` is computed with as it is, or None: then it is to become NumPy's.

    These are the backends' and the standard's own reference module: kernels write into arrays, which JAX's, for one,
    do not allow.
    """
    if isinstance(array, np.ndarray):
        return np
    package = _package_of(array)
    known = package == "array_api_strict" or (package != "numpy" and _backend_of_package(package) is not None)
    return namespace(array) if known and hasattr(array, "dtype") else None


def to_numpy(array: Array) -> np.ndarray:
    """Copy ``array`` to the host."""
    backend = _backend_of_array(array)
    return np.asarray(array) if backend is None else backend.to_numpy(array)


@lru_cache(maxsize=8)
def _lower_triangle(n: int, dtype: str) -> np.ndarray:
    """Return 2 below the diagonal, 1 on it and 0 above."""
    return (2 * np.tri(n) - np.eye(n)).astype(dtype.rpartition(".")[2])


def _package_of(array: Any) -> str:
    return type(array).__module__.partition(".")[0]


def _backend_of_array(array: Any) -> Backend | None:
    return _backend_of_package(_package_of(array))
