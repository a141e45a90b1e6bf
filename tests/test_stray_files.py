"""Files that are not rmtsim's, beside its own: those that desktops leave are no damage, all others are foreign."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from pyarrow.lib import ArrowInvalid

from rmtsim.cli.main import main
from rmtsim.store import Store
from rmtsim.store.strays import is_stray
from rmtsim.store.verify import verify
from tests.trained_tables import contents, folder, trained

__all__ = ["folder", "trained"]  # fixtures

STRAYS = [
    ".DS_Store",
    "._fig8.json",
    ".nfs000000000a3f00000001",
    "Thumbs.db",
    "desktop.ini",
    ".directory",
    "fig8.json~",
    ".fig8.json.swp",
    "00000001-0123456789abcdef.parquet~",
    "#fig8.json#",
    ".~lock.fig8.json#",
    ".fuse_hidden0000000100000001",
    "Icon\r",
    "~$fig8.json",
    ".fig8.json.x7Dk2s",
    ".__afs1A2B",
    ".smbdeleteAAA001",
    ".fig8.json.kate-swp",
]

STRAY_FOLDERS = [
    "@eaDir",
    ".AppleDouble",
    "@Recycle",
    "lost+found",
    ".Trash-1000",
    ".snapshot",
    "$RECYCLE.BIN",
    "System Volume Information",
]


def test_what_desktops_and_file_systems_leave_is_no_damage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = folder / "store"
    sweep = 'name = "tiny"\nmodel = "linear"\nloss = "ce"\n[grid]\nn_classes = [2]\naspect_ratio = [0.5]\ndim = [8]\n'
    (folder / "tiny.toml").write_text(sweep + "[sampling]\nmin_draws = 8\nmax_draws = 8\ntarget_rse = 0.9\n")
    assert main(["run", str(folder / "tiny.toml"), "--store", str(store)]) == 0
    for place in ("", "draws", "sweeps", "experiments", "experiments/train"):
        for name in STRAYS:
            (store / place / name).write_bytes(b"\x00of a desktop")
        for name in STRAY_FOLDERS:
            (store / place / name).mkdir()
            (store / place / name / "x.parquet").write_bytes(b"not ours")
    before = contents(folder)
    capsys.readouterr()
    for line in (
        ["verify", "--store", str(store)],
        ["status", "--store", str(store)],
        ["run", str(folder / "train.toml"), "--store", str(store)],
        ["run", str(folder / "tiny.toml"), "--store", str(store)],
        ["compact", "--store", str(store)],
        ["merge", str(store), "--store", str(folder / "other")],
        ["export", "--store", str(store), "--out", str(folder / "means.csv")],
    ):
        assert main(line) == 0, line
    said = capsys.readouterr()
    assert "all is well" in said.out
    assert "nothing to do" in said.err
    assert (
        said.err.count(": rmtsim skips files that are not its own") == 2
    )  # in draws/ and in experiments/train/, where pandas fails
    assert before.items() <= contents(folder).items()
    assert not [path for path in (folder / "other").rglob("*") if path.name in {*STRAYS, *STRAY_FOLDERS}]
    assert verify(Store(folder / "other")).tables == 8


@pytest.mark.parametrize(("name", "fails"), [("Thumbs.db", True), ("x.parquet~", True), (".DS_Store", False)])
def test_verify_notes_what_pandas_stumbles_over(
    name: str, fails: bool, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "store/experiments/train" / name
    path.write_bytes(b"of a desktop")
    if fails:
        with pytest.raises(ArrowInvalid):
            pd.read_parquet(path.parent)
    else:
        pd.read_parquet(path.parent)
    capsys.readouterr()
    assert main(["verify", "--store", str(folder / "store")]) == 0
    said = capsys.readouterr()
    assert "all is well" in said.out
    assert (f"{path}: rmtsim skips files that are not its own" in said.err) == fails


@pytest.mark.parametrize(
    "name",
    [
        "00000001-0123456789abcdef-0123456789abcdef.parquet",
        "ce-c02-d4-n12-3-gaussian-draw000-a92f9d37817f.parquet",
        "_ce-c02-d4-n12-3-gaussian-draw000-a92f9d37817f.step20",
        ".ce-c02.parquet.0123456789ab.tmp",
        "_spec.json",
        "commits.json",
        "tiny.json",
        ".lock",
        ".writing",
    ],
)
def test_what_rmtsim_writes_is_no_stray(name: str) -> None:
    assert not is_stray(name)


def test_other_files_beside_tables_are_foreign(folder: Path) -> None:
    tables = folder / "store/experiments/train"
    (tables / "notes.txt").write_text("not of a store")
    (tables / ".hidden.parquet").write_bytes(b"")
    (tables / "folder").mkdir()
    (folder / "store/experiments/loose.parquet").write_bytes(b"")
    found = verify(Store(folder / "store")).findings
    assert [finding.kind for finding in found] == ["foreign"] * 4
    assert {path for finding in found for path in str(finding).split() if path.startswith("/")} == {
        str(tables / "notes.txt"),
        str(tables / ".hidden.parquet"),
        str(tables / "folder"),
        str(folder / "store/experiments/loose.parquet"),
    }
