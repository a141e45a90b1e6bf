"""The slides' SIMO examples: closed forms against automatic differentiation, zeros against the links."""

from __future__ import annotations

import math
import re
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from rmtsim.errors import InputError
from rmtsim.paper.linked_network import EXAMPLES, LinkedNetwork, full_links
from rmtsim.paper.simo import Simo, by_tie, hidden_ratios, simo_entries
from rmtsim.paper.simo_drawing import formula
from rmtsim.sweeps.table_runner import run_tables
from tests import autodiff

assert autodiff.jax.config.jax_enable_x64

ODD = LinkedNetwork(((1, 1, 0), (0, 1, 0), (1, 0, 1), (0, 0, 1)), 3)


@partial(jax.jit, static_argnums=0)
def _hessian(shape: tuple[int, int, int], parameters: jax.Array, links: jax.Array, x: jax.Array, y: jax.Array) -> Any:
    q, m, p = shape

    def loss(values: jax.Array) -> jax.Array:
        first, last = values[: m * p].reshape(m, p), values[m * p :].reshape(q, m)
        return 0.5 * jnp.sum(((links * last) @ (first @ x) - y) ** 2)

    return jax.hessian(loss)(parameters)


def oracle(network: LinkedNetwork, W: np.ndarray, V: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Hessian by JAX in W row by row and then the linked entries of V row by row."""
    full = _hessian((*V.shape, W.shape[1]), np.concatenate([W.ravel(), V.ravel()]), network.mask * 1.0, x, y)
    kept = np.flatnonzero(np.concatenate([np.ones(W.size), network.mask.ravel()]))
    return np.asarray(full)[np.ix_(kept, kept)]


def drawn(network: LinkedNetwork, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    W, V = network.draw(1, np.random.default_rng(seed))
    return W[0], V[0]


@pytest.mark.parametrize("network", [*EXAMPLES.values(), ODD])
def test_hessians_are_those_of_autodiff(network: LinkedNetwork) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal(network.n_inputs), rng.standard_normal(len(network.mask))
    W, V = drawn(network)
    np.testing.assert_allclose(network.hessian(W, V, x, y), oracle(network, W, V, x, y), atol=1e-12)
    ones, zeros = np.ones(network.n_inputs), np.zeros(len(network.mask))
    np.testing.assert_allclose(network.hessian(W, V), oracle(network, W, V, ones, zeros), atol=1e-12)


@pytest.mark.parametrize("network", [*EXAMPLES.values(), ODD])
def test_links_predict_the_zeros_of_autodiff(network: LinkedNetwork) -> None:
    ones, zeros = np.ones(network.n_inputs), np.zeros(len(network.mask))
    found = [oracle(network, *drawn(network, seed), ones, zeros) for seed in range(3)]
    vanish = np.max(np.abs(found), axis=0) == 0
    np.testing.assert_array_equal(network.ties() == "none", vanish)


def test_the_first_example_is_as_on_the_slide() -> None:
    network = EXAMPLES["example 1"]
    assert network.weight_names == ["w1", "w2", "v11", "v22"]
    W, V = drawn(network)
    (w1, w2), v1, v2 = W[:, 0], V[0, 0], V[1, 1]
    H = oracle(network, W, V, np.ones(1), np.zeros(2))
    expected = [
        [v1**2, 0, 2 * w1 * v1, 0],
        [0, v2**2, 0, 2 * w2 * v2],
        [2 * w1 * v1, 0, w1**2, 0],
        [0, 2 * w2 * v2, 0, w2**2],
    ]
    np.testing.assert_allclose(H, expected, atol=1e-14)


@pytest.mark.parametrize("name", ["example 1", "example 2"])
def test_formulas_in_the_figure_are_the_entries(name: str) -> None:
    network = EXAMPLES[name]
    W, V = drawn(network)
    values = dict(zip(network.weight_names, [*W.ravel(), *V[network.mask]], strict=True))
    H = oracle(network, W, V, np.ones(1), np.zeros(2))
    paths = {str(j + 1): [str(k + 1) for k in np.flatnonzero(row)] for j, row in enumerate(network.mask)}
    for i, row in enumerate(network.weight_names):
        for k, column in enumerate(network.weight_names):
            text = formula(row, column, paths).replace("{", "").replace("}", "").replace("_", "").replace("^", "**")
            code = re.sub(r"\b[wv]\d+", lambda found: f"({values[found.group()]!r})", text).replace(" ", "*")
            assert eval(code) == pytest.approx(H[i, k], abs=1e-13), (row, column)


@pytest.mark.parametrize("network", [*EXAMPLES.values(), ODD])
def test_mean_squares_are_those_of_many_draws(network: LinkedNetwork) -> None:
    rows = simo_entries("network", network, 4000, seed=3)
    pulls = ((rows["mean_square"] - rows["expected"]) / rows["std_error"])[rows["expected"] > 0]
    assert pulls.abs().max() < 4.5
    assert (rows.loc[rows["expected"] == 0, "largest"] == 0).all()
    own = rows[(rows["row"] == rows["column"]) & rows["row"].str.startswith("w")]
    wrong = (own["mean_square"] - own["expected"] * 1.3) / own["std_error"]  # as if the fourth moment were 3.9
    assert wrong.abs().max() > 4.5


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    store = tmp_path_factory.mktemp("simo")
    experiment = Simo().tables()
    assert run_tables(experiment, store, workers=1).new_tables == 9
    return experiment.read(store)


def test_the_report_tells_zeros_and_the_decay_with_outputs(entries: pd.DataFrame) -> None:
    ties = by_tie(entries)
    none = ties[ties["tie"] == "none"]
    assert (none["largest"] == 0).all()
    assert (ties.loc[ties["tie"] != "none", "least_largest"] > 1).all()
    ratios = hidden_ratios(entries)
    assert ratios["n_outputs"].tolist() == [1, 2, 4, 8, 16, 32]
    assert ((ratios["ratio"] - ratios["expected"]) / ratios["std_error"]).abs().max() < 4
    assert ((ratios["ratio"] - 1 / ratios["n_outputs"]) / ratios["std_error"]).abs().max() > 8
    text = Simo().text(Simo().numbers(entries))
    assert f"Of {(entries['tie'] == 'none').sum()} entries without a common output, " in text


def test_the_figure_marks_every_zero(entries: pd.DataFrame, tmp_path: Path) -> None:
    figure = Simo().plot(Simo().numbers(entries))
    for k, name in enumerate(EXAMPLES):
        zeros = entries[(entries["example"] == name) & (entries["largest"] == 0)]
        measured = figure.axes[4 + k]
        assert sum(text.get_text() == "0" for text in measured.texts) == len(zeros)
        size = len(EXAMPLES[name].weight_names)
        assert measured.images[0].get_array().shape == (size, size)
    predicted = {text.get_text() for text in figure.axes[0].texts}
    assert predicted == {"$0$", "$v_{11}^2$", "$v_{22}^2$", "$2 v_{11} w_1$", "$2 v_{22} w_2$", "$w_1^2$", "$w_2^2$"}


def test_no_two_weights_share_a_name() -> None:
    for n_outputs, n_hidden, n_inputs in ((11, 11, 1), (1, 111, 11), (32, 3, 2)):
        names = LinkedNetwork(full_links(n_outputs, n_hidden), n_inputs).weight_names
        assert len(set(names)) == len(names) == n_hidden * (n_inputs + n_outputs)


def test_bad_requests_are_refused() -> None:
    for links in ([[1, 0], [1]], [[1, 2]], [[1, 0], [1, 0]], [[0, 0], [1, 1]], [[[1]]], [1, 1], 5, [["1"]], []):
        with pytest.raises(InputError, match=r"links: .* is not valid; give rows of 0 and 1"):
            LinkedNetwork(links)
    with pytest.raises(InputError, match="n_inputs: 0 is not valid"):
        LinkedNetwork([[1]], 0)
    network = LinkedNetwork([[1, 1]])
    for W, V in (((1, 1), (1, 2)), ((2, 1), (2,)), ((2, 1), (2, 2)), ((3, 2, 1), (4, 1, 2))):
        with pytest.raises(InputError, match="W, V: shapes"):
            network.hessian(np.ones(W), np.ones(V))
    good = np.ones((2, 1)), np.ones((1, 2))
    for x, y, sentence in (
        (None, 0.0, r"y: shape \(\) does not fit; give \(1,\)"),
        (None, [0.0, 1.0], r"y: shape \(2,\) does not fit"),
        ([1.0, 2.0], None, r"x: shape \(2,\) does not fit; give \(1,\)"),
        (["a"], None, "x: dtype <U1 is not valid; give real numbers"),
        (None, [[0.0], []], "y: it is not an array of one shape"),
        (np.ma.ones(1), None, "x: it is a masked array"),
        (None, [math.nan], "y: it holds NaN"),
    ):
        with pytest.raises(InputError, match=sentence):
            network.hessian(*good, x, y)
    with pytest.raises(InputError, match="draws: 1 is not valid"):
        simo_entries("x", EXAMPLES["example 1"], 1)
