"""Points of a store, read again and again: every shard once, and what their draws took."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import rmtsim
from rmtsim.cli.main import main
from rmtsim.pages.sections import _limit
from rmtsim.store import Store, StoreError
from rmtsim.store.compact import compact
from rmtsim.store.core_time import CoreTime, CoreTimeSum, Taken
from rmtsim.store.coverage import Coverage, RangeSet, Series
from rmtsim.store.shards import Shard
from rmtsim.store.withdraw import withdraw
from rmtsim.sweeps.stored_points import StoredPoints
from rmtsim.text.tables import records
from tests.growing_store import FIVE, SIX, SPEC, append, fresh, spec_of, store
from tests.s3 import FlakyServer, flaky, flaky_s3, s3, s3_server

__all__ = ["flaky", "flaky_s3", "s3", "s3_server", "store"]  # fixtures


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each shard is opened."""
    counts: Counter[str] = Counter()
    real = Shard.open

    def counted(shard: Shard) -> Any:
        counts[shard.name] += 1
        return real(shard)

    monkeypatch.setattr(Shard, "open", counted)
    return counts


def test_refreshes_read_each_shard_once_and_all_that_a_reader_from_scratch_does(
    store: Store, opened: Counter[str]
) -> None:
    stored = StoredPoints(store)
    for new, parts in ((2, [(SIX, range(2))]), (1, [(FIVE, range(4, 6)), (SIX, range(2, 3))]), (0, [])):
        if parts:
            append(store, *parts, seconds=1.0)
        opened.clear()
        stored.refresh()
        assert [*opened.values()] == [1] * new
        pd.testing.assert_frame_equal(stored.table(), fresh(store))
    assert stored.table()["draws"].tolist() == [6, 3]


def test_a_target_out_of_reach_of_any_spec_is_said_with_what_is_in_reach(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    point = rmtsim.Point("linear", "mse", n_classes=2, dim=4, n_samples=8)
    for target, said in ((1e-3, "too few, raise max_draws"), (1e-7, "; raise target_rse")):
        folder = tmp_path / str(target)
        rmtsim.run(point, folder, workers=1, sampling={"max_draws": 16, "target_rse": target})
        assert main(["status", "--store", str(folder)]) == 4
        text = capsys.readouterr().out
        assert text.rstrip().endswith(said)
        assert ("% > 0.00001% (" in text) == ("a spec may ask for 10 million draws at most" in text) == (target < 1e-3)
        [row] = records(fresh(rmtsim.open_store(folder)))
        assert ("raise target_rse" in _limit(row)) == (target < 1e-3)
        if reached := re.search("which take rse to about ([\\d.]+)%", text):
            assert float(reached[1]) / 100 == pytest.approx(row["rse"] * (16 / 10_000_000) ** 0.5, rel=0.05)


def test_compaction_changes_no_number(store: Store, opened: Counter[str]) -> None:
    append(store, (SIX, range(3)), seconds=3.0)
    append(store, (SIX, range(3, 4)))  # of which no time is known
    stored = StoredPoints(store)
    stored.refresh()
    before = stored.table()
    assert before["core_seconds"].tolist() == [8.0, 9.0]
    assert before["untimed_draws"].tolist() == [0, 1]
    compact(store)
    assert len(store.shards()) == 1
    opened.clear()
    stored.refresh()
    assert opened.total() == 1
    assert stored.readings == 2  # it was not begun anew
    pd.testing.assert_frame_equal(stored.table(), before)
    pd.testing.assert_frame_equal(fresh(store), before)


def test_two_compactions_between_refreshes(store: Store) -> None:
    """The first one's shard, which has replaced what was read, is not there any more."""
    append(store, (SIX, range(2)), seconds=3.0)
    stored = StoredPoints(store)
    stored.refresh()
    for draw in (2, 3):
        append(store, (SIX, range(draw, draw + 1)), seconds=3.0)
        compact(store)
    assert len(store.listed()) == 1
    stored.refresh()
    assert stored.table()["core_seconds"].tolist() == [8.0, 12.0]
    pd.testing.assert_frame_equal(stored.table(), fresh(store))


def test_what_a_killed_compaction_left_counts_once(store: Store) -> None:
    append(store, (SIX, range(3)), seconds=3.0)
    before = fresh(store)
    kept = {shard.name: Path(shard).read_bytes() for shard in store.shards()}
    stored = StoredPoints(store)
    stored.refresh()
    compact(store)
    for name, data in kept.items():
        (store.draws_folder / name).write_bytes(data)
    pd.testing.assert_frame_equal(fresh(store), before)
    stored.refresh()
    pd.testing.assert_frame_equal(stored.table(), before)


def test_a_shard_that_went_and_a_spec_that_was_replaced_have_all_read_anew(store: Store) -> None:
    gone = append(store, (SIX, range(3)), seconds=3.0)
    stored = StoredPoints(store)
    stored.refresh()
    Path(gone).unlink()
    stored.refresh()
    assert stored.table()["draws"].tolist() == [4, 0]
    seven = spec_of([5, 7], max_draws=16)
    append(store, (seven.points()[1], range(2)), spec=seven)
    stored.refresh()
    assert stored.table()["n_classes"].tolist() == [5, 7]
    assert stored.table()["draws"].tolist() == [4, 2]
    pd.testing.assert_frame_equal(stored.table(), fresh(store))


def test_rows_that_stand_twice_are_refused(store: Store) -> None:
    stored = StoredPoints(store)
    stored.refresh()
    again = append(store, (FIVE, range(3, 5)))
    with pytest.raises(StoreError, match="twice"):
        stored.refresh()
    Path(again).unlink()
    stored.refresh()  # all of it, as the shard was half taken in
    assert stored.table()["draws"].tolist() == [4, 0]


def test_merge_keeps_the_time_of_the_draws_that_it_adds(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    append(other, (FIVE, range(8)), (SIX, range(2)), seconds=2.0)  # draws 0 to 3 of the first are known here
    assert main(["merge", other.location, "--store", store.location]) == 0
    assert fresh(store)["core_seconds"].tolist() == [16.0, 4.0]
    assert fresh(store)["untimed_draws"].tolist() == [0, 0]


def test_draws_of_a_layer_that_no_spec_asks_for_are_told(tmp_path: Path) -> None:
    """Each once, whichever layers have it."""
    grid = {"n_classes": [2], "aspect_ratio": [0.5], "dim": [6], "width": [3]}
    spec: dict[str, Any] = {"name": "mine", "model": "one_hidden", "loss": "ce", "grid": grid}
    store, few = Store(tmp_path / "s"), {"min_draws": 6, "max_draws": 6}
    for layers, sampling in ((["hidden", "output"], few), (["hidden"], {"min_draws": 9, "max_draws": 9})):
        rmtsim.run({**spec, "layers": layers, "sampling": sampling}, store, workers=1)
    stored = StoredPoints(store)
    stored.refresh()
    assert stored.unnamed() == (1, 6)  # of the output layer
    with store.writer() as writer:
        writer.save_spec("mine", {**spec, "layers": ["hidden"], "sampling": {"min_draws": 4, "max_draws": 4}})
    stored = StoredPoints(store)
    stored.refresh()
    assert stored.unnamed() == (1, 9)  # draws 0 to 5 of the output layer, and 4 to 8 of the hidden one


def test_withdrawn_draws_leave_nothing_behind(tmp_path: Path) -> None:
    """Neither in the states nor in the time, and when they are made again they are not taken for repeated."""
    store = Store(tmp_path / "s")
    for draws, seconds in ((range(4), 0.1), (range(4, 8), 0.2)):
        with store.writer() as writer:
            writer.save_spec(SPEC.name, SPEC.document())
            writer.append(rmtsim.simulate(FIVE, draws), SPEC.document(), CoreTime({FIVE.id: Taken(2, seconds)}))
    stored, gone = StoredPoints(store), Coverage()
    stored.refresh()
    for draws in (range(2), range(4, 6)):
        gone.setdefault(Series(FIVE.id, 0, "linear"), RangeSet()).add(draws)
    with store.writer() as writer:
        assert withdraw(store, writer, gone) == 4
    stored.refresh()
    pd.testing.assert_frame_equal(stored.table(), fresh(store), check_exact=True)
    assert stored.table()["core_seconds"].tolist() == [0.0, 0.0]
    assert stored.table()["draws"].tolist() == [0, 0]
    append(store, (FIVE, range(2)), seconds=1.0)  # made again
    stored.refresh()
    assert stored.table()["draws"].tolist() == [4, 0]
    pd.testing.assert_frame_equal(stored.table(), fresh(store), check_exact=True)


def test_a_sum_of_core_time_without_draws_is_zero() -> None:
    """0.1 + 0.2 − 0.1 − 0.2 are not, in float64."""
    total = CoreTimeSum()
    parts = [total.add({"a": Taken(2, seconds), "b": Taken(1, 1.0)}) for seconds in (0.1, 0.2)]
    total.remove(parts[0])
    assert total.of(["a", "b"])[1].tolist() == [pytest.approx(0.2), 1.0]
    total.remove(parts[1])
    assert [column.tolist() for column in total.of(["a", "b", "c"])] == [[0, 0, 0], [0.0, 0.0, 0.0]]


def test_core_time_that_is_not_as_it_should_be_is_unknown() -> None:
    for text in ("", "[]", "{", '{"a": 1}', '{"a": [1, -2.0]}', '{"a": [0, 1.0]}', '{"a": [1.5, 1.0]}', '{"a": [1]}'):
        assert CoreTime.parse(text) == {}, text
    assert CoreTime.parse('{"a": [2, 1.5]}') == {"a": (2, 1.5)}


def test_a_run_keeps_the_time_of_all_its_draws(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    rmtsim.run(SPEC, store, workers=1)
    table = fresh(store)
    assert table["untimed_draws"].tolist() == [0, 0]
    assert (table["core_seconds"] > 0).all()
    assert set(table["state"]) == {"limited"}


def test_requests_to_a_server(flaky_s3: str, s3: str, flaky: FlakyServer) -> None:
    """A refresh takes a listing, and each new shard its size and its bytes; the specs are not read again."""
    here = Store(s3)
    append(here, (FIVE, range(4)), seconds=2.0)
    stored = StoredPoints(Store(flaky_s3))
    stored.refresh()
    asked: list[str] = []

    def note(method: str, path: str) -> int:
        asked.append(f"{method} {'list' if 'list-type' in path else path.rpartition('/')[2].partition('-')[0]}")
        return 0

    flaky.refuse = note
    stored.refresh()
    assert asked == ["GET list"]
    for number, parts in ((2, [(FIVE, range(4, 6))]), (3, [(SIX, range(3))])):
        append(here, *parts, seconds=1.0)
        asked.clear()
        stored.refresh()
        assert sorted(asked) == ["GET 0000000" + str(number), "GET list", "HEAD 0000000" + str(number)]
    pd.testing.assert_frame_equal(stored.table(), fresh(here))
