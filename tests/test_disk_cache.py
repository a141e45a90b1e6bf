"""Values kept on disk: the same numbers again, and never trouble."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rmtsim.theory import disk_cache
from rmtsim.theory.disk_cache import directory, kept_on_disk


@dataclass(frozen=True)
class Value:
    number: float
    array: NDArray[np.float64]


def counted():  # type: ignore[no-untyped-def]
    """A new function of the same name, with nothing in memory, and the list of its calls."""
    calls = []

    @kept_on_disk(Value)
    def slow(x: float, *, power: int = 2) -> Value:
        calls.append(x)
        return Value(x**power, np.array([[x / 3, np.nan], [1e-300, -0.1]]))

    return slow, calls


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RMTSIM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def same(a: Value, b: Value) -> bool:
    return a.number == b.number and np.array_equal(a.array, b.array, equal_nan=True)


def test_the_same_value_comes_from_memory_and_from_disk(folder: Path) -> None:
    slow, calls = counted()
    first = slow(0.1)
    assert slow(0.1) is first
    again, called_again = counted()
    assert same(again(0.1), first)
    assert (calls, called_again) == ([0.1], [])
    assert again(0.1, power=3).number == 0.1**3
    assert again(0.2).number == 0.2**2
    assert called_again == [0.1, 0.2]
    assert len(list(folder.iterdir())) == 3
    assert {path.suffix for path in folder.iterdir()} == {".json"}  # and no temporary files


@pytest.mark.parametrize("torn", ["", '{"number": 1.0, "arr', "\x00\x00"])
def test_a_torn_file_is_computed_again(folder: Path, torn: str) -> None:
    first = counted()[0](0.1)
    [path] = folder.iterdir()
    whole = path.read_text()
    path.write_text(torn)
    again, calls = counted()
    assert same(again(0.1), first)
    assert calls == [0.1]
    assert path.read_text() == whole


def test_an_empty_name_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMTSIM_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert directory() is None
    assert counted()[0](2.0).number == 4
    again, calls = counted()
    again(2.0)
    assert calls == [2.0]
    assert list(tmp_path.iterdir()) == []


def test_the_default_is_the_users_cache_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RMTSIM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert directory() == tmp_path / "rmtsim"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert directory() == tmp_path / "home" / ".cache" / "rmtsim"


def test_a_directory_that_cannot_be_made_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RMTSIM_CACHE", str(tmp_path / "file" / "cache"))
    slow, calls = counted()
    assert slow(3.0).number == 9
    assert calls == [3.0]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_changed_source_has_other_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = counted()[0](0.1)
    monkeypatch.setattr(disk_cache, "_edition", lambda: "another")
    again, calls = counted()
    assert same(again(0.1), first)
    assert calls == [0.1]
    assert len(list(folder.iterdir())) == 2


def test_the_edition_is_that_of_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editions = []
    for text in ("x = 1", "x = 2", "x = 1"):
        (tmp_path / "formula.py").write_text(text)
        monkeypatch.setattr(disk_cache, "__file__", str(tmp_path / "disk_cache.py"))
        disk_cache._edition.cache_clear()
        editions.append(disk_cache._edition())
    disk_cache._edition.cache_clear()
    assert editions[0] == editions[2] != editions[1]
