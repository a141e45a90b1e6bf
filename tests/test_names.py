"""Names that come with rmtsim are not hidden by what lies here; folders of a store are recognised by what they hold."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import rmtsim
from rmtsim.cli.main import main
from rmtsim.store import Store
from tests.s3 import location, s3, s3_server

__all__ = ["location", "s3", "s3_server"]  # fixtures

MINE = """
name = "mine"
model = "linear"
loss = "mse"
[grid]
n_classes = [2]
aspect_ratio = [0.5]
dim = [4]
[sampling]
min_draws = 2
max_draws = 2
"""


def said(argv: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    assert main(argv) == code
    printed = capsys.readouterr()
    return printed.out + printed.err


@pytest.mark.parametrize("name", ["linear_mse", "training", "fig4", "spectrum"])
def test_what_comes_with_rmtsim_wins(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a sweep, of training runs, of the experiments of figures: whatever is called the same here."""
    monkeypatch.chdir(tmp_path)
    expected = said(["plan", name, "--store", "s"], capsys).splitlines()[-1]
    (tmp_path / name).mkdir()  # as the store of the sweep of that name would be
    assert said(["plan", name, "--store", name], capsys).splitlines()[-1].split(";")[0] == expected.split(";")[0]
    (tmp_path / name).rmdir()
    (tmp_path / name).write_text(MINE)
    assert main(["plan", name, "--store", "s"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1].split(";")[0] == expected.split(";")[0]
    assert printed.err.endswith(f"for the file of that name here, give ./{name}\n")


def test_a_path_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("figure8", "figure8.toml", "mine"):
        (tmp_path / name).write_text(MINE)
    for source in ("./figure8", "./figure8.toml", "figure8.toml", "mine", str(tmp_path / "figure8")):
        assert said(["plan", source, "--store", "s"], capsys).splitlines()[-1].startswith("mine: 1 point")
    (tmp_path / "other").mkdir()
    for source in ("other", "./other"):
        assert f"spec: {source} cannot be read" in said(["plan", source, "--store", "s"], capsys, 2)


def test_a_store_of_the_name_of_its_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(MINE.replace('"mine"', '"linear_mse"'))
    said(["run", "mine.toml", "--store", "linear_mse"], capsys, 4)
    assert "linear_mse: nothing to do" in said(["run", "mine.toml", "--store", "linear_mse"], capsys, 4)
    assert said(["plan", "linear_mse", "--store", "linear_mse"], capsys).splitlines()[-1].startswith("linear_mse: ")


def fill(store: Store) -> None:
    with store.writer() as writer:
        writer.save_spec("mine", {"name": "mine"})
        writer.append(rmtsim.simulate(rmtsim.Point("linear", "ce", 2, 4, 8), 2), {"name": "mine"})


def within(location: str, *path: str) -> str:
    place, mark, options = location.partition("?")
    return "/".join([place, *path]) + mark + options


@pytest.mark.parametrize("name", ["draws", "sweeps", "experiments"])
def test_a_store_beside_folders_of_such_names(name: str, location: str) -> None:
    """A project may have folders ``sweeps`` and ``draws`` of its own, and a store in one of them or below."""
    for other in {"draws", "sweeps", "experiments"} - {name}:
        files = Store(within(location, "x")).files
        files.prepare((f"../{other}",)) if "://" not in location else None
    beside = Store(within(location, "other" if name == "sweeps" else "sweeps")).files
    beside.prepare(("",))
    beside.write("notes.json", b'{"name": "something"}')
    beside.write("mine.toml", MINE.encode())
    store = Store(within(location, name))
    fill(store)
    fill(Store(within(location, name, "inner")))
    assert len(Store(within(location, name)).read()) == 2


@pytest.mark.parametrize("path", [["draws"], ["sweeps"], ["experiments"], ["draws", "new"], ["experiments", "fig4"]])
def test_a_store_within_a_store_is_refused(path: list[str], location: str) -> None:
    store = Store(location)
    fill(store)
    with pytest.raises(rmtsim.InputError, match="is a folder of a store; give the store, "):
        fill(Store(within(location, *path)))
    assert len(store.read()) == 2


def test_a_folder_alone_tells_what_it_is_of(tmp_path: Path) -> None:
    """Draws without specs, specs without draws, tables without either."""
    fill(Store(tmp_path / "s"))
    for kept in ("draws", "sweeps"):
        shutil.copytree(tmp_path / "s" / kept, tmp_path / kept / kept)
        for name in ("draws", "sweeps", "experiments"):
            with pytest.raises(rmtsim.InputError, match="is a folder of a store"):
                Store(tmp_path / kept / name)
    (tmp_path / "t" / "experiments" / "fig4").mkdir(parents=True)
    (tmp_path / "t" / "experiments" / "fig4" / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(rmtsim.InputError, match="is a folder of a store"):
        Store(tmp_path / "t" / "draws")
