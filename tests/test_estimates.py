"""Estimates from few, zero, equal and very small or large draws: finite, or NaN where that is documented."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest

import rmtsim
from rmtsim.stats.comparison import compare
from rmtsim.stats.decay_fit import fit_decay
from rmtsim.stats.estimates import Estimate, effective_draws, mean_estimate, ratio_estimate
from rmtsim.stats.summary import summarize
from tests.synthetic import noise


@pytest.mark.parametrize(
    ("a", "b", "value"),
    [([1, 2], [0, 3], 1.0), ([1, 2], [3, 0], 1.0), ([0, 2, 5], [0, 4, 0], 1.75), ([1, 2], [1e-20, 1.0], 3.0)],
)
def test_a_ratio_whose_denominator_is_one_draws(a: list[float], b: list[float], value: float) -> None:
    found = ratio_estimate(np.array(a, dtype=float), np.array(b, dtype=float))
    assert found.value == pytest.approx(value)
    assert math.isnan(found.std_error)
    assert found.rse == math.inf


DRAWS = [[], [0.0], [2.0], [0.0, 0.0], [0.0, 3.0], [3.0, 0.0], [3.0, 3.0], [0.0, 0.0, 1.0], [1.0, 2.0, 4.0]]


@pytest.mark.parametrize(("a", "b"), [(a, b) for a, b in product(DRAWS, DRAWS) if len(a) == len(b)])
@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e290])
def test_no_estimate_is_infinite(a: list[float], b: list[float], scale: float) -> None:
    x, y = scale * np.array(a), np.array(b)
    for found in (mean_estimate(x), ratio_estimate(x, y), ratio_estimate(y, x), ratio_estimate(x, x, fixed=True)):
        assert not np.isinf(found).any()
    mean = mean_estimate(x)
    assert math.isnan(mean.value) == (len(a) == 0)
    known = len(a) > 1 and len(set(a)) > 1
    assert math.isnan(mean.std_error) != known
    ratio = ratio_estimate(x, y)
    assert math.isnan(ratio.value) == (len(b) < 2 or not any(b))
    assert effective_draws(x, 0.1 * x) <= len(x)


@pytest.mark.parametrize("scale", [2.0**-900, 2.0**-300, 2.0**300, 2.0**1000])
def test_estimates_do_not_depend_on_the_unit(scale: float) -> None:
    """Squares of such values leave the range of float64: an error of 0, or an infinite one, came out."""
    x, y = np.random.default_rng(0).gamma(3.0, size=(2, 20))
    for moved, plain in zip(mean_estimate(scale * x), mean_estimate(x), strict=True):
        assert moved == scale * plain
    assert ratio_estimate(scale * x, scale * y) == ratio_estimate(x, y)
    assert ratio_estimate(scale * x, y) == tuple(scale * np.array(ratio_estimate(x, y)))
    assert effective_draws(scale * x, 0.1 * scale * x) == effective_draws(x, 0.1 * x)


def test_a_ratio_beyond_float64_is_not_known() -> None:
    large, small = np.array([1e300, 2e300]), np.array([1e-300, 3e-300])
    assert np.isnan(ratio_estimate(large, small)).all()
    assert np.isnan(ratio_estimate(small, large)).all()


#: Rows of sweeps over C, whose norms are replaced.
DRAWN = [rmtsim.simulate(rmtsim.Point("linear", "ce", C, 32, 64), 2) for C in (10, 40)]


@pytest.mark.parametrize("offdiag", [[0.0, 0.0], [0.0, 1.0], [1.0, 2.0], [1.0, 1.0], [3.0]])
@pytest.mark.parametrize("diag", [[0.0, 3.0], [3.0, 1.0], [3.0, 0.0], [0.0, 0.0], [2.0, 2.0], [1.0]])
@pytest.mark.parametrize("scale", [1.0, 1e-200])
def test_summaries_of_few_zero_and_equal_draws(diag: list[float], offdiag: list[float], scale: float) -> None:
    n = min(len(diag), len(offdiag))
    norms = {"diag_sqfro": np.array(diag[:n]) * scale, "offdiag_sqfro": np.array(offdiag[:n]) * scale}
    draws = pd.concat([rows[rows["draw"] < n].assign(**norms) for rows in DRAWN])
    summary = summarize(draws)
    numbers = summary.select_dtypes("number").drop(columns="width")
    assert not np.isinf(numbers).any(axis=None)
    if scale == 1:
        assert len(compare(summarize(draws))) == 3 * len(DRAWN)
    for quantity, column in (("diag", "diag_sqfro"), ("offdiag", "offdiag_sqfro"), ("ratio", "ratio")):
        columns = (summary[name].to_numpy() for name in ("n_classes", column, f"std_error_{quantity}"))
        assert fit_decay(*columns).reason


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -2e-300])
@pytest.mark.parametrize("n", [2, 3, 17])
def test_equal_draws_have_no_standard_error_unless_the_model_fixes_them(value: float, n: int) -> None:
    equal = np.full(n, value)

    def ratio(x: np.ndarray, **how: bool) -> Estimate:
        other = noise(len(x), 0.3) + 5
        return ratio_estimate(x * other, other, **how)

    for estimate in (mean_estimate, ratio):
        assert math.isnan(estimate(equal).std_error)
        assert estimate(equal).rse == math.inf
        assert estimate(equal, fixed=True).std_error == pytest.approx(0, abs=1e-15)
        assert estimate(np.append(equal, value + 1)).std_error > 0


def test_jackknife_is_the_plain_loop() -> None:
    a, b = noise(30, 0.3), noise(30, 0.2, 1)
    leave_one_out = [np.delete(a, k).sum() / np.delete(b, k).sum() for k in range(30)]
    value, std_error = ratio_estimate(a, b)
    assert value == pytest.approx(30 * a.sum() / b.sum() - 29 * np.mean(leave_one_out), rel=1e-12)
    assert std_error == pytest.approx(np.sqrt(29 * np.var(leave_one_out)), rel=1e-9)


def test_standard_errors_are_those_of_the_estimates() -> None:
    """Over 2000 repetitions the estimates scatter by their standard errors, within 4 of those of the scatter.

    Control: without the covariance of both means, that of a ratio is too large by a fifth.
    """
    rng, repetitions = np.random.default_rng(3), 2000
    pulls: dict[str, list[float]] = {"mean": [], "ratio": [], "without the covariance": []}
    for _ in range(repetitions):
        b = rng.gamma(4.0, 0.25, 1000)
        a = 0.1 * b + 0.2 * rng.gamma(2.0, 0.5, 1000)
        mean, ratio = mean_estimate(a), ratio_estimate(a, b)
        without = ratio.value * math.hypot(mean.rse, mean_estimate(b).rse)
        pulls["mean"].append((mean.value - 0.3) / mean.std_error)
        pulls["ratio"].append((ratio.value - 0.3) / ratio.std_error)
        pulls["without the covariance"].append((ratio.value - 0.3) / without)
    off = {name: (np.std(values) - 1) * math.sqrt(2 * repetitions) for name, values in pulls.items()}
    assert abs(off.pop("without the covariance")) > 8
    for name, deviation in off.items():
        assert abs(deviation) < 4, name
        assert abs(np.mean(pulls[name])) * math.sqrt(repetitions) < 4, name
