"""Sums over classes that come chunk by chunk, on a GPU or its emulator: rmtsim.arrays.gpu_chunks against NumPy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from rmtsim.arrays import gpu_chunks
from rmtsim.arrays.gpu_chunks import Neurons, Outputs, Probabilities
from rmtsim.kernels.pairs import pairs_of

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
            left = Outputs(device(E[*some, ..., rows[0], start:stop]), rows[0], int(start))
            right = left if same else Outputs(device(E[*some, ..., rows[1], start:stop]), rows[1], int(start))
            partial = gpu_chunks.add_diagonal_sums(partial, kernel, left, right, of)
        return host(gpu_chunks.total(partial))

    found = of_draws(())
    assert found.dtype == np.float64
    assert np.all(np.abs(found - expected) <= eps(dtype, 30) * size)
    if lead:
        np.testing.assert_array_equal(of_draws((0,) * len(lead)), found[(0,) * len(lead)])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize(
    ("lead", "n", "k", "d", "m", "chunks", "layers"),
    [
        ((), 1, 1, 1, 1, (1,), 1),
        ((3,), 65, 64, 9, 4, (17, 6), 1),
        ((2, 3), 20, 70, 33, 3, (3, 9), 3),  # last layers of each draw
        ((), 70, 7, 2, 5, (300, 20), 1),
        ((), 6, 5, 20, 5, (9,), 1),  # a block has two neurons, and the last one
    ],
)
def test_cross_sums(
    lead: tuple[int, ...],
    n: int,
    k: int,
    d: int,
    m: int,
    chunks: tuple[int, ...],
    layers: int,
    softmax: bool,
    same: bool,
    dtype: str,
) -> None:
    N, ends = n + k + 3, np.cumsum((0, *chunks))
    C, rows = int(ends[-1]), [slice(0, n)] * 2 if same else [slice(n + 2, n + 2 + k), slice(0, n)]
    X, slopes, f, centre, excess = (
        random(*lead, N, size, dtype=dtype, seed=s) for s, size in enumerate((d, m, m, m, m))
    )
    if layers > 1:
        X, slopes, f = (A[..., :1, :, :] + np.zeros((layers, 1, 1), dtype) for A in (X, slopes, f))
    outputs, V = (random(*lead, *size, dtype=dtype, seed=7) for size in ((N, C), (C, m)))
    outputs = np.exp(outputs) if softmax else outputs
    y, leading = (np.arange(N) * step % C + np.zeros((*lead, N), int) for step in (1, 2))
    leading = np.where(np.arange(N) % 3, -1, leading)[..., None]
    inverse = (1 / outputs.sum(axis=-1, keepdims=True, dtype=np.float64)).astype(dtype)
    rest = np.abs(random(*lead, N, 1, dtype=dtype, seed=8))

    one = (y[..., None] == np.arange(C)) * 1.0
    by_neuron = [wide(A).mT[..., None] for A in (slopes, f, centre, excess)]
    v, careful = wide(V).mT[..., None, :], (leading == np.arange(C))[..., None, :, :]
    if softmax:
        P = wide(outputs) * inverse
        U = P[..., None, :, :] * np.where(careful, by_neuron[3], v - by_neuron[2])
        R = np.where(careful & (one > 0)[..., None, :, :], -wide(rest)[..., None, :, :], (P - one)[..., None, :, :])
    else:
        U, R = 2 * v + np.zeros((N, 1)), 2 * (wide(outputs) - one)[..., None, :, :]
    W = R + U * by_neuron[1]

    def between(A: np.ndarray) -> np.ndarray:
        return A[..., rows[0], :] @ A[..., rows[1], :].mT

    G = between(wide(X))[..., None, :, :] * between(by_neuron[0])
    terms = G * (between(U) * (between(wide(f))[..., None, :, :] - between(by_neuron[1])) + between(W))
    expected, size = (
        times * of.sum(axis=(-3, -2, -1)) for of in (terms, np.abs(terms)) for times in (1 if same else 2,)
    )

    def of_draws(some: tuple[int, ...]) -> np.ndarray:
        of_samples = [A[some] if some or layers == 1 else A[:, 0] for A in (X, slopes, f, y)]
        neurons = Neurons(*map(device, (*of_samples, centre[some], excess[some])))
        of, partial = Probabilities(*(device(A[some]) for A in (inverse, leading, rest))), None
        for start, stop in pairwise(ends):
            left = Outputs(device(outputs[*some, ..., rows[0], start:stop].copy()), rows[0], int(start))
            right = Outputs(device(outputs[*some, ..., rows[1], start:stop].copy()), rows[1], int(start))
            rows_of_V = device(V[*some, ..., start:stop, :].copy())
            given = (left, left if same else right, rows_of_V, neurons, of if softmax else None)
            partial = gpu_chunks.add_cross_sums(partial, *given)
        return host(gpu_chunks.total(partial))[..., 0]

    found = of_draws(())
    assert found.dtype == np.float64
    assert np.all(np.abs(found - expected) <= eps(dtype, 60) * size)
    if lead:
        assert of_draws((0,) * len(lead)) == found[(0,) * len(lead)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("lead", "n", "m", "chunks"), [((), 1, 1, (1,)), ((3,), 130, 4, (300, 9)), ((2, 1), 5, 20, (7,))]
)
def test_moments(lead: tuple[int, ...], n: int, m: int, chunks: tuple[int, ...], dtype: str) -> None:
    N, (i, j) = n + 3, pairs_of(m)
    totals = gpu_chunks.zero_moments(n, N, chunks[0], m + len(i), lead)
    expected, size = (np.zeros((*lead, N, m + len(i))) for _ in range(2))
    for s, c in enumerate(chunks):
        E, V = random(*lead, n, c, dtype=dtype, seed=s), random(*lead, c, m, dtype=dtype, seed=9 + s)
        gpu_chunks.add_moments(totals, device(E), device(V), 2, (device(i), device(j)))
        columns = np.concat([wide(V), wide(V)[..., i] * V[..., j]], axis=-1)
        expected[..., 2 : 2 + n, :] += wide(E) @ columns
        size[..., 2 : 2 + n, :] += np.abs(E) @ np.abs(columns)
    found = host(totals).sum(axis=-3)
    assert found.dtype == np.float64
    assert np.all(np.abs(found - expected) <= eps(dtype, sum(chunks) + 4) * size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("lead", "n", "chunks"), [((), 1, (1,)), ((3,), 130, (300, 9)), ((2, 1), 5, (70,))])
def test_exponentials_and_their_powers(lead: tuple[int, ...], n: int, chunks: tuple[int, ...], dtype: str) -> None:
    N, shift = n + 3, random(*lead, n + 3, 1, dtype=dtype)
    total, powers = device(np.ones((*lead, N, 1))), device(np.ones((*lead, N, 2)))
    highest = device(np.full((*lead, N, 1), 2, dtype=dtype))
    logits = [2 * random(*lead, n, c, dtype=dtype, seed=1 + s) for s, c in enumerate(chunks)]
    made = []
    for L in logits:
        made.append(gpu_chunks.add_exponentials(device(L), device(shift), total, highest, 2))
        gpu_chunks.add_row_powers(powers, made[-1], 2)
    E = np.concat([wide(host(A)) for A in made], axis=-1)
    L = np.concat(logits, axis=-1)
    np.testing.assert_allclose(E, np.exp(wide(L) - shift[..., 2 : 2 + n, :]), rtol=eps(dtype, 40))
    expected = np.ones((*lead, N, 3))
    for power, of in enumerate((E, E**3, E**4)):
        expected[..., 2 : 2 + n, power] += of.sum(axis=-1)
    found = np.concat([host(total), host(powers)], axis=-1)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_array_equal(host(highest)[..., 2 : 2 + n, 0], np.maximum(L.max(axis=-1), 2))
    np.testing.assert_array_equal(host(highest)[..., :2, 0], 2)


def test_exponentials_are_made_in_place_alone() -> None:
    given = [device(random(4, 6)), *(device(random(4, 2))[:, :1] for _ in range(3))]
    with pytest.raises(ValueError, match="contiguous"):
        gpu_chunks.add_exponentials(*given, 0)


def test_slices_give_a_gpu_work() -> None:
    """At 128 samples by at most 16 blocks, since each is to have some columns; with many samples by one."""
    assert [gpu_chunks.slices(n, n, 4096) for n in (100, 128, 1024, 2000, 4096)] == [16, 16, 7, 1, 1]
    assert [gpu_chunks.slices(100, 100, c) for c in (1, 256, 257)] == [1, 1, 2]
