"""`status --watch`: looks at a store that grows, from the store alone, by a clock of the test's own."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from rmtsim.cli import sweep_verbs
from rmtsim.cli.main import main
from rmtsim.store import Store, StoreError
from rmtsim.store.storage import LocalFiles
from rmtsim.sweeps import watch_display
from rmtsim.sweeps.watch import Chosen, Look, StoreWatch, core_hours
from rmtsim.sweeps.watch_display import WatchDisplay
from tests.growing_store import FIVE, SIX, append, spec_of, store

__all__ = ["store"]  # fixture


class Clock:
    """A clock that only `sleep` moves on; each sleep does the next of some things to the store."""

    def __init__(self, *events: Callable[[], object]) -> None:
        self.now, self.events = 1e9, list(events)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        assert self.events, "the watch goes on after its last event"
        self.events.pop(0)()


def looks(store: Store, clock: Clock, every: float = 10.0, **chosen: list[Any]) -> list[Look]:
    said: list[str] = []
    found = list(StoreWatch(store, Chosen(**chosen), clock).looks(every, clock.sleep, said.append))
    assert not said
    return found


def test_speed_core_hours_and_end(store: Store) -> None:
    """Point 5 has 4 draws of 2 core-seconds, and wants 4 more, as 6 does, whose draws take 3."""
    clock = Clock(
        lambda: append(store, (SIX, range(2)), seconds=3.0),
        lambda: append(store, (SIX, range(2, 4)), seconds=3.0),
        lambda: None,
        lambda: append(store, (SIX, range(4, 8)), seconds=3.0),
        lambda: append(store, (FIVE, range(4, 8)), seconds=2.0),
    )
    seen = looks(store, clock)
    assert [look.draws_per_s for look in seen] == [None, 2 / 10, 4 / 20, 4 / 30, 8 / 40, 12 / 50]
    assert [look.counts["limited"] for look in seen] == [0, 0, 0, 0, 1, 2]
    assert [look.finished for look in seen] == [False] * 5 + [True]
    document = seen[2].document()
    assert document["core_hours"] == round((8 + 12) / 3600, 6)
    assert document["core_hours_left"] == round((4 * 2 + 4 * 3) / 3600, 6)
    assert document["eta_s"] == pytest.approx(20 / (12 / 20), abs=0.1)  # 12 core-seconds were made in 20 s
    assert document["time"] == "2001-09-09T01:47:00Z"
    assert document["ends"] == "2001-09-09T01:47:33Z"
    assert [row["n_classes"] for row in document["open"]] == [6, 5]  # what limits comes first
    assert core_hours(seen[2].points) == "20 core-seconds spent, about 20 core-seconds left"
    assert seen[-1].document()["core_hours_left"] == 0
    assert "no point wants more draws" in str(seen[-1])


def test_speed_is_of_the_last_minute(store: Store, tmp_path: Path) -> None:
    """A burst counts for a minute; over all looks it would be 2 draws in 90 s."""
    clock = Clock(lambda: append(store, (SIX, range(2))), *[lambda: None] * 7)
    watch = StoreWatch(store, Chosen(), clock)
    seen = [watch.look()]
    for _ in range(8):
        clock.sleep(10.0)
        seen.append(watch.look())
    assert [look.draws_per_s for look in seen[1:7]] == pytest.approx([2 / t for t in (10, 20, 30, 40, 50, 60)])
    assert [look.draws_per_s for look in seen[7:]] == [0.0, 0.0]
    assert seen[7].end == "no new draws in the last minute"
    other = Store(shutil.copytree(store.root, tmp_path / "other"))
    quiet = looks(store, Clock(lambda: None, lambda: append(store, (SIX, range(2, 8)), (FIVE, range(4, 8)))))
    assert quiet[1].end == "no new draws in the 10 s since the watch began"
    slow = looks(
        other, Clock(lambda: None, lambda: append(other, (SIX, range(2, 8)), (FIVE, range(4, 8)))), every=300.0
    )
    assert slow[1].end == "no new draws in the last 5 min"


def test_draws_without_a_time_are_counted_as_unknown(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    append(store, (FIVE, range(4)))
    clock = Clock(lambda: append(store, (SIX, range(4)), seconds=3.0))
    watch = StoreWatch(store, Chosen(), clock)
    document = (look := watch.look()).document()
    assert core_hours(look.points) == "what draws take is not known"
    assert (document["core_hours"], document["core_hours_left"], document["untimed_draws"]) == (0, None, 4)
    clock.sleep(10.0)
    look = watch.look()
    table = look.points.set_index("n_classes")
    work = table["flops_per_draw"]
    left = 4 * 3 * work[5] / work[6] + 4 * 3  # of the first by the speed of the second
    assert table["core_seconds_left"].sum() == pytest.approx(left)
    assert look.seconds_to_go == pytest.approx(left / (12 / 10))
    assert core_hours(look.points).startswith("12 core-seconds spent (and 4 draws whose time is not known), about")


def test_a_point_of_two_sweeps_is_paid_once(store: Store) -> None:
    wider = spec_of([5], "wider", max_draws=12)
    append(store, (FIVE, range(4, 6)), seconds=2.0, spec=wider)
    look = StoreWatch(store, Chosen(), Clock()).look()
    assert look.points["core_seconds"].tolist().count(12.0) == 2
    document = look.document()
    assert document["draws"] == 6
    assert document["core_hours"] == round(12 / 3600, 6)


def test_filters_choose_points(store: Store) -> None:
    append(store, (SIX, range(8)), seconds=3.0)
    assert looks(store, Clock(), classes=[6])[0].document()["core_hours"] == round(24 / 3600, 6)
    clock = Clock(lambda: append(store, (FIVE, range(4, 8)), seconds=2.0))
    seen = looks(store, clock, states=["limited"])  # which ends when all points do, whatever their state
    assert [look.counts["limited"] for look in seen] == [1, 2]
    assert seen[1].draws_per_s == pytest.approx(0.4)


STATUS = ["status", "--store", "s"]


@pytest.fixture
def watched(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store, for the command line in its folder, whose watch finishes the sweep between its looks."""
    monkeypatch.chdir(Path(store.root).parent)
    steps = iter([(SIX, range(8)), (FIVE, range(4, 8))])
    monkeypatch.setattr(sweep_verbs, "time", SimpleNamespace(sleep=lambda _: append(store, next(steps), seconds=1.0)))
    return store


def test_filters_of_status(watched: Store, capsys: pytest.CaptureFixture[str]) -> None:
    append(watched, (SIX, range(8)), seconds=3.0)
    assert main([*STATUS, "--json", "--classes", "6"]) == 4
    assert [row["n_classes"] for row in json.loads(capsys.readouterr().out)["points"]] == [6]
    assert main([*STATUS, "--state", "new", "partial"]) == 3
    out = capsys.readouterr().out
    assert "mine: 1 point: 1 partial; 4 draws; 8 core-seconds spent, about 8 core-seconds left" in out
    assert main([*STATUS, "--state", "done"]) == 0
    assert capsys.readouterr().out == "no such point is done\n"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--classes", "7"], "--classes 7: s has no such points; those that it has: 5, 6"),
        (["--model", "one_hidden", "--watch"], "--model one_hidden: s has no such points; those that it has: linear"),
        (["--every", "5s"], "--every is the time between two looks of --watch; give --watch, too"),
        (["--watch", "--every", "0.1s"], "'0.1s' is not valid; give a time from 1s to 1d, such as 30s or 5min"),
        (["--state", "finished"], "'finished' is not known; choose one of done, limited, partial, new"),
    ],
)
def test_bad_input(watched: Store, options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        raise SystemExit(main([*STATUS, *options]))
    assert sentence in capsys.readouterr().err


def test_a_pipe_gets_plain_lines_until_the_sweep_is_finished(
    watched: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*STATUS, "--watch"]) == 4  # as points used up max_draws
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "\x1b" not in "".join(lines)
    assert re.match(r"\d\d:\d\d:\d\d 0 of 2 points done, 1 partial, 1 new; 4 draws; 8 core-seconds spent", lines[0])
    assert "most is left at C = 6, d = 12, N = 24: no precision yet" in lines[0]
    assert "2 of 2 points done (2 limited); 16 draws" in lines[2]


def test_a_line_of_json_a_look(watched: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*STATUS, "--watch", "--json"]) == 4
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [document["draws"] for document in documents] == [4, 12, 16]
    assert [document["finished"] for document in documents] == [False, False, True]


def test_ctrl_c_ends_it(watched: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep_verbs, "time", SimpleNamespace(sleep=interrupted))
    assert main([*STATUS, "--watch"]) == 3
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1
    assert "status: stopped" in printed.err


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [80, 160])
def test_a_terminal_keeps_the_last_screen(store: Store, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(watch_display.sys, "stdout", terminal)
    for name, value in (("TERM", "xterm"), ("COLUMNS", str(columns)), ("LINES", "24")):
        monkeypatch.setenv(name, value)
    clock = Clock(lambda: append(store, (SIX, range(8)), seconds=1.0))
    with WatchDisplay("here", 5.0) as display:
        watch = StoreWatch(store, Chosen(), clock)
        display.show(watch.look())
        clock.sleep(60.0)
        display.show(watch.look())
    text = terminal.getvalue()
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is there again
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).rpartition("points done")[2]
    assert " (1 limited), 1 partial\n" in last.replace("\r", "")
    assert "again every" not in last  # it has ended
    lines = [line.rstrip() for line in last.replace("\r", "").splitlines()]
    assert max(map(len, lines)) <= columns
    [row] = [line for line in lines if line.startswith("C = 5, d = 12, N = 24")]
    assert row.endswith("4 of about 8  8 core-seconds        100%" if columns == 160 else "4 of about 8        100%")


@pytest.mark.parametrize(("columns", "lines"), [(160, 40), (80, 24), (50, 14), (40, 14)])
def test_a_small_terminal_has_whole_heads_and_the_foot(
    store: Store, columns: int, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With points that want a lot of draws; on a narrow terminal fewer columns and fewer points are shown."""
    terminal = Terminal()
    monkeypatch.setattr(watch_display.sys, "stdout", terminal)
    for name, value in (("TERM", "xterm"), ("COLUMNS", str(columns)), ("LINES", str(lines))):
        monkeypatch.setenv(name, value)
    look = StoreWatch(store, Chosen(), Clock()).look()
    wanting = pd.concat([look.open_points.head(1)] * 9, ignore_index=True)
    wanting = wanting.assign(n_classes=100_000, dim=1000, n_samples=2000, draws=9_999, draws_left=2_222_222)
    with WatchDisplay("/a/folder/with/a/name", 5.0) as display:
        display.show(replace(look, points=wanting))
        screen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).replace("\r", "")
    assert "again every" in screen
    [head] = [line.split() for line in screen.splitlines() if line.startswith("point ")]
    assert head == {
        160: ["point", "sweep", "model", "loss", "state", "rse", "target", "draws", "left", "share", "left"],
        80: ["point", "rse", "draws", "share", "left"],
    }.get(columns, ["point", "rse", "share", "left"])
    shown = screen.count("\nC = 100000, ")
    assert screen.count("\nC = 100000, d = 1000, N = 2000  ") == (0 if columns == 40 else shown)  # there it is cut
    assert (f"… and {9 - shown} more" in screen) == (shown < 9)
    assert (shown == 9) == (columns >= 80)
    assert shown > 0
    assert len(screen.splitlines()) <= lines
    assert max(map(len, screen.splitlines())) <= columns


@pytest.mark.parametrize("columns", [80, 240])
def test_status_keeps_to_the_width_of_a_terminal(
    store: Store, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(Path(store.root).parent)
    assert main(STATUS) == 3
    piped = capsys.readouterr().out
    assert max(map(len, piped.splitlines())) > 80  # negative control
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(STATUS) == 3
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert " ".join(line.strip() for line in lines) == " ".join(line.strip() for line in piped.splitlines())
    goes_on = [line for line in lines if line.startswith(" " * 6)]
    assert bool(goes_on) == (columns == 80)  # the rest of a point's line is indented further than the line


@pytest.mark.parametrize("cause", [ConnectionError("no server answers"), PermissionError("denied")])
def test_only_a_failure_that_may_pass_is_waited_for(
    store: Store, cause: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    causes = [cause]
    real = LocalFiles.names

    def names(files: LocalFiles, folder: str) -> list[str]:
        if clock.now > 1e9 and causes:
            raise StoreError("store: s cannot be read") from causes.pop()
        return real(files, folder)

    monkeypatch.setattr(LocalFiles, "names", names)
    clock = Clock(lambda: None, lambda: append(store, (FIVE, range(4, 8)), (SIX, range(8))))
    said: list[str] = []
    seen = StoreWatch(store, Chosen(), clock).looks(10.0, clock.sleep, said.append)
    assert next(seen).draws == 4
    if isinstance(cause, PermissionError):
        with pytest.raises(StoreError, match="cannot be read"):
            next(seen)
    else:
        assert [look.draws for look in seen] == [16]
        assert said == ["store: s cannot be read; looking again in 10 s"]
