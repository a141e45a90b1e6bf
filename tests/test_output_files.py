"""Files that verbs write beside a store: whole or absent, and read by others as they are meant."""

from __future__ import annotations

import io
import json
import os
import stat
from pathlib import Path

import duckdb
import pandas as pd
import pytest

import rmtsim
import rmtsim.files.durable_files
from rmtsim.cli.main import main
from rmtsim.files.output_files import check_output, write_output
from rmtsim.store import Store

#: Points whose identities look like numbers: 870474735649e332 is larger than any float.
POINTS = [rmtsim.Point("linear", "ce", 2, 31, 62), rmtsim.Point("linear", "ce", 2, 8, 16)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(tmp_path / "store")
    with opened.writer() as writer:
        writer.append(pd.concat([rmtsim.simulate(point, 4) for point in POINTS]), {"name": "test"})
    return opened


def test_an_identity_survives_every_reader(store: Store, tmp_path: Path) -> None:
    for suffix in ("csv", "json", "parquet"):
        assert main(["export", "--store", store.location, "--out", str(tmp_path / f"t.{suffix}")]) == 0
    expected = [f"p-{point.id}" for point in sorted(POINTS, key=lambda point: point.dim)]
    assert "870474735649e332" in [point.id for point in POINTS]
    assert pd.read_csv(tmp_path / "t.csv")["point_id"].tolist() == expected
    assert pd.read_json(io.StringIO((tmp_path / "t.json").read_text()))["point_id"].tolist() == expected
    for kind in ("csv", "json"):
        rows = duckdb.sql(f"SELECT point_id FROM read_{kind}('{tmp_path / f't.{kind}'}') ORDER BY dim").fetchall()
        assert [row[0] for row in rows] == expected
    in_parquet = pd.read_parquet(tmp_path / "t.parquet")["point_id"]
    assert set(in_parquet) == set(store.read(["point_id"])["point_id"])  # as in the store, to be joined with it


def test_a_file_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.txt"
    write_output(path, "before\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~_umask()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rmtsim.files.durable_files.os, "replace", full)
    with pytest.raises(rmtsim.InputError, match=r"--out: .*f.txt cannot be written \(No space left on device\)"):
        write_output(path, "after\n")
    assert path.read_text() == "before\n"
    assert os.listdir(tmp_path) == ["f.txt"]


def _umask() -> int:
    before = os.umask(0)
    os.umask(before)
    return before


def test_permissions_are_those_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_output(tmp_path / "f.txt", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f.txt").stat().st_mode) == 0o600


def test_links_are_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "t.csv").symlink_to(victim)
    (tmp_path / ".t.csv.tmp").symlink_to(victim)
    write_output(tmp_path / "t.csv", "new")
    assert victim.read_text() == "mine"
    assert not (tmp_path / "t.csv").is_symlink()
    assert (tmp_path / "t.csv").read_text() == "new"


@pytest.mark.parametrize(("verb", "ending"), [("export", ".csv"), ("figure", ".png"), ("report", ".html")])
def test_only_regular_files_are_written(
    store: Store, tmp_path: Path, verb: str, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = ["fig8"] if verb == "figure" else []
    os.mkfifo(tmp_path / f"pipe{ending}")
    (tmp_path / f"folder{ending}").mkdir()
    (tmp_path / f"null{ending}").symlink_to(os.devnull)
    before = sorted(os.listdir(tmp_path))
    for out, kind in (("pipe", "a named pipe"), ("folder", "a folder"), ("null", "a device")):
        argv = [verb, *name, "--store", store.location, "--out", str(tmp_path / f"{out}{ending}")]
        assert main(argv) == 2
        message = capsys.readouterr().err
        why = f"it is {kind}, not a regular file"
        assert f"--out: {tmp_path / out}{ending} cannot be written ({why}); give another FILE" in message
        assert message.count("\n") == 1
    assert main([verb, *name, "--store", store.location, "--out", str(tmp_path / f"no/t{ending}")]) == 2
    assert f"there is no folder {tmp_path / 'no'}" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == before


def test_odd_names(tmp_path: Path) -> None:
    with pytest.raises(rmtsim.InputError, match="has a null character; give another FILE"):
        check_output("a\0b.csv")
    with pytest.raises(rmtsim.InputError, match="is too long for a path; give another FILE"):
        check_output(tmp_path / ("x" * 300))
    with pytest.raises(rmtsim.InputError, match=r"^--out: .*/a\.png/ names a folder; give a FILE in it$"):
        check_output(f"{tmp_path}/a.png/")


def test_text_of_exports_is_utf8(store: Store, tmp_path: Path) -> None:
    assert main(["export", "--store", store.location, "--out", str(tmp_path / "t.json")]) == 0
    [first, _] = json.loads((tmp_path / "t.json").read_bytes().decode("utf-8"))
    assert first["point_id"].startswith("p-")
    assert first["width"] is None


def test_an_exported_table_is_joined_with_draws_as_the_reference_says(tmp_path: Path) -> None:
    """Control: without the step that it names, no row of a .csv file has a partner."""
    store, step = tmp_path / "s", 'means["point_id"].str.removeprefix("p-")'
    assert f"`{step}`" in (Path(__file__).parent.parent / "docs/reference/store.md").read_text("utf-8")
    rmtsim.run([rmtsim.Point("linear", "mse", 2, 3, 6)], store, workers=1, sampling={"max_draws": 4, "min_draws": 4})
    draws = rmtsim.open_store(store).draws()
    assert main(["export", "--store", str(store), "--out", str(tmp_path / "means.csv")]) == 0
    means = pd.read_csv(tmp_path / "means.csv")
    assert draws.merge(means, on=["point_id", "layer"]).empty
    means = means.assign(point_id=eval(step))
    assert len(draws.merge(means, on=["point_id", "layer"])) == 4
