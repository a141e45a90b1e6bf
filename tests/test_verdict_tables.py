"""How the page of verdicts judges single values together: by Student's t, by Holm's rule, and by sums of squares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import stdtr

from rmtsim.stats.verdict import holm
from tests.benchmark_modules import Benchmarks, benchmarks

__all__ = ["benchmarks"]  # a fixture


def judged(benchmarks: Benchmarks, t: np.ndarray, draws: int) -> dict[str, Any]:
    """Return what the page says of values so many standard errors from the truth, of two layers and all quantities."""
    kinds = [(layer, kind) for layer in ("output", "hidden") for kind in ("diag", "offdiag", "ratio")]
    p = np.repeat(2 * stdtr(draws - 1, -np.abs(t)), len(kinds))
    points = [
        {"layer": layer, "quantity": kind, "draws": draws, "p_value": value, "p_adjusted": adjusted}
        for (layer, kind), value, adjusted in zip(kinds * len(t), p, holm(p), strict=True)
    ]
    points.append({"layer": "output", "quantity": "diag", "draws": 3, "p_value": None, "p_adjusted": None})
    found: dict[str, Any] = benchmarks(
        "module('benchmarks.pages.verdict_tables').judged(module('pandas').DataFrame(given))", points
    )
    return found


def test_values_of_few_draws_are_held_against_students_t(benchmarks: Benchmarks) -> None:
    """200 values with 16 draws: the sum of squares is within 3 of its standard errors, √(2 · 200), of 200."""
    t = np.random.default_rng(3).standard_t(15, size=200)
    found = judged(benchmarks, t, 16)
    assert (found["tested"], found["draws"]) == (1200, 16)  # what is not tested counts nowhere
    for quantity in ("diag", "offdiag"):
        of = found[quantity]
        assert of["number"] == 200  # the output layer's alone
        assert of["sum_of_squares"] == pytest.approx(200, abs=3 * 20)
        assert of["p"] > 0.003


def test_errors_that_are_too_small_are_seen(benchmarks: Benchmarks) -> None:
    """Control: with errors a third too small the expected sum of squares is 450 for 200, twelve standard errors off."""
    t = 1.5 * np.random.default_rng(3).standard_normal(200)
    assert judged(benchmarks, t, 1000)["diag"]["p"] < 1e-6


def test_one_value_far_off_is_in_the_least_probability(benchmarks: Benchmarks) -> None:
    t = np.full(200, 0.5)
    assert judged(benchmarks, t, 1000)["p_adjusted"] == 1
    t[7] = 6.0
    assert judged(benchmarks, t, 1000)["p_adjusted"] < 0.001
