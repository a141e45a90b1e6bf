"""The union of stores, and shards made few: no row lost, none twice, nothing mixed that means something else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rmtsim
import rmtsim.store
import rmtsim.store.compact
import rmtsim.store.repeated_rows
import rmtsim.store.shards
from rmtsim.cli.main import main
from rmtsim.errors import InputError
from rmtsim.sampling.schema import KEY
from rmtsim.store import Store, StoreError
from rmtsim.store.merge import merge
from rmtsim.store.verify import verify
from tests.parted_stores import HIDDEN, LINEAR, SPEC, altered, expected, rows_of, snapshot, store_of
from tests.s3 import location, s3, s3_server

__all__ = ["location", "s3", "s3_server"]  # fixtures


def test_the_union(tmp_path: Path, location: str) -> None:
    one = store_of(tmp_path / "one", rows_of(range(4)), rows_of(range(6, 8)))
    two = store_of(tmp_path / "two", rows_of(range(2, 7)), spec={"name": "other"})
    before = snapshot(one), snapshot(two)
    into = Store(location)
    found = merge([one.root, two.root], into)
    assert (found.rows, found.known, found.specs, found.rounded) == (32, 12, 2, 0)
    pd.testing.assert_frame_equal(into.read(), expected(8), check_exact=True)
    assert [spec["name"] for spec in into.specs()] == ["other", "test"]
    assert (snapshot(one), snapshot(two)) == before
    assert verify(into).findings == []
    names = [str(shard) for shard in into.shards()]
    assert merge([two.root, one.root], into) == (0, 44, 0, 0, 0)
    assert [str(shard) for shard in into.shards()] == names


def test_a_source_that_is_named_twice_counts_once(location: str, tmp_path: Path) -> None:
    one = store_of(location, rows_of(range(4)))
    base, _, options = location.partition("?")
    names = [location, f"{base}/{'?' if options else ''}{options}"]
    if "://" not in location:
        (tmp_path / "link").symlink_to(location)
        names += [str(tmp_path / "link"), f"{location}/../{Path(location).name}"]
    assert merge(names, Store(tmp_path / "into")) == (16, 0, 1, 0, 0)
    assert merge(names, Store(tmp_path / "into")) == (0, 16, 0, 0, 0)
    for name in names:
        with pytest.raises(InputError, match="is the store itself"):
            merge([tmp_path / "into", name], one)


def test_commits_that_a_source_lacks_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = store_of(tmp_path / "one", *(rows_of(range(k, k + 2)) for k in range(0, 8, 2)))
    merge([one.root], Store(tmp_path / "whole"))
    assert not caplog.messages
    path = Path(one.shards()[1])
    path.rename(path.with_suffix(".bak"))
    assert merge([one.root], Store(tmp_path / "into")).rows == 24
    assert caplog.messages == [
        f"SOURCE: {one.root} lacks commit 2, whose shards someone removed; their rows are not merged"
    ]


def test_a_repeat_touches_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, into = store_of(tmp_path / "one", rows_of(range(4))), Store(tmp_path / "into")
    argv = ["merge", str(one.root), "--store", str(into.root)]
    assert main(argv) == 0
    assert "16 rows and 1 spec added; 0 rows there before" in capsys.readouterr().err
    before = snapshot(into)
    assert main(argv) == 0
    assert "nothing to do, all 16 rows there" in capsys.readouterr().err
    assert snapshot(into) == before


def test_shards_keep_what_they_tell(tmp_path: Path) -> None:
    rows = rows_of(range(3))
    rows.attrs["blas"] = "theirs 1"
    one = store_of(tmp_path / "one", rows)
    into = Store(tmp_path / "into")
    merge([one.root], into)
    with into.shards()[0].open() as opened, one.shards()[0].open() as source:
        assert opened.metadata == source.metadata
        assert opened.metadata["blas"] == "theirs 1"


@pytest.mark.parametrize(
    ("other", "spec", "words"),
    [
        ({"dtype": "float32"}, SPEC, "with dtype float32, and .*into with float64"),
        ({"backend": "cupy"}, SPEC, "with backend cupy, and .*into with numpy"),
        ({"classes": 3}, SPEC, "with classes 3, and .*into with 5"),
        (
            {"offdiag_sqfro": 0.25},
            SPEC,
            r"draw 3 of C = 5, d = 12, N = 30.*, layer \w+, has other values in .*two than in .*one",
        ),
    ],
)
def test_what_means_something_else_is_refused(
    other: dict[str, object], spec: dict[str, object], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = store_of(tmp_path / "one", rows_of(range(4)))
    rows = rmtsim.simulate(HIDDEN, range(3, 4), seed=7)
    two = store_of(tmp_path / "two", altered(rows, **other), spec=spec)
    into = store_of(tmp_path / "into", rows_of(range(2)))
    before = snapshot(into)
    with pytest.raises(InputError, match=words):
        merge([one.root, two.root], into)
    assert snapshot(into) == before
    argv = ["merge", str(one.root), str(two.root), "--store", str(tmp_path / "new")]
    assert main(argv) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_rounding_of_another_blas_is_no_other_meaning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = rows_of(range(2))
    one = store_of(tmp_path / "one", rows)
    near = altered(rows, diag_sqfro=rows["diag_sqfro"] * (1 + 1e-14))
    near.attrs["blas"] = "another 1"
    two = store_of(tmp_path / "two", near)
    assert merge([two.root], one) == (0, 8, 0, 6, 0)  # two of eight have no diagonal blocks
    pd.testing.assert_frame_equal(one.read(), rows.sort_values(KEY, ignore_index=True), check_exact=True)
    far = altered(near, diag_sqfro=rows["diag_sqfro"] * (1 + 1e-6))
    with pytest.raises(InputError, match="other values"):
        merge([store_of(tmp_path / "far", far).root], one)
    same_blas = altered(near, draw=near["draw"])
    same_blas.attrs = rows.attrs
    with pytest.raises(InputError, match="other values"):
        merge([store_of(tmp_path / "same", same_blas).root], one)


def test_specs_that_share_a_name_are_both_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    into = store_of(tmp_path / "into", rows_of(range(2)))
    other, third = ({**SPEC, "grid": {"dim": [12, size]}} for size in (13, 14))
    two = store_of(tmp_path / "two", rows_of(range(2, 4)), spec=other)
    three = store_of(tmp_path / "three", rows_of(range(3, 5)), spec=third)
    assert merge([two.root, three.root], into) == (12, 4, 2, 0, 0)
    assert into.specs() == [SPEC, {**other, "name": "test-2"}, {**third, "name": "test-3"}]
    kept = f"SOURCE: the spec test of {two.root} is another than that of {into.root}, and is kept as test-2"
    assert kept in caplog.messages
    before = snapshot(into)
    assert merge([three.root, two.root], into) == (0, 16, 0, 0, 0)  # a repeat
    assert snapshot(into) == before
    assert verify(into).findings == []


def test_a_long_name_stays_one(tmp_path: Path) -> None:
    one, two = ({**SPEC, "name": "n" * 64, "grid": {"dim": [size]}} for size in (12, 13))
    into = store_of(tmp_path / "into", rows_of(range(2)), spec=one)
    merge([store_of(tmp_path / "two", rows_of(range(2)), spec=two).root], into)
    assert sorted(spec["name"] for spec in into.specs()) == ["n" * 62 + "-2", "n" * 64]


def test_a_conflict_inside_a_store_is_its_own(tmp_path: Path) -> None:
    rows = rows_of(range(3))
    wrong = altered(rows[rows["draw"] > 0], diag_sqfro=1.0)
    into = store_of(tmp_path / "into", rows, wrong)
    other = store_of(tmp_path / "other", altered(rows[rows["draw"] == 0], offdiag_sqfro=1.0))
    inside = rf"{into.root}/draws holds draw [12] of C = 5, d = 12, N = 30 \(point \w+\), seed 7, layer \w+, twice, "
    inside += "with different values; "
    with pytest.raises(StoreError, match=rf"{inside}`rmtsim verify --store {into.root}` names the shards"):
        merge([other.root], into)
    single = altered(rmtsim.simulate(LINEAR, range(1, 2), seed=7), dtype="float32")
    both = store_of(tmp_path / "both", rows_of(range(1)), single)
    with pytest.raises(InputError, match=rf"{both.root} has draws of .* with dtype float64 and with float32; give"):
        merge([both.root], Store(tmp_path / "new"))


def test_null_is_another_value_than_a_number(tmp_path: Path) -> None:
    rows = rows_of(range(2))
    one = store_of(tmp_path / "one", rows)
    two = store_of(tmp_path / "two", altered(rows, diag_sqfro=rows["diag_sqfro"].where(rows["layer"] != "hidden")))
    for sources, into in (([two.root], one), ([one.root], two)):
        with pytest.raises(InputError, match="layer hidden, has other values"):
            merge(sources, into)


def test_a_merge_goes_on_where_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = store_of(tmp_path / "one", *(rows_of(range(k, k + 2)) for k in range(0, 8, 2)))
    into = Store(tmp_path / "into")
    monkeypatch.setattr(rmtsim.store.merge, "ROWS", 8)  # those of one of its shards
    commit, left = rmtsim.store.Writer.commit, [2]

    def dies(*arguments: object) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return commit(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(rmtsim.store.Writer, "commit", dies)
    with pytest.raises(KeyboardInterrupt):
        merge([one.root], into)
    monkeypatch.undo()
    assert len(into.read()) == 16
    assert merge([one.root], into) == (16, 16, 0, 0, 0)  # the spec came first
    pd.testing.assert_frame_equal(into.read(), expected(8), check_exact=True)


def test_small_shards_become_large_ones_in_a_merge(tmp_path: Path) -> None:
    parts = [rows_of(range(k, k + 2)) for k in range(0, 12, 2)]
    one, two = store_of(tmp_path / "one", *parts[::2]), store_of(tmp_path / "two", *parts[1::2])
    into = Store(tmp_path / "into")
    assert merge([one.root, two.root], into).rows == 48
    assert len(into.shards()) == 1  # all are of one spec, seed, machine and version
    pd.testing.assert_frame_equal(into.read(), expected(12), check_exact=True)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_export(tmp_path: Path, suffix: str) -> None:
    store = store_of(tmp_path / "s", rows_of(range(4)), rows_of(range(4, 9)))
    out = tmp_path / f"table{suffix}"
    assert main(["export", "--store", str(store.root), "--out", str(out)]) == 0
    reader = {
        ".csv": pd.read_csv,
        ".parquet": pd.read_parquet,
        ".json": lambda path: pd.DataFrame(json.loads(path.read_text())),
    }
    table = reader[suffix](out)
    assert set(table["layer"]) == {"linear", "hidden", "output", "cross"}
    assert (table["draws"] == 9).all()
    of = rmtsim.simulate(LINEAR, 9, seed=7)
    line = table[table["layer"] == "linear"].iloc[0]
    assert line["diag_sqfro"] == pytest.approx(of["diag_sqfro"].mean(), rel=1e-12)
    assert line["std_error_diag"] == pytest.approx(of["diag_sqfro"].std(ddof=1) / 3, rel=1e-12)
    assert line["n_classes"] == 5
    assert np.isnan(float(table[table["layer"] == "cross"].iloc[0]["diag_sqfro"] or np.nan))
