"""Values kept on disk: the same numbers again, never others, and never trouble."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rmtsim.theory import disk_cache
from rmtsim.theory.disk_cache import EDITION, directory, kept_on_disk
from rmtsim.theory.one_hidden_ce_pairs import pair_terms
from rmtsim.theory.quasi_monte_carlo import Expectations

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Value:
    number: NDArray[np.float64]
    array: NDArray[np.float64]


def counted():  # type: ignore[no-untyped-def]
    """A new function of the same name, with nothing in memory, and the list of its calls."""
    calls = []

    @kept_on_disk(Value, {"number": (), "array": (2, 2)})
    def slow(x: float, *, power: int = 2) -> Value:
        calls.append(x)
        return Value(np.array(x**power), np.array([[x / 3, np.nan], [1e-300, -0.1]]))

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
    assert slow(np.float64(0.1), power=2) is first  # the same question, asked in full
    again, called_again = counted()
    assert same(again(0.1), first)
    assert again(0.1).array.shape == (2, 2)
    assert (calls, called_again) == ([0.1], [])
    assert again(0.1, power=3).number == 0.1**3
    assert again(0.2).number == 0.2**2
    assert called_again == [0.1, 0.2]
    assert len(list(folder.iterdir())) == 3
    assert {path.suffix for path in folder.iterdir()} == {".json"}  # and no temporary files


def edited(change: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    """Change an entry's content; what the function returns, if anything, takes its place."""

    def edit(text: bytes) -> bytes:
        entry = json.loads(text)
        found = change(entry)
        return json.dumps(entry if found is None else found).encode()

    return edit


def resealed(change: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    """The same, with a checksum that fits."""

    def sealed(entry: Any) -> Any:
        change(entry)
        return disk_cache._entry(entry["question"], entry["fields"])

    return edited(sealed)


WRONG = {
    "nothing": lambda _: b"",
    "torn": lambda text: text[: len(text) // 2],
    "zeros": lambda text: b"\0" * len(text),
    "no UTF-8": lambda text: b"\xff" + text,
    "deep": lambda _: b"[" * 100_000,
    "long": lambda text: text + b" " * 100_000,
    "a number that is none": lambda text: text.replace(b"1e-300", b"NaN"),
    "a digit": edited(lambda entry: entry["fields"]["array"].__setitem__(3, -0.2)),
    "another number": edited(lambda entry: entry["fields"]["number"].__setitem__(0, 0.02)),
    "list": edited(lambda _: []),
    "number": edited(lambda _: 7),
    "text": edited(lambda _: "value"),
    "null": lambda _: b"null",
    "only fields": edited(lambda entry: entry["fields"]),
    "no checksum": edited(lambda entry: entry.pop("checksum") and None),
    "null for fields": edited(lambda entry: entry.update(fields=None)),
    "another question": resealed(lambda entry: entry.update(question=entry["question"].replace("0.1", "0.3"))),
    "field gone": resealed(lambda entry: entry["fields"].pop("array")),
    "field more": resealed(lambda entry: entry["fields"].update(more=[1.0])),
    "shape": resealed(lambda entry: entry["fields"]["array"].append(1.0)),
    "no list": resealed(lambda entry: entry["fields"].update(array=1.0)),
    "text in a list": resealed(lambda entry: entry["fields"].update(number=["a"])),
    "list in a list": resealed(lambda entry: entry["fields"].update(number=[[1.0]])),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_is_not_what_was_written_is_computed_again(folder: Path, wrong: Callable[[bytes], bytes]) -> None:
    first = counted()[0](0.1)
    [path] = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(wrong(whole))
    assert path.read_bytes() != whole
    again, calls = counted()
    assert same(again(0.1), first)
    assert calls == [0.1]
    assert path.read_bytes() == whole


def test_any_digit_is_seen(folder: Path) -> None:
    first = counted()[0](0.1)
    [path] = folder.iterdir()
    whole = path.read_bytes()
    for place in (k for k, byte in enumerate(whole) if chr(byte) in "0123456789"):
        path.write_bytes(whole[:place] + (b"7" if whole[place : place + 1] != b"7" else b"8") + whole[place + 1 :])
        again, calls = counted()
        assert same(again(0.1), first)
        assert calls == [0.1]


def test_an_entry_in_the_place_of_another_answers_its_own_question_only(folder: Path) -> None:
    slow, _ = counted()
    slow(0.1)
    [one] = folder.iterdir()
    slow(0.2)
    [two] = [path for path in folder.iterdir() if path != one]
    one.write_bytes(two.read_bytes())
    again, calls = counted()
    assert again(0.1).number == 0.1**2
    assert calls == [0.1]


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
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for ignored in ("", "here", "./here"):  # its standard ignores what is relative
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert directory() == tmp_path / "home" / ".cache" / "rmtsim"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert directory() == tmp_path / "home" / ".cache" / "rmtsim"


def test_without_a_home_the_theory_does_without(tmp_path: Path) -> None:
    """As in a container that runs as a user whom it does not know."""
    script = (
        "import pathlib, rmtsim.theory.disk_cache as d\n"
        "def none(*_):\n    raise RuntimeError('Could not determine home directory.')\n"
        "pathlib.Path.home = none\n"
        "assert d.directory() is None\n"
        "from rmtsim.cli.main import main\n"
        "raise SystemExit(main('theory --model linear --loss ce --classes 3 --dim 200 --samples 8'.split()))\n"
    )
    environment = {
        name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME", "RMTSIM_CACHE")
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_a_relative_directory_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RMTSIM_CACHE", "here/cache")
    counted()[0](2.0)
    again, calls = counted()
    again(2.0)
    assert not calls
    assert len(list((tmp_path / "here" / "cache").iterdir())) == 1


def _file(at: Path) -> None:
    at.write_text("")


def _below_a_file(at: Path) -> None:
    at.parent.rmdir()
    at.parent.write_text("")


def _link_to_nothing(at: Path) -> None:
    at.symlink_to("nowhere/at/all")


def _loop(at: Path) -> None:
    at.symlink_to(at)


@pytest.mark.parametrize("lay", [_file, _below_a_file, os.mkfifo, _link_to_nothing, _loop])
def test_a_directory_that_cannot_be_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lay: Callable[[Path], None]
) -> None:
    at = tmp_path / "parent" / "cache"
    at.parent.mkdir()
    lay(at)
    monkeypatch.setenv("RMTSIM_CACHE", str(at / "more") if lay is _link_to_nothing else str(at))
    slow, calls = counted()
    assert slow(3.0).number == 9
    assert calls == [3.0]


def test_a_directory_that_nobody_may_write_is_no_trouble(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_args: object, **_how: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", refused)
        assert counted()[0](3.0).number == 9
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", refused)
        assert counted()[0](3.0).number == 9
    assert list(folder.iterdir()) == []
    counted()[0](3.0)
    monkeypatch.setattr(disk_cache, "open_regular", refused)
    again, calls = counted()
    assert again(3.0).number == 9
    assert calls == [3.0]


@pytest.mark.parametrize("lay", [os.mkfifo, Path.mkdir, _link_to_nothing, _loop])
def test_what_is_no_file_in_the_place_of_an_entry_is_passed_by(folder: Path, lay: Callable[[Path], None]) -> None:
    counted()[0](3.0)
    [path] = folder.iterdir()
    path.unlink()
    lay(path)
    slow, calls = counted()
    assert slow(3.0).number == 9
    assert calls == [3.0]
    assert stat.S_ISREG(path.lstat().st_mode) or path.is_dir()


def test_a_huge_file_is_not_read(folder: Path) -> None:
    counted()[0](3.0)
    [path] = folder.iterdir()
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # sparse
    slow, calls = counted()
    assert slow(3.0).number == 9
    assert calls == [3.0]


@pytest.mark.parametrize("what", ["EDITION", "numpy", "scipy"])
def test_what_changes_values_asks_another_question(folder: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    first = counted()[0](0.1)
    if what == "EDITION":
        monkeypatch.setattr(disk_cache, "EDITION", EDITION + 1)
    else:
        monkeypatch.setattr(f"{what}.__version__", "99.0")
    again, calls = counted()
    assert same(again(0.1), first)
    assert calls == [0.1]
    assert len(list(folder.iterdir())) == 2


def test_a_served_value_is_the_computed_one(folder: Path) -> None:
    """A layer that lacks blocks has NaN there, which JSON has not."""
    asked = []

    def compute(*arguments: Any) -> Expectations:
        asked.append(arguments)
        return pair_terms.__wrapped__(*arguments)  # type: ignore[attr-defined,no-any-return]

    first, second = (kept_on_disk(Expectations, {"mean": (4,), "covariance": (4, 4)})(compute) for _ in range(2))
    made, served = (kept(7, 1, 60, 0.2, 0.5) for kept in (first, second))
    assert len(asked) == 1
    assert np.isnan(served.mean).tolist() == [False, True, False, False]
    assert np.array_equal(made.mean, served.mean, equal_nan=True)
    assert np.array_equal(made.covariance, served.covariance, equal_nan=True)
