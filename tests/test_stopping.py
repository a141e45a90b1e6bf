"""Adaptive stopping: decided on prefixes, in order, at fixed checkpoints, whatever the batches; and what it keeps."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from scipy.stats import norm

from rmtsim.model.point import Point
from rmtsim.stats.estimates import Estimate, mean_estimate, ratio_estimate, skewness
from rmtsim.stats.group_means import QUANTITIES
from rmtsim.stats.tails import carriers, heavy_tail
from rmtsim.stats.verdict import Deviation
from rmtsim.store import StoreError
from rmtsim.sweeps.spec import Sampling
from rmtsim.sweeps.state import PointState
from rmtsim.sweeps.stopping import TRUSTED_RSE, next_checkpoint
from rmtsim.sweeps.tallies import Tallies
from tests.synthetic import noise, pair

SAMPLING = Sampling(min_draws=16, max_draws=400, target_rse=0.02)
POINT = Point("linear", "ce", 10, 20, 40)
LAYERS = ("linear",)


class Found(NamedTuple):
    """What draws tell of a quantity: its estimate, the draws that carry its spread, whether these are too few."""

    estimate: Estimate
    carriers: float
    heavy: bool


class Tally:
    """The tallies of one point."""

    def __init__(self, layers: tuple[str, ...] = LAYERS, fixed: Mapping[str, Collection[str]] = {}) -> None:
        self.of_one = Tallies(layers, [fixed])

    def add(self, values: np.ndarray) -> None:
        self.of_one.add(np.array([0]), values[None])

    def worst(self) -> tuple[float, str]:
        return self.of_one.worst(0)

    def heavy(self) -> list[str]:
        return self.of_one.heavy(0)

    def estimates(self) -> dict[str, dict[str, Estimate]]:
        return {layer: {name: one.estimate for name, one in found.items()} for layer, found in self.found().items()}

    def found(self) -> dict[str, dict[str, Found]]:
        """Layer → quantity → what the draws tell of it, leaving out what the layer does not have."""
        value, std_error, _, carriers, heavy = (column[0].tolist() for column in self.of_one.moments(np.array([0])))
        return {
            layer: {
                quantity: Found(Estimate(value[i][q], std_error[i][q]), carriers[i][q], heavy[i][q])
                for q, quantity in enumerate(QUANTITIES)
                if not math.isnan(value[i][q])
            }
            for i, layer in enumerate(self.of_one.layers)
        }


def tally(values: np.ndarray, layers: tuple[str, ...] = LAYERS, fixed: Mapping[str, Collection[str]] = {}) -> Tally:
    found = Tally(layers, fixed)
    found.add(values)
    return found


def stopped_at(values: np.ndarray, sampling: Sampling = SAMPLING, cuts: tuple[int, ...] = ()) -> PointState:
    state = PointState(POINT, LAYERS, sampling)
    for start, stop in pairwise([0, *cuts, len(values)]):
        state.add(start, values[start:stop])
    return state


@pytest.mark.parametrize(("trusted", "first"), [(True, [16, 24, 36, 54]), (False, [16, 48, 144, 400])])
def test_checkpoints_grow_to_max_draws(trusted: bool, first: list[int]) -> None:
    counts = [next_checkpoint(0, SAMPLING, trusted=trusted)]
    while counts[-1] < 400:
        counts.append(next_checkpoint(counts[-1], SAMPLING, trusted=trusted))
    assert counts[:4] == first
    assert counts[-1] == 400
    assert next_checkpoint(0, Sampling(min_draws=5, max_draws=5), trusted=trusted) == 5


def test_more_noise_wants_more_draws() -> None:
    wanted = [stopped_at(pair(400, relative)).wanted for relative in (0.01, 0.1, 0.25, 10.0)]
    assert wanted == sorted(wanted)
    assert wanted[0] == 16
    assert wanted[-1] == 400


def test_the_decision_ignores_draws_beyond_its_checkpoint() -> None:
    values = pair(400, 0.1)
    stop = stopped_at(values).wanted
    assert 16 < stop < 400
    values[stop:] *= np.random.default_rng(2).uniform(0, 100, (400 - stop, 1, 1))
    for available in (stop, stop + 1, 400):
        state = stopped_at(values[:available])
        assert state.finished
        assert (state.wanted, state.prefix) == (stop, stop)
    early = stopped_at(values[: stop - 1])
    assert not early.finished
    assert early.wanted == stop


def test_batches_and_their_order_change_no_bit() -> None:
    values = pair(400, 0.3)
    whole = stopped_at(values)
    assert whole.prefix > 100
    rng, sums = np.random.default_rng(3), set()
    for _ in range(20):
        cuts = np.sort(rng.choice(np.arange(1, 400), 25, replace=False)).tolist()
        parts = list(pairwise([0, *cuts, 400]))
        sums.add(float(sum(np.sum(values[slice(*part)]) for part in parts)))
        rng.shuffle(parts)
        state = PointState(POINT, LAYERS, SAMPLING)
        for start, stop in parts:
            state.add(start, values[start:stop])
        assert state.precision == whole.precision  # to the bit
        assert state.prefix == whole.prefix
    assert len(sums) > 1  # negative control: sums of sums do depend on the cuts


def test_what_is_missing() -> None:
    state = PointState(POINT, LAYERS, SAMPLING)
    values = pair(400, 0.3)
    state.add(4, values[4:6])
    state.add(10, values[10:20])
    assert list(state.missing()) == [range(4), range(6, 10)]
    assert (state.prefix, state.state) == (0, "partial")
    state.add(0, values[:4])
    assert state.prefix == 6
    assert list(state.missing()) == [range(6, 10)]
    state.add(6, values[6:10])  # passes the checkpoint at 16, with four draws ahead of it
    assert (state.prefix, state.wanted) == (20, 48)
    assert list(state.missing()) == [range(20, 48)]


@pytest.mark.parametrize("again", [(0, 4), (2, 3), (3, 6), (9, 12), (11, 12), (19, 21), (5, 25)])
def test_a_draw_that_comes_twice_is_refused(again: tuple[int, int]) -> None:
    state = PointState(POINT, LAYERS, SAMPLING)
    values = pair(400, 0.3)
    state.add(0, values[:4])
    state.add(10, values[10:20])
    with pytest.raises(StoreError, match="twice"):
        state.add(again[0], values[slice(*again)])


def test_every_layer_and_quantity_counts() -> None:
    quiet, loud = noise(100, 0.01), noise(100, 0.5)
    layers = ("hidden", "output")

    def both(*columns: np.ndarray) -> np.ndarray:
        return np.stack(columns, axis=1).reshape(-1, 2, 2)

    other = noise(100, 0.01, 1)
    assert tally(both(quiet, other, quiet, loud), layers).worst()[1] == "output offdiag"
    assert tally(both(loud, quiet, quiet, other), layers).worst()[1] == "hidden diag"
    correlated, fixed = both(loud, loud, quiet, other), {"hidden": ["ratio"]}
    assert tally(correlated, layers, fixed).estimates()["hidden"]["ratio"].rse < 1e-7  # and exact
    assert tally(correlated, layers).worst() == (math.inf, "hidden ratio")  # by chance so far, for all that is known


def test_what_a_layer_does_not_have_is_left_out() -> None:
    def of(diag: np.ndarray, offdiag: np.ndarray, fixed: Collection[str] = ()) -> Tally:
        return tally(np.stack([diag, offdiag], axis=1)[:, None, :], fixed={"linear": fixed})

    nothing, zero = np.full(20, np.nan), np.zeros(20)
    assert list(of(nothing, noise(20, 0.1)).estimates()["linear"]) == ["offdiag"]
    assert list(of(noise(20, 0.1), nothing).estimates()["linear"]) == ["diag"]
    estimates = of(noise(20, 0.1), zero, ["offdiag", "ratio"]).estimates()["linear"]
    assert estimates["offdiag"].rse == 0
    assert estimates["ratio"].rse == 0
    assert of(zero, nothing, ["diag"]).worst()[0] == 0
    assert of(nothing, nothing).worst() == (math.inf, "nothing to measure")


@pytest.mark.parametrize("value", [0.0, 3.5])
@pytest.mark.parametrize("count", [2, 3, 40])
def test_draws_that_are_all_equal_do_not_tell_their_spread(value: float, count: int) -> None:
    draws = np.full((count, 1, 2), value)
    found = tally(draws)
    assert found.worst()[0] == math.inf
    assert all(math.isnan(estimate.std_error) for estimate in found.estimates()["linear"].values())
    found.add(np.array([[[value + 48, value + 1]], [[value + 1, value + 48]]]))
    assert found.worst()[0] < math.inf  # the next two do
    assert tally(draws, fixed={"linear": ["diag", "offdiag", "ratio"]}).worst()[0] == 0


def test_zeros_so_far_want_more_draws_up_to_the_last() -> None:
    zeros = np.zeros((400, 1, 2))
    for cuts in ((), (1,), (7, 16, 20), tuple(range(1, 400, 13))):
        state = stopped_at(zeros, cuts=cuts)
        assert (state.prefix, state.state, state.precision) == (400, "limited", (math.inf, "linear offdiag"))
    zeros[:16] = pair(16, 0.01)
    assert stopped_at(zeros).prefix == 16  # there are no zeros where it is decided


#: What a rule is held to: share of 95 % intervals that hold the true mean, mean z-score, and share of |z| > 3.5.
COVERAGE, MEAN_Z, FAR = (0.93, 0.97), 0.15, 0.005


def lognormal(spread: float, seeds: int = 1000, draws: int = 1500) -> np.ndarray:
    """Draws of all seeds, (seeds, draws, 1, 2): diag hardly varies, offdiag has mean 1 and the log-sd ``spread``."""
    rng = np.random.default_rng(1)
    offdiag = np.exp(spread * rng.standard_normal((seeds, draws)) - spread**2 / 2)
    return np.stack([1 + 0.01 * rng.standard_normal((seeds, draws)), offdiag], axis=2)[:, :, None, :]


def deviation(x: np.ndarray) -> Deviation:
    """What is reported of draws whose true mean is 1: what their mean is off, with the error that is known of it."""
    mean = mean_estimate(x)
    return Deviation(mean.value - 1, mean.std_error, len(x) - 1, skewness(x - mean.value) / math.sqrt(len(x)))


def plain(x: np.ndarray) -> Deviation:
    """Mean ± standard error, as if draws were normal and the error known."""
    return Deviation(*deviation(x)[:2])


def keeps(found: list[Deviation]) -> tuple[bool, bool, bool]:
    """Whether coverage, mean z and far values are within their bounds."""
    intervals = [one.interval() for one in found]
    covered = float(np.mean([low <= 0 <= high for low, high in intervals]))
    far = float(np.mean([one.p_value < 2 * norm.sf(3.5) for one in found]))
    return COVERAGE[0] <= covered <= COVERAGE[1], abs(float(np.mean([one.z for one in found]))) <= MEAN_Z, far < FAR


def first_below(x: np.ndarray, target: float) -> int:
    """Return where a rule stops that believes every standard error, at checkpoints half as large again."""
    count = 16
    while mean_estimate(x[:count]).rse > target:
        count = math.ceil(1.5 * count)
    return count


def test_intervals_hold_the_true_mean_as_often_as_they_say() -> None:
    """Negative control: to believe every standard error, and to take draws for normal, fails all three bounds."""
    of_seeds = lognormal(0.8)
    states = [stopped_at(x, Sampling(min_draws=16, max_draws=1500, target_rse=0.1)) for x in of_seeds]
    assert {state.state for state in states} == {"done"}
    stops = [state.prefix for state in states]
    x = of_seeds[:, :, 0, 1]
    assert keeps([deviation(of[:stop]) for of, stop in zip(x, stops, strict=True)]) == (True, True, True)
    believing = [first_below(of, 0.1) for of in x]
    assert keeps([plain(of[:stop]) for of, stop in zip(x, believing, strict=True)]) == (False, False, False)
    assert np.mean(stops) < 8 * np.mean(believing)


def test_draws_that_hardly_spread_are_no_dearer() -> None:
    sampling = Sampling(min_draws=16, max_draws=4000, target_rse=0.1)
    assert {stopped_at(values, sampling).prefix for values in lognormal(0.05, 100)} == {16}


def test_a_standard_error_is_trusted_below_a_bound_only() -> None:
    values, sampling = pair(400, 0.2), Sampling(min_draws=16, max_draws=400, target_rse=0.1)
    assert TRUSTED_RSE < tally(values[:16]).worst()[0] < 0.1
    state = stopped_at(values, sampling)
    assert (state.prefix, state.state) == (48, "done")
    assert state.precision[0] <= TRUSTED_RSE
    last = stopped_at(values, Sampling(min_draws=16, max_draws=20, target_rse=0.1))
    assert (last.prefix, last.state) == (20, "done")  # all the draws that there are


def test_a_heavy_tail_is_told_and_decides_nothing() -> None:
    rng = np.random.default_rng(5)
    sampling = Sampling(min_draws=16, max_draws=2000, target_rse=0.2)
    told = both = 0
    for _ in range(40):
        values = np.stack([noise(2000, 0.01), rng.random(2000) ** -0.75 - 1], axis=1)[:, None, :]
        cuts = tuple(np.sort(rng.choice(np.arange(1, 2000), 9, replace=False)).tolist())
        state = stopped_at(values, sampling, cuts)
        assert state.finished
        assert (state.prefix == 2000) or state.precision[0] <= TRUSTED_RSE
        assert state.state == ("done" if state.precision[0] <= 0.2 else "limited")
        assert state.heavy_tail == stopped_at(values, sampling).heavy_tail  # however draws arrive
        heavy = state.heavy_tail.split(", ") if state.heavy_tail else []
        assert {*heavy} <= {"linear offdiag", "linear ratio"}  # of diag it is light
        both += len(heavy) == 2
        tails = " and of ".join(heavy)
        where = f"the tail of {tails} is too heavy for the mean to be trusted at {state.prefix} draws"
        assert state.warning == (where if state.heavy_tail else "")
        told += bool(state.heavy_tail)
    assert told >= 36
    assert both >= 30
    assert stopped_at(pair(400, 0.2), sampling).warning == ""


def test_the_tail_is_that_of_the_analysis() -> None:
    rng = np.random.default_rng(6)
    values = rng.lognormal(0, 1.5, (700, 1, 2)) * [1e-150, 1e-200]  # fourth powers are beyond float64
    found = tally(values)
    a, b = (values[:, 0, :] / values[0, 0, :]).T
    of_all = {"diag": a / a.mean() - 1, "offdiag": b / b.mean() - 1, "ratio": b / b.mean() - a / a.mean()}
    for name, one in found.found()["linear"].items():
        assert one.carriers == pytest.approx(carriers(of_all[name]), rel=1e-9)
        assert one.heavy == heavy_tail(of_all[name])
    heavy = [name for name, x in of_all.items() if heavy_tail(x)]
    assert found.heavy() == [f"linear {name}" for name in sorted(heavy, key=lambda name: carriers(of_all[name]))]
    assert heavy


def test_estimates_are_those_of_the_analysis() -> None:
    """Means to rounding; the ratio's standard error, linearised here and by the jackknife there, to O(1/n)."""
    rng = np.random.default_rng(3)
    diag = rng.gamma(4.0, 0.25, 4000)
    off = 0.1 * diag + 0.2 * rng.gamma(2.0, 0.5, 4000)
    found = tally(np.stack([diag, off], axis=1)[:, None, :]).estimates()["linear"]
    assert found["diag"] == pytest.approx(mean_estimate(diag), rel=1e-12)
    assert found["offdiag"] == pytest.approx(mean_estimate(off), rel=1e-12)
    assert found["ratio"] == pytest.approx(ratio_estimate(off, diag), rel=2e-3)
    assert found["ratio"].std_error != pytest.approx(found["offdiag"].std_error / diag.mean(), rel=0.1)


@pytest.mark.parametrize("first", [0.0, 1e-200, 1e-88, 1e-75, 1.0, 1e75])
@pytest.mark.parametrize("scale", [1.0, 1e-150, 1e150])
def test_a_first_draw_of_any_size_is_taken_in(first: float, scale: float) -> None:
    rng = np.random.default_rng(0)
    values = scale * rng.lognormal(size=(64, 1, 2))
    values[0, 0, 0] = first
    with np.errstate(all="raise", under="ignore"):
        at_once = tally(values).found()["linear"]
        one_by_one = Tally(LAYERS)
        for value in values:
            one_by_one.add(value[None])
    assert one_by_one.found()["linear"] == at_once
    for quantity, column in (("diag", 0), ("offdiag", 1)):
        x = values[:, 0, column]
        expected, found = mean_estimate(x), at_once[quantity]
        assert found.estimate.value == pytest.approx(expected.value, rel=1e-12, abs=0)
        assert found.estimate.rse == pytest.approx(expected.rse, rel=1e-9)
        assert found.carriers == pytest.approx(carriers(x / expected.value - 1), rel=1e-9)
        assert found.heavy == heavy_tail(x / expected.value - 1)


def test_little_cancels() -> None:
    """Values that differ in their last digits only."""
    values = pair(1000, 1e-9)
    expected = mean_estimate(values[:, 0, 0])
    assert tally(values).estimates()["linear"]["diag"].std_error == pytest.approx(expected.std_error, rel=1e-6)
