"""Block norms, shares and maps from panels against those of the assembled matrix."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

import rmtsim
from rmtsim.errors import InputError
from rmtsim.full_hessian.description import Look
from rmtsim.full_hessian.entry_map import cell_edges
from rmtsim.full_hessian.structure import Structure
from rmtsim.training.problem import Problem


def assembled(problem: Problem) -> tuple[np.ndarray, tuple]:
    X, weights, y = problem.draw()
    return rmtsim.hessian(X, weights[-1], W=weights[:-1] or None, y=y, loss=problem.loss), (X, weights, y)


PROBLEMS = [
    Problem("ce", 5, 7, 30),
    Problem("mse", 5, 7, 30),
    Problem("ce", 5, 7, 30, (3,)),
    Problem("mse", 4, 6, 30, (3,)),
    Problem("ce", 3, 6, 30, (5, 4)),
    Problem("binary_ce", 2, 6, 30, (5,)),
]


def cut(problem: Problem) -> np.ndarray:
    """First parameter of every block, and their number."""
    starts, start = [], 0
    for neurons, inputs in problem.shapes:
        starts += [start + k * inputs for k in range(neurons)]
        start += neurons * inputs
    return np.array([*starts, start])


def over(H: np.ndarray, rows: np.ndarray, how: Callable[..., float], columns: np.ndarray | None = None) -> np.ndarray:
    columns = rows if columns is None else columns
    return np.array([[how(H[a:b, c:d]) for c, d in pairwise(columns)] for a, b in pairwise(rows)])


@pytest.mark.parametrize("cells", [4, 9, 400])
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: f"{p.loss}-{p.hidden}")
def test_equals_the_assembled_matrix(problem: Problem, cells: int) -> None:
    H, (X, weights, y) = assembled(problem)
    found = Structure(X, weights, y, problem.loss, cells=cells, eigenvalues=True)
    edges = cut(problem)
    blocks = over(H, edges, lambda block: np.sum(block**2))
    np.testing.assert_allclose(found.block_sqfro, blocks, rtol=1e-10, atol=1e-14)
    assert found.outside() == pytest.approx(1 - np.trace(blocks) / blocks.sum(), abs=1e-12)
    assert (found.maps[0].rows[0], found.maps[0].rows[-1]) == (0, len(H))
    for entries in found.maps.values():
        np.testing.assert_allclose(entries.largest, over(np.abs(H), entries.rows, np.max), rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(entries.mean, over(np.abs(H), entries.rows, np.mean), rtol=1e-10, atol=1e-14)
    spectra = [values for layer in found.eigenvalues for values in layer]
    for values, a, b in zip(spectra, edges, edges[1:], strict=False):
        np.testing.assert_allclose(values, np.linalg.eigvalsh(H[a:b, a:b]), atol=1e-12)


@pytest.mark.parametrize("strip", [2, 100])
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: f"{p.loss}-{p.hidden}")
def test_strips_equal_the_assembled_matrix(problem: Problem, strip: int) -> None:
    H, (X, weights, y) = assembled(problem)
    found = Structure(X, weights, y, problem.loss, cells=4, strip=strip)
    assert list(found.strips) == list(range(1, len(weights)))
    starts = np.cumsum([0, *(rows * columns for rows, columns in problem.shapes)])
    for a, entries in found.strips.items():
        neurons, inputs = problem.shapes[a]
        last = starts[a] + min(strip, neurons) * inputs
        np.testing.assert_array_equal(entries.columns, np.arange(starts[a], last + 1))  # each column for itself
        assert (entries.rows[0], entries.rows[-1], len(entries.rows) < 12) == (starts[a - 1], starts[a], True)
        for values, how in ((entries.largest, np.max), (entries.mean, np.mean)):
            by_hand = over(np.abs(H), entries.rows, how, entries.columns)
            np.testing.assert_allclose(values, by_hand, rtol=1e-10, atol=1e-14)
    assert not Structure(X, weights, y, problem.loss, cells=4).strips


@pytest.mark.parametrize("problem", [problem for problem in PROBLEMS if len(problem.hidden) == 1])
def test_norms_are_those_of_block_norms(problem: Problem) -> None:
    if problem.loss.startswith("binary"):
        return
    X, weights, y = problem.draw()
    found = Structure(X, weights, y, problem.loss, cells=0)
    norms = rmtsim.block_norms(X, weights[1], W=weights[0], y=y, loss=problem.loss)
    for layer, a, b in (("hidden", 0, 0), ("output", 1, 1), ("cross", 0, 1)):
        part = found.part(a, b)
        diagonal, others = (np.trace(part), part.size - len(part)) if a == b else (0.0, part.size)
        assert (part.sum() - diagonal) / others == pytest.approx(float(norms[layer].offdiag_sqfro), rel=1e-10)
        if a == b:
            assert diagonal / len(part) == pytest.approx(float(norms[layer].diag_sqfro), rel=1e-10)


@pytest.mark.parametrize("loss", ["ce", "mse"])
def test_stripes(loss: str) -> None:
    """Columns from the matrix; the residual's term as the difference that other residuals make, which is linear."""
    problem = Problem(loss, 5, 7, 30, (3,))
    H, (X, weights, y) = assembled(problem)
    found = Structure(X, weights, y, loss, cells=0)
    cross = H[:21, 21:].reshape(3, 7, 5, 3)
    own = np.stack([cross[i, :, :, i] for i in range(3)])
    assert found.column_sqfro[0] == pytest.approx(np.sum(own**2), rel=1e-12)
    mask = X @ weights[0].T > 0
    logits = np.maximum(X @ weights[0].T, 0) @ weights[1].T
    P = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    residual = (P if loss == "ce" else logits) - np.eye(5)[y]
    stripe = np.einsum("ni,nk,nj->ikj", mask, X, residual * (1 if loss == "ce" else 2)) / len(X)
    assert found.stripe_sqfro[0] == pytest.approx(np.sum(stripe**2), rel=1e-12)
    if loss == "mse":  # the other term has v_{j,i} σ_n: without its i-th column the blocks are as without a residual
        rest = np.einsum("ni,nk,nl,ji->ikjl", mask, X, np.maximum(X @ weights[0].T, 0), weights[1]) * 2 / len(X)
        rest[range(3), :, :, range(3)] += stripe.transpose(0, 1, 2)
        np.testing.assert_allclose(cross, rest, atol=1e-13)


def test_grouped_blocks_are_means() -> None:
    problem = Problem("ce", 10, 4, 20, (3,))
    X, weights, y = problem.draw()
    found = Structure(X, weights, y, "ce", cells=0)
    edges, norms = found.grouped_blocks(4)
    assert list(edges) == [0, 1, 2, 3, 5, 8, 10, 13]
    assert norms[4, 0] == pytest.approx(found.block_sqfro[5:8, 0].mean())


def test_cells_respect_blocks() -> None:
    edges = cell_edges([8, 500], [500, 8], 400)
    assert len(edges) == pytest.approx(400, abs=10)
    assert set(range(0, 4000, 500)) <= set(edges)  # hidden blocks are cut into cells
    assert all((edge - 4000) % 8 == 0 for edge in edges if edge >= 4000)  # output blocks lie in cells
    assert list(cell_edges([2, 3], [3, 2], 100)) == list(range(13))  # a small Hessian has a cell for each entry


@pytest.mark.parametrize("look", [lambda: Look(cells=-5), lambda: Look(cells=2.5), lambda: Look(strip=-1)])  # type: ignore[arg-type]
def test_bad_looks_are_refused(look: Callable[[], Look]) -> None:
    with pytest.raises(InputError, match=r"(cells|strip): .* is not valid; give a whole number from 0"):
        look()
