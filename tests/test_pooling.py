"""Draws with different numbers of last layers are pooled without bias, and nearly as well as can be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import rmtsim
from rmtsim.stats.estimates import effective_draws, mean_estimate, ratio_estimate, skewness
from rmtsim.stats.pooling import (
    pooled_effective_draws,
    pooled_mean,
    pooled_ratio,
    relative_deviations,
    relative_deviations_of_ratio,
)
from rmtsim.stats.verdict import without_skewness

SETS = 300
GROUPS = [((64, 1), (64, 8)), ((200, 1), (30, 16)), ((20, 1), (90, 4))]


def numbers(groups: tuple[tuple[int, int], ...]) -> np.ndarray:
    return np.concatenate([np.full(n, R) for n, R in groups])


def two_stage(rng: np.random.Generator, R: np.ndarray, theta: float, tail: float) -> np.ndarray:
    """Draws of mean 1 and variance 1 − θ + θ/R, skew by log-normal last layers."""
    within = np.array([rng.lognormal(-(tail**2) / 2, tail, one).mean() for one in R]) - 1
    return 1 + within * (theta / np.expm1(tail**2)) ** 0.5 + rng.normal(size=len(R)) * (1 - theta) ** 0.5


def standard(values: list[float]) -> float:
    """How many standard errors a mean over data sets is off 1."""
    return float((np.mean(values) - 1) / (np.std(values, ddof=1) / len(values) ** 0.5))


@pytest.mark.parametrize("groups", GROUPS, ids=str)
@pytest.mark.parametrize("theta", [0.0, 0.5, 1.0])
def test_means_have_no_bias_honest_errors_and_nearly_the_least_variance(
    groups: tuple[tuple[int, int], ...], theta: float
) -> None:
    rng, R = np.random.default_rng(5), numbers(groups)
    found = [pooled_mean(two_stage(rng, R, theta, 0.5), R) for _ in range(SETS)]
    values = [estimate.value for estimate in found]
    assert abs(standard(values)) < 3.5
    covered = np.mean([abs(estimate.value - 1) < 1.96 * estimate.std_error for estimate in found])
    assert 0.905 < covered < 0.985  # 3.5 standard errors of 95 % over 300 sets are 4.4 %
    alone = [(1 - theta + theta / one) / n for n, one in groups]
    least, variance = 1 / sum(1 / one for one in alone), np.var(values, ddof=1)
    assert variance < 1.35 * least
    assert variance < 1.2 * min(alone)  # as good as the better of the two, up to noise


def test_skew_draws_are_not_pulled_down() -> None:
    """Negative control: the inverse variances of the same draws as their weights."""
    rng, R = np.random.default_rng(6), numbers(((40, 1), (40, 2)))

    def by_own_variance(x: np.ndarray) -> float:
        groups = [x[one == R] for one in (1, 2)]
        precision = [len(group) / group.var(ddof=1) for group in groups]
        return float(np.dot(precision, [group.mean() for group in groups]) / sum(precision))

    data = [two_stage(rng, R, 1.0, 1.2) for _ in range(500)]
    assert abs(standard([pooled_mean(x, R).value for x in data])) < 3.5
    assert standard([by_own_variance(x) for x in data]) < -5


@pytest.mark.parametrize("theta", [0.0, 0.9])
def test_ratios_too(theta: float) -> None:
    rng, R = np.random.default_rng(7), numbers(GROUPS[0])
    found = []
    for _ in range(SETS):
        a, own = 5 + two_stage(rng, R, theta, 0.5), two_stage(rng, R, theta, 0.5)
        found.append(pooled_ratio(0.5 * a + 3 * own, a, R))  # truth: (3 + 3)/6
    assert abs(standard([estimate.value for estimate in found])) < 3.5
    assert 0.905 < np.mean([abs(estimate.value - 1) < 1.96 * estimate.std_error for estimate in found]) < 0.985
    plain = [estimate.std_error for estimate in found]
    assert np.std([estimate.value for estimate in found]) == pytest.approx(np.mean(plain), rel=0.15)


def test_the_bias_of_a_ratio_is_taken_out() -> None:
    rng, R = np.random.default_rng(8), numbers(((4, 1), (4, 2)))
    values, raw = [], []
    for _ in range(3000):
        a = 1 + 0.35 * rng.normal(size=len(R)) / R**0.5
        values.append(pooled_ratio(np.ones(len(R)), a, R).value)
        raw.append(1 / a.mean())
    assert abs(np.mean(values) - 1) < 0.2 * abs(np.mean(raw) - 1)
    assert standard(raw) > 5


@pytest.mark.parametrize("R", [1, 8])
def test_with_one_number_nothing_changes(R: int) -> None:
    rng = np.random.default_rng(9)
    a, b, errors = rng.lognormal(size=(3, 30))
    same = np.full(30, R)
    assert pooled_mean(a, same) == mean_estimate(a)
    assert pooled_ratio(b, a, same) == ratio_estimate(b, a)
    assert pooled_effective_draws(a, errors, same) == effective_draws(a, errors)


@pytest.mark.parametrize("power", [-480, 0, 480])
def test_units_do_not_matter(power: int) -> None:
    rng, R = np.random.default_rng(10), numbers(GROUPS[2])
    a, b = rng.lognormal(size=(2, len(R)))
    plain, scaled = (pooled_mean(np.ldexp(a, k), R) for k in (0, power))
    assert scaled == tuple(np.ldexp(plain, power))
    assert pooled_ratio(np.ldexp(b, power), np.ldexp(a, power), R) == pooled_ratio(b, a, R)


def test_few_or_equal_draws_have_no_standard_error() -> None:
    few = pooled_mean(np.array([1.0, 2.0]), np.array([1, 4]))
    assert 1 <= few.value <= 2
    assert np.isnan(few.std_error)
    single = pooled_mean(np.array([1.0, 2.0, 1.5, 1.8]), np.array([1, 1, 1, 4]))
    assert single.std_error > 0
    equal = pooled_mean(np.full(6, 3.0), np.array([1, 1, 1, 4, 4, 4]))
    assert (equal.value, np.isnan(equal.std_error)) == (pytest.approx(3.0), True)
    fixed = pooled_mean(np.full(6, 3.0), np.array([1, 1, 1, 4, 4, 4]), fixed=True)
    assert fixed.std_error == pytest.approx(0.0, abs=1e-14)
    assert all(np.isnan(pooled_ratio(np.ones(4), np.zeros(4), np.array([1, 1, 2, 2]))))


POINT = rmtsim.Point("one_hidden", "ce", 3, 6, 12, 2)


def test_a_summary_pools_seeds_that_differ_in_it() -> None:
    one = rmtsim.simulate(POINT, 150, seed=0)
    many = rmtsim.simulate(POINT, 150, seed=1, weights_per_draw=8)
    rows = pd.concat([one, many], ignore_index=True)
    pooled = rmtsim.summarize(rows)
    pd.testing.assert_frame_equal(rmtsim.summarize(rows.sample(frac=1, random_state=0)), pooled, check_exact=True)
    assert set(pooled["draws"]) == set(pooled["effective_draws"]) == {300}
    parts = [rmtsim.summarize(part).set_index("layer") for part in (one, many)]
    hidden = pooled.set_index("layer").loc["hidden"]
    errors = [part.loc["hidden", "std_error_diag"] for part in parts]
    assert hidden["std_error_diag"] < min(errors)
    plain = rmtsim.summarize(rows.drop(columns="weights_per_draw")).set_index("layer").loc["hidden"]
    assert plain["std_error_diag"] > 1.3 * hidden["std_error_diag"]  # negative control: all weigh the same
    assert plain["diag_sqfro"] == pytest.approx(rows[rows["layer"] == "hidden"]["diag_sqfro"].mean())


def test_rows_of_before_have_one_last_layer() -> None:
    rows = rmtsim.simulate(POINT, 5)
    expected = rmtsim.summarize(rows)
    pd.testing.assert_frame_equal(rmtsim.summarize(rows.drop(columns="weights_per_draw")), expected, check_exact=True)
    mixed = pd.concat([rows.drop(columns="weights_per_draw"), rmtsim.simulate(POINT, range(5, 9))])
    assert set(rmtsim.summarize(mixed)["draws"]) == {9}
    with pytest.raises(rmtsim.InputError, match=r"weights_per_draw holds 0\.?5?; give whole numbers from 1 to 1000$"):
        rmtsim.summarize(rows.assign(weights_per_draw=0.5))


def test_deviations_are_those_of_the_mean_and_of_the_ratio() -> None:
    rng, one = np.random.default_rng(8), np.ones(60, dtype=int)
    a, b = rng.gamma(3.0, 1.0, (2, 60)) * [[1e-200], [1e150]]
    e, r = relative_deviations(b, one), relative_deviations_of_ratio(b, a, one)
    assert e == pytest.approx(b / b.mean() - 1)
    assert r == pytest.approx(b / b.mean() - a / a.mean())
    assert skewness(e) == pytest.approx(stats.skew(b / b.max()))
    for x in (e, r):
        assert abs(x.mean()) < 1e-12
    assert (
        relative_deviations(0 * a, one).tolist() == relative_deviations_of_ratio(b, 0 * a, one).tolist() == [0.0] * 60
    )
    assert np.isnan(relative_deviations(a * np.nan, one)).all()
    assert np.isnan(relative_deviations_of_ratio(b, a * np.nan, one)).all()


@pytest.mark.parametrize("of", ["mean", "ratio"])
def test_deviations_of_pooled_draws_make_its_error_and_its_skewness(of: str) -> None:
    """Truths are as often above as below the intervals; negative control: mostly above those without skewness."""
    rng, R = np.random.default_rng(9), numbers(((30, 1), (15, 4)))
    t, a, errors = [], [], []
    for _ in range(800):
        x, other = two_stage(rng, R, 1.0, 0.9), 1 + 0.1 * rng.normal(size=len(R))
        found = pooled_mean(x, R) if of == "mean" else pooled_ratio(x, other, R)
        e = relative_deviations(x, R) if of == "mean" else relative_deviations_of_ratio(x, other, R)
        errors.append(np.mean(e**2) ** 0.5 / len(e) ** 0.5 / found.rse)
        t.append((found.value - 1) / found.std_error)
        a.append(skewness(e) / len(e) ** 0.5)
    assert np.mean(errors) == pytest.approx(1, abs=0.1)
    z = without_skewness(t, a)
    above, below = np.mean(z < -2), np.mean(z > 2)
    assert above - below < 0.03
    assert np.mean(np.array(t) < -2) - np.mean(np.array(t) > 2) > 0.05
