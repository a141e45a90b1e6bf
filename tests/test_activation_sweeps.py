"""Points with each activation: their draws, rows, sweeps, training runs, and what the theory says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rmtsim
from rmtsim.arrays.threads import ONE_THREAD
from rmtsim.cli.main import main
from rmtsim.kernels import explicit_blocks as blocks
from rmtsim.kernels.cost import flops, point_tiling
from rmtsim.kernels.memory import memory
from rmtsim.model.choices import ACTIVATIONS
from rmtsim.model.choices import ACTIVATIONS as NAMES
from rmtsim.sampling.draws import last_layers, sample
from rmtsim.training.adam import Schedule
from rmtsim.training.problem import Problem
from rmtsim.training.trajectory import trajectory

OTHERS: tuple[Any, ...] = NAMES[1:]
LOSSES: tuple[Any, ...] = ("ce", "mse")
VALUES = ["diag_sqfro", "offdiag_sqfro"]


def point(name: Any, loss: Any = "ce", C: int = 5, d: int = 6, N: int = 9, m: int = 3, **ensemble: Any) -> rmtsim.Point:
    return rmtsim.Point("one_hidden", loss, C, d, N, m, rmtsim.Ensemble(activation=name, **ensemble))


def expected_rows(of: rmtsim.Point, draws: int, weights: int) -> pd.DataFrame:
    """Norms of explicit blocks, means over the last layers of each draw."""
    drawn = sample(of, range(draws), 0, dtype="float64", xp=np, labels=True)
    name, rows = of.ensemble.activation, []
    for b in range(draws):
        means = []
        for V in last_layers(drawn.V, weights):
            X, W, y, v = drawn.X[b], drawn.W[b], drawn.y[b], V.all()[b]
            parts = {
                "hidden": blocks.hidden_blocks(X, v, W, of.loss, name, y),
                "output": blocks.output_blocks(X, v, W, of.loss, name),
                "cross": blocks.cross_blocks(X, v, W, y, of.loss, name),
            }
            found = []
            for layer, B in parts.items():
                squares = (B**2).sum(axis=(2, 3))
                on = np.eye(*squares.shape, dtype=bool) & (layer != "cross")
                found.append([squares[on].mean() if on.any() else np.nan, squares[~on].mean()])
            means.append(found)
        rows += [[b, layer, *row] for layer, row in zip(of.layers, np.mean(means, axis=0), strict=True)]
    return pd.DataFrame(rows, columns=["draw", "layer", *VALUES])


def test_they_are_the_names_of_points() -> None:
    assert ACTIVATIONS == NAMES


@pytest.mark.parametrize("weights", [1, 3])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", NAMES)
def test_rows_are_the_norms_of_explicit_blocks(name: Any, loss: Any, weights: int) -> None:
    of = point(name, loss, init="he", data_variance=0.5)
    rows, expected = rmtsim.simulate(of, 3, weights_per_draw=weights), expected_rows(of, 3, weights)
    np.testing.assert_allclose(rows[VALUES], expected[VALUES], rtol=1e-12)
    assert set(rows["activation"]) == {name}
    alone = rmtsim.simulate(of, range(2, 3), weights_per_draw=weights, batch=1, layers="hidden")
    assert alone["diag_sqfro"].item() == rows[(rows["draw"] == 2) & (rows["layer"] == "hidden")]["diag_sqfro"].item()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", OTHERS)
def test_both_dtypes_see_the_same_draw(name: Any, loss: Any) -> None:
    of = point(name, loss, 20, 12, 30, 4)
    single, double = (rmtsim.simulate(of, 4, dtype=dtype, weights_per_draw=2) for dtype in ("float32", "float64"))
    np.testing.assert_allclose(single[VALUES], double[VALUES], rtol=3e-5)


def test_identities() -> None:
    """Other activations are other points, with draws of their own; ReLU's keep their identity."""
    relu = rmtsim.Point("one_hidden", "ce", 5, 6, 9, 3)
    assert point("relu") == relu
    assert point("relu").id == relu.id
    assert len({point(name).id for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("dim", [1, 2, 7])
@pytest.mark.parametrize("gain", [1.0, 3.0])
def test_theory_of_two_matrices(dim: int, gain: float) -> None:
    """Exact at every size: within 4 standard errors of 1500 draws, where ReLU's theory is far off."""
    of = point("identity", "mse", 3, dim, 4, 2, last_gain=gain)
    means = rmtsim.summarize(rmtsim.simulate(of, 1500)).set_index("layer")
    found, relu = (
        rmtsim.predict([p], regime="finite").set_index("layer")
        for p in (of, point("relu", "mse", 3, dim, 4, 2, last_gain=gain))
    )
    for layer, quantity in (("hidden", "diag"), ("hidden", "offdiag"), ("output", "diag"), ("cross", "offdiag")):
        mean, error = means.loc[layer, f"{quantity}_sqfro"], means.loc[layer, f"std_error_{quantity}"]
        assert abs(mean - found.loc[layer, f"{quantity}_sqfro"]) < 4 * error
        assert abs(mean - relu.loc[layer, f"{quantity}_sqfro"]) > 5 * error


def test_two_matrices_tend_to_their_limits() -> None:
    of = point("identity", "mse", 4, 10**7, 2 * 10**7, 3)
    scale = np.where(np.array(of.layers) == "output", 1.0, 1e7)
    found, limit, large = (rmtsim.predict([of], regime=regime) for regime in ("finite", "limit", "large_c"))  # type: ignore[arg-type]
    assert len(large) == 3
    for column in VALUES:
        np.testing.assert_allclose(found[column][:2] / scale[:2], limit[column][:2] / scale[:2], rtol=1e-5)


@pytest.mark.parametrize(("name", "loss"), [(name, loss) for name in OTHERS for loss in LOSSES][:-1])
def test_elsewhere_the_theory_refuses(name: Any, loss: Any) -> None:
    for regime in ("finite", "limit", "large_c"):
        with pytest.raises(rmtsim.InputError, match=rf"activation: the theory is .*not of {name} with '{loss}'"):
            rmtsim.predict([point(name, loss)], regime=regime)  # type: ignore[arg-type]


SPEC = """
name = "{name}-{loss}"
model = "one_hidden"
loss = "{loss}"
[grid]
n_classes = [3, 6, 12]
aspect_ratio = [0.5]
dim = [6]
width = [3]
[ensemble]
activation = "{name}"
[sampling]
min_draws = {draws}
max_draws = {draws}
target_rse = 0.9
weights_per_draw = 2
"""


def test_a_sweep_of_each_runs_resumes_and_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, file = tmp_path / "store", tmp_path / "spec.toml"
    cases = [(name, loss) for name in NAMES for loss in LOSSES]
    for draws in (4, 8):  # the second goes on with the first
        for name, loss in cases:
            file.write_text(SPEC.format(name=name, loss=loss, draws=draws))
            rmtsim.run(file, store, workers=1, progress=False)
    assert main(["plan", str(file), "--store", str(store)]) == 0
    planned = capsys.readouterr().out
    assert "0 draws to make" in planned
    name, loss = cases[-1]
    none = loss == "ce" or name not in ("relu", "identity")
    assert ("no theory for 3 of 3 points: activation: the theory is that of relu" in planned) == none
    assert main(["verify", "--store", str(store), "--recompute", "10"]) == 0
    table = pd.read_parquet(store / "draws")
    assert len(table) == 8 * 3 * 3 * len(cases)
    assert set(zip(table["activation"], table["loss"], strict=True)) == set(cases)
    rows = rmtsim.open_store(store).draws(activation="gelu", loss="mse", n_classes=6)
    again = rmtsim.simulate(point("gelu", "mse", 6, 6, 12, 3), 8, weights_per_draw=2)
    rows, again = (of.set_index(["draw", "layer"]).sort_index()[VALUES] for of in (rows, again))
    pd.testing.assert_frame_equal(rows, again, check_exact=True)
    capsys.readouterr()
    assert main(["fit", "--store", str(store), "--where", "activation == 'silu'"]) == 0
    assert "activation silu" in capsys.readouterr().out
    fit = rmtsim.fit(rmtsim.open_store(store).draws(loss="mse"))
    smooth = fit.claims[fit.claims["activation"].isin(["gelu", "silu", "tanh"])]
    assert (smooth["verdict"] == "not tested").all()
    assert smooth["reason"].str.contains("activation: the theory is that of relu").any()
    points = fit.points[fit.points["activation"] == "identity"]
    assert (points[(points["quantity"] == "diag") & (points["layer"] != "cross")]["finite"] > 0).all()


def test_theory_verb(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["theory", "--model", "one_hidden", "--loss", "mse", "--classes", "10", "--aspect-ratio", "0.5"]
    arguments += ["--width", "4", "--dim", "8", "--samples", "16", "--json", "--activation"]
    assert main([*arguments, "identity"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["activation"] for row in found} == {"identity"}
    assert main([*arguments, "gelu"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('activation = "gelu"', 'activation = "swish"', "activation: 'swish' is not known"),
        ('activation = "gelu"', 'activation = "GELU"', "activation: 'GELU' is not known"),
        ('activation = "gelu"', "activation = 1", "activation: 1 is not"),
        ('activation = "gelu"', 'activation = ["gelu"]', "activation: ['gelu'] is not"),
        ('model = "one_hidden"', 'model = "linear"', "the linear model has no"),
    ],
)
def test_bad_specs(old: str, new: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = SPEC.format(name="gelu", loss="ce", draws=4).replace(old, new)
    if "linear" in new:
        text = text.replace("width = [3]\n", "")
    (tmp_path / "spec.toml").write_text(text)
    assert main(["run", str(tmp_path / "spec.toml"), "--store", str(tmp_path / "store")]) == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("name", OTHERS)
def test_training_starts_from_the_draws_of_the_point(name: Any) -> None:
    """Norms before the first step are those of the sweep's rows, and one step changes them."""
    problem = Problem("ce", 5, 6, 9, (3,), activation=name)
    assert problem.point == point(name)
    table = trajectory(problem, Schedule(2, 1e-2, (0, 1)))
    rows = rmtsim.simulate(point(name), 1).set_index("layer")
    norms = table[table["quantity"] == "diag_sqfro"].pivot(index="step", columns="layer", values="value")
    np.testing.assert_allclose(norms.loc[0, [1, 2]], rows.loc[["hidden", "output"], "diag_sqfro"], rtol=1e-10)
    assert (norms.loc[0] != norms.loc[2]).all()
    assert set(table["activation"]) == {name} if "activation" in table else True


def test_a_training_spec_names_an_activation(tmp_path: Path) -> None:
    text = """
name = "smooth"
loss = ["ce", "mse"]
[grid]
n_classes = [3]
dim = [4]
n_samples = [9]
hidden = [[2], [3, 2]]
[ensemble]
activation = "gelu"
[training]
steps = 2
checkpoints = [0, 1]
"""
    (tmp_path / "smooth.toml").write_text(text)
    assert main(["run", str(tmp_path / "smooth.toml"), "--store", str(tmp_path / "store")]) == 0
    tables = [pd.read_parquet(path) for path in (tmp_path / "store" / "experiments").rglob("*.parquet")]
    assert len(tables) == 4
    assert all(set(table["activation"]) == {"gelu"} for table in tables)


def test_cost_and_memory_know_that_no_sample_is_left_out() -> None:
    """Sums between the layers run over all samples, a K of the hidden layer is not restricted."""
    layers = ("hidden", "output", "cross")
    for loss in LOSSES:
        relu, gelu = (point(name, loss, 100, 40, 200, 4) for name in ("relu", "gelu"))
        assert flops(gelu, ("cross",), weights=8) > 2 * flops(relu, ("cross",), weights=8)
        assert flops(gelu, ("hidden",), weights=8) >= flops(relu, ("hidden",), weights=8)
        sizes = [memory(p, layers, "float64", point_tiling(p), weights=8) for p in (relu, gelu)]
        assert sizes[0] < sizes[1]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", ["gelu", "identity"])
def test_draws_keep_to_the_memory_that_is_counted(name: Any, loss: Any) -> None:
    import tracemalloc

    from rmtsim.kernels.memory import BASE, fitting_tiling
    from rmtsim.kernels.network_norms import Networks, compute

    for weights in (1, 3):
        of = point(name, loss, 60, 40, 600, 4)
        X, V, W, y, _ = sample(of, range(1), 0, dtype="float64", xp=np, labels=True)
        cut = fitting_tiling(of, of.layers, "float64", BASE + 1e12, weights=weights)
        counted = memory(of, of.layers, "float64", cut, weights=weights)
        tracemalloc.start()
        some = Networks(X, last_layers(V, weights), W, y, loss, of.layers, np, cut, ONE_THREAD, activation=name)
        compute(some)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert used < counted
