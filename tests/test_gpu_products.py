"""Products and weighted sums on a GPU, or on its emulator, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from rmtsim.arrays import gpu, gpu_tiles
from tests.test_kernels import DTYPES, device, eps, host, on_gpu, random


@on_gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (20, 70, 33), (2, 3, 9, 300), (9000, 40)])
def test_weighted_sum(shape: tuple[int, ...], power: int, dtype: str) -> None:
    K, G = random(*shape, dtype=dtype), random(*shape, dtype=dtype, seed=1)
    left, right = random(*shape[:-1], seed=2), random(*shape[:-2], shape[-1], seed=3)
    terms = K * (G * (left[..., :, None] * right[..., None, :])) ** power
    value = gpu.weighted_sum(*map(device, (K, G, left, right)), power)
    assert value.dtype == np.float64
    assert value.shape == shape[:-2]
    scale = np.abs(terms).sum(axis=(-1, -2))
    assert np.all(np.abs(host(value) - terms.sum(axis=(-1, -2))) <= 1e-14 * scale)
    alone = gpu.weighted_sum(
        *(device(A.reshape(-1, *A.shape[len(shape) - 2 :])[-1]) for A in (K, G, left, right)), power
    )
    assert float(host(alone)) == host(value).reshape(-1)[-1]


@on_gpu
@pytest.mark.parametrize("lead", [(3,), (2, 3)])
def test_weighted_sum_of_several_g_with_one_k(lead: tuple[int, ...]) -> None:
    K, G = random(*lead[:-1], 1, 9, 40), random(*lead, 9, 40, seed=1)
    left, right = random(*lead, 9, seed=2), random(*lead, 40, seed=3)
    expected = np.sum(K * G * left[..., :, None] * right[..., None, :], axis=(-1, -2))
    value = host(gpu.weighted_sum(*map(device, (K, G, left, right)), 1))
    np.testing.assert_allclose(value, expected, rtol=1e-12)


@on_gpu
def test_weighted_sum_refuses_what_does_not_fit() -> None:
    K, left, right = device(random(4, 6)), device(random(4)), device(random(6))
    for K2, power in [(K[:3], 1), (K.astype(np.float32), 1), (K, 3)]:
        with pytest.raises(ValueError, match="fit"):
            gpu.weighted_sum(K2, K, left, right, power)


@on_gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize(
    ("lead", "n", "k", "c"),
    [
        ((), 1, 1, 1),
        ((), 5, 3, 7),
        ((), 3, 1, 4),
        ((), 1, 4, 3),
        ((), 300, 280, 50),
        ((4,), 30, 20, 9),
        ((2, 2), 257, 300, 5),
    ],
)
@pytest.mark.parametrize("small", [0, 2**24])  # by cuBLAS, and by a kernel
def test_add_product(
    lead: tuple[int, ...], n: int, k: int, c: int, same: bool, dtype: str, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_tiles, "_SMALL", small)
    A = random(*lead, n, c, dtype=dtype)
    B = A if same else random(*lead, k, c, dtype=dtype, seed=1)
    before = random(*lead, n, B.shape[-2], dtype=dtype, seed=2)
    total, a = device(before), device(A)
    gpu.add_product(total, a, a if same else device(B))
    errors = np.abs(host(total) - (before + A.astype(np.float64) @ B.mT))
    check = np.tril if same else np.asarray
    assert np.all(check(errors) <= eps(dtype, c + 4) * (np.abs(before) + np.abs(A) @ np.abs(B).mT))  # TF32 errs by more


@on_gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("left", "right"), [((), ()), ((3,), ()), ((2, 1), (2, 3)), ((0,), (0,))])
@pytest.mark.parametrize(("n", "k", "c"), [(1, 1, 1), (30, 20, 9), (5, 1, 3), (4, 3, 0), (130, 65, 17)])
@pytest.mark.parametrize("small", [0, 2**24])  # by cuBLAS, and by a kernel
def test_products(
    left: tuple[int, ...],
    right: tuple[int, ...],
    n: int,
    k: int,
    c: int,
    dtype: str,
    small: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gpu_tiles, "_SMALL", small)
    A, B = random(*left, n, c, dtype=dtype), random(*right, k, c, dtype=dtype, seed=1)
    expected = A.astype(np.float64) @ B.mT
    bound = eps(dtype, c + 4) * (np.abs(A).astype(np.float64) @ np.abs(B).mT)
    for a, b in [(device(A), device(B)), (device(A.mT.copy()).mT, device(B.mT.copy()).mT)]:  # by rows, by columns
        found = gpu.products(a, b)
        assert found.dtype == dtype
        assert found.flags.c_contiguous
        assert np.all(np.abs(host(found) - expected) <= bound)


@on_gpu
@pytest.mark.parametrize("small", [0, 2**24])  # by cuBLAS, and by a kernel
def test_products_with_itself_are_whole(small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the diagonal, too, unlike where products are added, and also where there are several tiles."""
    monkeypatch.setattr(gpu_tiles, "_SMALL", small)
    A = random(2, 150, 7)
    a = device(A)
    np.testing.assert_allclose(host(gpu.products(a, a)), A @ A.mT, rtol=1e-12, atol=1e-12)


@on_gpu
def test_sums_over_many_columns_keep_their_digits() -> None:
    """In float32: rounding errors of one long run would be ten times as large."""
    rng = np.random.default_rng(0)
    X, A = (rng.random(size=(6, size)).astype(np.float32) for size in (60_000, 9))
    wide, of_A = X.astype(np.float64), A.astype(np.float64)
    x = device(X)
    np.testing.assert_allclose(host(gpu.products(x, x)), wide @ wide.T, rtol=1e-6)
    K, P = (wide @ wide.T) ** 2, of_A / of_A.sum(axis=1, keepdims=True)
    inverse = device((1 / of_A.sum(axis=1, keepdims=True)).astype(np.float32))
    sums = [np.sum(K * G) for G in ((P - P * P) @ (P - P * P).T, (P @ P.T) ** 2, (P * P) @ (P * P).T)]
    np.testing.assert_allclose(host(gpu_tiles.pair_sums(x, device(A), inverse)), sums, rtol=1e-6)
    sums = [np.sum(K * (part @ part.T)) for part in (of_A[:, :4], of_A[:, 4:])]
    np.testing.assert_allclose(host(gpu_tiles.quadratic_sums(x, device(A), 4)), sums, rtol=1e-6)


@on_gpu
def test_pair_sums_of_sure_samples_keep_their_digits() -> None:
    """Q = P∘(1 − P) of a P near 1: P − P∘P would lose half of float32's digits."""
    rng, n, c = np.random.default_rng(0), 5, 4
    rest = 1e-4 * rng.random(size=(n, c)).astype(np.float32)
    rest[:, 0] = 0
    E = np.where(np.arange(c) == 0, 1, rest).astype(np.float32)
    inverse = (1 / E.astype(np.float64).sum(axis=1, keepdims=True)).astype(np.float32)
    X = np.eye(n, dtype=np.float32)
    P = (E * inverse).astype(np.float64)
    expected = np.sum((P * (1 - P)) ** 2)
    np.testing.assert_allclose(float(host(gpu_tiles.pair_sums(*map(device, (X, E, inverse))))[0]), expected, rtol=1e-6)


@on_gpu
@pytest.mark.parametrize("small", [0, 2**24])
def test_products_of_columns_of_a_larger_array(small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_tiles, "_SMALL", small)
    A = random(2, 6, 50)
    np.testing.assert_allclose(
        host(gpu.products(device(A)[..., 3:40], device(A)[..., 3:40])), A[..., 3:40] @ A[..., 3:40].mT
    )


@on_gpu
@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("cut", [np.s_[:, 10:280, :], np.s_[:, :, 3:40], np.s_[1:, ::2, :]])
@pytest.mark.parametrize("small", [0, 2**24])
def test_add_product_of_slices(cut: tuple[slice, ...], same: bool, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_tiles, "_SMALL", small)
    A, B = random(3, 600, 50), random(3, 600, 50, seed=1)
    a = device(A)[cut]
    b = a if same else device(B)[cut]
    expected = A[cut] @ (A if same else B)[cut].mT
    totals = device(np.ones((5, *expected.shape[1:])))
    gpu.add_product(totals[1 : 1 + len(expected)], a, b)
    check = np.tril if same else np.asarray
    np.testing.assert_allclose(check(host(totals))[1 : 1 + len(expected)], check(1 + expected), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(host(totals)[0], 1)


@on_gpu
def test_add_product_needs_a_contiguous_total() -> None:
    A = device(random(300, 4))
    with pytest.raises(ValueError, match="contiguous"):
        gpu.add_product(device(np.zeros((300, 400)))[:, :300], A, A)
