"""Stores of many small shards: each is opened once, and what is done with rows is done for many shards together."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import rmtsim
import rmtsim.store.compact
import rmtsim.store.gathering
import rmtsim.sweeps.runner
import rmtsim.sweeps.stored_points
from rmtsim.cli import sweep_verbs
from rmtsim.cli.main import main
from rmtsim.sampling.schema import SimulatedDraws
from rmtsim.store import Store, ahead
from rmtsim.store.commits import Commits
from rmtsim.store.coverage import RangeSet
from rmtsim.store.shards import OpenShard, Shard, rows_of
from rmtsim.sweeps.reading import PointReader
from rmtsim.sweeps.runner import run
from rmtsim.sweeps.spec import Spec, from_document
from tests.shards import flipped
from tests.synthetic import made_of, write_shards

POINTS, DRAWS = 6, 20
SHARDS = POINTS * DRAWS  # each has one draw of one point


def spec_of(max_draws: int = DRAWS) -> Spec:
    return from_document(
        {
            "name": "many", "model": "linear", "loss": "ce",
            "grid": {"n_classes": [*range(5, 5 + POINTS)], "aspect_ratio": [0.5], "dim": [12]},
            "sampling": {"min_draws": 2, "max_draws": max_draws, "target_rse": 1e-9},
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, int], SimulatedDraws]:
    """Draws of every point, as they come from workers."""
    values = np.random.default_rng(0).lognormal(size=(DRAWS, POINTS, 1, 1, 4))
    values[..., 2:] = 0
    return {
        (point.id, draw): made_of(point, range(draw, draw + 1), ["linear"], values[draw, k])
        for draw in range(DRAWS)
        for k, point in enumerate(spec_of().points())
    }


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, rows: dict[tuple[str, int], SimulatedDraws]) -> Path:
    store = Store(tmp_path_factory.mktemp("many") / "s")
    return Path(write_shards(store, spec_of(), [[one] for one in rows.values()]).root)


@pytest.fixture
def store(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    shutil.copytree(template, tmp_path / "s")
    monkeypatch.chdir(tmp_path)
    return Store(tmp_path / "s")


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts of shards that are opened, of row groups that are read, and of tables that points take in."""
    counts: Counter[str] = Counter()
    opened, pieces, take = Shard.open, OpenShard.pieces, PointReader.take

    def opening(shard: Shard) -> OpenShard:
        counts["opened"] += 1
        return opened(shard)

    def reading(shard: OpenShard, *arguments: Any, **options: Any) -> Any:
        for table in pieces(shard, *arguments, **options):
            counts["read"] += 1
            yield table

    def taking(reader: PointReader, table: pa.Table) -> None:
        counts["taken in"] += 1
        take(reader, table)

    monkeypatch.setattr(Shard, "open", opening)
    monkeypatch.setattr(OpenShard, "pieces", reading)
    monkeypatch.setattr(PointReader, "take", taking)
    return counts


def test_status_opens_each_shard_once(store: Store, events: Counter[str]) -> None:
    assert main(["status", "--store", "s"]) == 4
    assert events == {"opened": SHARDS, "read": SHARDS, "taken in": 1}


def test_rows_are_taken_in_a_bounded_number_at_a_time(
    store: Store, events: Counter[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rmtsim.store.gathering, "ROWS", 40)
    monkeypatch.setattr(rmtsim.store.gathering, "_MANY", 7)
    assert main(["status", "--store", "s", "--json"]) == 4
    assert events["taken in"] == SHARDS / 40
    parts = capsys.readouterr().out
    monkeypatch.undo()
    monkeypatch.chdir(Path(store.root).parent)
    assert main(["status", "--store", "s", "--json"]) == 4
    assert capsys.readouterr().out == parts


def test_a_repeat_and_a_run_that_goes_on_open_each_shard_once(store: Store, events: Counter[str]) -> None:
    assert str(run(spec_of(), store)).startswith("nothing to do")
    assert events == {"opened": SHARDS, "read": SHARDS, "taken in": 1}
    events.clear()
    assert run(spec_of(max_draws=DRAWS + 2), store, workers=1, backend="numpy").new_draws == 2 * POINTS
    assert events == {"opened": SHARDS, "read": SHARDS, "taken in": 1}


def test_rows_of_other_points_are_sifted_out_of_many_shards_together(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sifted, real = list[int](), rows_of

    def sifting(table: pa.Table, points: frozenset[str] | None) -> pa.Table:
        sifted.append(table.num_rows)
        return real(table, points)

    monkeypatch.setattr("rmtsim.store.shards.rows_of", sifting)
    monkeypatch.setattr("rmtsim.store.store.rows_of", sifting)
    half = [point.id for point in spec_of().points()[::2]]
    assert set(store.read(points=half)["point_id"]) == set(half)
    [table] = store.tables(points=half)
    assert set(table["point_id"].to_pylist()) == set(half)
    assert sifted == [3 * DRAWS, 3 * DRAWS]  # shards of the others, of one point each, are not read by their statistics


def test_another_writer_between_two_looks_has_the_run_look_again(
    store: Store, events: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = rmtsim.sweeps.runner.allocate

    def allocating(*arguments: Any, **options: Any) -> Any:
        monkeypatch.undo()
        run(spec_of(max_draws=DRAWS + 1), Store(store.root), workers=1, backend="numpy")
        return real(*arguments, **options)

    monkeypatch.setattr(rmtsim.sweeps.runner, "allocate", allocating)
    assert run(spec_of(max_draws=DRAWS + 2), store, workers=1, backend="numpy").new_draws == POINTS
    assert len(pd.read_parquet(store.draws_folder)) == (DRAWS + 2) * POINTS


def test_export_opens_each_shard_once(store: Store, events: Counter[str]) -> None:
    assert main(["export", "--store", "s", "--out", "whole.csv"]) == 0
    assert events["opened"] == SHARDS


def test_an_export_in_parts_is_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["export", "--store", "s", "--out", "whole.csv"]) == 0
    monkeypatch.setattr("rmtsim.store.whole_points.HELD", SHARDS - 1)
    monkeypatch.setattr("rmtsim.store.whole_points.ROWS", 40)
    assert main(["export", "--store", "s", "--out", "parts.csv"]) == 0
    whole, parts = (sorted(Path(name).read_text().splitlines()) for name in ("whole.csv", "parts.csv"))
    assert parts == whole
    assert len(parts) == 1 + POINTS


def test_a_run_joins_many_small_shards_first(
    store: Store, events: Counter[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = store.read()
    monkeypatch.setattr(rmtsim.sweeps.runner, "MANY", SHARDS)
    caplog.set_level(logging.WARNING, "rmtsim")
    run(spec_of(max_draws=DRAWS + 1), store, workers=1, backend="numpy")
    assert f"has {SHARDS} small shards; they are first joined into few" in caplog.text
    assert len(store.shards()) <= 1 + POINTS
    after = store.read()
    pd.testing.assert_frame_equal(after[after["draw"] < DRAWS].reset_index(drop=True), before)


def test_verify_opens_each_shard_once(store: Store, events: Counter[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--store", "s"]) == 0
    assert events == {"opened": SHARDS, "read": SHARDS}
    assert f"{SHARDS} shards, {SHARDS} rows: all is well" in capsys.readouterr().out


def test_verify_looks_again_where_a_killed_compaction_left_shards(
    store: Store, events: Counter[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Negative control: their rows must not count, which is known only when all have been read."""
    kept = {shard.name: Path(shard).read_bytes() for shard in store.listed()}
    rmtsim.store.compact.compact(store)
    for name, data in kept.items():
        (Path(store.draws_folder) / name).write_bytes(data)
    events.clear()
    assert main(["verify", "--store", "s"]) == 0
    assert events["opened"] == SHARDS + 2
    out = capsys.readouterr().out
    assert out.count("its compaction killed") == SHARDS
    assert f"1 shard, {SHARDS} rows: sound" in out


def test_compaction_waits_for_the_disk_as_often_however_many_shards_there_are(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = list[int]()
    monkeypatch.setattr("os.fsync", waits.append)
    rmtsim.store.compact.compact(store)
    assert len(store.listed()) == 1
    assert 1 <= len(waits) <= 8


def test_compaction_reads_each_shard_twice(store: Store, events: Counter[str]) -> None:
    before = store.read()
    events.clear()
    rmtsim.store.compact.compact(store)
    assert events["opened"] <= 2 * SHARDS + 3
    pd.testing.assert_frame_equal(store.read(), before)


def test_status_says_what_to_do(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--store", "s"]) == 4
    assert "compact" not in capsys.readouterr().out
    monkeypatch.setattr(sweep_verbs, "MANY", SHARDS - 1)
    assert main(["status", "--store", "s"]) == 4
    assert f"{SHARDS} small shards make every look slow, this one by " in (out := capsys.readouterr().out)
    assert "`rmtsim compact --store s` joins them into few, in about " in out
    assert main(["compact", "--store", "s"]) == 0
    capsys.readouterr()
    assert main(["status", "--store", "s"]) == 4
    assert "compact" not in capsys.readouterr().out


def test_a_damaged_shard_among_many_is_named(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Negative control of reading many together."""
    shard = store.listed()[SHARDS // 2]
    path = Path(store.draws_folder) / shard.name
    path.write_bytes(flipped(path.read_bytes(), 200))
    assert main(["status", "--store", "s"]) == 1
    assert shard.name in capsys.readouterr().err


def test_a_plan_of_compaction_holds_what_shards_share_once(store: Store) -> None:
    """The text of their spec above all, which may be long."""
    plan = rmtsim.store.compact._plan(store, store.shards())
    assert len(plan.origins) == SHARDS
    assert len({id(origin) for origin in plan.origins.values()}) == 1


def test_commits_are_noted_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each then goes to the end of a range; in the order of a set it would go into the midst of a long list."""
    added, real = list[int](), RangeSet.add
    monkeypatch.setattr(RangeSet, "add", lambda known, run: added.append(run.start) or real(known, run))
    names = [f"{number:08d}-{number:016x}.parquet" for number in (5, 2, 9, 4)]
    assert Commits(10, (range(7, 8),)).absent(names) == [
        range(1, 2),
        range(3, 4),
        range(6, 7),
        range(8, 9),
        range(10, 11),
    ]
    assert added == [7, 2, 4, 5, 9]


@pytest.mark.parametrize(("large", "most"), [(False, ahead.AHEAD), (True, ahead.AHEAD_OF_LARGE)])
def test_large_shards_are_not_fetched_far_ahead(
    store: Store, large: bool, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes memory for the time of each of its points; small ones are waited for together."""
    asked, real = list[str](), ahead.Pool.submit
    monkeypatch.setattr(ahead.Pool, "submit", lambda pool, work: asked.append("") or real(pool, work))
    monkeypatch.setattr(ahead, "_LARGE", 0 if large else 1)
    shards = store.shards()[:20]
    beyond = [len(asked) - used for used, _ in enumerate(ahead.open_ahead(shards), 1)]
    assert len(beyond) == len(asked) == 20
    assert beyond == [min(most, 20 - used) for used in range(1, 21)]
