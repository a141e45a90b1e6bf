"""Other laws of data, weights and labels: what they are, the points they make, and where the theory holds for them."""

from __future__ import annotations

import json
import math
import tracemalloc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

import rmtsim
from rmtsim import Ensemble, InputError, Point
from rmtsim.cli.main import main
from rmtsim.data.clusters import Clusters
from rmtsim.data.datasets import _LAWS, parse_data, register_data
from rmtsim.data.labels import Labels, parse_labels
from rmtsim.data.row_laws import EntryLaw, RowLaw, Values, parse_row_law
from rmtsim.kernels.cost import point_tiling
from rmtsim.kernels.memory import memory
from rmtsim.model.ensemble import norms_have_variance
from rmtsim.sampling.draws import sample
from rmtsim.sampling.random_rows import RandomRows, stream
from rmtsim.sampling.weight_rows import weight_rows
from rmtsim.sweeps.spec import Sampling
from rmtsim.sweeps.state import PointState
from rmtsim.sweeps.training_spec import load_any
from rmtsim.theory import finite, large_c, limit
from rmtsim.theory.laws import cosines
from rmtsim.theory.quadrature import gauss_sum_of_signs
from rmtsim.training.problem import Problem

#: Most standard errors that a mean may be off.
MOST = 4.5

#: A law of each kind, with its covariance in 6 dimensions.
SPIKED = np.array([6, 6, 1, 1, 1, 1]) * 6 / 16
SPECTRUM = 1 / np.arange(1, 7) / np.mean(1 / np.arange(1, 7))
AR1 = 0.5 ** np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
COVARIANCES: dict[str, Any] = {
    "gaussian": np.eye(6),
    "rademacher": np.eye(6),
    "uniform": np.eye(6),
    "student_t:12": np.eye(6),
    "sphere": np.eye(6),
    "ar1:0.5": AR1,
    "spectrum:1": np.diag(SPECTRUM),
    "spiked:2:5": np.diag(SPIKED),
}
OTHERS = [law for law in COVARIANCES if law != "gaussian"]


def distance(values: npt.NDArray[np.float64], expected: float) -> float:
    """Distance of the mean of independent values from what is expected, in standard errors; 0 where all are that."""
    error, off = values.std(ddof=1) / math.sqrt(len(values)), float(abs(values.mean() - expected))
    return float(off / error) if error > 1e-12 else 0.0 if off < 1e-9 else math.inf


@pytest.mark.parametrize("text", COVARIANCES)
def test_a_law_has_the_moments_that_it_states(text: str) -> None:
    law = parse_row_law(text)
    X = law.rows(np.random.default_rng(5), 40_000, 6)
    assert law.text == text
    covariance = COVARIANCES[text]
    assert law.isotropic == np.array_equal(covariance, np.eye(6))
    for i in range(6):
        assert distance(X[:, i], 0.0) < MOST
        for j in range(i + 1):
            assert distance(X[:, i] * X[:, j], covariance[i, j]) < MOST
    squares, products = (X**2).sum(axis=1), (X[::2] * X[1::2]).sum(axis=1)
    assert distance(squares, 6.0) < MOST
    assert distance(squares**2, law.fourth_moment(6)) < MOST
    assert distance(products**2, law.pair_moment(6)) < MOST
    assert law.pair_moment(6) == pytest.approx(np.sum(covariance**2), rel=1e-12)
    if text != "gaussian":  # negative control: the law is not the Gaussian one
        far = [distance(squares**2, 48.0), distance(products**2, 6.0), distance((X**4).mean(axis=1), 3.0)]
        assert max(far) > 8


def test_student_t_has_the_moments_that_it_has_and_no_others() -> None:
    assert parse_row_law("student_t:5").fourth_moment(10) == 10 * 9 + 10 * 9
    assert parse_row_law("student_t:4").fourth_moment(10) == math.inf
    assert parse_row_law("student_t:2.5").pair_moment(10) == 10


@pytest.mark.parametrize("text", ["ar1:-0.7", "spectrum:0.3", "spiked:3:8", "sphere", "rademacher"])
def test_what_pairs_have_tends_to_its_limit(text: str) -> None:
    law = parse_row_law(text)
    errors = [abs(law.pair_moment(dim) / dim / law.pair_limit - 1) for dim in (1000, 100_000)]
    assert errors[1] < 0.01
    assert errors[1] <= errors[0]


def test_spectra_without_a_limit_grow() -> None:
    for text in ("spectrum:0.5", "spectrum:1"):
        law = parse_row_law(text)
        assert law.pair_limit == math.inf
        assert law.pair_moment(10_000) / 10_000 > 1.2 * law.pair_moment(1000) / 1000


@pytest.mark.parametrize("text", COVARIANCES)
def test_more_rows_only_add_to_fewer(text: str) -> None:
    """Which makes rows of a stream independent of the chunk, also where blocks of rows end."""
    law = parse_row_law(text)
    few, many = (law.rows(stream(bytes(16)), count, 6) for count in (3, 700))
    np.testing.assert_array_equal(many[:3], few)
    X = RandomRows("key", range(2), (1500, 6), 2.0, law=law, dtype="float64", xp=np)
    whole = X.all()
    for start, stop in ((0, 1), (5, 513), (511, 512), (1000, 1500)):
        np.testing.assert_array_equal(X.rows(slice(start, stop)), whole[:, start:stop])
    np.testing.assert_array_equal(X.draw((1,)).all(), whole[1])
    rounded = RandomRows("key", range(2), (1500, 6), 2.0, law=law, dtype="float32", xp=np).all()
    np.testing.assert_array_equal(rounded, whole.astype("float32"))


SIZES = [(3, 9), (9, 9), (15, 9), (40, 9), (1, 4), (4, 1), (300, 20)]


@pytest.mark.parametrize("size", SIZES)
def test_orthogonal_weights_are_orthogonal(size: tuple[int, int]) -> None:
    rows, columns = size
    V = weight_rows("orthogonal", "key", range(3), size, 0.25, dtype="float64", xp=np).all()
    gram = V @ V.mT if rows <= columns else V.mT @ V
    expected = 0.25 * max(size) * np.eye(min(size))
    np.testing.assert_allclose(gram, np.broadcast_to(expected, gram.shape), atol=1e-13 * max(size))
    assert np.mean(V**2) == pytest.approx(0.25, rel=1e-12)
    G = weight_rows("gaussian", "key", range(3), size, 0.25, dtype="float64", xp=np).all()
    assert np.abs((G @ G.mT if rows <= columns else G.mT @ G) - expected).max() > 0.1  # negative control


@pytest.mark.parametrize("size", [(3, 5), (5, 4), (24, 6)])
def test_orthogonal_weights_know_no_direction(size: tuple[int, int]) -> None:
    """An entry is a coordinate of a uniform point of the sphere in max(C, d) dimensions, times a constant."""
    V = weight_rows("orthogonal", "key", range(4000), size, 1.0, dtype="float64", xp=np).all()
    n = max(size)
    for i, j in ((0, 0), (size[0] - 1, size[1] - 1), (0, size[1] - 1)):
        assert distance(V[:, i, j], 0.0) < MOST
        assert distance(V[:, i, j] ** 2, 1.0) < MOST
        assert distance(V[:, i, j] ** 4, 3 * n / (n + 2)) < MOST
        assert n > 10 or distance(V[:, i, j] ** 4, 3.0) > MOST  # negative control: a normal
    rng = np.random.default_rng(0)
    raw = np.array([np.linalg.qr(rng.standard_normal((5, 4)))[0][0, 0] for _ in range(2000)])
    assert distance(raw, 0.0) > 20  # negative control: without the signs of R


def test_rows_of_orthogonal_weights_do_not_depend_on_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmtsim.sampling.weight_rows._PIECE_NUMBERS", 2**9)
    for size in ((20, 7), (200, 7), (6, 7)):
        V = weight_rows("orthogonal", "key", range(2), size, 2.0, dtype="float64", xp=np)
        whole = V.all()
        for start, stop in ((0, 1), (3, 6), (0, size[0]), (size[0] - 1, size[0])):
            again = weight_rows("orthogonal", "key", range(2), size, 2.0, dtype="float64", xp=np)
            np.testing.assert_array_equal(again.rows(slice(start, stop)), whole[:, start:stop])
        np.testing.assert_array_equal(V.draw((1,)).all(), whole[1])
        assert not np.allclose(V.other("2").all(), whole)


def test_uniform_weights_are_bounded_and_have_the_variance() -> None:
    """With gains of 1/3 they are what PyTorch draws by default: uniform in ±1/√fan_in."""
    ensemble = Ensemble(weights="uniform", last_gain=1 / 3, hidden_gain=1 / 3)
    drawn = sample(Point("one_hidden", "mse", 30, 40, 5, 20, ensemble), range(40), 3, dtype="float64", xp=np)
    assert drawn.W is not None
    for weights, fan_in in ((drawn.W, 40), (drawn.V.all(), 20)):
        bound = 1 / math.sqrt(fan_in)
        assert 0.999 * bound < np.abs(weights).max() <= bound
        assert distance(weights.ravel() ** 2, 1 / (3 * fan_in)) < MOST
        assert distance(weights.ravel() ** 2, 1 / fan_in) > MOST  # negative control: without the gains


def test_points_of_other_laws_have_other_identities_and_normal_ones_keep_theirs() -> None:
    point = Point("linear", "ce", 1000, 500, 1000)
    assert point.id == "09ede68ea4f628ef"
    assert Point("one_hidden", "ce", 4, 10, 20, 3, Ensemble("he", data_variance=0.25)).id == "34f3e897f4298097"
    laws = [Ensemble(data=law) for law in COVARIANCES] + [Ensemble(weights=law) for law in ("uniform", "orthogonal")]
    assert len({replace(point, ensemble=ensemble).id for ensemble in laws}) == len(laws)
    assert Ensemble(data="student_t:5.0") == Ensemble(data="student_t:5")
    assert Ensemble().document() == {"init": "lecun", "data_variance": 1.0, "hidden_gain": 1.0, "last_gain": 1.0}
    assert str(Ensemble(data="ar1:0.5", weights="uniform")) == "lecun, data ar1:0.5, weights uniform"


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
    [theory], [gaussian] = (finite("linear", "ce", 5, dim, n_samples, ensemble=e) for e in (ensemble, Ensemble()))
    for quantity in ("diag", "offdiag"):
        values = rows[f"{quantity}_sqfro"].to_numpy()
        assert distance(values, getattr(theory, quantity)) < MOST
        assert distance(values, getattr(gaussian, quantity)) > MOST  # negative control


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


@dataclass(frozen=True)
class Coins(EntryLaw):
    """Entries √(1/p) or 0, with a sign: of a user, with a parameter and without moments of its own."""

    name, form, example = "coins", "coins:P", "coins:0.5"
    share: float

    @property
    def kurtosis(self) -> float:
        return 1 / self.share

    def rows(self, rng: np.random.Generator, count: int, dim: int) -> Values:
        return rng.choice([-1.0, 1.0], (count, dim)) * (rng.random((count, dim)) < self.share) / math.sqrt(self.share)


def test_without_a_variance_nothing_is_decided() -> None:
    """Squared norms of student_t:5 have none with MSE: by the draws alone, means that are low would *differ*."""
    verdicts = {}
    for data in ("student_t:5", "student_t:9"):
        point = Point("linear", "mse", 10, 5, 10, ensemble=Ensemble(data=data))
        draws = rmtsim.simulate(point, draws=64 * 40)
        parts = [draws[draws["draw"] // 64 == k] for k in range(40)]
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


def test_a_law_of_a_users_own_is_one_of_points() -> None:
    before = _LAWS.names() and dict(_LAWS._items)
    register_data(Coins)
    try:
        point = Point("linear", "mse", 3, 8, 16, ensemble=Ensemble(data="coins:.25"))
        assert point.ensemble.data == "coins:0.25"
        rows = rmtsim.simulate(point, 200)
        assert distance(rows["diag_sqfro"].to_numpy(), rmtsim.predict(point)["diag_sqfro"].item()) < MOST
        with pytest.raises(InputError, match=r"data: 'coins' is not valid; give coins:P, such as coins:0\.5"):
            parse_data("coins")
    finally:
        _LAWS._items = before
    with pytest.raises(InputError, match=r"data: 'coins:\.25' is not known; choose one of "):
        Ensemble(data="coins:.25")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"data": "student_t:2"}, "data: student_t:2 has no variance; give NU above 2, such as student_t:5"),
        ({"data": "student_t:nan"}, "data: student_t:nan is not valid; give NU up to 1000000, or gaussian"),
        ({"data": "student_t"}, "data: 'student_t' is not valid; give student_t:NU, such as student_t:5"),
        ({"data": "student_t:5:1"}, "data: 'student_t:5:1' is not valid; give student_t:NU, such as student_t:5"),
        ({"data": "student_t:many"}, "data: 'student_t:many' is not valid; give student_t:NU, such as student_t:5"),
        ({"data": "ar1:1.0"}, "data: ar1:1 is not stationary; give RHO between -1 and 1, such as ar1:0.5"),
        ({"data": "ar1:0"}, "data: ar1:0 has independent entries; give gaussian for these"),
        ({"data": "spiked:0:3"}, "data: spiked:0:3 has 0 spikes; give K from 1 to the dimension, or gaussian"),
        ({"data": "spiked:1.5:3"}, "data: 'spiked:1.5:3' is not valid; give spiked:K:S, such as spiked:3:10"),
        (
            {"data": "spiked:2:-1"},
            "data: spiked:2:-1 is not valid; give S above 0 and up to 1000000, such as spiked:3:10",
        ),
        ({"data": "spectrum:0"}, "data: spectrum:0 is not valid; give ALPHA above 0 and up to 4, such as spectrum:1"),
        ({"data": "uniform:2"}, "data: 'uniform:2' is not valid; give uniform"),
        ({"data": "spher"}, "data: 'spher' is not known (did you mean sphere?); choose one of "),
        (
            {"data": "clusters:20"},
            "data: 'clusters:20' has labels of its own, which only training runs take; choose one",
        ),
        ({"data": "mine.npz"}, "data: 'mine.npz' has labels of its own, which only training runs take; choose one of"),
        ({"data": None}, "data: None is not valid; give a text, such as 'gaussian'"),
        ({"data": ["sphere"]}, "data: ['sphere'] is not valid; give a text"),
        (
            {"weights": "orthogonl"},
            "weights: 'orthogonl' is not known (did you mean orthogonal?); choose one of gaussian",
        ),
        ({"weights": 3}, "weights: 3 is not known; choose one of gaussian, uniform, orthogonal"),
        ({"activation": "rleu"}, "activation: 'rleu' is not known (did you mean relu?); choose one of relu"),
    ],
)
def test_bad_laws_are_told(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        Ensemble(**arguments)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: Point("linear", "ce", 3, 4, 5, ensemble=Ensemble(data="spiked:5:1")),
            "spiked:5:1 has 5 spikes at dim 4",
        ),
        (lambda: Point("linear", "mse", 3, 4, 5, ensemble=Ensemble(data="student_t:4")), "have no mean with 'mse'"),
        (lambda: parse_labels("zipf:0"), "labels: 'zipf:0' is not valid; give zipf:S with S above 0"),
        (lambda: parse_labels("zpif:1"), "labels: 'zpif:1' is not known (did you mean zipf?)"),
        (lambda: parse_labels(1), "labels: 1 is not valid; give a text, such as 'zipf:1'"),
        (lambda: Problem("ce", 3, 4, 5, data=Clusters(3), labels="zipf:1"), "clusters data have labels of their own"),
        (lambda: Problem("ce", 3, 4, 5, weights="uniforn"), "did you mean uniform?"),  # type: ignore[arg-type]
    ],
)
def test_laws_that_do_not_go_with_the_rest_are_told(make: Any, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert sentence in str(caught.value)


SPEC = """
name = "{name}"
model = "linear"
loss = "ce"
[grid]
n_classes = [3, 10, 30]
aspect_ratio = [0.5]
dim = [6]
[ensemble]
data = "{data}"
weights = "{weights}"
[sampling]
min_draws = {draws}
max_draws = {draws}
target_rse = 0.9
"""


def test_a_sweep_with_each_law_runs_resumes_merges_and_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    laws = [*((law, "gaussian") for law in COVARIANCES), ("gaussian", "uniform"), ("gaussian", "orthogonal")]
    stores = [tmp_path / "one", tmp_path / "other"]
    paths = [tmp_path / f"{k}.toml" for k in range(len(laws))]
    for draws in (4, 8):
        for k, ((data, weights), path) in enumerate(zip(laws, paths, strict=True)):
            path.write_text(SPEC.format(name=f"law{k}", data=data, weights=weights, draws=draws))
            rmtsim.run(path, stores[k % 2], workers=1, progress=False)
    store = tmp_path / "both"
    assert main(["plan", str(paths[1]), "--store", str(stores[1])]) == 0
    assert "0 draws to make" in capsys.readouterr().out
    assert main(["merge", "--store", str(store), *map(str, stores)]) == 0
    assert main(["verify", "--store", str(store), "--recompute", "12"]) == 0
    assert "12" in capsys.readouterr().out
    table = pd.read_parquet(store / "draws")
    assert len(table) == 8 * 3 * len(laws)
    assert set(zip(table["data"], table["weights"], strict=True)) == set(laws)
    sphere = rmtsim.open_store(store).draws(data="sphere", n_classes=10)
    again = rmtsim.simulate(Point("linear", "ce", 10, 6, 12, ensemble=Ensemble(data="sphere")), 8)
    pd.testing.assert_series_equal(sphere["diag_sqfro"], again["diag_sqfro"], check_exact=True)
    assert main(["status", "--store", str(store), "--json"]) == 0
    assert {point["data"] for point in json.loads(capsys.readouterr().out)["points"]} == set(COVARIANCES)
    assert main(["fit", "--store", str(store), "--where", "data != 'sphere'"]) == 0
    assert "data ar1:0.5" in capsys.readouterr().out
    fit = rmtsim.fit(rmtsim.open_store(store).draws())
    of_law = fit.claims.groupby(["data", "weights"])
    assert len(of_law) == len(laws)
    untested = fit.claims[fit.claims["data"] == "ar1:0.5"]
    assert (untested["verdict"] == "not tested").all()
    assert untested["reason"].str.contains("at finite dim the theory of linear CE is that of gaussian").all()
    points = fit.points[fit.points["data"].isin(["sphere", "rademacher"])]
    assert (points["finite"] > 0).all()


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


def test_training_takes_the_laws(tmp_path: Path) -> None:
    sphere = parse_data("sphere")
    shallow = Problem("ce", 5, 8, 12, (4,), data=sphere, weights="orthogonal")
    assert shallow.point == Point(
        "one_hidden", "ce", 5, 8, 12, 4, Ensemble(data="sphere", weights="orthogonal")
    )  # the draws of sweeps
    deep = Problem("ce", 5, 8, 12, (4, 4), data=sphere, weights="orthogonal").draw()
    np.testing.assert_allclose((deep.X**2).sum(axis=1), 8)
    for weights in deep.weights:
        rows, columns = weights.shape
        gram = weights @ weights.T if rows <= columns else weights.T @ weights
        np.testing.assert_allclose(gram, max(rows, columns) / columns * np.eye(min(rows, columns)), atol=1e-12)
    usual, zipf = Problem("mse", 5, 8, 4000), Problem("mse", 5, 8, 4000, labels="zipf:1.0")
    assert "labels" not in usual.parameters()
    assert zipf.labels == "zipf:1"
    assert zipf.point is None
    assert Problem("mse", 3, 8, 10, data=parse_data("student_t:3")).point is None
    shares = Labels(1.0).probabilities(5)
    y = zipf.draw().y
    for label in range(5):
        of_label = (y == label).astype(float)
        assert distance(of_label, shares[label]) < MOST
        if label in (0, 3, 4):
            assert distance(of_label, 0.2) > MOST  # negative control: uniform labels
    assert np.array_equal(y, zipf.draw().y)
    assert not np.array_equal(y, zipf.draw(1).y)
    text = """
name = "laws"
loss = ["ce"]
[grid]
n_classes = [3]
dim = [4]
n_samples = [9]
hidden = [[2]]
data = ["gaussian", "student_t:5"]
[ensemble]
weights = "uniform"
labels = "zipf:1.0"
[training]
steps = 2
checkpoints = [0, 1]
"""
    (tmp_path / "laws.toml").write_text(text)
    assert main(["run", str(tmp_path / "laws.toml"), "--store", str(tmp_path / "store")]) == 0
    tables = [pd.read_parquet(path) for path in (tmp_path / "store" / "experiments").rglob("*.parquet")]
    assert {(table["data"][0], table["weights"][0], table["labels"][0]) for table in tables} == {
        ("gaussian", "uniform", "zipf:1"),
        ("student_t:5", "uniform", "zipf:1"),
    }
    for key, value, words in (
        ("labels", '"zipf"', r"[ensemble] labels: 'zipf' is not valid"),
        ("weights", '"haar"', "[ensemble] weights: 'haar' is not known"),
    ):
        (tmp_path / "bad.toml").write_text(text.replace(f"{key} = ", f"{key} = {value} # "))
        with pytest.raises(InputError) as caught:
            load_any(str(tmp_path / "bad.toml"))
        assert words in str(caught.value)


def test_a_device_that_makes_normals_takes_other_laws_from_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU gets is what NumPy's streams make for its keys."""
    from rmtsim.arrays.backends.numpy_backend import NumPyBackend

    law = parse_row_law("sphere")
    host = RandomRows("key", [3, 5], (20, 6), 2.0, law=law, dtype="float32", xp=np).all()
    monkeypatch.setattr(NumPyBackend, "makes_normals", True)
    monkeypatch.setattr(NumPyBackend, "normals", lambda self, *_: np.full((20, 6), 7.0), raising=False)
    assert RandomRows("key", [3], (20, 6), 2.0, dtype="float32", xp=np).all()[0, 0, 0] == 7  # negative control
    np.testing.assert_array_equal(RandomRows("key", [3, 5], (20, 6), 2.0, law=law, dtype="float32", xp=np).all(), host)
    uniform = weight_rows("uniform", "key", [3], (20, 6), 1 / 3, dtype="float32", xp=np).all()
    assert np.abs(uniform).max() <= 1


def test_every_law_that_comes_with_rmtsim_is_tested() -> None:
    laws = {law.name for law in _LAWS if issubclass(law, RowLaw)}
    assert laws == {text.partition(":")[0] for text in COVARIANCES}


@pytest.mark.parametrize("n_classes", [300, 1500])
def test_what_orthogonal_weights_hold_is_counted(n_classes: int) -> None:
    point = Point("linear", "ce", n_classes, 300, 40, ensemble=Ensemble(weights="orthogonal"))
    counted, of_gaussian = (
        memory(one, ("linear",), "float64", point_tiling(one)) for one in (point, replace(point, ensemble=Ensemble()))
    )
    rmtsim.simulate(point, 1, threads=1)  # what is loaded once
    tracemalloc.start()
    try:
        rmtsim.simulate(point, 1, threads=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < counted
    assert n_classes > 300 or peak > of_gaussian  # negative control: as if they were normal
