"""Explicit blocks against automatic differentiation, and the identities that they obey."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rmtsim
from rmtsim.arrays.backend import to_numpy
from rmtsim.kernels import explicit_blocks as blocks
from tests import autodiff
from tests.cases import CASES, IDS, Problem, problem


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    return float(np.max(np.abs(actual - expected)) / (np.max(np.abs(expected)) or 1.0))


def error(actual: np.ndarray, expected: np.ndarray) -> float:
    """Relative to entries of order one: with a single class, or a sure one, all that is left of H is rounding."""
    return float(np.max(np.abs(actual - expected)) / max(1.0, np.max(np.abs(expected))))


def assembled(p: Problem) -> np.ndarray:
    return rmtsim.hessian(p.X, p.V, W=p.W, y=p.y, loss=p.loss)


@pytest.mark.parametrize(("size", "loss"), CASES, ids=IDS)
def test_full_hessian_equals_autodiff(size: tuple, loss: str) -> None:
    p = problem(size, loss)
    assert relative_error(assembled(p), autodiff.hessian(p)) < 1e-12


@pytest.mark.parametrize("loss", ["ce", "mse"])
@pytest.mark.parametrize("size", [(4, 5, 12, None), (4, 5, 12, 3)])
def test_full_hessian_equals_autodiff_at_large_logits(size: tuple, loss: str) -> None:
    p = problem(size, loss, scale=20.0)
    assert relative_error(assembled(p), autodiff.hessian(p)) < 1e-12


def test_a_wrong_factor_would_be_seen() -> None:
    p = problem((3, 5, 4, 4), "mse")
    assert relative_error(assembled(p) / 2, autodiff.hessian(p)) > 0.4


@pytest.mark.parametrize(("size", "loss"), [case for case in CASES if case[0][3]])
def test_each_layer_is_its_part_of_the_hessian(size: tuple, loss: str) -> None:
    p = problem(size, loss)
    C, d, _, m = size
    H = autodiff.hessian(p)
    parts = {
        "hidden": (blocks.hidden_blocks(p.X, p.V, p.W, loss), H[: m * d, : m * d].reshape(m, d, m, d)),
        "output": (blocks.output_blocks(p.X, p.V, p.W, loss), H[m * d :, m * d :].reshape(C, m, C, m)),
        "cross": (blocks.cross_blocks(p.X, p.V, p.W, p.y, loss), H[: m * d, m * d :].reshape(m, d, C, m)),
    }
    for layer, (mine, oracle) in parts.items():
        assert relative_error(mine, oracle.transpose(0, 2, 1, 3)) < 1e-12 or np.abs(oracle).max() < 1e-13, layer


@pytest.mark.parametrize(("size", "loss"), CASES[::3])
def test_any_backend(size: tuple, loss: str, xp: ModuleType) -> None:
    p = problem(size, loss)
    arrays = [None if a is None else xp.asarray(a) for a in (p.X, p.V, p.W, p.y)]
    H = to_numpy(rmtsim.hessian(arrays[0], arrays[1], W=arrays[2], y=arrays[3], loss=loss))
    expected = assembled(p)
    assert relative_error(H, expected) < 1e-13 or (p.V.shape[0] == 1 and error(H, expected) < 1e-15)


sizes = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 12), st.integers(1, 4))
losses = st.sampled_from(["ce", "mse"])
EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True, database=None)


@EXAMPLES
@given(sizes, losses, st.integers(0, 2**16))
def test_symmetric(size: tuple, loss: str, seed: int) -> None:
    H = assembled(problem(size, loss, seed))
    assert error(H, H.T) < 1e-13


@EXAMPLES
@given(sizes, st.integers(0, 2**16))
def test_ce_rows_of_last_layer_blocks_sum_to_zero(size: tuple, seed: int) -> None:
    p = problem(size, "ce", seed)
    for B in (blocks.output_blocks(p.X, p.V, p.W, "ce"), blocks.linear_blocks(p.X, np.ones((3, size[1])), "ce")):
        assert np.abs(B.sum(axis=1)).max() < 1e-13 * max(1.0, np.abs(B).max())


@EXAMPLES
@given(sizes, st.integers(0, 2**16))
def test_mse_last_layer_is_block_diagonal(size: tuple, seed: int) -> None:
    p = problem(size, "mse", seed)
    B = blocks.output_blocks(p.X, p.V, p.W, "mse")
    assert not B[~np.eye(size[0], dtype=bool)].any()
    assert error(B[0, 0], B[-1, -1]) < 1e-14


@EXAMPLES
@given(sizes, losses, st.integers(0, 2**16))
def test_permuting_classes_permutes_blocks(size: tuple, loss: str, seed: int) -> None:
    p = problem(size, loss, seed)
    order = np.random.default_rng(seed).permutation(size[0])
    B = blocks.output_blocks(p.X, p.V, p.W, loss)
    permuted = blocks.output_blocks(p.X, p.V[order], p.W, loss)
    assert error(permuted, B[np.ix_(order, order)]) < 1e-12
