"""Decay fits: unbiased asymptotics, honest standard errors, reasons instead of tracebacks."""

import math
import re

import numpy as np
import pytest

from rmtsim.errors import InputError
from rmtsim.stats.decay_fit import CORRECTION_SCALE, MAX_CORRECTIONS, fit_decay
from rmtsim.theory import large_c, limit

CLASSES = np.array([10, 30, 100, 300, 1000, 3000])


def linear_ce(quantity: str, classes: np.ndarray = CLASSES, gamma: float = 0.5) -> tuple[np.ndarray, float, int]:
    """Theorem 1 at finite C, its C → ∞ constant and power."""
    values = np.array([getattr(limit("linear", "ce", int(C), gamma)[0], quantity) for C in classes])
    [theorem] = large_c("linear", "ce", gamma)
    powers = {"diag": theorem.diag_power, "offdiag": theorem.offdiag_power}
    power = powers.get(quantity, theorem.offdiag_power - theorem.diag_power)
    return values, getattr(theorem, quantity), power


@pytest.mark.parametrize("gamma", [0.5, 2.0])
@pytest.mark.parametrize("quantity", ["diag", "offdiag", "ratio"])
def test_systematic_error_is_well_below_the_statistical_one(quantity: str, gamma: float) -> None:
    y, constant, power = linear_ce(quantity, gamma=gamma)
    fit = fit_decay(CLASSES, y, 0.005 * y, exponent=power)
    assert abs(fit.exponent.value - power) < 0.5 * fit.exponent.std_error < 0.005
    assert abs(fit.pinned_constant.value / constant - 1) < 0.0025
    assert fit.chi2 < 0.1
    assert abs(fit.plain_slope.value - power) > 0.03  # what the corrections are for


def test_least_squares_against_an_independent_solver() -> None:
    rng = np.random.default_rng(1)
    rse = rng.uniform(0.002, 0.02, 9)
    C = np.geomspace(10, 5000, 9)
    y = 3 * C**-1.5 * (1 + rse * rng.standard_normal(9))
    u = CORRECTION_SCALE / (C + CORRECTION_SCALE)
    design = np.column_stack([np.log(C), u**3, u**2, u, np.ones(9)])
    normal = design.T @ np.diag(rse**-2) @ design
    expected = np.linalg.solve(normal, design.T @ (np.log(y) / rse**2))
    covariance = np.linalg.inv(normal)
    fit = fit_decay(C, y, rse * y)
    assert fit.exponent.value == pytest.approx(expected[0], rel=1e-6)
    assert fit.exponent.std_error == pytest.approx(math.sqrt(covariance[0, 0]), rel=1e-6)
    assert fit.constant.value == pytest.approx(math.exp(expected[4]), rel=1e-6)
    assert fit.constant.std_error == pytest.approx(fit.constant.value * math.sqrt(covariance[4, 4]), rel=1e-6)
    assert fit.chi2 == pytest.approx(np.sum(((np.log(y) - design @ expected) / rse) ** 2), rel=1e-6)
    assert fit.dof == 9 - 3 - 2
    assert math.isnan(fit.pinned_constant.value)


def test_pulls_are_unit_normal_and_chi2_has_its_mean() -> None:
    y, constant, power = linear_ce("diag")
    rng = np.random.default_rng(2)
    rse = np.array([0.004, 0.005, 0.005, 0.006, 0.004, 0.005])
    fits = [fit_decay(CLASSES, y * (1 + rse * z), rse * y, power) for z in rng.standard_normal((1500, 6))]
    pulls = {
        "exponent": [(f.exponent.value - power) / f.exponent.std_error for f in fits],
        "constant": [(f.pinned_constant.value - constant) / f.pinned_constant.std_error for f in fits],
    }
    # 1500 replicates: standard errors 0.026 of the mean, 0.018 of the spread; the fit's own bias is below 0.3.
    for pull in pulls.values():
        assert abs(np.mean(pull)) < 0.3 + 4 * 0.026
        assert abs(np.std(pull) - 1) < 4 * 0.018
    assert np.mean([f.chi2 for f in fits]) == pytest.approx(1, abs=4 * math.sqrt(2 / 1500))
    assert np.min([(f.plain_slope.value - power) / f.plain_slope.std_error for f in fits]) > 5  # negative control


def test_another_power_is_distinguished() -> None:
    y, _, power = linear_ce("diag")
    fit = fit_decay(CLASSES, y * CLASSES**0.1, 0.005 * y * CLASSES**0.1)
    assert abs(fit.exponent.value - power) > 5 * fit.exponent.std_error
    assert fit.exponent.value == pytest.approx(power + 0.1, abs=0.005)


@pytest.mark.parametrize(("n", "corrections", "dof"), [(4, 1, 1), (5, 2, 1), (6, 3, 1), (7, 3, 2), (12, 3, 7)])
def test_the_number_of_corrections_depends_on_the_amount_of_data_alone(n: int, corrections: int, dof: int) -> None:
    C = np.geomspace(10, 3000, n)
    fit = fit_decay(C, C**-2.0, 0.01 * C**-2.0)
    assert (fit.n_points, fit.n_corrections, fit.dof) == (n, corrections, dof)
    assert fit.n_corrections <= MAX_CORRECTIONS
    assert fit.exponent.value == pytest.approx(-2, abs=1e-9)


def test_repeated_classes_do_not_buy_corrections() -> None:
    C = np.repeat([10.0, 100.0, 1000.0, 10000.0], 2)
    fit = fit_decay(C, C**-2, 0.01 * C**-2)
    assert (fit.n_points, fit.n_corrections, fit.dof) == (8, 1, 5)


def test_small_or_uncertain_points_are_left_out() -> None:
    C = np.array([2, 3, *CLASSES, 5000, 6000, 7000])
    y = 1.0 / C
    std_error = 0.01 * y
    y[:2] *= 7  # few classes: corrections of their own
    std_error[-3:] = [math.nan, 0.5 * y[-2], 0.0]
    fit = fit_decay(C, y, std_error)
    assert fit.n_points == 6
    assert fit.exponent.value == pytest.approx(-1, abs=1e-9)


@pytest.mark.parametrize(
    ("C", "y", "rse", "reason"),
    [
        (CLASSES, np.zeros(6), 0.01, "zero in every draw"),
        (CLASSES[:3], CLASSES[:3] ** -2.0, 0.01, "needs 4 numbers of classes of at least 10.*there are 3"),
        (CLASSES, np.full(6, math.nan), 0.01, "there are 0"),
        (CLASSES, CLASSES**-2.0, math.nan, "there are 0"),
        (CLASSES, CLASSES**-2.0, 0.5, "there are 0"),
        ([], [], 0.01, "there are 0"),
    ],
)
def test_no_fit_has_a_reason(C, y, rse, reason) -> None:  # type: ignore[no-untyped-def]
    fit = fit_decay(C, y, rse * np.asarray(y), exponent=-2)
    assert math.isnan(fit.exponent.value)
    assert math.isnan(fit.pinned_constant.value)
    assert re.search(reason, fit.reason)


def test_three_points_still_have_a_plain_slope() -> None:
    C = CLASSES[:3]
    fit = fit_decay(C, C**-2.0, 0.01 * C**-2.0)
    assert fit.plain_slope.value == pytest.approx(-2)


def test_lengths_must_match() -> None:
    with pytest.raises(InputError, match="three sequences of one length"):
        fit_decay([10, 20], [1.0], [0.1])
