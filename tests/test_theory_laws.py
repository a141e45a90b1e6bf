"""Where the theory holds for other laws of data and weights, and where it says that it does not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import rmtsim
from rmtsim import Ensemble, InputError, Point
from rmtsim.cli.main import main
from rmtsim.data.row_laws import parse_row_law
from rmtsim.model.ensemble import norms_have_variance
from rmtsim.sweeps.spec import Sampling
from rmtsim.sweeps.state import PointState
from rmtsim.theory import finite, large_c, limit
from rmtsim.theory.laws import cosines
from rmtsim.theory.quadrature import gauss_sum_of_signs
from tests.laws import COVARIANCES, MOST, distance


@pytest.mark.parametrize("weights", ["gaussian", "uniform", "orthogonal"])
@pytest.mark.parametrize("text", COVARIANCES)
def test_linear_mse_is_exact_for_all_laws(text: str, weights: Any) -> None:
    ensemble = Ensemble(data=text, weights=weights, data_variance=2.0)
    rows = rmtsim.simulate(Point("linear", "mse", 3, 12, 18, ensemble=ensemble), 600, seed=4)
    [theory] = finite("linear", "mse", 3, 12, 18, ensemble=ensemble)
    assert distance(rows["diag_sqfro"].to_numpy(), theory.diag) < MOST
    assert theory.diag == pytest.approx(
        16 * (parse_row_law(text).fourth_moment(12) / 18 + parse_row_law(text).pair_moment(12) * 17 / 18), rel=1e-13
    )
    [gaussian] = finite("linear", "mse", 3, 12, 18, ensemble=Ensemble(data_variance=2.0))
    if text not in ("gaussian", "student_t:12"):  # negative control
        assert distance(rows["diag_sqfro"].to_numpy(), gaussian.diag) > MOST


@pytest.mark.parametrize("text", ["sphere", "rademacher"])
@pytest.mark.parametrize(("dim", "n_samples", "gain"), [(1, 4, 1.0), (3, 6, 1.0), (16, 24, 4.0)])
def test_linear_ce_is_exact_for_samples_of_one_length(text: str, dim: int, n_samples: int, gain: float) -> None:
    ensemble = Ensemble(data=text, last_gain=gain)
    rows = rmtsim.simulate(Point("linear", "ce", 5, dim, n_samples, ensemble=ensemble), 2500, seed=11)
    gaussian = rmtsim.simulate(Point("linear", "ce", 5, dim, n_samples), 2500, seed=11)
    [theory] = finite("linear", "ce", 5, dim, n_samples, ensemble=ensemble)
    for quantity in ("diag", "offdiag"):
        values, others = (of[f"{quantity}_sqfro"].to_numpy() for of in (rows, gaussian))
        assert distance(values, getattr(theory, quantity)) < MOST
        assert distance(others, getattr(theory, quantity)) > MOST  # negative control: the usual ensemble


@pytest.mark.parametrize("text", ["sphere", "rademacher"])
def test_constants_of_samples_of_one_length_are_approached(text: str) -> None:
    ensemble = Ensemble(data=text)
    [constants] = large_c("linear", "ce", 0.5, dim=6, n_samples=12, ensemble=ensemble)
    [exact] = finite("linear", "ce", 10**6, 6, 12, ensemble=ensemble)
    assert exact.diag * 1e12 / 6 == pytest.approx(constants.diag, rel=1e-4)
    assert exact.offdiag * 1e24 / 6 == pytest.approx(constants.offdiag, rel=1e-4)
    [gaussian] = large_c("linear", "ce", 0.5, dim=6, n_samples=12)
    assert constants.offdiag < 0.8 * gaussian.offdiag  # negative control: lengths that vary make it larger


def test_sums_of_signs_and_cosines() -> None:
    for count, nodes in ((1, 5), (4, 5), (1000, 6)):
        total, shares = gauss_sum_of_signs(count, nodes)
        assert shares.sum() == pytest.approx(1)
        assert shares @ total**2 == pytest.approx(count)
        assert shares @ total**4 == pytest.approx(3 * count**2 - 2 * count)
    for law in ("sphere", "rademacher"):
        for dim in (1, 2, 7, 300):
            cos, weights = cosines(law, dim, 12)
            assert np.abs(cos).max() <= 1
            assert weights.sum() == pytest.approx(dim)


@pytest.mark.parametrize(("text", "weights"), [("ar1:0.7", "gaussian"), ("student_t:9", "uniform")])
def test_linear_ce_at_large_d_is_near_the_limit_of_all_laws(text: str, weights: Any) -> None:
    ensemble = Ensemble(data=text, weights=weights)
    rows = rmtsim.simulate(Point("linear", "ce", 5, 300, 600, ensemble=ensemble), 30, seed=2)
    [theory], [gaussian] = (limit("linear", "ce", 5, 0.5, ensemble=e) for e in (ensemble, Ensemble()))
    for quantity in ("diag", "offdiag"):
        measured = rows[f"{quantity}_sqfro"].mean() / 300
        assert measured == pytest.approx(getattr(theory, quantity), rel=0.05)
        correlated = text.startswith("ar1")
        assert (getattr(theory, quantity) > 1.5 * getattr(gaussian, quantity)) is correlated  # negative control


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: finite("linear", "ce", 5, 6, 12, ensemble=Ensemble(data="uniform")),
            "is that of gaussian, sphere and",
        ),
        (lambda: finite("linear", "ce", 5, 6, 12, ensemble=Ensemble(weights="uniform")), "is that of gaussian weights"),
        (
            lambda: finite("one_hidden", "mse", 5, 6, 12, 3, ensemble=Ensemble(data="sphere")),
            "is that of gaussian data",
        ),
        (lambda: limit("one_hidden", "ce", 5, 0.5, 3, ensemble=Ensemble(weights="orthogonal")), "few inputs"),
        (
            lambda: limit("one_hidden", "mse", 5, 0.5, 3, ensemble=Ensemble(data="ar1:0.5")),
            "uncorrelated entries alone",
        ),
        (lambda: limit("linear", "ce", 5, 0.5, ensemble=Ensemble(data="student_t:3")), "no fourth moment"),
        (
            lambda: limit("linear", "mse", 5, 0.5, ensemble=Ensemble(data="spectrum:1")),
            "there is no limit; ask for finite",
        ),
        (lambda: large_c("linear", "ce", 0.5, None, 6, 12, ensemble=Ensemble(data="ar1:0.5")), "ask for limit"),
    ],
)
def test_where_there_is_no_theory_it_says_so(call: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_variance_nothing_is_decided() -> None:
    """Squared norms of student_t:5 have none with MSE: by the draws alone, means that are low would *differ*."""
    verdicts = {}
    for data in ("student_t:5", "student_t:9"):
        point = Point("linear", "mse", 10, 5, 10, ensemble=Ensemble(data=data))
        draws = rmtsim.simulate(point, draws=64 * 40)
        parts = [draws[draws["draw"] // 64 == k] for k in range(40)]
        parts.sort(key=lambda part: part["diag_sqfro"].mean())  # the lowest means are the most misleading ones
        parts = [*parts[:3], *parts[18:21]]
        verdicts[data] = [rmtsim.fit(part).compared.set_index("quantity").loc["diag"] for part in parts]
        state = PointState(point, ("linear",), Sampling(min_draws=64, max_draws=64))
        state.add(0, parts[0][["diag_sqfro", "offdiag_sqfro"]].to_numpy()[:, None, :])
        assert ("too heavy" in state.warning) == (data == "student_t:5")
    assert {line["verdict"] for line in verdicts["student_t:5"]} == {"not decided"}
    assert all("too heavy" in line["reason"] for line in verdicts["student_t:5"])
    assert "agrees" in {line["verdict"] for line in verdicts["student_t:9"]}
    assert any(line["z"] < -3.5 for line in verdicts["student_t:5"])  # negative control
    for data, loss, activation in (("student_t:5", "ce", "relu"), ("student_t:5", "mse", "tanh")):
        assert norms_have_variance(data, loss, activation)


def test_the_theory_verb_takes_laws(capsys: pytest.CaptureFixture[str]) -> None:
    of_limit = ["theory", "--model", "linear", "--loss", "ce", "--classes", "10", "--aspect-ratio", "0.5", "--json"]
    assert main([*of_limit, "--data", "ar1:0.5"]) == 0
    correlated = json.loads(capsys.readouterr().out)
    assert main(of_limit) == 0
    plain = json.loads(capsys.readouterr().out)
    assert correlated[0]["data"] == "ar1:0.5"
    assert correlated[0]["diag"] > 1.3 * plain[0]["diag"]
    spectrum = [*of_limit, "--spectrum"]
    assert main([*spectrum, "--data", "sphere"]) == 0
    capsys.readouterr()
    for arguments in ([*spectrum, "--data", "ar1:0.5"], [*of_limit, "--data", "moons"], [*of_limit, "--data", "ar1:2"]):
        assert main(arguments) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.count("\n") == 1
