"""Stores that earlier versions wrote stay readable, and their draws are those of today (see golden/write.py)."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import rmtsim
from rmtsim.cli.main import main
from rmtsim.model.ensemble import LAWS, LECUN
from rmtsim.sampling.schema import ENSEMBLE, KEY, SCHEMA
from rmtsim.store import Store
from rmtsim.store.recompute import stored_point
from rmtsim.store.shard_files import FORMAT
from rmtsim.store.storage import LocalFiles

GOLDEN = Path(__file__).parent / "golden"
VALUES = ["diag_sqfro", "offdiag_sqfro", "std_error_diag", "std_error_offdiag"]
FORMATS = sorted(path.name for path in GOLDEN.glob("format*"))


def expected(name: str) -> tuple[str, pd.DataFrame]:
    blas, _, table = (GOLDEN / name / "expected.csv").read_text().partition("\n")
    rows = pd.read_csv(io.StringIO(table), dtype="str")
    for field in SCHEMA:
        if field.name in rows and not pa.types.is_string(field.type):
            kind = {"width": "Int64"}.get(field.name, str(field.type).replace("double", "float64"))
            rows[field.name] = pd.array(rows[field.name].map(float), dtype="float64").astype(kind)  # float() is exact
    lacking = {"weights_per_draw": 1, **asdict(LECUN)}
    rows = rows.assign(**{column: value for column, value in lacking.items() if column not in rows})
    return blas.removeprefix("# "), rows.sort_values(KEY, ignore_index=True)[SCHEMA.names]


def test_there_is_a_golden_store_of_every_format() -> None:
    assert f"format{FORMAT}" in FORMATS
    assert FORMATS == ["format2", "format3", "format4", "format5", "format6", "format7"]


@pytest.mark.parametrize("name", FORMATS)
def test_it_reads_as_it_was_written(name: str) -> None:
    store, (_, rows) = Store(GOLDEN / name / "store"), expected(name)
    pd.testing.assert_frame_equal(store.read(), rows, check_exact=True, check_dtype=True)
    assert sum(table.num_rows for table in store.tables(["draw"])) == len(rows)
    assert [spec["name"] for spec in store.specs()] == ["golden"]
    off = rows.assign(offdiag_sqfro=rows["offdiag_sqfro"] * (1 + 2**-52))
    with pytest.raises(AssertionError):  # negative control: the last bit counts
        pd.testing.assert_frame_equal(store.read(), off, check_exact=True)


@pytest.mark.parametrize("name", FORMATS)
def test_its_draws_are_those_of_today(name: str) -> None:
    blas, rows = expected(name)
    for (_, dtype), part in rows.groupby(["point_id", "dtype"]):
        point = stored_point(part.iloc[0].to_dict())
        weights = int(part["weights_per_draw"].iloc[0])
        now = rmtsim.simulate(point, int(part["draw"].max()) + 1, seed=7, dtype=dtype, weights_per_draw=weights)
        now_rows = now.sort_values(KEY, ignore_index=True)
        old = part.reset_index(drop=True)
        pd.testing.assert_frame_equal(now_rows.drop(columns=VALUES), old.drop(columns=VALUES))
        same = now.attrs["blas"] == blas and weights == 1  # several last layers may be added up in another order
        rounding = 1e-12 if dtype == "float64" else 1e-5
        pd.testing.assert_frame_equal(
            now_rows[VALUES], old[VALUES], check_exact=same, **({} if same else {"rtol": rounding, "atol": 0})
        )


@pytest.mark.parametrize("name", ["format2", "format4", "format5", "format6"])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_column_that_it_lacks_comes_to_all_shards(
    name: str, at_once: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(GOLDEN / name / "store", tmp_path / "store")
    store, (_, rows) = Store(tmp_path / "store"), expected(name)
    replace, seen = LocalFiles.replace, []

    def looked_at(files: LocalFiles, *arguments: Any) -> bool:
        if not at_once:  # as on most servers
            seen.append(store.read())
            return False
        done = replace(files, *arguments)
        seen.append(pd.read_parquet(store.draws_folder))
        return done

    monkeypatch.setattr(LocalFiles, "replace", looked_at)
    assert "activation" not in pd.read_parquet(store.draws_folder)  # negative control: others do not see it
    with store.writer():
        pass
    assert seen
    usual = {law: [getattr(LECUN, law)] for law in LAWS}
    assert all(len(table) == len(rows) and usual == {law: [*{*table[law]}] for law in LAWS} for table in seen)
    assert json.loads((tmp_path / "store/commits.json").read_text())["format"] == FORMAT  # the next one need not look
    others = pd.read_parquet(store.draws_folder)
    assert others["weights_per_draw"].tolist() == others.merge(rows)["weights_per_draw"].tolist()
    assert usual == {law: [*{*others[law]}] for law in LAWS}
    pd.testing.assert_frame_equal(store.read(), rows, check_exact=True)
    assert main(["verify", "--store", str(store.root)]) == 0


@pytest.mark.parametrize("name", FORMATS)
def test_a_writer_goes_on_with_it(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(GOLDEN / name / "store", tmp_path / "store")
    store, (_, rows) = Store(tmp_path / "store"), expected(name)
    point = rmtsim.Point("linear", "ce", 2, 3, 4)
    with store.writer() as writer:
        writer.append(rmtsim.simulate(point, 2), {"name": "golden"})
    read = store.read()
    assert len(read) == len(rows) + 2
    pd.testing.assert_frame_equal(read[read["seed"] == 7].reset_index(drop=True), rows, check_exact=True)
    others = pd.read_parquet(store.draws_folder)  # other readers see every column
    assert others[[*ENSEMBLE, "weights_per_draw"]].notna().all(axis=None)
    assert others["weights_per_draw"].sum() == rows["weights_per_draw"].sum() + 2
    for verb in ("verify", "compact", "verify"):
        assert main([verb, "--store", str(store.root)]) == 0, capsys.readouterr()
    pd.testing.assert_frame_equal(store.read(), read, check_exact=True)
