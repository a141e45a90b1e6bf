"""Arrays small or large beyond their dtype: norms are right, or the error names the cause; zero only by law."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rmtsim
from rmtsim.kernels.scaling import Scaling, scaled_network
from tests.cases import Problem, problem
from tests.explicit_norms import explicit

#: What X, W and V are multiplied by: logits stay moderate, or vanish.
FACTORS = [
    (1e-12, 1.0, 1.0),
    (1e-30, 1.0, 1.0),
    (1e-12, 1e12, 1.0),
    (1e-30, 1.0, 1e30),
    (1.0, 1e-30, 1e30),
    (1e30, 1e-30, 1.0),
    (1e25, 1e10, 1e-35),
    (1.0, 1.0, 1e-12),
    (1.0, 1.0, 1e-30),
    (1e-20, 1e-20, 1e-20),
    (1e-38, 1.0, 1e-38),
    (3e-42, 1.0, 1.0),
]
#: These make CE certain of one class, so they are for MSE alone: the network's outputs dwarf the labels.
LARGE = [(1e9, 1.0, 1.0), (1e30, 1.0, 1.0), (1.0, 1e30, 1.0), (1.0, 1.0, 1e30), (1e12, 1e12, 1e12)]
WIDE = [(1e-70, 1.0, 1.0), (1e-100, 1e60, 1e40), (1e-70, 1e-5, 1e75), (1.0, 1.0, 1e-70), (1e140, 1e-70, 1e-70)]
WIDE_LARGE = [(1e70, 1.0, 1.0), (1.0, 1.0, 1e70), (1e-150, 1e100, 1e100), (1e100, 1e-170, 1e-30)]


def arrays(factors: tuple[float, ...], dtype: str, width: int | None) -> dict[str, Any]:
    p = problem((4, 6, 9, width), "ce")
    with np.errstate(under="ignore"):
        X, W, V = (
            None if A is None else (A * factor).astype(dtype)
            for A, factor in zip((p.X, p.W, p.V), factors, strict=True)
        )
    return {"X": X, "V": V, "W": W, "y": p.y}


def exact(given: dict[str, Any], loss: str) -> dict[str, tuple[float, float]]:
    """Norms from explicit blocks in extended precision, whose exponents go from 1e-4932 to 1e+4932."""
    assert np.finfo(np.longdouble).maxexp > 10_000
    X, V, W = (None if given[name] is None else given[name].astype(np.longdouble) for name in "XVW")
    found = explicit(Problem(X, V, W, given["y"], loss))
    return {layer: (float(diag), float(off)) for layer, (diag, off) in found.items()}


def check(given: dict[str, Any], loss: str, rtol: float) -> None:
    found = rmtsim.block_norms(given["X"], given["V"], W=given["W"], y=given["y"], loss=loss)
    for layer, expected in exact(given, loss).items():
        np.testing.assert_allclose(found[layer], expected, rtol=rtol, atol=0, err_msg=layer)


@pytest.mark.parametrize("width", [None, 3])
@pytest.mark.parametrize(
    ("factors", "loss"), [(f, loss) for loss in ("ce", "mse") for f in FACTORS] + [(f, "mse") for f in LARGE]
)
def test_norms_of_float32_arrays_of_any_size(factors: tuple[float, ...], loss: str, width: int | None) -> None:
    if width is None:
        factors = (factors[0], 1.0, factors[1] * factors[2])
    check(arrays(factors, "float32", width), loss, 2e-5)


@pytest.mark.parametrize(
    ("factors", "loss"), [(f, k) for k in ("ce", "mse") for f in WIDE] + [(f, "mse") for f in WIDE_LARGE]
)
def test_norms_of_float64_arrays_of_any_size(factors: tuple[float, ...], loss: str) -> None:
    check(arrays(factors, "float64", 3), loss, 1e-12)


@pytest.mark.parametrize(("factor", "loss"), [(1e-75, "ce"), (1e-76, "mse"), (1e75, "mse")])
def test_norms_of_the_linear_model_in_float64(factor: float, loss: str) -> None:
    check(arrays((factor, 1.0, 1.0), "float64", None), loss, 1e-12)


@pytest.mark.parametrize(
    ("factors", "loss", "width", "words"),
    [
        (
            (1e-100, 1.0, 1.0),
            "ce",
            None,
            r"the linear layer's mean squared norm is about \d\.\de-40\d, and float64 goes from",
        ),
        ((1e-100, 1.0, 1.0), "mse", None, r"about \d\.\de-(39|40)\d"),
        ((1e100, 1.0, 1.0), "mse", None, r"about \d\.\de\+40\d, .*; give X or the weights in other units"),
        ((1.0, 1.0, 1e100), "mse", 3, r"the hidden layer's mean squared norm is about \d\.\de\+40\d"),
        ((1.0, 1e-100, 1.0), "mse", 3, r"the output layer's mean squared norm is about \d\.\de-(39|40)\d"),
        (
            (1e9, 1.0, 1.0),
            "ce",
            None,
            "below what float64 holds, for all probability is in one class; give smaller logits",
        ),
        ((1e9, 1.0, 1.0), "ce", 3, "all probability is in one class"),
        ((1e200, 1.0, 1e200), "ce", None, r"logits reach about \d\.\de\+40\d, which float64 cannot subtract"),
    ],
)
def test_what_float64_cannot_hold_is_an_error(
    factors: tuple[float, ...], loss: str, width: int | None, words: str
) -> None:
    given = arrays(factors, "float64", width)
    with pytest.raises(rmtsim.InputError, match=words) as caught:
        rmtsim.block_norms(given["X"], given["V"], W=given["W"], y=given["y"], loss=loss)
    assert "\n" not in str(caught.value)


def test_float32_gives_way_to_float64_where_it_must() -> None:
    p = problem((3, 5, 8, None), "ce", scale=20.0)
    X, V = p.X.astype("f4"), p.V.astype("f4")
    assert rmtsim.block_norms(X, V / 20)["linear"].dtype == "float32"
    for factor in (1.0, 5.0):  # logits of some hundred: exp underflows in float32, and its logits are too coarse
        found = rmtsim.block_norms(X, V * np.float32(factor))["linear"]
        expected = rmtsim.block_norms(X.astype("f8"), (V * np.float32(factor)).astype("f8"))["linear"]
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert found.dtype == "float64"
    one_class = np.array([[40.0], [-40.0]], dtype="f4")
    found = rmtsim.block_norms(np.ones((2, 1), dtype="f4"), one_class)["linear"]
    np.testing.assert_allclose(found, [np.exp(-160.0)] * 2, rtol=1e-6)  # p (1 - p) = e^-80, squared


def test_samples_of_very_different_sizes() -> None:
    """The large sample is certain, so the small one alone counts; its fourth power is below float32."""
    X = np.array([[1e10], [1.0]], dtype="f4")
    V = np.array([[1.0], [-1.0]], dtype="f4")
    p = 1 / (1 + np.exp(-2.0))
    found = rmtsim.block_norms(X, V)["linear"]
    np.testing.assert_allclose(found, [(p * (1 - p)) ** 2 / 4] * 2, rtol=1e-6)


@pytest.mark.parametrize("loss", ["ce", "mse"])
def test_neurons_of_very_different_sizes(loss: str) -> None:
    """Squares of one column of V overflow in float32, while the logits are moderate."""
    p = problem((4, 6, 9, 3), loss)
    sizes = np.array([1.0, 1e-25, 1.0])
    given = {"X": p.X.astype("f4"), "W": (p.W * sizes[:, None]).astype("f4"), "V": (p.V / sizes).astype("f4"), "y": p.y}
    check(given, loss, 1e-9)
    assert rmtsim.block_norms(given["X"], given["V"], W=given["W"], loss=loss)["hidden"].dtype == "float64"


def test_an_idle_neuron_does_not_set_the_scale() -> None:
    """A neuron that no sample passes may have any weights: they have no part in any block but its own zeros."""
    p = problem((4, 6, 9, 3), "mse")
    X = np.abs(p.X)
    W, V = p.W.copy(), p.V.copy()
    W[1], V[:, 1] = -1.0, 1.0
    expected = rmtsim.block_norms(X, V, W=W, y=p.y, loss="mse")
    V[:, 1] *= 1e100
    for factor in (1.0, 2.0**-200):
        found = rmtsim.block_norms(X, V * factor, W=W, y=p.y, loss="mse")
        np.testing.assert_allclose(found["output"], expected["output"], rtol=1e-12)
        if factor == 1:
            for layer in ("hidden", "cross"):
                np.testing.assert_allclose(found[layer], expected[layer], rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["ce", "mse"])
def test_what_is_zero_by_law_stays_zero(loss: str, dtype: str) -> None:
    p = problem((4, 6, 9, 3), loss)
    X, V, W = (A.astype(dtype) for A in (p.X, p.V, p.W))
    dead = rmtsim.block_norms(np.abs(X), V, W=-np.abs(W), y=p.y, loss=loss)
    assert {float(norms.offdiag_sqfro) for norms in dead.values()} == {0.0}
    assert dead["hidden"].diag_sqfro == dead["output"].diag_sqfro == 0
    nothing = rmtsim.block_norms(0 * X, V, W=W, y=p.y, loss=loss)
    assert {float(norms.offdiag_sqfro) for norms in nothing.values()} == {0.0}
    assert rmtsim.block_norms(0 * X, X[:4], loss=loss)["linear"].diag_sqfro == 0
    constant = rmtsim.block_norms(X, np.ones_like(V) if loss == "ce" else 0 * V, W=W, y=p.y, loss=loss)
    assert constant["hidden"] == (0, 0)
    assert constant["cross"].offdiag_sqfro > 0
    if loss == "mse":
        assert constant["output"].offdiag_sqfro == 0
    single = rmtsim.block_norms(X, V[:1], W=W, y=0 * p.y, loss=loss)
    if loss == "ce":
        assert single["output"].diag_sqfro == single["hidden"].diag_sqfro == single["cross"].offdiag_sqfro == 0
    assert np.isnan(single["output"].offdiag_sqfro)


def test_each_draw_of_a_batch_has_its_own_scale() -> None:
    p = problem((4, 6, 9, 3), "mse")
    factors = np.array([1.0, 1e-60, 1e60])[:, None, None]
    X, V, W = factors * p.X, p.V / factors, np.stack([p.W] * 3)
    y = np.stack([p.y] * 3)
    found = rmtsim.block_norms(X, V, W=W, y=y, loss="mse")
    for k in range(3):
        for layer, norms in rmtsim.block_norms(X[k], V[k], W=W[k], y=y[k], loss="mse").items():
            assert found[layer].offdiag_sqfro[k] == norms.offdiag_sqfro


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ordinary_arrays_are_left_alone(dtype: str) -> None:
    p = problem((4, 6, 9, 3), "ce")
    X, V, W = (A.astype(dtype) for A in (p.X, p.V, p.W))
    same, (same_W, same_V), scaling = scaled_network(X, [W, V], "ce", dtype, np)
    assert same is X
    assert same_W is W
    assert same_V is V
    assert not np.any([scaling.data, *scaling.hidden, scaling.extra])


def test_powers_of_two_change_no_digit() -> None:
    p = problem((4, 6, 9, 3), "ce")
    expected = rmtsim.block_norms(p.X, p.V, W=p.W, y=p.y)
    found = rmtsim.block_norms(p.X * 2.0**200, p.V * 2.0**-230, W=p.W * 2.0**30, y=p.y)
    assert found["hidden"] == tuple(np.ldexp(value, -120) for value in expected["hidden"])
    assert found["output"] == tuple(np.ldexp(value, 920) for value in expected["output"])
    assert found["cross"].offdiag_sqfro == np.ldexp(expected["cross"].offdiag_sqfro, 400)


def test_parts_of_the_hessian_go_back_as_the_loss_has_it() -> None:
    """x = 3, c = (5, 7), so that c of V is −15; δ counts the powers of V."""
    exact = Scaling(3, (5, 7))
    assert [exact.entry(a, b) for a, b in ((0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2))] == [
        -10,
        -12,
        -14,
        10,
        8,
        30,
    ]
    raised, lowered = Scaling(3, (5, 7), 100), Scaling(3, (5, 7), -100)
    assert [raised.entry(a, b) for a, b in ((0, 0), (0, 1), (0, 2), (2, 2))] == [-210, -112, 10, 30]
    assert [lowered.entry(a, b) for a, b in ((0, 0), (0, 1), (0, 2), (2, 2))] == [190, 188, 110, 30]


@pytest.mark.parametrize("model", ["linear", "one_hidden"])
@pytest.mark.parametrize("loss", ["ce", "mse"])
@pytest.mark.parametrize("least_gain", [1e-6, 1e6])
@pytest.mark.parametrize("data", [1e-6, 1e6])
def test_draws_of_ensembles_at_the_edge(model: str, loss: str, least_gain: float, data: float) -> None:
    gains = {"last_gain": 1e-6} | ({"hidden_gain": least_gain} if model == "one_hidden" else {})
    width = 3 if model == "one_hidden" else None
    ensemble = rmtsim.Ensemble(init="he", data_variance=data, **gains)
    point = rmtsim.Point(model, loss, 50, 30, 60, width, ensemble)
    double = rmtsim.simulate(point, 3)
    columns = ["diag_sqfro", "offdiag_sqfro"]
    assert np.isfinite(double["offdiag_sqfro"]).all()
    if loss == "ce" and ensemble.scales(50, width, 30).gain > 1e4:
        return  # see the next test
    single = rmtsim.simulate(point, 3, dtype="float32")
    np.testing.assert_allclose(single[columns], double[columns], rtol=2e-5)


def test_draws_with_logits_too_large_for_float32_are_an_error() -> None:
    point = rmtsim.Point("linear", "ce", 50, 30, 60, ensemble=rmtsim.Ensemble(data_variance=1e6))
    with pytest.raises(rmtsim.InputError, match=r"logits reach 3\.87e\+03, too much for float32; give dtype float64"):
        rmtsim.simulate(point, 3, dtype="float32")
    assert (rmtsim.simulate(point, 3)["offdiag_sqfro"] > 0).all()


def test_draws_beyond_every_digit_are_an_error() -> None:
    ensemble = rmtsim.Ensemble(data_variance=1e6, last_gain=1e6)
    point = rmtsim.Point("linear", "ce", 3, 20, 2, ensemble=ensemble)
    with pytest.raises(rmtsim.InputError, match="all probability is in one class; give another ensemble"):
        rmtsim.simulate(point, 2)
    rows = rmtsim.simulate(rmtsim.Point("one_hidden", "mse", 2, 1, 1, 1), 30, seed=3)
    assert (rows["offdiag_sqfro"] == 0).any()  # dead neurons


@pytest.mark.parametrize("loss", ["ce", "mse"])
@pytest.mark.parametrize("width", [None, 3])
def test_logits_beyond_float64_are_noticed_before_they_overflow(loss: str, width: int | None) -> None:
    """No warning comes first, which the tests turn into errors; with MSE the last layer's blocks are what they were."""
    given = arrays((10.0, 1.0, 1.0), "float64", width)
    given["V"] *= 1e308 / np.abs(given["V"]).max()
    with np.errstate(over="ignore"):
        assert np.isinf(np.abs(given["X"]).max() * np.abs(given["V"]).max())
    for compute in (rmtsim.block_norms, rmtsim.layer_norms, rmtsim.hessian):
        if loss == "ce" or width is not None:
            with pytest.raises(rmtsim.InputError, match=r"logits reach|which float64 does|float64 goes"):
                compute(given["X"], given["V"], W=given["W"], y=given["y"], loss=loss)
        else:
            compute(given["X"], given["V"], y=given["y"], loss=loss)
    if loss == "mse" and width is None:
        check(given, loss, 1e-12)


def test_a_ratio_is_that_of_the_two_means() -> None:
    norms = rmtsim.block_norms(**arrays((1.0, 1.0, 1.0), "float64", 3), loss="ce")
    assert norms["output"].ratio == norms["output"].offdiag_sqfro / norms["output"].diag_sqfro
    assert np.isnan(norms["cross"].ratio)
    nothing = rmtsim.block_norms(np.zeros((4, 3)), np.ones((5, 3)), loss="mse")["linear"]
    assert np.isnan(nothing.ratio)
