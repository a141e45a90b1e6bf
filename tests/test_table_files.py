"""Tables of experiments are what their names say, to the bit, wherever they are counted, read, drawn or spread."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from rmtsim.cli.main import main
from rmtsim.store import Store, StoreError
from rmtsim.store.failures import TornError
from rmtsim.store.saved_files import SavedFiles
from rmtsim.store.seal import BLANK, seal, seal_holds
from rmtsim.store.storage import open_files
from rmtsim.store.table_files import TableFile, table_bytes
from rmtsim.store.verify import verify
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.sweeps.table_runner import run_tables
from rmtsim.sweeps.training_spec import load_any
from tests.trained_tables import contents, folder, trained

__all__ = ["folder", "trained"]  # fixtures

GOLDEN = Path(__file__).parent / "golden" / "unsealed_tables"


def paths(folder: Path, pattern: str = "*") -> list[Path]:
    return sorted((folder / "store/experiments/train").glob(f"{pattern}.parquet"))


def swap(one: Path, other: Path) -> None:
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)


def flip_in_a_name(one: Path, _: Path) -> None:
    """One bit of a column's name in the footer, which no checksum of a page covers."""
    data = bytearray(one.read_bytes())
    data[data.rindex(b"quantity")] ^= 1
    one.write_bytes(data)


def edit(one: Path, _: Path) -> None:
    """Change a value by a program that keeps the metadata, but for the digest."""
    table = pq.read_table(one)
    metadata = {**table.schema.metadata, **pq.read_metadata(one).metadata}
    del metadata[b"rmtsim.digest"], metadata[b"ARROW:schema"]
    values = table.column("value").to_numpy() + 1
    table = table.set_column(table.column_names.index("value"), "value", [values])
    pq.write_table(table.replace_schema_metadata(metadata), one)


DAMAGE: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "copied over another": (lambda one, other: one.write_bytes(other.read_bytes()), "foreign"),
    "swapped": (swap, "foreign"),
    "a bit of a column's name": (flip_in_a_name, "torn"),
    "cut": (lambda one, _: one.write_bytes(one.read_bytes()[:-9]), "torn"),
    "emptied": (lambda one, _: one.write_bytes(b""), "torn"),
    "written anew with its metadata": (edit, "torn"),
    "another Parquet file": (lambda one, _: pd.DataFrame({"value": [1.0]}).to_parquet(one), "foreign"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_no_verb_takes_a_table_for_another(damage: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, kind = DAMAGE[damage]
    [one], [other] = paths(folder, "ce-c02-*-linear-*"), paths(folder, "ce-c03-*-linear-*")
    change(one, other)
    store, spec, before = str(folder / "store"), str(folder / "train.toml"), contents(folder)
    found = verify(Store(store)).findings
    assert {finding.kind for finding in found} == {kind}
    assert str(one) in str(found[0])
    capsys.readouterr()
    for line, code in (
        (["verify", "--store", store], 1),
        (["plan", spec, "--store", store], 1),
        (["run", spec, "--store", store], 1),
        (["status", "--store", store], 1),
        (["merge", store, "--store", str(folder / "other")], 1),
    ):
        assert main(line) == code, line
        said = capsys.readouterr()
        told = said.out if line[0] == "verify" else said.err
        assert "ce-c0" in told, line
        assert "nothing to do" not in said.err
        assert "Traceback" not in said.err
    with pytest.raises(StoreError, match="ce-c0"):  # which is what a figure shows
        load_any(spec).experiment().read(store)  # type: ignore[union-attr]
    assert contents(folder) == before  # and nothing is spread


def test_a_renamed_table_and_one_of_another_experiment_are_foreign(folder: Path) -> None:
    store = folder / "store"
    first, second, *_ = paths(folder)
    renamed = first.with_name(first.name.replace("-draw000", "-draw001"))
    first.rename(renamed)
    moved = store / "experiments/others" / second.name
    moved.parent.mkdir()
    second.rename(moved)
    copied = second.with_name("copy of a table.parquet")
    copied.write_bytes(moved.read_bytes())
    findings = {str(finding).partition(" is ")[0]: finding for finding in verify(Store(store)).damage}
    assert set(findings) == {f"foreign: {path}" for path in (renamed, moved, copied)}
    assert f"but train/{second.name}" in findings[f"foreign: {moved}"].what


def test_every_flipped_bit_is_noticed(folder: Path) -> None:
    """In every byte of the seal and about it, and in one of eight elsewhere; which bit is chosen at random."""
    store, [path] = folder / "store", paths(folder, "ce-c02-*-linear-*")
    files, whole, rng = open_files(store), path.read_bytes(), np.random.default_rng(0)
    name = str(path.relative_to(store))
    TableFile(files, name)
    at = whole.rindex(b"blake2b:")
    for place in sorted({*range(0, len(whole), 8), *range(at - 30, at + 80)}):
        data = bytearray(whole)
        data[place] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        with pytest.raises(TornError):
            TableFile(files, name)


def test_a_seal_is_of_all_other_bytes() -> None:
    data = f"before {BLANK} after".encode()
    sealed = seal(data)
    assert seal_holds(sealed)
    assert len(sealed) == len(data)
    assert sealed[:7] + sealed[-6:] == data[:7] + data[-6:]
    assert seal_holds(data) is False
    assert seal_holds(b"before after") is None
    assert seal_holds(sealed + b".") is False
    with pytest.raises(ValueError, match="place for its digest"):
        seal(b"before after")


def test_a_removed_table_is_missed_and_made_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, [path] = str(folder / "store"), paths(folder, "mse-c03-*-3-*")
    whole = path.read_bytes()
    path.unlink()
    capsys.readouterr()
    assert main(["verify", "--store", store]) == 0  # no damage: a run that was stopped looks the same
    said = capsys.readouterr().out
    assert f"unfinished: 1 of the 8 tables of train is not there: {path}; the same `rmtsim run` makes them" in said
    assert "all is well" not in said
    assert main(["run", str(folder / "train.toml"), "--store", store]) == 0
    assert path.read_bytes() == whole
    assert not verify(Store(store)).findings


def test_a_spec_in_the_folder_of_another_experiment_is_foreign(folder: Path) -> None:
    spec, other = (folder / f"store/experiments/{name}/_spec.json" for name in ("train", "others"))
    other.parent.mkdir()
    shutil.copy(spec, other)
    [finding] = verify(Store(folder / "store")).findings
    assert str(finding) == f"foreign: {other} is the spec of train; move it back, and run the experiment again"
    other.parent.rename(other.parent.with_name("train-2"))  # as a merge keeps another of the same name
    assert not verify(Store(folder / "store")).findings


def test_tables_without_a_seal_are_read_and_distinguished(tmp_path: Path) -> None:
    """As earlier versions wrote them: their pages have checksums, their names a hash of their parameters."""
    shutil.copytree(GOLDEN, tmp_path / "own")
    store, spec = tmp_path / "own", tmp_path / "own/train.toml"
    first, second = sorted(store.glob("experiments/train/*.parquet"))
    assert seal_holds(first.read_bytes()) is None
    before = contents(store)
    assert not verify(Store(store)).findings
    assert main(["run", str(spec), "--store", str(store)]) == 0  # nothing to do
    assert contents(store) == before
    whole = first.read_bytes()
    first.write_bytes(second.read_bytes())
    assert [finding.kind for finding in verify(Store(store)).findings] == ["foreign"]
    data = bytearray(whole)
    data[len(data) // 8] ^= 1
    first.write_bytes(data)
    assert [finding.kind for finding in verify(Store(store)).findings] == ["torn"]


def test_what_is_read_is_what_was_made(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {
            "width": pd.array([1, None, 3], dtype="Int64"),
            "value": [0.1, np.nan, -0.0],
            "word": ["a", None, "ü"],
            "whole": np.arange(3, dtype=np.int32),
            "switch": [True, False, True],
        }
    )
    experiment = Experiment("e", [Task("t", {"k": [1, 0.5, "x", None]}, lambda: rows)])
    assert run_tables(experiment, tmp_path).new_tables == 1
    pd.testing.assert_frame_equal(experiment.read(tmp_path), rows, check_exact=True)
    [path] = tmp_path.glob("experiments/e/*.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(path), rows, check_exact=True)  # by others, too
    assert pq.read_metadata(path).metadata[b"rmtsim.table"].decode() == f"e/{path.name}"
    assert table_bytes(rows, f"experiments/e/{path.name}", experiment.tasks[0].parameters) == path.read_bytes()


def test_saved_states_are_not_taken_for_each_other(tmp_path: Path) -> None:
    files = open_files(tmp_path)
    files.prepare(("experiments/e",))
    one, other = (SavedFiles(files, "experiments/e", f"{name}-0123456789ab.parquet") for name in "ab")
    one["run"], other["run"] = b"of one", b"of the other"
    assert (dict(one), dict(other)) == ({"run": b"of one"}, {"run": b"of the other"})
    first, second = sorted(tmp_path.glob("experiments/e/_*.run"))
    assert not verify(Store(tmp_path)).findings  # tasks that were begun
    swap(first, second)
    for saved in (one, other):
        with pytest.raises(TornError, match="is torn; remove it, and the same call goes on"):
            saved["run"]
    assert [finding.kind for finding in verify(Store(tmp_path)).findings] == ["torn", "torn"]


def test_a_table_that_cannot_be_opened_is_not_to_be_removed(folder: Path) -> None:
    store, experiment = Store(folder / "store"), Experiment("train", [Task("lost", {}, pd.DataFrame)])
    [path] = experiment.paths()
    (folder / "store" / path).symlink_to(folder / "nowhere")
    with pytest.raises(StoreError, match="cannot be read") as refused:
        experiment.missing(store)
    assert "remove" not in str(refused.value)
    [finding] = verify(store).findings
    assert (finding.kind, "remove" in str(finding)) == ("unreadable", False)
