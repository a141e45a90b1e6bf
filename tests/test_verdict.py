"""Verdicts: tolerances count looks and draws, and what has no standard error never agrees."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rmtsim.stats.verdict import LOOKS, NO_ERROR, TOLERANCE, agrees, bounds, sign, structure, tolerance, z_score


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
