"""Progress of calls from Python: after a few seconds, in a terminal or a notebook, or where asked for; else silence."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest

import rmtsim
from rmtsim.text import call_progress
from rmtsim.text.call_progress import CallProgress

POINT = rmtsim.Point("one_hidden", "ce", 4, 5, 6, 3)


@pytest.fixture
def hours(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each look at the clock finds an hour gone."""
    ticks = count()
    made = CallProgress.__init__

    def slow(self: CallProgress, *arguments: Any, **options: Any) -> None:
        made(self, *arguments, **options, clock=lambda: 3600.0 * next(ticks))

    monkeypatch.setattr(CallProgress, "__init__", slow)
    return iter(())


def calls(show: bool | None) -> None:
    rmtsim.simulate(POINT, 5, batch=2, progress=show)
    X, W, V = np.ones((6, 5)), np.ones((3, 5)), np.eye(4, 3)
    rmtsim.block_norms(X, V, W=W, y=[0] * 6, progress=show)
    rmtsim.block_norms(X, V, W=W, y=[0] * 6, loss="mse", progress=show)


@pytest.mark.usefixtures("hours")
def test_long_calls_tell_lines_where_asked(capsys: pytest.CaptureFixture[str]) -> None:
    calls(True)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert any(re.fullmatch("simulate: 2 of 5 draws, .*, about .* to go", line) for line in lines)
    for layer in range(3):
        assert sum(line.startswith(f"block_norms: {layer} of 3 layers, ") for line in lines) >= 2


@pytest.mark.usefixtures("hours")
@pytest.mark.parametrize("show", [None, False])
def test_long_calls_are_silent_in_a_pipe(show: bool | None, capsys: pytest.CaptureFixture[str]) -> None:
    calls(show)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("wrong", [np.ones(2), "no", 1])
def test_whether_to_show_it_is_true_or_false(wrong: Any) -> None:
    for call in (
        lambda: rmtsim.simulate(POINT, 2, progress=wrong),
        lambda: rmtsim.block_norms(np.ones((6, 5)), np.eye(4, 5), progress=wrong),
    ):
        with pytest.raises(rmtsim.InputError, match=r"^progress: .* is not valid; give True or False$"):
            call()


@pytest.mark.usefixtures("hours")
def test_long_calls_tell_in_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(call_progress, "in_place", lambda: True)
    calls(False)
    assert capsys.readouterr().err == ""
    calls(None)
    err = capsys.readouterr().err
    assert "\rsimulate: 2 of 5 draws" in err
    assert "\n" not in err
    assert err.endswith("\r")
    assert not err.rpartition("\r")[0].rpartition("\r")[2].strip()  # wiped


def test_short_calls_are_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    now, stream = [0.0], io.StringIO()
    shown = CallProgress("work", 10, "parts", show=True, clock=lambda: now[0], stream=stream)
    for second in range(12):
        now[0] = float(second)
        shown.advance(second)
    assert stream.getvalue() == "work: 3 of 10 parts, 3 s, about 7 s to go\nwork: 8 of 10 parts, 8 s, about 2 s to go\n"
    with CallProgress("work", 10, "parts", show=True, clock=lambda: 1.0, stream=stream):
        pass
    assert stream.getvalue().count("\n") == 2


def test_the_time_to_go_counts_down_within_a_part_and_then_is_left_out() -> None:
    """Judged by the parts that are done; a part that takes longer than they did must not make it rise."""
    now, stream = [0.0], io.StringIO()
    shown = CallProgress("work", 3, "parts", show=True, clock=lambda: now[0], stream=stream)
    for second, done in ((10.0, 1), (16.0, 1), (25.0, 1), (40.0, 1), (50.0, 2)):
        now[0] = second
        shown.advance(done, "now the last" if done == 2 else "")
    assert stream.getvalue().splitlines() == [
        "work: 1 of 3 parts, 10 s, about 20 s to go",
        "work: 1 of 3 parts, 16 s, about 14 s to go",
        "work: 1 of 3 parts, 25 s, about 5 s to go",
        "work: 1 of 3 parts, 40 s",
        "work: 2 of 3 parts, 50 s, about 25 s to go; now the last",
    ]


def test_a_notebooks_cell_shows_it() -> None:
    cell = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    now = [0.0]
    with CallProgress("work", 4, "parts", clock=lambda: now[0], stream=cell) as shown:
        now[0] = 10.0
        shown.advance(1)
        assert cell.getvalue() == "\rwork: 1 of 4 parts, 10 s, about 30 s to go"
    assert cell.getvalue().endswith("\r")
