"""Batches that fail, limits of time, and specs that change: what the messages say, and that the rest is kept."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from concurrent.futures import wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import rmtsim
from harness.specs import SPEC, spec_of
from rmtsim.cli.main import main
from rmtsim.model.point import Point
from rmtsim.sampling.schema import SimulatedDraws
from rmtsim.store import Store
from rmtsim.sweeps import batches
from rmtsim.sweeps.batches import Batch, Result
from rmtsim.sweeps.runner import run


def failing(monkeypatch: pytest.MonkeyPatch, times: int) -> Counter[Batch]:
    """Make the batches of one point fail so often; count how often each was tried."""
    compute, tries = Batch.compute, Counter()

    def compute_or_fail(batch: Batch, *_: object) -> Result:
        tries[batch] += 1
        if batch.point.n_classes == 2 and batch.point.n_samples == 60 and tries[batch] <= times:
            raise MemoryError("no room")
        return compute(batch)

    monkeypatch.setattr(Batch, "compute", compute_or_fail)
    return tries


def test_a_batch_that_fails_twice_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: pd.DataFrame
) -> None:
    tries = failing(monkeypatch, 2)
    outcome = run(spec_of(SPEC, tmp_path), Store(tmp_path / "s"), workers=1, backend="numpy")
    assert max(tries.values()) == 3
    assert not outcome.failures
    pd.testing.assert_frame_equal(Store(tmp_path / "s").read(), undisturbed, check_exact=True)


def test_a_batch_that_always_fails_is_reported_while_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spec.toml").write_text(SPEC)
    line = ["run", str(tmp_path / "spec.toml"), "--store", str(tmp_path / "s"), "--backend", "numpy", "--workers", "1"]
    with monkeypatch.context() as patch:
        failing(patch, 100)
        patch.setattr("rmtsim.sweeps.pace.Pace.batch_draws", lambda *_: 8)  # however slow the machine is
        assert main(line) == 1
    err = capsys.readouterr().err
    assert re.search(r"small: draws 0 to 7 of Point\(.*n_classes=2.* failed 3 times: no room", err)
    assert "5 of 6 points done; 1 batch failed, the same command tries it again" in err
    poor = rmtsim.Point("one_hidden", "ce", 2, 30, 60, 4).id
    expected = undisturbed[undisturbed["point_id"] != poor].reset_index(drop=True)
    pd.testing.assert_frame_equal(Store(tmp_path / "s").read(), expected, check_exact=True)
    assert main([*line, "--json"]) in (0, 4)
    assert json.loads(capsys.readouterr().out)["failures"] == []
    pd.testing.assert_frame_equal(Store(tmp_path / "s").read(), undisturbed, check_exact=True)


def test_fail_fast_stops_at_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: pd.DataFrame
) -> None:
    failing(monkeypatch, 100)
    monkeypatch.setattr("rmtsim.sweeps.pace.Pace.batch_draws", lambda *_: 1)
    outcome = run(spec_of(SPEC, tmp_path), Store(tmp_path / "s"), workers=1, backend="numpy", fail_fast=True)
    assert outcome.stopped == "failure"
    assert 1 <= len(outcome.failures) <= 2  # the first, and at most the batch that its worker had been given with it
    assert outcome.failures[0].document()["draws"] == [0, 1]
    rows = Store(tmp_path / "s").read()
    assert len(rows) < len(undisturbed) / 2
    assert len(rows.merge(undisturbed)) == len(rows)


def test_a_draw_longer_than_the_time_limit_is_not_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a job whose limit is short would never get on."""
    compute, begun, looks, go_on = Batch.compute, [], [], threading.Event()

    def slowly(batch: Batch, *_: object) -> Result:
        begun.append(batch)
        go_on.wait()
        return compute(batch)

    def waiting(*arguments: Any) -> Any:
        looks.extend([1] * (len(begun) >= 2))  # the limit is over, and the runner goes on
        if len(looks) == 3:
            go_on.set()
        return wait(*arguments)

    monkeypatch.setattr(Batch, "compute", slowly)
    monkeypatch.setattr("rmtsim.sweeps.thread_workers.wait", waiting)
    monkeypatch.setattr("rmtsim.sweeps.pace.Pace.batch_draws", lambda *_: 1)
    monkeypatch.setattr("rmtsim.sweeps.loop.time", SimpleNamespace(monotonic=lambda: float(len(begun))))
    outcome = run(spec_of(SPEC, tmp_path), Store(tmp_path / "s"), workers=2, backend="numpy", time_limit=2)
    assert outcome.stopped == "time limit"
    assert outcome.unfinished
    assert outcome.new_draws > 0
    assert Store(tmp_path / "s").read().groupby(["point_id", "draw"]).ngroups == outcome.new_draws


def test_a_spec_that_changed_is_announced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "spec.toml"
    line = ["run", str(path), "--store", str(tmp_path / "s"), "--backend", "numpy"]
    path.write_text(SPEC)
    main(line)
    assert "differs" not in capsys.readouterr().err
    path.write_text(SPEC.replace("[2, 10, 30]", "[2, 10]"))
    main(line)
    told = "the store has a spec of this name that differs in grid; a run puts this one in its place"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("draws", [slice(-1, None), slice(None)], ids=["of one draw", "of all draws"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_a_failure(
    draws: slice, value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would be stored as if the layer had no such block."""
    simulate_arrays = batches.simulate_arrays

    def wrong(*arguments: object, **options: object) -> SimulatedDraws:
        simulated = simulate_arrays(*arguments, **options)
        simulated.values[draws, 0, 0] = value
        return simulated

    monkeypatch.setattr(batches, "simulate_arrays", wrong)
    monkeypatch.setattr("rmtsim.sweeps.pace.Pace.batch_draws", lambda *_: 8)
    outcome = run(spec_of(SPEC, tmp_path), Store(tmp_path / "s"), workers=1, backend="numpy")
    assert len(outcome.failures) == 6
    assert "a value is not finite" in str(outcome.failures[0])


def test_a_time_limit_stops_and_the_same_command_goes_on(
    tmp_path: Path, undisturbed: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, store = spec_of(SPEC, tmp_path), Store(tmp_path / "s")
    with monkeypatch.context() as patch:
        tries = failing(patch, 0)
        patch.setattr("rmtsim.sweeps.pace.Pace.batch_draws", lambda *_: 1)
        patch.setattr("rmtsim.sweeps.loop.time", SimpleNamespace(monotonic=lambda: float(len(tries))))  # one a second
        outcome = run(spec, store, workers=1, backend="numpy", time_limit=3)
    assert outcome.stopped == "time limit"
    assert "stopped (time limit)" in str(outcome)
    assert 0 < len(store.read()) < len(undisturbed)
    assert run(spec, store, workers=1, backend="numpy").stopped == ""
    pd.testing.assert_frame_equal(store.read(), undisturbed, check_exact=True)


@pytest.mark.parametrize("model", ["linear", "one_hidden"])
@pytest.mark.parametrize("loss", ["ce", "mse"])
@pytest.mark.parametrize(("n_classes", "width"), [(1, 1), (1, 3), (2, 1), (3, 2)])
def test_what_a_layer_does_not_have_is_no_failure(model: str, loss: str, n_classes: int, width: int) -> None:
    point = Point(model, loss, n_classes, 4, 8, width if model == "one_hidden" else None)
    batch = Batch(point, range(2), point.layers, 0, "numpy", "float64", "exact", 1, None)
    assert batch.compute().simulated.draws == range(2)
