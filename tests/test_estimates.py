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
from rmtsim.stats.estimates import effective_draws, mean_estimate, ratio_estimate
from rmtsim.stats.summary import summarize


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
