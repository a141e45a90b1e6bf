"""Adaptive stopping: decided on prefixes, in order, at fixed checkpoints."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from rmtsim.estimates import mean_estimate, ratio_estimate
from sweeps.spec import Sampling
from sweeps.stopping import checkpoints, draws_wanted, layer_estimates, worst

SAMPLING = Sampling(min_draws=16, max_draws=400, target_rse=0.02)


def noise(n: int, relative: float, seed: int = 0) -> np.ndarray:
    return 1 + relative * np.random.default_rng(seed).standard_normal(n)


def test_checkpoints_grow_to_max_draws() -> None:
    counts = checkpoints(SAMPLING)
    assert counts[0] == 16
    assert counts[-1] == 400
    assert all(a < b for a, b in pairwise(counts))
    assert checkpoints(Sampling(min_draws=5, max_draws=5)) == [5]


def test_more_noise_wants_more_draws() -> None:
    wanted = []
    for relative in (0.01, 0.1, 0.25, 10.0):
        values = {"linear": (noise(400, relative), noise(400, relative, 1))}
        wanted.append(draws_wanted(values, 400, SAMPLING))
    assert wanted == sorted(wanted)
    assert wanted[0] == 16
    assert wanted[-1] == 400
    assert set(wanted) <= set(checkpoints(SAMPLING))


def test_the_decision_ignores_draws_beyond_its_checkpoint() -> None:
    diag, off = noise(400, 0.1), noise(400, 0.1, 1)
    stop = draws_wanted({"linear": (diag, off)}, 400, SAMPLING)
    assert 16 < stop < 400
    diag[stop:] *= np.random.default_rng(2).uniform(0, 100, 400 - stop)
    for available in (stop, stop + 1, 400):
        arrays = {"linear": (diag[:available], off[:available])}
        assert draws_wanted(arrays, available, SAMPLING) == stop
    assert draws_wanted({"linear": (diag[: stop - 1], off[: stop - 1])}, stop - 1, SAMPLING) == stop


def test_every_layer_and_quantity_counts() -> None:
    quiet, loud = noise(100, 0.01), noise(100, 0.5)
    assert worst({"hidden": (quiet, quiet), "output": (quiet, loud)})[1] == "output offdiag"
    assert worst({"hidden": (loud, quiet), "output": (quiet, quiet)})[1] == "hidden diag"
    assert "ratio" in layer_estimates(loud, loud)
    assert layer_estimates(loud, loud)["ratio"].rse < 1e-12  # of fully correlated values the ratio is exact


def test_what_a_layer_does_not_have_is_left_out() -> None:
    nothing = np.full(20, np.nan)
    assert list(layer_estimates(nothing, noise(20, 0.1))) == ["offdiag"]
    assert list(layer_estimates(noise(20, 0.1), nothing)) == ["diag"]
    zero = layer_estimates(noise(20, 0.1), np.zeros(20))
    assert zero["offdiag"].rse == 0
    assert zero["ratio"].rse == 0
    assert worst({"output": (np.zeros(20), nothing)})[0] == 0


def test_standard_errors_are_those_of_the_estimates() -> None:
    """Over many repetitions the estimates scatter by their standard errors, and not by half of them."""
    rng = np.random.default_rng(3)
    pulls = {"mean": [], "ratio": []}
    for _ in range(2000):
        b = rng.gamma(4.0, 0.25, 60)
        a = 0.1 * b + 0.2 * rng.gamma(2.0, 0.5, 60)
        mean, ratio = mean_estimate(a), ratio_estimate(a, b)
        pulls["mean"].append((mean.value - 0.3) / mean.std_error)
        pulls["ratio"].append((ratio.value - 0.3) / ratio.std_error)
    for name, values in pulls.items():
        assert np.std(values) == pytest.approx(1, abs=0.1), name
        assert abs(np.mean(values)) < 0.15, name
        assert np.std(np.array(values) / 1.25) != pytest.approx(1, abs=0.1)  # errors too large by a quarter are seen


def test_jackknife_is_the_plain_loop() -> None:
    a, b = noise(30, 0.3), noise(30, 0.2, 1)
    leave_one_out = [np.delete(a, k).sum() / np.delete(b, k).sum() for k in range(30)]
    value, std_error = ratio_estimate(a, b)
    assert value == pytest.approx(30 * a.sum() / b.sum() - 29 * np.mean(leave_one_out), rel=1e-12)
    assert std_error == pytest.approx(np.sqrt(29 * np.var(leave_one_out)), rel=1e-9)
