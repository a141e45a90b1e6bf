"""Slopes and the test of straightness: planted lines, and how often a straight one is called bent."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rmtsim.stats.straight_lines import misfit, slopes

#: Standard deviations that differ from place to place, as those of ratios do.
SPREAD = np.geomspace(0.05, 0.5, 6)
X = np.log(8 * 2.0 ** np.arange(6))


def test_slopes_are_those_of_every_draw() -> None:
    y = np.random.default_rng(0).normal(size=(7, 6))
    np.testing.assert_allclose(slopes(X, y), [np.polyfit(X, row, 1)[0] for row in y])


@pytest.mark.parametrize(("draws", "places"), [(10, 6), (10, 5), (8, 6)])
def test_a_straight_line_is_called_bent_as_rarely_as_promised(draws: int, places: int) -> None:
    """Where χ² with estimated variances would do so several times too often."""
    rng, trials, level = np.random.default_rng(1), 3000, 0.01
    x, spread = X[:places], SPREAD[:places]
    bent = naive = 0
    for _ in range(trials):
        y = 3 - x + spread * rng.standard_normal((draws, places))
        bent += misfit(x, y)[1] < level
        means, errors = y.mean(axis=0), y.std(axis=0, ddof=1) / draws**0.5
        _, squares, *_ = np.polyfit(x, means, 1, w=1 / errors, full=True)
        naive += stats.chi2.isf(level, places - 2) < squares[0]
    error = (trials * level * (1 - level)) ** 0.5
    assert abs(bent - trials * level) < 4 * error
    assert naive - trials * level > 8 * error


def test_a_bent_line_is_called_so() -> None:
    rng = np.random.default_rng(2)
    y = -X + SPREAD * rng.standard_normal((10, 6))
    assert misfit(X, y)[1] > 0.01
    assert misfit(X, y + 0.5 * (X - X.mean()) ** 2)[1] < 1e-3


def test_with_equal_variances_and_many_draws_it_is_the_chi_square() -> None:
    y = -X + np.random.default_rng(3).standard_normal((4000, 6))
    means, errors = y.mean(axis=0), y.std(axis=0, ddof=1) / 4000**0.5
    _, squares, *_ = np.polyfit(X, means, 1, w=1 / errors, full=True)
    f, probability = misfit(X, y)
    assert 4 * f == pytest.approx(squares[0], rel=1e-2)
    assert probability == pytest.approx(stats.chi2.sf(squares[0], 4), rel=1e-2)
