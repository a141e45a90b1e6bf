"""Products added in place, for arrays however they lie in memory."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

import rmtsim
from rmtsim.arrays.blas import add_product

RNG = np.random.default_rng(0)
BIG = RNG.standard_normal((40, 50))
LAYOUTS = {
    "whole": BIG[:7, :].copy(),
    "rows": BIG[3:10],
    "part of rows": BIG[3:10, 5:25],
    "Fortran": np.asfortranarray(BIG[:7]),
    "transposed": BIG.T[:7],
    "every other row": BIG[:14:2],
    "every other column": BIG[:7, ::2],
    "reversed rows": BIG[6::-1],
    "reversed columns": BIG[:7, ::-1],
    "one row, repeated": np.broadcast_to(BIG[0], (7, 50)),
    "one entry, repeated": np.broadcast_to(BIG[0, :1], (7, 5)),
    "one row": BIG[:1],
    "one column": BIG[:7, 3:4],
}


@pytest.mark.parametrize("A", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_layout(A: np.ndarray, dtype: str) -> None:
    if dtype == "float32":  # astype keeps an order, not strides: rebuild the layouts that matter
        A = A.astype(dtype, order="K")
    rtol = 1e-5 if dtype == "float32" else 1e-12
    B = RNG.standard_normal((11, A.shape[1])).astype(dtype)
    for right in (A, B, A.copy()):
        start = RNG.standard_normal((len(A), len(right))).astype(dtype)
        total = start.copy()
        add_product(total, A, right)
        expected = start + A.astype(float) @ right.astype(float).T
        sure = np.tril(np.ones_like(expected, dtype=bool)) if right is A else np.ones_like(expected, dtype=bool)
        np.testing.assert_allclose(total[sure], expected[sure], rtol=rtol, atol=10 * rtol)


STACKS = {
    "whole": BIG.reshape(2, 4, 5, 50)[:, :3],
    "part of rows": BIG.reshape(2, 4, 5, 50)[:, 1:, :, 7:20],
    "Fortran": np.asfortranarray(BIG.reshape(2, 4, 5, 50)[:, :3]),
    "repeated": np.broadcast_to(BIG[:5], (2, 3, 5, 50)),
    "one matrix each": BIG[:6, None, None, :].reshape(2, 3, 1, 50),
    "none": BIG[:0].reshape(2, 0, 5, 50),
}


@pytest.mark.parametrize("A", STACKS.values(), ids=STACKS)
def test_stacks_are_their_matrices(A: np.ndarray) -> None:
    """To the bit: a draw's value does not depend on its batch."""
    B = np.ascontiguousarray(A[..., :1, :])
    for right in (A, B):
        total = RNG.standard_normal((*A.shape[:-1], right.shape[-2]))
        expected = total.copy()
        for place in np.ndindex(A.shape[:-2]):
            a = A[place]
            add_product(expected[place], a, a if right is A else right[place])
        before = total.copy()
        add_product(total, A, right)
        np.testing.assert_array_equal(total, expected)
        assert total.size == 0 or not np.array_equal(total, before)


@pytest.mark.parametrize("name", LAYOUTS)
def test_block_norms_take_any_layout(name: str) -> None:
    X = LAYOUTS[name]
    V = np.asfortranarray(RNG.standard_normal((6, X.shape[1])) * X.shape[1] ** -0.5)
    before = X.copy()
    found, expected = (rmtsim.block_norms(x, v)["linear"] for x, v in ((X, V), (X.copy(), V.copy(order="C"))))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_array_equal(X, before)


def test_two_threads_work_at_the_same_time() -> None:
    """The interpreter lock is let go: another thread's Python runs on while a product is made."""
    A = RNG.standard_normal((1500, 3000))
    total, counted = np.zeros((1500, 1500)), 0
    worker = threading.Thread(target=add_product, args=(total, A, A))
    worker.start()
    while worker.is_alive():
        counted += 1
        time.sleep(0)
    assert counted > 20  # with the lock held throughout, it would stay near one
