"""Expected norms of the cross blocks: against the simulation, assembled blocks and each other."""

from __future__ import annotations

import math

import numpy as np
import pytest

import rmtsim
from rmtsim import Ensemble, Point, simulate
from rmtsim.theory import cross, finite, large_c, limit
from rmtsim.theory.one_hidden_ce import cross_same
from rmtsim.theory.prediction import Terms

WIDE = Ensemble("he", data_variance=0.5, hidden_gain=0.7, last_gain=0.8)


def assembled(point: Point, draws: int) -> np.ndarray:
    """Mean ‖H_{w_i v_j}‖² over all blocks of full Hessians, in each draw."""
    C, d, N, m = point.n_classes, point.dim, point.n_samples, point.width
    assert m is not None
    rng = np.random.default_rng(3)
    means = []
    for _ in range(draws):
        X, y = rng.standard_normal((N, d)), rng.integers(C, size=N)
        W, V = rng.standard_normal((m, d)) / math.sqrt(d), rng.standard_normal((C, m)) / math.sqrt(m)
        H = rmtsim.hessian(X, V, W=W, y=y, loss=point.loss)[: m * d, m * d :]
        means.append((H**2).sum() / (m * C))
    return np.array(means)


@pytest.mark.parametrize(("loss", "draws"), [("mse", 1000), ("ce", 600)])
def test_against_assembled_hessians(loss: str, draws: int) -> None:
    point = Point("one_hidden", loss, 5, 20, 10, 4)
    norms = assembled(point, draws)
    [found] = finite("one_hidden", loss, 5, 20, 10, 4, layers=("cross",), target_rse=5e-3)
    std_error = math.hypot(norms.std() / math.sqrt(draws), found.std_error_offdiag)
    assert abs(norms.mean() - found.offdiag) < 4.5 * std_error
    assert abs(norms.mean() - 1.1 * found.offdiag) > 4.5 * std_error  # negative control


@pytest.mark.parametrize(
    ("loss", "n_classes", "dim", "n_samples", "width", "ensemble", "draws"),
    [
        ("mse", 5, 12, 24, 3, Ensemble(), 600),
        ("mse", 2, 1, 4, 2, Ensemble(), 6000),
        ("mse", 4, 3, 9, 6, WIDE, 600),
        ("ce", 5, 20, 30, 4, Ensemble(), 600),
        ("ce", 4, 3, 30, 6, Ensemble(data_variance=0.2), 600),
        ("ce", 30, 20, 10, 4, WIDE, 600),
    ],
)
def test_against_simulation(
    loss: str, n_classes: int, dim: int, n_samples: int, width: int, ensemble: Ensemble, draws: int
) -> None:
    """Controls leave a piece out: the same-sample terms, and the pairs, of which little is left at many classes."""
    point = Point("one_hidden", loss, n_classes, dim, n_samples, width, ensemble)
    values = simulate(point, draws, seed=4, layers=("cross",))["offdiag_sqfro"]
    sizes = n_classes, dim, n_samples, width
    [found] = finite("one_hidden", loss, *sizes, ensemble=ensemble, layers=("cross",), target_rse=5e-3)
    std_error = math.hypot(values.sem(), found.std_error_offdiag)
    assert abs(values.mean() - found.offdiag) < 4.5 * std_error
    terms = pieces(loss, point)
    same = terms.same_offdiag / n_samples
    assert found.offdiag == pytest.approx(same + (1 - 1 / n_samples) * terms.pair_offdiag, rel=1e-12)
    for control in (found.offdiag - same, same)[: 1 if n_classes > 20 else 2]:
        assert abs(values.mean() - control) > 4.5 * std_error


def pieces(loss: str, point: Point) -> Terms:
    scales = point.ensemble.scales(point.n_classes, point.width, point.dim)
    assert point.width is not None
    arguments = (point.n_classes, point.width, point.dim, scales.gain)
    return (cross.mse(*arguments) if loss == "mse" else cross.ce(*arguments, 5e-3)).scaled(scales.data)


@pytest.mark.parametrize("gain", [0.4, 2.0])
def test_mse_tends_to_its_limits(gain: float) -> None:
    """As d grows, with an error that falls as 1/d; and as C does, as 1/C."""
    at_limit = cross.mse(7, 3, None, gain)
    errors = []
    for dim in (200, 2000):
        exact = cross.mse(7, 3, dim, gain)
        errors.append(
            [exact.same_offdiag / dim / at_limit.same_offdiag - 1, exact.pair_offdiag / at_limit.pair_offdiag - 1]
        )
    np.testing.assert_allclose(np.divide(errors[0], errors[1]), 10, rtol=0.05)
    many, all_of_them = cross.mse(10**8, 3, None, gain), cross.mse(None, 3, None, gain)
    assert many.same_offdiag == pytest.approx(all_of_them.same_offdiag, rel=1e-7)
    assert many.pair_offdiag == pytest.approx(all_of_them.pair_offdiag, rel=1e-7)


def test_ce_tends_to_its_limit_and_to_many_classes() -> None:
    [at_limit] = limit("one_hidden", "ce", 10, 0.5, 8, layers=("cross",), target_rse=2e-3)
    errors = []
    for dim in (20, 180):
        [exact] = finite("one_hidden", "ce", 10, dim, 2 * dim, 8, layers=("cross",), target_rse=2e-3)
        errors.append(abs(exact.offdiag / at_limit.offdiag - 1))
    assert errors[0] > 6 * errors[1]
    assert errors[1] < 0.02
    [constant] = large_c("one_hidden", "ce", 0.5, 8, layers=("cross",))
    assert (constant.offdiag, constant.offdiag_power) == (pytest.approx(0.25), -1)
    same = [C * cross_same(C, 8, None, 1.0) for C in (10**4, 10**6)]
    assert abs(same[1] - 0.5) < 0.1 * abs(same[0] - 0.5)
    assert abs(same[1] - 0.5) < 1e-3


def test_one_class_has_no_cross_blocks_with_ce() -> None:
    [found] = finite("one_hidden", "ce", 1, 3, 5, 2, layers=("cross",))
    assert found.offdiag == 0
    assert math.isnan(found.diag)
