"""`rmtsim verify` finds what is wrong, each kind of damage under its name, and nothing in a sound store."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rmtsim
from rmtsim.cli.main import main
from rmtsim.sampling.schema import SCHEMA
from rmtsim.store import Store
from rmtsim.store.coverage import Coverage, RangeSet, Series
from rmtsim.store.shard_files import FORMAT
from rmtsim.store.shards import Shard
from rmtsim.store.verify import Finding, verify
from rmtsim.sweeps.spec import Sampling, Spec, requests_of
from tests.shards import rewrite

LINEAR = rmtsim.Point("linear", "ce", 5, 12, 30)
HIDDEN = rmtsim.Point("one_hidden", "mse", 5, 12, 30, 3)
HIDDEN_SPEC = Spec(
    name="test",
    model="one_hidden",
    loss="mse",
    n_classes=[5],
    aspect_ratio=[0.4],
    dim=[12],
    width=[3],
    sampling=Sampling(seed=7, min_draws=4),
)
SPEC = HIDDEN_SPEC.document()


def rows_of(draws: range, seed: int = 7) -> pd.DataFrame:
    return pd.concat([rmtsim.simulate(point, draws, seed=seed) for point in (LINEAR, HIDDEN)])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    with store.writer() as writer:
        writer.save_spec("test", SPEC)
        for part in (range(4), range(4, 8), range(8, 12)):
            writer.append(rows_of(part), SPEC)
    return store


def shard(store: Store, place: int = 0) -> Path:
    return Path(store.shards()[place])


def found(store: Store, draws: int = 0) -> list[Finding]:
    before = {path: path.read_bytes() for path in Path(store.root).rglob("*") if path.is_file()}
    findings = verify(store, draws, requests_of=requests_of).findings
    assert {path: path.read_bytes() for path in Path(store.root).rglob("*") if path.is_file()} == before  # reads only
    return findings


def test_a_sound_store(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert found(store, 5) == []
    assert main(["verify", "--store", str(store.root), "--recompute", "1000"]) == 0
    assert capsys.readouterr().out == "3 shards, 48 rows; 24 draws made again: all is well\n"
    assert main(["verify", "--store", str(store.root), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["sound"], document["shards"], document["rows"], document["findings"]) == (True, 3, 48, [])


def test_torn(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    path = shard(store, 1)
    path.write_bytes(path.read_bytes()[:-50])
    torn, missing, missing_too = found(store)  # its commit is not missing: it is there, torn
    assert torn.kind == "torn"
    assert str(path) in torn.what
    assert torn.advice == "bring it back from a copy, or remove it and run its spec again"
    assert {finding.kind for finding in (missing, missing_too)} == {"unfinished"}
    assert "draws 4 to 7 of 0 to 11" in missing.what
    assert main(["verify", "--store", str(store.root)]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert main(["verify", "--store", str(store.root), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["kind"] == "torn"
    path.unlink()  # the advice
    with store.writer() as writer:
        writer.append(rows_of(range(4, 8)), SPEC)
    assert found(store) == []


def test_foreign_files(store: Store) -> None:
    (store.draws_folder / "notes.txt").write_text("mine")
    pq.write_table(pa.table({"a": [1]}), store.draws_folder / "other.parquet")
    (store.sweeps_folder / "else.json").write_text("{}")
    kinds = [(finding.kind, finding.what.split()[0].rpartition("/")[2]) for finding in found(store)]
    assert kinds == [("foreign", "else.json"), ("foreign", "notes.txt"), ("foreign", "other.parquet")]


@pytest.mark.parametrize(("key", "value"), [("format", "99"), ("stream", "mersenne-1")])
def test_shards_of_other_versions(store: Store, key: str, value: str) -> None:
    path = shard(store, 2)
    table = pq.read_table(path)
    table = table.replace_schema_metadata({**table.schema.metadata, f"rmtsim.{key}".encode(): value})
    rewrite(path, table, value if key == "format" else FORMAT)
    [finding] = found(store)
    assert finding.kind == "foreign"
    assert value in finding.what


def test_a_shard_of_another_sweep(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    with other.writer() as writer:
        writer.save_spec("other", {"name": "other"})
        writer.append(rmtsim.simulate(LINEAR, 3, seed=8), {"name": "other"})
    (store.draws_folder / shard(other).name).write_bytes(shard(other).read_bytes())
    [finding] = found(store)
    assert finding.kind == "foreign"
    assert "of the sweep other, which was not run into this store" in finding.what
    assert (
        finding.advice == "its rows are sound, and `rmtsim merge` of the store that they are from brings the spec too"
    )
    assert main(["merge", str(other.root), "--store", str(store.root)]) == 0  # the advice
    assert found(store) == []


def test_a_sweep_that_begins_while_its_store_is_looked_at(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    listed, begun = Store.listed, []

    def list_and_begin(self: Store) -> list[Shard]:
        if not begun:
            begun.append("new")
            with Store(self.location).writer() as writer:
                writer.save_spec("new", {"name": "new"})
                writer.append(rmtsim.simulate(LINEAR, 3, seed=8), {"name": "new"})
        return listed(self)

    monkeypatch.setattr(Store, "listed", list_and_begin)
    assert verify(store).findings == []
    assert begun


def test_a_shard_of_format_4_that_holds_other_draws_than_its_name_tells(store: Store) -> None:
    paths = [rewrite(shard(store, place), pq.read_table(shard(store, place)), "4") for place in range(3)]
    assert found(store) == []
    paths[0].rename(store.draws_folder / f"00000009-{'0' * 16}.parquet")
    renamed, missing, *_ = found(store)
    assert "holds other draws than its name says" in renamed.what
    assert "commit 1, whose shard is not there any more" in missing.what


def test_a_point_that_is_none(store: Store) -> None:
    path = shard(store)
    table = pq.read_table(path)
    column = table.schema.get_field_index("dim")
    table = table.set_column(column, SCHEMA.field("dim"), pa.array([13] * table.num_rows))
    rewrite(path, table)
    assert any("that its sizes do not make" in finding.what for finding in found(store))


def test_duplicates_equal_and_different(store: Store) -> None:
    with store.writer() as writer:
        writer.append(rows_of(range(2, 6)), SPEC)
    equal = found(store, 3)
    assert [(finding.kind, finding.what.split(" in ")[0]) for finding in equal] == [
        ("duplicated", "8 rows stand twice,"),
        ("duplicated", "8 rows stand twice,"),
    ]
    assert all("with equal values" in finding.what and "rmtsim compact" in finding.advice for finding in equal)
    wrong = rows_of(range(8, 9))
    with store.writer() as writer:
        bad = writer.append(wrong.assign(offdiag_sqfro=wrong["offdiag_sqfro"] * (1 + 1e-15)), SPEC)
    different = [finding for finding in found(store) if "different" in finding.what]
    assert [finding.what.split(" in ")[0] for finding in different] == [
        "3 rows stand twice,"
    ]  # MSE has no off-diagonal output blocks
    assert bad.name in different[0].what
    for name in [other.name for other in store.shards()[3:-1]]:
        (store.draws_folder / name).unlink()
    said = [finding for finding in found(store, 10) if finding.kind == "wrong"]  # the advice
    assert said
    assert all(bad.name in finding.what for finding in said)


def test_missing_draws_and_layers(store: Store) -> None:
    shard(store, 1).unlink()
    with store.writer() as writer:
        made = rmtsim.simulate(HIDDEN, range(12, 14), seed=7)
        writer.append(made[made["layer"] != "cross"], SPEC)
        writer.append(rmtsim.simulate(HIDDEN, range(1, 2), seed=9), SPEC)
    what = sorted(finding.what for finding in found(store) if finding.kind == "unfinished")
    assert what == sorted(
        [
            f"point {LINEAR.id}, seed 7: draws 4 to 7 of 0 to 11 not there yet",
            f"point {HIDDEN.id}, seed 7: draws 4 to 7 of 0 to 13 not there yet",
            f"point {HIDDEN.id}, seed 7: layer cross in draws 12 to 13 not there yet",
            f"point {HIDDEN.id}, seed 9: draw 0 of 0 to 1 not there yet",
        ]
    )


def test_layers_that_another_sweep_does_not_measure_are_not_missing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with store.writer() as writer:
        writer.save_spec("test", SPEC)
        writer.save_spec("wide", attrs.evolve(HIDDEN_SPEC, name="wide", layers=["output"]).document())
        writer.append(rmtsim.simulate(HIDDEN, range(4), seed=7), SPEC)
        writer.append(rmtsim.simulate(HIDDEN, range(4, 9), seed=7, layers=("output",)), SPEC)
    assert found(store) == []
    assert verify(store).findings == []  # whoever does not say what specs ask for misses nothing for their sake
    report = verify(store, requests_of=requests_of)
    assert (report.points, report.satisfied) == (1, 1)


def test_leftovers(store: Store) -> None:
    (store.draws_folder / ".00000009-0000000000000000.parquet.12.tmp").write_bytes(b"PAR1")
    [finding] = found(store)
    assert finding.kind == "leftover"
    with store.writer():  # the advice: the next writer removes it
        pass
    assert found(store) == []


def test_wrong_values_come_to_light_when_draws_are_made_again(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    path = shard(store, 1)
    table = pq.read_table(path)
    column = table.schema.get_field_index("diag_sqfro")
    nudged = [None if value is None else value * (1 + 2**-52) for value in table["diag_sqfro"].to_pylist()]
    table = table.set_column(column, SCHEMA.field("diag_sqfro"), pa.array(nudged, pa.float64()))
    path = rewrite(path, table)
    assert found(store) == []  # nothing shows it but the making
    wrong = found(store, 1000)
    assert len(wrong) == 8
    assert {finding.kind for finding in wrong} == {"wrong"}
    assert all(path.name in finding.what for finding in wrong)
    # Where another BLAS made them, so small a difference is rounding.
    rewrite(path, table.replace_schema_metadata({**table.schema.metadata, b"rmtsim.blas": b"other 1"}))
    assert found(store, 1000) == []
    assert main(["verify", "--store", str(store.root), "--recompute", "1000"]) == 0
    assert "8 of them equal to rounding only, by another BLAS" in capsys.readouterr().out


def test_runs_agree_with_sets() -> None:
    import random

    random.seed(0)
    for _ in range(200):
        runs, there = RangeSet(), set[int]()
        for _ in range(12):
            start = random.randrange(30)
            new = range(start, start + random.randrange(1, 8))
            before = [draw for common in runs.add(new) for draw in common]
            assert before == sorted(there & set(new))
            there |= set(new)
        assert [draw for run in runs for draw in run] == sorted(there)
        assert len(runs) == len(there)
        span = range(random.randrange(10), random.randrange(10, 45))
        assert [draw for run in runs.within(span) for draw in run] == sorted(there & set(span))
        assert [draw for gap in runs.gaps(span) for draw in gap] == sorted(set(span) - there)


def test_coverage_agrees_with_sets() -> None:
    import random

    random.seed(1)
    coverage, there = Coverage(), set[tuple[str, int, str, int]]()
    for _ in range(60):
        rows = [
            (random.choice("ab"), random.choice([1, 5]), random.choice("xyz"), random.randrange(60)) for _ in range(9)
        ]
        keys = pa.table(
            dict(zip(["point_id", "seed", "layer", "draw"], map(list, zip(*rows, strict=True)), strict=True))
        )
        assert coverage.holds(keys).tolist() == [row in there for row in rows]
        repeated = coverage.add(keys).tolist()
        for row in set(rows):
            places = [place for place, other in enumerate(rows) if other == row]
            assert sum(not repeated[place] for place in places) == (row not in there)
        there |= set(rows)
    assert {
        (*series[:2], series.layer, draw) for series, runs in coverage.items() for run in runs for draw in run
    } == there
    assert Coverage().get(Series("a", 1, "x")) is None
