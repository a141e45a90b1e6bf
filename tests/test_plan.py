"""A plan tells what the target takes, not only the least number of draws; and a long run says so before it begins."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rmtsim.cli.main import main
from rmtsim.kernels.cost import cost
from rmtsim.model.point import Point
from rmtsim.store import Store
from rmtsim.sweeps import pilot, plan
from rmtsim.sweeps.pilot import Pilot, needed, pilots
from rmtsim.sweeps.spec import Sampling, builtin_specs, from_document, load
from rmtsim.sweeps.stopping import checkpoint_from, next_checkpoint
from tests.markdown import ROOT

#: One hidden layer of few neurons, whose draws spread much: the least number of draws says nothing of what it takes.
HIDDEN = """
name = "hidden"
model = "one_hidden"
loss = "ce"
layers = ["hidden", "output"]
[grid]
n_classes = [2, 4, 8, 16, 32]
aspect_ratio = [0.5]
dim = [16]
width = [5]
"""
LINEAR = HIDDEN.replace("one_hidden", "linear").replace("width = [5]", "").replace('layers = ["hidden", "output"]', "")


def written(folder: Path, text: str, **sampling: float) -> str:
    lines = "".join(f"{key} = {value}\n" for key, value in sampling.items())
    (folder / "spec.toml").write_text(f"{text}[sampling]\n{lines}")
    return str(folder / "spec.toml")


def planned(spec: str, store: str, capsys: pytest.CaptureFixture[str], *more: str) -> dict:  # type: ignore[type-arg]
    capsys.readouterr()
    assert main(["plan", spec, "--store", store, "--json", *more]) == 0
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize(
    ("text", "target"), [(HIDDEN, 0.1), (LINEAR, 0.02), (HIDDEN.replace("[5]", "[3]").replace("ce", "mse"), 0.1)]
)
def test_the_plan_is_within_a_factor_of_two_of_the_run(
    text: str, target: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, store = written(tmp_path, text, target_rse=target, max_draws=1000), str(tmp_path / "s")
    before = planned(spec, store, capsys)
    assert not (tmp_path / "s").exists()
    assert main(["run", spec, "--store", store, "--backend", "numpy", "--json"]) in (0, 4)
    took = json.loads(capsys.readouterr().out)["new_draws"]
    assert took > 2 * 5 * 16  # far from the least number, which earlier plans gave
    assert before["draws"]["expected"] / 2 < took < 2 * before["draws"]["expected"]
    assert before["draws"]["low"] <= before["draws"]["expected"] <= before["draws"]["high"] <= 5 * 1000
    after = planned(spec, store, capsys)
    assert after["draws"] == {"low": 0, "expected": 0, "high": 0}
    assert after["summary"].endswith("0 draws to make")


def test_it_knows_the_spread_of_costly_points_from_smaller_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a hundredth of the work, smaller points stand in for all; the draws that are wanted hardly change."""
    for text, target in ((HIDDEN.replace("[16]", "[64]").replace("[5]", "[8]"), 0.05), (LINEAR, 0.02)):
        spec = load(written(tmp_path, text, target_rse=target))
        whole = plan.plan(spec, Store(tmp_path / "s"))
        with monkeypatch.context() as patched:
            patched.setattr(pilot, "_WORK", 16 * cost(spec.points()[0], spec.layers))
            assert any(made.point != point for point, made in pilots(spec, spec.points()).items())
            quick = plan.plan(spec, Store(tmp_path / "s"))
        assert 1 / 3 < quick["more_draws"].sum() / whole["more_draws"].sum() < 3


def test_the_draws_are_the_same_whenever_they_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = written(tmp_path, HIDDEN)
    draws = [planned(spec, str(tmp_path / "s"), capsys, "--workers", workers)["draws"] for workers in "12"]
    assert draws[0] == draws[1]
    assert list(tmp_path.iterdir()) == [Path(spec)]  # and nothing was written


def test_the_rows_of_a_store_are_asked_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, store = written(tmp_path, HIDDEN, max_draws=200, target_rse=0.01), str(tmp_path / "s")
    assert main(["run", spec, "--store", store, "--backend", "numpy"]) == 4
    spec = written(tmp_path, HIDDEN, max_draws=1000, target_rse=0.05)
    monkeypatch.setattr(pilot, "_pilot", None)  # none is made
    draws = planned(spec, store, capsys)["draws"]
    assert main(["run", spec, "--store", store, "--backend", "numpy", "--json"]) in (0, 4)
    took = json.loads(capsys.readouterr().out)["new_draws"]
    assert draws["expected"] / 2 < took < 2 * draws["expected"]


def test_the_time_honours_the_workers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = written(tmp_path, HIDDEN)
    for workers in (1, 2):
        found = planned(spec, str(tmp_path / "s"), capsys, "--workers", str(workers))
        assert found["workers"] == workers
        assert f"with {workers} worker" in found["summary"]
        at_once = min(workers, plan.cores())
        assert found["seconds"]["expected"] == pytest.approx(found["core_seconds"]["expected"] / at_once)


def test_it_tells_target_and_limit_in_numbers_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = written(tmp_path, HIDDEN.replace("[16]", "[40000]"), max_draws=10_000_000, target_rse=1e-7)
    assert main(["plan", spec, "--store", str(tmp_path / "s"), "--memory", "1000GiB"]) == 2  # more than there is
    spec = written(tmp_path, HIDDEN.replace("[16]", "[2000]"), max_draws=10_000_000, target_rse=1e-7)
    assert main(["plan", spec, "--store", str(tmp_path / "s")]) == 0
    said = capsys.readouterr().out
    assert "50 million draws to make" in said
    assert "at most target_rse = 0.00001%" in said
    assert "max_draws = 10 million draws" in said
    assert re.search(r"\d (years|days)", said)
    assert "e+" not in said


def test_defaults_can_be_reached_by_few_neurons() -> None:
    """A target that max_draws is enough for, where draws spread as with five neurons."""
    spec = from_document(
        {
            "name": "n",
            "model": "one_hidden",
            "loss": "ce",
            "grid": {"n_classes": [10], "aspect_ratio": [0.5], "dim": [64], "width": [5]},
        }
    )
    [found] = pilots(spec, spec.points()).values()
    assert 1000 < found.needs(spec.points()[0], Sampling().target_rse).expected < Sampling().max_draws


def test_ranges() -> None:
    found = needed(64, 0.1, 0.01)
    assert found.expected == pytest.approx(6400)
    assert 0.7 * 6400 < found.low < 6400 < found.high < 1.5 * 6400
    assert needed(4, 0.1, 0.01).high > 4 * needed(4, 0.1, 0.01).expected / 2
    assert needed(9, math.inf, 0.01) == (0, math.inf, math.inf)
    sampling = Sampling(min_draws=10, max_draws=100)
    checkpoints = [10]
    while checkpoints[-1] < 100:
        checkpoints.append(next_checkpoint(checkpoints[-1], sampling, trusted=True))
    for draws in (0, 1, 10, 10.5, 23, 99, 100, 1e9, math.inf):  # of the default target, which is trusted early
        assert checkpoint_from(draws, sampling) == next((c for c in checkpoints if c >= draws), 100)
    coarse = Sampling(min_draws=10, max_draws=1000, target_rse=0.35)
    assert [checkpoint_from(draws, coarse) for draws in (0, 0.1, 0.9, 9, 100)] == [10, 10, 90, 810, 1000]
    assert checkpoint_from(0.9, coarse, start=30) == 90
    small, large = Point("linear", "ce", 10, 10, 20), Point("linear", "ce", 10, 40, 80)
    stand_in = Pilot(small, 16, {"linear": 0.4}, 1.0)
    of_small, of_large = (stand_in.needs(point, 0.1) for point in (small, large))
    assert of_large.expected == pytest.approx(of_small.expected / 4 ** pilot._FALL["linear"])
    assert of_large.high / of_large.low > of_small.high / of_small.low


def test_what_points_miss_together_is_added_up() -> None:
    low, expected, high = np.array([[1.0, 2.0], [4.0, 6.0], [7.0, 10.0]])
    assert plan._sum(low, expected, high, np.array([0, 0])) == (3, 10, 17)
    assert plan._sum(low, expected, high, np.array([0, 1])) == (5, 10, 15)


@pytest.mark.parametrize("seed", [0, 3])
def test_heavy_tails_are_seen_where_draws_are_cheap(seed: int) -> None:
    """The output block of one neuron and one sample is 2h², h = max(wx, 0), with E h⁴ = 9/2 and E h⁸ = 105²/2."""
    document = {"name": "n", "model": "one_hidden", "loss": "mse", "sampling": {"seed": seed}}
    grid = {"n_classes": [2], "aspect_ratio": [1.0], "dim": [1], "width": [1]}
    spec = from_document({**document, "grid": grid})
    [found] = pilots(spec, spec.points()).values()
    wanted = (105**2 / 2 / (9 / 2) ** 2 - 1) / 0.1**2
    assert wanted / 4 < found.needs(spec.points()[0], 0.1).expected < 4 * wanted


def test_a_plan_can_be_written_to_a_file(tmp_path: Path) -> None:
    table = plan.plan(load("figure8"), Store(tmp_path / "s"))
    table.to_parquet(tmp_path / "plan.parquet")
    assert plan.total(pd.read_parquet(tmp_path / "plan.parquet")) == plan.total(table)


def test_the_plan_of_figure_8_holds_what_the_run_of_the_readme_took(tmp_path: Path) -> None:
    """Whose output a test compares."""
    [took] = re.findall(r"^figure8: 30 points: 30 done; (\d+) draws;", (ROOT / "README.md").read_text("utf-8"), re.M)
    draws = plan.total(plan.plan(load("figure8"), Store(tmp_path / "s"))).draws
    assert draws.low <= int(took) <= draws.high < 4 * draws.low


@pytest.mark.parametrize("name", ["figure8", "figure9", "vocabulary", "regime_width"])
def test_little_is_computed_for_the_plan_of_a_large_sweep(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Smaller points stand in for most, and the range is narrow none the less."""
    assert name in builtin_specs()
    spec = load(name)
    work, shown = 0.0, pilots(spec, spec.points())
    monkeypatch.setattr(plan, "pilots", lambda *_: shown)
    draws = plan.total(plan.plan(spec, Store(tmp_path / "s"))).draws
    assert draws.high < 4 * draws.low
    made: set[tuple[Point, int]] = {(one.point, one.draws) for one in shown.values()}
    for point, draws in made:
        assert draws >= 16
        work += draws * cost(point, spec.layers, spec.sampling.diagonal)
    assert 0 < work < 2e10  # a second or two of a core
    assert len(made) <= 24
    assert sum(draws for _, draws in made) <= 1536  # small draws cost more than their work


def test_a_run_of_days_says_so_before_it_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = HIDDEN.replace("[16]", "[64]")
    spec = written(tmp_path, text, max_draws=10_000_000, target_rse=1e-6)
    run = ["run", spec, "--store", str(tmp_path / "s"), "--backend", "numpy", "--workers", "1", "--time-limit", ".001s"]
    assert main(run) == 3
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first.startswith("hidden: 50 million draws to make, ")
    assert re.search(r" (h|days?|years)\b.* with 1 worker; `rmtsim plan` shows it for every point$", first)
    assert "time limit" in last
    spec = written(tmp_path, text, max_draws=20)
    assert main(run[:-2]) == 4
    assert "shows it for every point" not in capsys.readouterr().err
