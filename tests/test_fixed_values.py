"""What is the same in every draw follows from the model, never from draws that happen to be equal."""

from __future__ import annotations

import json
import math
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rmtsim import Ensemble, Point, simulate
from rmtsim.cli.main import main
from rmtsim.model.fixed_values import fixed_values
from rmtsim.stats.comparison import compare
from rmtsim.stats.summary import summarize
from rmtsim.theory import finite

#: One hidden neuron, one sample, one dimension: half of all draws are zero, since their neuron is dead.
DEAD = """
name = "dead"
model = "one_hidden"
loss = "mse"
layers = ["hidden"]
[grid]
n_classes = [2]
aspect_ratio = [1.0]
dim = [1]
width = [1]
[sampling]
seed = 3
min_draws = 2
max_draws = {max_draws}
target_rse = 0.1
"""


@pytest.fixture
def dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    spec = tmp_path / "dead.toml"
    spec.write_text(DEAD.format(max_draws=3))
    return spec


def zeros(spec: Path) -> pd.DataFrame:
    """The first draws of the spec, which are all zero by chance."""
    del spec
    rows = simulate(Point("one_hidden", "mse", 2, 1, 1, 1), 3, seed=3, layers=("hidden",))
    assert (rows["diag_sqfro"] == 0).all()
    return rows


def test_zeros_by_chance_are_not_done(dead: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zeros(dead)
    assert main(["run", str(dead), "--store", "s", "--backend", "numpy"]) == 4
    assert "1 used up max_draws" in capsys.readouterr().err
    assert main(["status", "--store", "s", "--json"]) == 4
    [point] = json.loads(capsys.readouterr().out)["points"]
    assert (point["state"], point["draws"], point["rse"], point["worst"]) == ("limited", 3, None, "hidden diag")
    assert main(["status", "--store", "s"]) == 4
    assert "all 3 draws of hidden diag are equal" in capsys.readouterr().out
    assert main(["plan", str(dead), "--store", "s"]) == 0
    assert "all 3 draws of hidden diag are equal" in capsys.readouterr().out
    assert main(["export", "--store", "s", "--out", "t.csv"]) == 0
    [row] = pd.read_csv("t.csv").to_dict("records")
    assert row["diag_sqfro"] == 0
    assert math.isnan(row["std_error_diag"])
    assert math.isnan(row["rse_diag"])
    assert main(["fit", "--store", "s", "--json"]) == 0
    claims = json.loads(capsys.readouterr().out)["claims"]
    assert {claim["verdict"] for claim in claims} == {"not tested"}


def test_more_draws_tell(dead: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dead.write_text(DEAD.format(max_draws=4000))
    assert main(["run", str(dead), "--store", "s", "--backend", "numpy"]) == 4
    assert main(["export", "--store", "s", "--out", "t.csv"]) == 0
    [row] = pd.read_csv("t.csv").to_dict("records")
    [hidden] = finite("one_hidden", "mse", 2, 1, 1, 1, layers=("hidden",))
    assert hidden.diag == pytest.approx(48)
    assert abs(row["diag_sqfro"] - hidden.diag) < 5 * row["std_error_diag"]
    assert row["std_error_diag"] > 0
    capsys.readouterr()


def test_a_chance_zero_has_no_verdict(dead: Path) -> None:
    diag = compare(summarize(zeros(dead))).set_index("quantity").loc["diag"]
    assert diag["verdict"] == "not tested"
    assert "all 3 draws are equal" in diag["reason"]


@pytest.mark.parametrize("model", ["linear", "one_hidden"])
@pytest.mark.parametrize("loss", ["ce", "mse"])
def test_they_are_those_of_theory_and_of_draws(model: str, loss: str) -> None:
    """Zero in theory if and only if named; and then so in every draw, in both precisions."""
    ensemble = Ensemble(last_gain=0.1)  # the theory of large logits takes seconds
    sizes = product((1, 2, 5), [None]) if model == "linear" else [(1, 1), (2, 1), (1, 3), (2, 3), (5, 3)]
    for (C, width), dtype in product(sizes, ("float64", "float32")):
        point = Point(model, loss, C, 40, 6, width, ensemble)
        rows = simulate(point, 3, dtype=dtype)
        for expected in finite(model, loss, C, 40, 6, width, ensemble=ensemble, target_rse=1.0):
            named = fixed_values(loss, expected.layer, C)
            of_layer = rows[rows["layer"] == expected.layer]
            for quantity in ("diag", "offdiag"):
                assert (getattr(expected, quantity) == 0) == (named.get(quantity) == 0) or (
                    math.isnan(getattr(expected, quantity))  # no such blocks
                ), (point, expected.layer, quantity)
                drawn = of_layer[f"{quantity}_sqfro"].dropna()
                assert (drawn == named.get(quantity, drawn)).all()
            ratio = (of_layer["offdiag_sqfro"] / of_layer["diag_sqfro"]).dropna()
            assert np.allclose(ratio, named.get("ratio", ratio), rtol=1e-5, atol=0)
            if "ratio" in named and not math.isnan(expected.ratio):
                assert expected.ratio == pytest.approx(named["ratio"], rel=1e-9)


def test_what_the_model_fixes_has_no_error() -> None:
    rows = simulate(Point("linear", "mse", 3, 4, 6), 4)
    [line] = summarize(rows).to_dict("records")
    names = ["offdiag_sqfro", "std_error_offdiag", "rse_offdiag", "rse_ratio"]
    assert [line[name] for name in names] == [0, 0, 0, 0]
    assert line["std_error_diag"] > 0
    [pair] = summarize(simulate(Point("linear", "ce", 2, 4, 6), 4)).to_dict("records")
    assert pair["ratio"] == pytest.approx(1)
    assert pair["rse_ratio"] < 1e-12
