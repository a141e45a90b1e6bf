"""Ensembles: the variances that are drawn, the points they make, and theory and simulation at each of them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rmtsim import Ensemble, InputError, Point, simulate
from rmtsim.figures.figure_data import figure_data
from rmtsim.sampling.draws import sample
from rmtsim.stats.claims import claims_of
from rmtsim.stats.comparison import compare
from rmtsim.stats.render import render
from rmtsim.stats.summary import summarize
from rmtsim.theory import at_point, finite, large_c, limit
from tests.synthetic import sweep_of

WIDE = Ensemble("he", data_variance=0.3, hidden_gain=0.7, last_gain=2.5)
XAVIER = Ensemble("xavier", data_variance=2.0, hidden_gain=1.5, last_gain=0.5)

#: Variances of X, W and V at C = 30, d = 40, m = 20, and of V in the linear model.
VARIANCES = [
    (Ensemble(), 1, 1 / 40, 1 / 20, 1 / 40),
    (WIDE, 0.3, 1.4 / 40, 5 / 20, 5 / 40),
    (XAVIER, 2, 3 / 60, 1 / 50, 1 / 70),
]


def refit(ensemble: Ensemble) -> Ensemble:
    """The ensemble without what the linear model does not have."""
    return Ensemble(ensemble.init, ensemble.data_variance, 1.0, ensemble.last_gain)


@pytest.mark.parametrize(("ensemble", "data", "hidden", "last", "linear"), VARIANCES)
def test_arrays_have_the_variances(ensemble: Ensemble, data: float, hidden: float, last: float, linear: float) -> None:
    points = (
        Point("one_hidden", "mse", 30, 40, 25, 20, ensemble),
        Point("linear", "mse", 30, 40, 25, ensemble=refit(ensemble)),
    )
    deep, shallow = (sample(point, range(40), 3, dtype="float64", xp=np) for point in points)
    for values, variance in ((deep.X, data), (deep.W, hidden), (deep.V.all(), last), (shallow.V.all(), linear)):
        assert values is not None
        std_error = variance * math.sqrt(2 / values.size)
        assert abs((values**2).mean() - variance) < 4.5 * std_error
        assert abs((values**2).mean() - 1.1 * variance) > 4.5 * std_error  # negative control


def test_the_default_is_the_papers_and_keeps_its_identity() -> None:
    """The identities are written in stores: they never change."""
    linear, hidden = ("linear", "ce", 1000, 500, 1000), ("one_hidden", "mse", 10, 64, 128, 8)
    assert Point(*linear).id == Point(*linear, ensemble=Ensemble(data_variance=1)).id == "09ede68ea4f628ef"
    assert Point(*hidden).id == Point(*hidden, ensemble=Ensemble("lecun")).id == "1b245a400ddca860"
    others = [Ensemble("he"), Ensemble("xavier"), *(Ensemble(**{name: 2}) for name in ("data_variance", "last_gain"))]
    assert len({Point(*linear, ensemble=ensemble).id for ensemble in (*others, Ensemble())}) == 5
    assert Point(*linear, ensemble=Ensemble(last_gain=2)).id == Point(*linear, ensemble=Ensemble(last_gain=2.0)).id


@pytest.mark.parametrize("ensemble", [WIDE, XAVIER], ids=str)
@pytest.mark.parametrize(
    ("model", "loss", "width"), [("linear", "ce", None), ("linear", "mse", None), ("one_hidden", "mse", 4)]
)
def test_simulation_agrees_with_theory(model: str, loss: str, width: int | None, ensemble: Ensemble) -> None:
    """Means over 600 draws within 4.5 standard errors; the LeCun prediction is far off."""
    ensemble = ensemble if model == "one_hidden" else refit(ensemble)
    point = Point(model, loss, 6, 24, 36, width, ensemble)
    rows = simulate(point, 600, seed=5, layers=point.layers[:2])
    assert set(rows[["init", "data_variance", "last_gain"]].itertuples(index=False, name=None)) == {
        (ensemble.init, ensemble.data_variance, ensemble.last_gain)
    }
    plain = finite(model, loss, 6, 24, 36, width)
    for theory, lecun in zip(at_point(point, "finite")[:2], plain[:2], strict=True):
        drawn = rows[rows["layer"] == theory.layer]
        for quantity in ("diag", "offdiag"):
            values, expected = drawn[f"{quantity}_sqfro"], getattr(theory, quantity)
            assert abs(values.mean() - expected) <= 4.5 * values.sem() + 1e-12 * expected
            if expected:
                assert abs(values.mean() - getattr(lecun, quantity)) > 10 * values.sem()


@pytest.mark.parametrize("ensemble", [Ensemble(data_variance=2, hidden_gain=4, last_gain=0.125), WIDE], ids=str)
def test_one_hidden_ce_agrees_with_theory(ensemble: Ensemble) -> None:
    """At gain 1 only the prefactors differ from the LeCun ensemble's; WIDE has 2.1."""
    point = Point("one_hidden", "ce", 5, 30, 40, 12, ensemble)
    rows = simulate(point, 1500, seed=2, layers=("hidden", "output"))
    layers = ("hidden", "output")
    ours, plain = (
        finite("one_hidden", "ce", 5, 30, 40, 12, ensemble=e, layers=layers, target_rse=4e-3)
        for e in (ensemble, Ensemble())
    )
    for theory, lecun in zip(ours, plain, strict=True):
        drawn = rows[rows["layer"] == theory.layer]
        for quantity in ("diag", "offdiag"):
            values = drawn[f"{quantity}_sqfro"]
            std_error = math.hypot(values.sem(), getattr(theory, f"std_error_{quantity}"))
            assert abs(values.mean() - getattr(theory, quantity)) < 4.5 * std_error
            assert abs(values.mean() - getattr(lecun, quantity)) > 10 * std_error  # negative control


def test_the_limit_of_linear_ce_is_that_of_sampled_softmax_weights() -> None:
    """Theorem 1 at logits N(0, 3 I): brute force over 10⁶ logits, in standard errors."""
    p = np.exp(math.sqrt(3) * np.random.default_rng(8).standard_normal((1_000_000, 5)))
    p /= p.sum(axis=1, keepdims=True)
    ensemble = Ensemble("he", data_variance=3, last_gain=0.5)
    for quantity, weights in (("diag", p[:, 0] * (1 - p[:, 0])), ("offdiag", p[:, 0] * p[:, 1])):
        # Of the mean of two-sample blocks: (E λ)² + γ E λ², by the delta method.
        influence = 2 * weights.mean() * weights + 0.5 * weights**2
        sampled = 9 * (weights.mean() ** 2 + 0.5 * (weights**2).mean())
        for e, agrees in ((ensemble, True), (Ensemble(data_variance=3, last_gain=0.5), False)):
            [theory] = limit("linear", "ce", 5, 0.5, ensemble=e)
            z = (getattr(theory, quantity) - sampled) / (9 * influence.std() / 1000)
            assert bool(abs(z) < 4.5) is agrees


@pytest.mark.parametrize(
    ("model", "loss", "width", "ensemble"),
    [
        ("linear", "ce", None, refit(XAVIER)),
        ("linear", "ce", None, refit(WIDE)),
        ("one_hidden", "mse", 5, XAVIER),
        ("one_hidden", "mse", 5, WIDE),
    ],
)
def test_finite_tends_to_the_limit(model: str, loss: str, width: int | None, ensemble: Ensemble) -> None:
    for k, at_limit in enumerate(limit(model, loss, 7, 0.5, width, ensemble=ensemble)):
        errors = []
        for dim in (1000, 10_000):
            exact = finite(model, loss, 7, dim, 2 * dim, width, ensemble=ensemble)[k]
            quantity = "offdiag" if exact.layer == "cross" else "diag"
            scale = dim if exact.layer in ("linear", "hidden") else 1
            errors.append(getattr(exact, quantity) / scale / getattr(at_limit, quantity) - 1)
        assert 1e-4 < abs(errors[0]) < 0.05
        assert errors[1] == pytest.approx(errors[0] / 10, rel=0.05)


@pytest.mark.parametrize("ensemble", [Ensemble("he"), Ensemble(data_variance=0.4, last_gain=2)], ids=str)
def test_linear_finite_tends_to_large_c(ensemble: Ensemble) -> None:
    """C² diag and C⁴ off approach the constants at the same d and N as 1/C."""
    [constants] = large_c("linear", "ce", 0.5, dim=50, n_samples=100, ensemble=ensemble)
    errors = []
    for n_classes in (10**5, 10**6):
        [exact] = finite("linear", "ce", n_classes, 50, 100, ensemble=ensemble)
        scaled = np.array([exact.diag * n_classes**2, exact.offdiag * float(n_classes) ** 4]) / 50
        errors.append(scaled / [constants.diag, constants.offdiag] - 1)
    assert np.abs(errors[1]).max() < 1e-2
    assert np.all(np.abs(errors[1]) < 0.3 * np.abs(errors[0]))


def test_linear_constants_with_a_gain() -> None:
    [value] = large_c("linear", "ce", 0.3, ensemble=Ensemble("he", data_variance=0.25))
    assert (value.diag, value.offdiag) == pytest.approx(
        ((1 + 0.3 * math.exp(0.5)) / 16, (1 + 0.3 * math.e) / 16), rel=1e-14
    )


@pytest.mark.parametrize("width", [3, 6])
def test_one_hidden_constants_with_a_gain(width: int) -> None:
    """The neurons one by one, by numerical integration over two pre-activations."""
    gain, data, hidden, last = 0.45, 0.5, 1.8, 0.5
    ensemble = Ensemble("he", data_variance=data, hidden_gain=hidden / 2, last_gain=last / 2)

    nodes, weights = np.polynomial.legendre.leggauss(400)
    g, weights = 15 * (nodes + 1), 15 * weights * stats.norm.pdf(15 * (nodes + 1))

    def mean_on(f, t: float, same: bool) -> float:  # type: ignore[no-untyped-def]
        """E[1(g>0) 1(g'>0) e^{t g g'} f(g g')], with g' = g or independent."""
        products, measure = (g * g, weights) if same else (np.outer(g, g), np.outer(weights, weights))
        return float(np.sum(measure * np.exp(t * products) * f(products)))

    def full(t: float, same: bool) -> float:
        return mean_on(lambda s: 1.0 + 0 * s, t, same) + (0.5 if same else 0.75)

    def hidden_off(same: bool) -> float:
        t = gain / width
        both = mean_on(lambda s: 1 / width + gain * s / width**2, t, same)
        return full(t, same) ** (width - 2) * both**2

    def overlap(t: float) -> float:
        """E[(σ·σ')² e^{t σ·σ'}], by expanding the square over neurons."""
        one, two = (mean_on(lambda s, k=k: s**k, t, False) for k in (1, 2))
        m, rest = width, full(t, False)
        return m * two * rest ** (m - 1) + m * (m - 1) * one**2 * rest ** (m - 2)

    first, second, _ = large_c("one_hidden", "ce", 0.5, width, ensemble=ensemble)
    assert first.offdiag == pytest.approx((data * last) ** 2 * (hidden_off(False) + hidden_off(True) / 2), rel=1e-7)
    assert first.diag == pytest.approx((data * last / width) ** 2 / 2, rel=1e-12)
    assert second.diag == pytest.approx((data * hidden) ** 2 * overlap(gain / width), rel=1e-7)
    assert second.offdiag == pytest.approx((data * hidden) ** 2 * overlap(2 * gain / width), rel=1e-7)


def test_divergence_depends_on_the_gain() -> None:
    he = Ensemble("he")
    hidden, output, _ = large_c("one_hidden", "ce", 0.5, 8, ensemble=he)
    assert hidden.offdiag == math.inf
    rare = "offdiag has no constant as C → ∞: rare samples with large logits outweigh all others"
    assert hidden.note == f"{rare} (2 gain / width is 1, and would have to be below 1)"
    assert math.isfinite(output.diag)
    assert math.isfinite(large_c("one_hidden", "ce", 0.5, 9, ensemble=he)[0].offdiag)
    assert math.isfinite(large_c("one_hidden", "ce", 0.5, 1, ensemble=Ensemble(data_variance=0.2))[1].offdiag)
    [linear] = large_c("linear", "ce", 0.5, dim=8, n_samples=16, ensemble=he)
    assert linear.note == f"{rare} (4 gain / dim is 1, and would have to be below 1)"
    assert linear.offdiag == math.inf
    with pytest.raises(InputError, match="give a dim above 8"):
        large_c("linear", "ce", 0.5, dim=4, n_samples=8, ensemble=he)


def test_xavier_has_a_limit_and_no_large_c_where_v_depends_on_c() -> None:
    xavier, he = Ensemble("xavier"), Ensemble("he")
    assert limit("linear", "ce", 9, 0.5, ensemble=xavier)[0].diag == limit("linear", "ce", 9, 0.5, ensemble=he)[0].diag
    assert large_c("linear", "ce", 0.5, ensemble=xavier)[0].diag == large_c("linear", "ce", 0.5, ensemble=he)[0].diag
    assert large_c("linear", "mse", 0.5, dim=8, n_samples=16, ensemble=xavier)[0].offdiag == 0
    for call in (
        lambda: large_c("linear", "ce", 0.5, dim=8, n_samples=16, ensemble=xavier),
        lambda: large_c("one_hidden", "mse", 0.5, 4, ensemble=xavier),
        lambda: large_c("one_hidden", "ce", 0.5, 4, ensemble=xavier),
    ):
        with pytest.raises(InputError, match="ask for limit or finite at your C"):
            call()


def test_different_ensembles_are_different_series() -> None:
    classes = (2, 10, 30, 100, 300, 1000)
    sizes = [
        Point("linear", "ce", C, 100, 200, ensemble=ensemble)
        for ensemble in (Ensemble(), Ensemble("he", data_variance=0.7))
        for C in classes
    ]
    means = [{p.layer: (p.diag, p.offdiag) for p in at_point(point, "finite")} for point in sizes]
    draws = sweep_of(sizes, means, seed=3)
    table = claims_of(summarize(draws))
    assert table["init"].tolist() == ["he"] * 3 + ["lecun"] * 3
    assert (table["verdict"] == "agrees").all()
    assert table["constant_theorem"].iloc[0] == pytest.approx(0.49 * (1 + math.exp(1.4) / 2))
    assert (compare(summarize(draws))["verdict"] == "agrees").all()
    lines = render(table).splitlines()
    assert "linear ce: d/N = 0.5, d = 100, N = 200" in lines
    assert "linear ce: d/N = 0.5, d = 100, N = 200; he, data variance 0.7" in lines
    data = figure_data(summarize(draws[draws["n_classes"] == 100]))
    assert set(data.points["ensemble"]) == set(data.curves["ensemble"]) == {"lecun", "he, data variance 0.7"}
    curves = data.curves.query("kind == 'finite' and quantity == 'diag' and n_classes == 100").set_index("ensemble")
    [theory] = finite("linear", "ce", 100, 100, 200)
    assert curves.loc["lecun", "value"] == theory.diag / 100
    assert curves.loc["he, data variance 0.7", "value"] != theory.diag / 100
    mislabelled = draws.assign(init="lecun", data_variance=1.0)  # negative control
    assert (compare(summarize(mislabelled))["verdict"] == "differs").any()


def test_claims_without_a_constant_say_why() -> None:
    """Where the constant diverges, and where Xavier's V depends on C; the points themselves have a theory."""
    for ensemble, tested, reason in (
        (Ensemble("he", last_gain=2.5), "offdiag", "offdiag has no constant as C → ∞: rare samples"),
        (Ensemble("xavier"), "diag", "init: with 'xavier' the variance of V falls"),
    ):
        point = Point("linear", "ce", 10, 20, 40, ensemble=ensemble)
        draws = sweep_of([point], [{p.layer: (p.diag, p.offdiag) for p in at_point(point, "finite")}], seed=4)
        claim = claims_of(summarize(draws)).set_index("quantity").loc[tested]
        assert claim["verdict"] == "not tested"
        assert claim["reason"].startswith(reason)
        assert (compare(summarize(draws))["verdict"] == "agrees").all()


def test_tables_without_an_ensemble_have_the_papers() -> None:
    point = Point("linear", "ce", 10, 20, 40)
    draws = simulate(point, 20)
    old = draws.drop(columns=["init", "data_variance", "hidden_gain", "last_gain"])
    mixed = pd.concat([old[:10], draws[10:]], ignore_index=True)
    for table in (old, mixed):
        pd.testing.assert_frame_equal(compare(summarize(table)), compare(summarize(draws)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"init": "gauss"}, "init: 'gauss' is not known; choose one of lecun, he, xavier"),
        ({"init": None}, "choose one of"),
        *(
            ({name: value}, f"{name}: {value!r} is not valid; give a positive number from")
            for name in ("data_variance", "hidden_gain", "last_gain")
            for value in (0, -1.0, math.nan, math.inf, "1", None, True, 1e30, 1 + 1j)
        ),
    ],
)
def test_bad_ensembles_are_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(InputError) as caught:
        Ensemble(**arguments)  # type: ignore[arg-type]
    assert str(caught.value).startswith(words) or words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_ensemble_that_the_model_has_not_is_refused() -> None:
    with pytest.raises(InputError, match=r"hidden_gain: 2\.0 was given, but the linear model has no hidden layer"):
        Point("linear", "ce", 3, 4, 5, ensemble=Ensemble(hidden_gain=2))
    with pytest.raises(InputError, match="ensemble: 'he' is not valid"):
        Point("linear", "ce", 3, 4, 5, ensemble="he")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="leave it out"):
        limit("linear", "mse", 3, 0.5, ensemble=Ensemble(hidden_gain=2))
    with pytest.raises(InputError, match="knows up to 64 times"):
        limit("linear", "ce", 3, 0.5, ensemble=Ensemble(last_gain=65))
    with pytest.raises(InputError, match="knows up to 6 times"):
        finite("linear", "ce", 3, 3, 6, ensemble=Ensemble(last_gain=7))
