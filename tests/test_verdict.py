"""Verdicts: tolerances count looks and draws, and what has no standard error never agrees."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import stdtrit

from rmtsim.stats.verdict import (
    LEVEL,
    LOOKS,
    NO_ERROR,
    TOLERANCE,
    Deviation,
    agrees,
    bounds,
    reach,
    sign,
    structure,
    tolerance,
    with_skewness,
    without_skewness,
    z_score,
)


def test_the_tolerance_of_a_report_is_three_and_a_half_standard_errors() -> None:
    assert tolerance() == pytest.approx(TOLERANCE, abs=1e-9)
    assert tolerance(looks=1) == pytest.approx(2, abs=0.01)
    assert tolerance(draws=10) == pytest.approx(stats.t.isf(stats.norm.sf(3.5), 9), rel=1e-9)
    assert tolerance(draws=10**6) == pytest.approx(TOLERANCE, abs=1e-3)


@pytest.mark.parametrize(("draws", "looks"), [(3, 1), (3, 6), (10, 1), (10, 20), (None, 6)])
def test_chance_exceeds_the_tolerance_as_rarely_whatever_the_draws_and_looks(draws: int | None, looks: int) -> None:
    rng = np.random.default_rng(0)
    trials = 40_000
    if draws is None:
        z = rng.standard_normal((trials, looks))
    else:
        x = rng.standard_normal((trials, looks, draws))
        z = x.mean(axis=-1) / (x.std(axis=-1, ddof=1) / math.sqrt(draws))
    expected = stats.norm.sf(TOLERANCE) * LOOKS
    false = np.mean((z > tolerance(draws, looks)).any(axis=1))
    assert false == pytest.approx(1 - (1 - expected / looks) ** looks, abs=5 * math.sqrt(expected / trials))
    # Without Student's t, three draws would be wrong four times as often: the test can tell.
    if draws == 3:
        assert np.mean((z > tolerance(None, looks)).any(axis=1)) > 3 * expected


def test_what_has_no_standard_error_never_agrees_and_is_on_no_side() -> None:
    assert not agrees(math.nan)
    assert not agrees(math.inf)
    assert agrees(3.4)
    assert not agrees(-3.6)
    assert sign(5.0, math.nan) == 0
    assert [sign(x, 1.0) for x in (4.0, -4.0, 3.0, 0.0)] == [1, -1, 0, 0]
    lower, upper = bounds(0.05, math.nan)
    assert not upper < 0.1
    assert not lower > 0.1
    assert structure(pd.Series([0.01, 0.02]), pd.Series([0.001, math.nan])) == NO_ERROR


def test_a_z_score_takes_errors_in_quadrature_and_is_unknown_without_them() -> None:
    assert z_score(1.0, 0.5, 0.3, 0.4) == pytest.approx(1.0)
    assert math.isnan(z_score(1.0, 0.5, math.nan, 0.4))
    assert math.isnan(z_score(1.0, 1.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("outside", "verdict"),
    [([0.01, 0.05], "holds"), ([0.05, 0.2], "weakened"), ([0.05, 0.6], "lost"), ([0.05, 0.102], "unresolved")],
)
def test_structure_against_the_thresholds(outside: list[float], verdict: str) -> None:
    assert structure(pd.Series(outside), pd.Series([0.002] * 2), draws=24) == verdict


def test_few_draws_and_many_checkpoints_leave_more_unresolved() -> None:
    outside, errors = pd.Series([0.05, 0.085]), pd.Series([0.005, 0.005])
    assert structure(outside, errors, draws=100) == "holds"
    assert structure(outside, errors, draws=3) == "unresolved"
    many = pd.Series([0.085, *[0.01] * 50])
    assert structure(many, pd.Series(0.005, index=many.index), draws=100) == "unresolved"


@pytest.mark.parametrize("skewness", [0.0, 1e-9, 1e-6, 0.1, 0.5, 1.5, -0.3])
def test_skewness_is_taken_out_and_put_back(skewness: float) -> None:
    z = np.linspace(-6, 6, 49)
    t = with_skewness(z, skewness)
    assert np.all(np.diff(t) > 0)
    assert without_skewness(t, skewness) == pytest.approx(z, abs=1e-9)
    deviation = Deviation(0.7, 0.2, 19, skewness)
    low, high = deviation.interval()
    assert [deviation._replace(value=0.7 - end).p_value for end in (low, high)] == pytest.approx([0.05, 0.05])
    down, up = reach(0.2, skewness)
    assert [without_skewness(x / 0.2, skewness) for x in (down, -up)] == pytest.approx([1, -1])


def shares_outside(skewness_known: bool) -> tuple[float, float]:
    """How often the mean of exponential draws, 1, is below and above the 95 % interval from 40 of them."""
    draws = np.random.default_rng(3).standard_exponential((20_000, 40))
    e = draws - draws.mean(axis=1, keepdims=True)
    t = (draws.mean(axis=1) - 1) / (draws.std(axis=1, ddof=1) / 40**0.5)
    a = np.mean(e**3, axis=1) / np.mean(e**2, axis=1) ** 1.5 / 40**0.5
    z = without_skewness(t, a if skewness_known else 0.0)
    far = -stdtrit(39, 0.025)
    return 100 * float(np.mean(z > far)), 100 * float(np.mean(z < -far))


def test_truths_are_as_often_above_as_below_intervals_of_skew_draws() -> None:
    """Negative control: without their skewness nearly all of them are above, and too many."""
    below, above = shares_outside(skewness_known=True)
    assert below == pytest.approx(2.5, abs=1)
    assert above == pytest.approx(2.5, abs=1)
    below, above = shares_outside(skewness_known=False)
    assert above > 5
    assert below < 1


def test_a_symmetric_error_makes_a_difference_less_skew() -> None:
    """The third central moment stays; the standard error grows."""
    one = Deviation(1.0, 0.3, 9, skewness=0.5)
    both = one.with_error(0.2, 0.5)
    assert (both.value, both.std_error, both.dof) == (0.2, 0.5, 9)
    assert both.skewness * 0.5**3 == pytest.approx(0.5 * 0.3**3)
    assert one.with_error(1.0, 0.0).skewness == 0


@pytest.mark.parametrize("skewness", [0.0, 0.4, -0.4])
def test_what_is_said_to_be_detectable_is_noticed(skewness: float) -> None:
    """Off by that much either way, p is below the level in 95 % of cases, or more on the side that is seen better."""
    z = np.random.default_rng(4).standard_normal(4000)
    chance = with_skewness(z, skewness)
    size = Deviation(0.0, 1.0, skewness=skewness).detectable(tests=5)
    noticed = [
        np.mean([Deviation(t + by, 1.0, skewness=skewness).p_value <= LEVEL / 5 for t in chance])
        for by in (size, -size)
    ]
    assert min(noticed) == pytest.approx(0.95, abs=0.012)
    assert max(noticed) >= min(noticed)
    assert max(noticed) > 0.99 or skewness == 0


def test_the_skewness_of_few_draws_makes_nothing_significant() -> None:
    """Three draws: what is far off is as significant as Student's t says, to a few standard errors, on either side."""
    for t in (30.0, -30.0):
        assert abs(Deviation(t, 1.0, 2, 0.41).z - t) < 12
    assert abs(30 + 0.41 * 30**2 / 3 + 0.41**2 * 30**3 / 27) > 300  # negative control: Hall's own, that far out


@pytest.mark.parametrize("skewness", [1e-9, 0.05, 0.3, 1.0, 3.0, -0.3, -2.0])
def test_the_z_score_grows_with_the_deviation_wherever_it_is_used(skewness: float) -> None:
    t = np.linspace(-60, 60, 24_001)
    steps = np.diff(without_skewness(t, skewness))
    assert np.all(steps > 0)
    np.testing.assert_allclose(with_skewness(without_skewness(t, skewness), skewness), t, atol=1e-3)
    inside = (abs(t[1:]) < 1 / abs(skewness)) & (abs(t[:-1]) < 1 / abs(skewness))
    middle = (t[1:] + t[:-1])[inside] / 2
    np.testing.assert_allclose((steps / np.diff(t))[inside], (1 + skewness * middle / 3) ** 2, rtol=1e-4)
    square = t + skewness * t**2 / 3 + skewness / 6  # negative control: without Hall's cubic term it does not grow
    assert abs(skewness) < 0.01 or np.any(np.diff(square) < 0)


@pytest.mark.parametrize("draws", [4, 8, 12, 16])
def test_intervals_of_few_normal_draws_hold_the_mean(draws: int) -> None:
    """Their skewness is noise, and is corrected for all the same."""
    sets = 40_000
    x = np.random.default_rng(draws).standard_normal((sets, draws))
    mean = x.mean(axis=1)
    e, std_error = x - mean[:, None], x.std(axis=1, ddof=1) / draws**0.5
    skewness = np.mean(e**3, axis=1) / np.mean(e**2, axis=1) ** 1.5 / draws**0.5

    def holds(room: float) -> float:
        low, high = (mean - std_error * with_skewness(sign * room, skewness) for sign in (1, -1))
        return float(np.mean((low <= 0) & (high >= 0)))

    covered, chance = holds(-float(stdtrit(draws - 1, 0.025))), (0.95 * 0.05 / sets) ** 0.5
    assert covered == pytest.approx(0.95, abs=3.5 * chance + 0.002)
    assert holds(1.96) < 0.95 - 15 * chance  # negative control: as if the standard error were known
    for k in range(3):  # what is reported is this
        reported = Deviation(mean[k], std_error[k], draws - 1, skewness[k]).interval()
        room = -float(stdtrit(draws - 1, 0.025))
        expected = [mean[k] - std_error[k] * float(with_skewness(way * room, skewness[k])) for way in (1, -1)]
        assert reported == pytest.approx(expected)
    beyond = 1 - holds(-float(stdtrit(draws - 1, LEVEL / 2)))
    assert LEVEL / 2 < beyond < 2.5 * LEVEL  # the correction costs up to twice the level so far out
