"""The CUDA kernels, on a GPU or its emulator: functions of rmtsim.arrays.gpu against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from rmtsim.arrays import gpu, gpu_device, gpu_launch, gpu_tiles, philox

DTYPES = ("float32", "float64")
IDENTITY = bytes(range(16))
on_gpu = pytest.mark.gpu


def random(*shape: int, dtype: str = "float64", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def device(array: np.ndarray) -> gpu.Array:
    import cupy

    return cupy.asarray(array)


def host(array: gpu.Array) -> np.ndarray:
    import cupy

    return np.asarray(cupy.asnumpy(array))


def eps(dtype: str, factor: float) -> float:
    return factor * float(np.finfo(dtype).eps)


@on_gpu
@pytest.mark.parametrize("rows", [range(0), range(1), range(3, 8), range(2**33, 2**33 + 3), range(300)])
@pytest.mark.parametrize("columns", [1, 7, 1000])
def test_normals_are_those_of_the_twin(rows: range, columns: int) -> None:
    expected = philox.normals(IDENTITY, rows.start * columns, rows.stop * columns).reshape(len(rows), columns)
    double, single = (host(gpu.normals([IDENTITY], rows, columns, 0.1, dtype))[0] for dtype in ("float64", "float32"))
    assert single.dtype == np.float32
    np.testing.assert_allclose(double, 0.1 * expected, rtol=1e-14)
    np.testing.assert_array_equal(single, double.astype(np.float32))


@on_gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (5, 2), (300, 3), (2, 70, 33), (9, 1023), (3, 1024), (2, 2, 16384), (5, 0)])
def test_exponentials(shape: tuple[int, ...], dtype: str) -> None:
    logits, shift = 3 * random(*shape, dtype=dtype), random(*shape[:-1], 1, dtype=dtype, seed=1)
    given = device(logits)
    E, sums, highest = gpu.exponentials(given, device(shift))
    assert E is given
    expected = np.exp(logits.astype(np.float64) - shift)
    np.testing.assert_allclose(host(E), expected, rtol=eps(dtype, 20))  # of the difference's rounding too
    np.testing.assert_allclose(host(sums), host(E).sum(axis=-1, keepdims=True, dtype=np.float64), rtol=1e-13)
    np.testing.assert_array_equal(host(highest), logits.max(axis=-1, keepdims=True, initial=-np.inf))
    assert sums.dtype == np.float64
    assert highest.dtype == dtype


@on_gpu
def test_a_row_of_exponentials_does_not_depend_on_the_others() -> None:
    logits = random(50, 333)
    together = gpu.exponentials(device(logits), device(np.float64(1)))
    alone = gpu.exponentials(device(logits[17:18].copy()), device(np.float64(1)))
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(host(a)[17:18], host(b))


@on_gpu
def test_exponentials_need_a_contiguous_array() -> None:
    with pytest.raises(ValueError, match="contiguous"):
        gpu.exponentials(device(random(4, 6))[:, :3], device(np.float64(0)))


@on_gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (5, 2), (2, 70, 33), (3, 5000), (20000, 5)])
def test_diagonal_weights(shape: tuple[int, ...], dtype: str) -> None:
    E = np.exp(random(*shape, dtype=dtype))
    inverse = 1 / E.sum(axis=-1, keepdims=True, dtype=np.float64)
    P = E * inverse
    Q, S = gpu.diagonal_weights(device(E), device(inverse))
    assert Q.dtype == S.dtype == dtype
    np.testing.assert_allclose(host(S), P * P, rtol=eps(dtype, 4))
    np.testing.assert_allclose(host(Q), P * (1 - P), rtol=eps(dtype, 4), atol=1e-15)


@on_gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (70, 70), (2, 3, 33, 33), (0, 4, 4)])
def test_pair_weights(shape: tuple[int, ...], dtype: str) -> None:
    K = random(*shape, dtype=dtype)
    expected = 2 * np.tril(K, -1) + np.eye(shape[-1], dtype=dtype) * K
    given = device(K)
    assert gpu.pair_weights(given) is given
    np.testing.assert_array_equal(host(given), expected)


@on_gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("lead", "shared", "n", "c", "d"),
    [
        ((), (), 1, 2, 1),
        ((), (), 64, 16, 8),  # whole tiles and pieces
        ((), (), 65, 17, 9),  # and one more
        ((3,), (3,), 130, 5, 40),
        ((2, 3), (2, 1), 70, 33, 20),
    ],
)
def test_pair_sums(lead: tuple[int, ...], shared: tuple[int, ...], n: int, c: int, d: int, dtype: str) -> None:
    X, E = random(*shared, n, d, dtype=dtype), np.exp(random(*lead, n, c, dtype=dtype, seed=1))
    inverse = (1 / E.sum(axis=-1, keepdims=True, dtype=np.float64)).astype(dtype)
    P = E.astype(np.float64) * inverse
    Q, S, K = P * (1 - P), P * P, (X.astype(np.float64) @ X.mT) ** 2
    expected = [np.sum(K * G, axis=(-2, -1)) for G in (Q @ Q.mT, (P @ P.mT) ** 2, S @ S.mT)]
    found = host(gpu_tiles.pair_sums(*map(device, (X, E, inverse))))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, np.stack(expected, axis=-1), rtol=eps(dtype, 20), atol=1e-30)
    if len(lead) == 1:
        alone = host(gpu_tiles.pair_sums(*(device(A[1]) for A in (X, E, inverse))))
        np.testing.assert_array_equal(alone, found[1])


@on_gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("lead", "n", "d", "c", "first"),
    [((), 1, 1, 1, 1), ((), 64, 8, 16, 8), ((3,), 65, 9, 21, 6), ((2, 1), 130, 40, 20, 19), ((), 70, 5, 3, 3)],
)
def test_quadratic_sums(lead: tuple[int, ...], n: int, d: int, c: int, first: int, dtype: str) -> None:
    X, A = random(*lead, n, d, dtype=dtype), np.abs(random(*lead, n, c, dtype=dtype, seed=1))
    K = (X.astype(np.float64) @ X.mT) ** 2
    parts = [A[..., :first].astype(np.float64), A[..., first:].astype(np.float64)]
    expected = np.stack([np.sum(K * (part @ part.mT), axis=(-2, -1)) for part in parts], axis=-1)
    found = host(gpu_tiles.quadratic_sums(device(X), device(A), first))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=eps(dtype, 20), atol=0)
    if len(lead) == 1:
        np.testing.assert_array_equal(host(gpu_tiles.quadratic_sums(device(X[1]), device(A[1]), first)), found[1])


@on_gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lead", [(), (3, 70)])
def test_column_products(lead: tuple[int, ...], dtype: str) -> None:
    """To the bit, also of views with gaps."""
    A, B = (random(*lead, 9, dtype=dtype, seed=k) for k in (0, 1))
    left, right, scale = np.array([0, 3, 8, 3]), np.array([1, 3, 0, 7]), np.array([1, 2**0.5, 1, 3])
    expected = A[..., left] * B[..., right] * scale.astype(dtype)
    np.testing.assert_array_equal(host(gpu.column_products(device(A), device(B), left, right, scale)), expected)
    gaps = [device(np.repeat(M, 2, axis=-1))[..., ::2] for M in (A, B)]
    np.testing.assert_array_equal(host(gpu.column_products(*gaps, left, right, scale)), expected)


@on_gpu
def test_what_never_changes_is_sent_to_the_device_once() -> None:
    index = np.arange(7)
    assert gpu_launch.fixed(index) is gpu_launch.fixed(np.arange(7))
    np.testing.assert_array_equal(host(gpu_launch.fixed(index)), index)
    for other in (np.arange(8), np.arange(7.0), index[None, :]):
        kept = gpu_launch.fixed(other)
        assert (kept.shape, kept.dtype) == (other.shape, other.dtype)


@on_gpu
def test_normals_of_many_streams() -> None:
    names = [bytes([k]) * 16 for k in range(70)]  # more than a launch has
    made = host(gpu.normals(names, range(1, 4), 5, 0.1, "float64"))
    for name, matrix in zip(names, made, strict=True):
        np.testing.assert_array_equal(matrix, host(gpu.normals([name], range(1, 4), 5, 0.1, "float64"))[0])
    with pytest.raises(ValueError, match="16 bytes"):
        gpu.normals([b"short"], range(3), 5, 1.0, "float64")


@on_gpu
def test_memory_limit_holds_and_is_lifted() -> None:
    import cupy

    before = cupy.get_default_memory_pool().get_limit()
    with gpu_device.memory_limit(2**24):
        with pytest.raises(MemoryError) as caught:
            cupy.empty(2**25, dtype=np.uint8)
        assert gpu_device.is_out_of_memory(caught.value)
    assert cupy.get_default_memory_pool().get_limit() == before
    assert not gpu_device.is_out_of_memory(ValueError("other"))
    gpu_device.release()
    assert gpu_device.free_memory() > 2**25
