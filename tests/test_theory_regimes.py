"""The public functions of the theory: reference values, how the regimes meet, fields, edge cases, errors."""

import math
from dataclasses import fields

import numpy as np
import pytest

from rmtsim import Ensemble, simulate, theory
from rmtsim.errors import InputError
from rmtsim.model.choices import REGIMES
from rmtsim.model.point import Point
from rmtsim.theory.one_hidden_ce_pairs import pair_terms
from rmtsim.theory.quasi_monte_carlo import TARGET_RSE

# Computed apart from this code with 1-D quadratures to the digits printed; (1/d) E‖·‖² at γ = 1/2.
THEOREM_1 = {
    2: (0.0514849376461435, 0.0514849376461435),
    3: (0.0470595659753713, 0.0128422545241790),
    10: (0.0115459945071143, 1.91621338199055e-4),
    100: (2.08685322444742e-4, 3.83172743988462e-8),
    1000: (2.32465273563321e-6, 4.57301242056166e-12),
    10**4: (2.35556782853528e-8, 4.68172924614649e-16),
    10**6: (2.35910503257589e-12, 4.69439926705625e-24),
}
THEOREM_2 = {  # hidden diag, C · hidden off, C² · output diag, C⁴ · output off, at γ = 1/2
    3: (0.0555555555555556, 0.248946802798715, 2.99605101842730, 24.3760452733846),
    8: (0.0078125, 0.00710959129136252, 5.73158012145838, 10.5089121892982),
    16: (0.001953125, 0.00136329704891591, 14.1231429912729, 20.3433705773116),
}

#: The fields of `theory --json`, and the ratio's standard error.
FIELDS = {
    *("model", "loss", "layer", "n_classes", "aspect_ratio", "width", "dim", "n_samples", "diag", "offdiag", "ratio"),
    *("std_error_diag", "std_error_offdiag", "std_error_ratio", "regime", "diag_power", "offdiag_power"),
    *("init", "data_variance", "hidden_gain", "last_gain", "data", "weights", "activation", "note"),
}


@pytest.mark.parametrize("n_classes", THEOREM_1)
def test_theorem_1(n_classes):
    [value] = theory.limit("linear", "ce", n_classes, 0.5)
    assert (value.diag, value.offdiag) == pytest.approx(THEOREM_1[n_classes], rel=2e-14)
    assert value.ratio == pytest.approx(value.offdiag / value.diag)


@pytest.mark.parametrize("width", THEOREM_2)
def test_theorem_2_constants(width):
    hidden, output, _ = theory.large_c("one_hidden", "ce", 0.5, width)
    values = (hidden.diag, hidden.offdiag, output.diag, output.offdiag)
    assert values == pytest.approx(THEOREM_2[width], rel=1e-13)
    assert (hidden.diag_power, hidden.offdiag_power, output.diag_power, output.offdiag_power) == (0, -1, -2, -4)


def test_linear_constants():
    [value] = theory.large_c("linear", "ce", 0.3)
    assert (value.diag, value.offdiag) == pytest.approx((1 + 0.3 * math.e, 1 + 0.3 * math.e**2), rel=1e-15)
    assert (value.diag_power, value.offdiag_power) == (-2, -4)
    [value] = theory.large_c("linear", "ce", 0.5, dim=200, n_samples=400)
    assert (value.diag, value.offdiag) == pytest.approx((2.41274432326834, 4.99287709244185), rel=1e-13)


def test_hidden_mse():
    for n_classes, dim, expected in (
        (10, 64, (242.8125, 7.68359912805430)),
        (100, 500, (159614.0625, 587.778839714953)),
    ):
        hidden, *_ = theory.finite("one_hidden", "mse", n_classes, dim, 2 * dim, 8)
        assert (hidden.diag, hidden.offdiag) == pytest.approx(expected, rel=1e-13)
    hidden, *_ = theory.limit("one_hidden", "mse", 10, 0.5, 8)
    assert hidden.ratio == pytest.approx((1 + 2) / (4 * 12 * 2), rel=1e-14)
    hidden, *_ = theory.large_c("one_hidden", "mse", 0.5, 8)
    assert (hidden.diag, hidden.offdiag) == pytest.approx((2 / 64, 0.75 / 64), rel=1e-14)
    assert (hidden.diag_power, hidden.offdiag_power) == (2, 1)


@pytest.mark.parametrize(
    ("model", "loss", "width"), [("linear", "ce", None), ("linear", "mse", None), ("one_hidden", "mse", 5)]
)
def test_finite_tends_to_the_limit(model, loss, width):
    """The difference falls as 1/d: tenfold d, a tenth of the difference."""
    for k, limit in enumerate(theory.limit(model, loss, 7, 0.5, width)):
        errors = []
        for dim in (1000, 10_000):
            exact = theory.finite(model, loss, 7, dim, 2 * dim, width)[k]
            scale = 1 if limit.layer in ("output", "cross") else dim
            errors.append([exact.diag / scale - limit.diag, exact.offdiag / scale - limit.offdiag])
        assert np.nanmax(np.abs(errors[0])) > 1e-4 * np.nanmax([limit.diag, limit.offdiag])
        np.testing.assert_allclose(np.divide(errors[1], 0.1), errors[0], rtol=0.02, atol=1e-11)


def test_linear_finite_tends_to_large_c():
    """C² diag and C⁴ off approach the constants at the same d and N as 1/C."""
    [constants] = theory.large_c("linear", "ce", 0.5, dim=50, n_samples=100)
    errors = []
    for n_classes in (10**5, 10**6):
        [exact] = theory.finite("linear", "ce", n_classes, 50, 100)
        scaled = np.array([exact.diag * n_classes**2, exact.offdiag * float(n_classes) ** 4]) / 50
        errors.append(scaled / [constants.diag, constants.offdiag] - 1)
    assert np.abs(errors[1]).max() < 2e-3
    assert np.all(np.abs(errors[1]) < 0.3 * np.abs(errors[0]))


def test_one_hidden_ce_tends_to_large_c():
    """At m = 16 and C = 10 000 the constants are reached to 2 %, and at C = 100 they are not."""
    constants = theory.large_c("one_hidden", "ce", 0.5, 16, dim=200, n_samples=400)
    for n_classes, reached in ((10_000, True), (100, False)):
        values = theory.finite("one_hidden", "ce", n_classes, 200, 400, 16, target_rse=6e-3)
        for value, constant in zip(values, constants, strict=True):
            scale = 200 if value.layer == "hidden" else 1
            offdiag = value.offdiag / scale * float(n_classes) ** -constant.offdiag_power
            assert bool(abs(offdiag / constant.offdiag - 1) < 0.02) is reached


def test_integrated_values_repeat_and_state_their_error(monkeypatch):
    monkeypatch.setenv("RMTSIM_CACHE", "")
    first = theory.limit("one_hidden", "ce", 10, 0.5, 8, layers=("hidden", "output"))
    again = pair_terms.__wrapped__(10, 8, None, 1.0, TARGET_RSE)
    assert [float(again.mean[2]), float(again.mean[3])] == [first[1].diag, first[1].offdiag]
    for value in first:
        assert 0 < value.std_error_diag < 1.5e-3 * value.diag
        assert 0 < value.std_error_offdiag < 1.5e-3 * value.offdiag
        assert 0 < value.std_error_ratio < 3e-3 * value.ratio


def test_layers_can_be_chosen():
    [output] = theory.finite("one_hidden", "mse", 5, 6, 12, 3, layers=("output",))
    assert output == theory.finite("one_hidden", "mse", 5, 6, 12, 3)[1]
    assert [p.layer for p in theory.large_c("one_hidden", "ce", 0.5, 5, layers=("cross", "hidden"))] == [
        "hidden",
        "cross",
    ]
    with pytest.raises(InputError, match="layers: 'linear' is not known; choose one of hidden, output, cross"):
        theory.limit("one_hidden", "ce", 5, 0.5, 3, layers=("linear",))


def test_linear_simulation_agrees_within_a_fifth_of_a_percent():
    """At d = 50, N = 100, C = 10 the limit misses it by more."""
    rows = simulate(Point("linear", "ce", 10, 50, 100), 6000, seed=3, layers=("linear",))
    [exact], [bare] = theory.finite("linear", "ce", 10, 50, 100), theory.limit("linear", "ce", 10, 0.5)
    for name in ("diag", "offdiag"):
        measured = rows[f"{name}_sqfro"]
        assert measured.sem() < 7e-4 * measured.mean()
        assert measured.mean() == pytest.approx(getattr(exact, name), rel=2e-3)
        assert abs(measured.mean() / 50 / getattr(bare, name) - 1) > 5e-3


def test_what_the_theory_cannot_do_is_said():
    with pytest.raises(InputError, match="width: a pair of samples has 10000 coordinates, more than"):
        theory.limit("one_hidden", "ce", 5, 0.5, 5000)
    with pytest.raises(InputError, match="data_variance, hidden_gain, last_gain: the logits have 100 times"):
        theory.limit("linear", "ce", 5, 0.5, ensemble=Ensemble(last_gain=100))
    with pytest.raises(InputError, match="standard deviation"):
        theory.limit("one_hidden", "ce", 5, 0.5, 2, ensemble=Ensemble(last_gain=60))


def test_fields_are_those_of_the_contract():
    assert {field.name for field in fields(theory.Prediction)} == FIELDS


def test_layers_regimes_and_sizes():
    point = Point("one_hidden", "mse", 10, 64, 128, 8)
    for regime in REGIMES:
        predictions = theory.at_point(point, regime)
        assert [p.layer for p in predictions] == ["hidden", "output", "cross"]
        for p in predictions:
            assert (p.regime, p.aspect_ratio, p.width) == (regime, 0.5, 8)
            assert p.n_classes == (None if regime == "large_c" else 10)
            assert (p.dim, p.n_samples) == ((64, 128) if regime == "finite" else (None, None))
            assert (p.diag_power == 0) or regime == "large_c"


def test_single_blocks_have_no_off_diagonal():
    for value in (*theory.limit("linear", "ce", 1, 0.5), *theory.finite("linear", "mse", 1, 4, 8)):
        assert math.isnan(value.offdiag)
        assert math.isnan(value.ratio)
        assert value.note == "there are no off-diagonal blocks at n_classes = 1"
    small = Ensemble(last_gain=0.1)  # the theory of large logits takes seconds
    hidden, output, _ = theory.finite("one_hidden", "ce", 5, 6, 12, width=1, ensemble=small, target_rse=0.1)
    assert hidden.diag > 0
    assert math.isnan(hidden.offdiag)
    assert output.offdiag > 0
    hidden, output, _ = theory.finite("one_hidden", "ce", 1, 6, 12, width=2)
    assert (hidden.diag, hidden.offdiag, output.diag) == (0, 0, 0)
    assert hidden.note == "there is no ratio, for diag is 0"
    assert math.isnan(output.offdiag)


def test_divergent_constants_are_infinite():
    hidden, output, _ = theory.large_c("one_hidden", "ce", 0.5, 2)
    rare = "offdiag has no constant as C → ∞: rare samples with large logits outweigh all others"
    assert hidden.note == output.note == f"{rare} (2 gain / width is 1, and would have to be below 1)"
    assert math.isfinite(hidden.diag)
    assert hidden.offdiag == hidden.ratio == output.offdiag == math.inf
    assert theory.large_c("one_hidden", "ce", 0.5, 3)[1].note == ""
    reached = theory.large_c("one_hidden", "ce", 0.5, 3, dim=20, n_samples=40)[0]
    assert math.isinf(reached.offdiag)
    assert "at dim = 20 rare long samples outweigh all others (2 gain / width is 0.667, times |x|²/dim" in reached.note
    [value] = theory.large_c("linear", "ce", 0.5, dim=4, n_samples=8)
    assert value.note == f"{rare} (4 gain / dim is 1, and would have to be below 1)"
    assert math.isfinite(value.diag)
    assert value.offdiag == value.ratio == math.inf


@pytest.mark.parametrize(
    "call",
    [
        lambda: theory.limit("linear", "ce", 0, 0.5),
        lambda: theory.limit("linear", "ce", 10, math.nan),
        lambda: theory.limit("linear", "ce", 10, -1),
        lambda: theory.limit("linear", "ce", 10, 0.5, width=3),
        lambda: theory.limit("one_hidden", "ce", 10, 0.5),
        lambda: theory.limit("quadratic", "ce", 10, 0.5),
        lambda: theory.limit("linear", "hinge", 10, 0.5),
        lambda: theory.large_c("linear", "ce", 0.5, dim=10),
        lambda: theory.large_c("linear", "ce", 0.5, dim=10, n_samples=30),
        lambda: theory.large_c("linear", "ce", 0.5, dim=2, n_samples=4),
        lambda: theory.finite("linear", "ce", 10, 5, 0),
        lambda: theory.finite("one_hidden", "ce", 10, 5, 9, 2, target_rse=0),
        lambda: theory.at_point(Point("linear", "ce", 2, 5, 5), "infinite"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call):
    with pytest.raises(InputError) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value)
