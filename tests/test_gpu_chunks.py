"""Sums over classes that come chunk by chunk, on a GPU or its emulator: rmtsim.arrays.gpu_chunks against NumPy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from rmtsim.arrays import gpu_chunks
from rmtsim.arrays.gpu_chunks import Exponentials, Probabilities

pytestmark = pytest.mark.gpu

DTYPES = ("float32", "float64")

#: Leading axes, samples of two tiles, and classes of the chunks: whole tiles and slices of the kernels, and pieces.
SIZES = [((), 1, 1, (1,)), ((), 128, 64, (16, 9)), ((3,), 131, 5, (40, 40, 3)), ((2, 1), 20, 150, (600, 17))]


def random(*shape: int, dtype: str = "float64", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def device(array: np.ndarray) -> gpu_chunks.Array:
    import cupy

    return cupy.asarray(array)


def host(array: gpu_chunks.Array) -> np.ndarray:
    import cupy

    return np.asarray(cupy.asnumpy(array))


def wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64)


def eps(dtype: str, factor: float) -> float:
    return factor * float(np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize(("lead", "n", "k", "chunks"), SIZES)
def test_grams(lead: tuple[int, ...], n: int, k: int, chunks: tuple[int, ...], same: bool, dtype: str) -> None:
    left = [random(*lead, n, c, dtype=dtype, seed=s) for s, c in enumerate(chunks)]
    right = left if same else [random(*lead, k, c, dtype=dtype, seed=9 + s) for s, c in enumerate(chunks)]
    totals = None
    for A, B in zip(left, right, strict=True):
        a = device(A)
        b = a if same else device(B)
        totals = gpu_chunks.zero_grams(a, b) if totals is None else totals
        gpu_chunks.add_grams(totals, a, b)
    found = host(gpu_chunks.added_grams(totals))
    assert found.dtype == dtype
    check = np.tril if same else np.asarray
    errors = check(found - sum(wide(A) @ wide(B).mT for A, B in zip(left, right, strict=True)))
    size = sum(np.abs(wide(A)) @ np.abs(wide(B)).mT for A, B in zip(left, right, strict=True))
    assert np.all(np.abs(errors) <= eps(dtype, sum(chunks) + 4) * size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize(("lead", "n", "k", "chunks"), SIZES)
def test_diagonal_sums(lead: tuple[int, ...], n: int, k: int, chunks: tuple[int, ...], same: bool, dtype: str) -> None:
    N, ends = n + k + 3, np.cumsum((0, *chunks))
    E = np.exp(random(*lead, N, ends[-1], dtype=dtype))
    rows = [slice(0, n)] * 2 if same else [slice(0, n), slice(n + 2, n + 2 + k)]
    inverse = (1 / E.sum(axis=-1, keepdims=True, dtype=np.float64)).astype(dtype)
    leading = np.where(np.arange(N) % 3 == 0, np.arange(N) % ends[-1], -1)[:, None] + np.zeros((*lead, N, 1), int)
    rest = np.abs(random(*lead, N, 1, dtype=dtype, seed=2))
    K = random(*lead[:-1], *(1,) * len(lead[-1:]), n, rows[1].stop - rows[1].start, dtype=dtype, seed=1)
    K = np.tril(K) if same else K

    P = wide(E) * inverse
    Q, S = P * np.where(leading == np.arange(ends[-1]), rest, 1 - P), P * P
    terms = [wide(K) * (A[..., rows[0], :] @ A[..., rows[1], :].mT) for A in (Q, S)]
    expected, size = (np.stack([f(A).sum(axis=(-2, -1)) for A in terms], axis=-1) for f in (np.asarray, np.abs))

    def of_draws(some: tuple[int, ...]) -> np.ndarray:
        of = Probabilities(*(device(A[some]) for A in (inverse, leading, rest)))
        partial, kernel = None, device(K if not some else K[*some[:-1], 0, :, :])
        for start, stop in pairwise(ends):
            left = Exponentials(device(E[*some, ..., rows[0], start:stop]), rows[0], int(start))
            right = left if same else Exponentials(device(E[*some, ..., rows[1], start:stop]), rows[1], int(start))
            partial = gpu_chunks.add_diagonal_sums(partial, kernel, left, right, of)
        return host(gpu_chunks.total(partial))

    found = of_draws(())
    assert found.dtype == np.float64
    assert np.all(np.abs(found - expected) <= eps(dtype, 30) * size)
    if lead:
        np.testing.assert_array_equal(of_draws((0,) * len(lead)), found[(0,) * len(lead)])


def test_slices_give_a_gpu_work() -> None:
    """At 128 samples by at most 16 blocks, since each is to have some columns; with many samples by one."""
    assert [gpu_chunks.slices(n, n, 4096) for n in (100, 128, 1024, 2000, 4096)] == [16, 16, 7, 1, 1]
    assert [gpu_chunks.slices(100, 100, c) for c in (1, 256, 257)] == [1, 1, 2]
