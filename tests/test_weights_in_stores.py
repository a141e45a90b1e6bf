"""Draws with several last layers in sweeps and stores: what is gone on with, merged, or found wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import rmtsim
from rmtsim.cli.main import main
from rmtsim.errors import InputError
from rmtsim.sampling.weights import weights_of
from rmtsim.store import Store
from rmtsim.store.merge import merge
from rmtsim.sweeps.runner import run
from rmtsim.sweeps.spec import from_document
from tests.small_sweeps import HIDDEN


def test_a_sweep_with_the_rule_keeps_its_name(tmp_path: Path) -> None:
    store, spec = Store(tmp_path / "s"), spec_with("auto")
    assert run(spec, store, workers=1, backend="numpy").new_draws == 12
    for point in spec.points():
        assert set(store.draws(point_id=point.id)["weights_per_draw"]) == {weights_of("auto", point, spec.layers)}
    assert spec.document()["sampling"]["weights_per_draw"] == "auto"
    assert run(spec, store, workers=1, backend="numpy").new_draws == 0


def spec_with(weights: Any, seed: int = 7) -> Any:
    sampling = {"seed": seed, "min_draws": 6, "max_draws": 6}
    return from_document(
        {
            "name": "several",
            "model": "one_hidden",
            "loss": "ce",
            "grid": {"n_classes": [2, 4], "aspect_ratio": [0.5], "dim": [6], "width": [3]},
            "sampling": sampling if weights is None else {**sampling, "weights_per_draw": weights},
        }
    )


def test_a_sweep_makes_the_rows_of_simulate_and_is_gone_on_with(tmp_path: Path) -> None:
    store, spec = Store(tmp_path / "s"), spec_with(5)
    assert run(spec, store, workers=1, backend="numpy").new_draws == 12
    assert run(spec, store, workers=1, backend="numpy").new_draws == 0
    for point in spec.points():
        expected = rmtsim.simulate(point, 6, seed=7, weights_per_draw=5)
        found = store.draws(point_id=point.id).sort_values(["draw", "layer"], ignore_index=True)
        expected = expected.sort_values(["draw", "layer"], ignore_index=True)
        pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert main(["verify", "--store", str(store.root), "--recompute", "20"]) == 0
    assert len(store.draws(weights_per_draw=5)) == len(store.draws()) == 36


@pytest.mark.parametrize(("there", "asked"), [(1, 4), (4, 1), (4, 3)])
def test_other_numbers_of_last_layers_are_not_mixed(there: int, asked: int, tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    run(spec_with(there), store, workers=1, backend="numpy")
    with pytest.raises(InputError, match=f"computed with weights_per_draw {there}, not {asked}; ask for that"):
        run(spec_with(asked), store, workers=1, backend="numpy")
    assert run(spec_with(asked, seed=8), store, workers=1, backend="numpy").new_draws == 12  # draws of another seed


def test_a_spec_of_before_is_the_same_spec() -> None:
    document = spec_with(None).document()
    assert "weights_per_draw" not in document["sampling"]  # as stores have it that were written before
    assert spec_with(1).document() == document
    assert spec_with(3).document()["sampling"]["weights_per_draw"] == 3
    assert from_document(spec_with(3).document()) == spec_with(3)


def store_of(path: Path, weights: int, draws: range = range(4)) -> Store:
    store = Store(path)
    with store.writer() as writer:
        writer.save_spec("several", {"name": "several"})
        writer.append(rmtsim.simulate(HIDDEN, draws, seed=7, weights_per_draw=weights), {"name": "several"})
    return store


@pytest.mark.parametrize("draws", [range(4), range(4, 8)])
def test_a_merge_counts_no_draw_twice(draws: range, tmp_path: Path) -> None:
    """A draw with several last layers has the first of one with a single one: together they would count it twice."""
    one, other = store_of(tmp_path / "one", 1), store_of(tmp_path / "other", 3, draws)
    with pytest.raises(InputError, match=r"with weights_per_draw 3, and .*one with 1; merge stores that agree"):
        merge([other.root], one)
    assert set(one.draws()["weights_per_draw"]) == {1}
    same = store_of(tmp_path / "same", 3)
    added = 0 if draws == range(4) else 12
    assert merge([other.root], same).rows == added


def test_a_row_that_names_another_number_is_found_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path / "s")
    rows = rmtsim.simulate(HIDDEN, 4, seed=7, weights_per_draw=3)
    with store.writer() as writer:
        writer.save_spec("several", {"name": "several"})
        wrong = rows.assign(weights_per_draw=2)
        wrong.attrs = rows.attrs
        writer.append(wrong, {"name": "several"})
    assert main(["verify", "--store", str(store.root), "--recompute", "4", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert {finding["kind"] for finding in report["findings"]} == {"wrong"}


def test_copies_made_in_different_ways_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = store_of(tmp_path / "one", 1), store_of(tmp_path / "other", 3)
    for shard in other.shards():
        (one.draws_folder / shard.name.replace("00000001", "00000002")).write_bytes(Path(shard).read_bytes())
        (one.draws_folder / shard.name).write_bytes(Path(shard).read_bytes())
        (one.draws_folder / shard.name.replace("00000001", "00000002")).unlink()
    assert main(["verify", "--store", str(one.root)]) == 1
    text = capsys.readouterr().out
    assert "made in different ways" in text
    assert "(backend, dtype, classes, weights_per_draw)" in text
