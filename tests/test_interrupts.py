"""Ctrl-C, SIGTERM, a time limit and a second driver: what came back is committed, and the same command goes on."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.cluster import RayCluster
from harness.driver import Driver, is_part, rows_in
from rmtsim.arrays.pool import threads_at_work
from rmtsim.errors import GOES_ON
from rmtsim.store import Store
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.sweeps.interrupts import interrupts, waits
from rmtsim.sweeps.table_runner import run_tables
from tests.ray_sweeps import LONG, sweep


def some_came_back(events: list[dict[str, Any]]) -> bool:
    return sum(event["event"] == "back" for event in events) > 5


def test_a_second_driver_is_refused_and_sigterm_flushes(tmp_path: Path, cluster: RayCluster) -> None:
    """SIGTERM is what `ray job stop` and batch systems send; Ray's own handler would end the driver at once."""
    whole = sweep(tmp_path, LONG)
    with cluster.node(gpus=1), Driver(tmp_path, cluster=cluster, as_json=False, hold=6) as driver:
        driver.wait(some_came_back, "results")
        with Driver(tmp_path, cluster=cluster) as second:
            code, said = second.end()
            refusal = second.err()
        assert driver.process.poll() is None
        stored = len(rows_in(tmp_path))
        driver.process.terminate()
        assert driver.end()[0] == 3
        backs = {event["batch"] for event in driver.events() if event["event"] == "back"}
        err = driver.err()
    assert (code, said) == (1, {})
    assert f"is being written by process {driver.process.pid} of " in refusal
    assert "wait for it, or use another store" in refusal
    assert re.search(r"small: \d+ new draws; \d of 6 points done; stopped \(interrupted\): what was committed is", err)
    assert "the same command goes on" in err
    assert "Traceback" not in err + refusal
    rows = rows_in(tmp_path)
    assert stored <= len(rows) < len(whole)
    assert is_part(rows, whole)
    there = set(zip(rows["point_id"], rows["draw"], strict=True))
    assert all((point, int(first)) in there for point, first, _ in map(str.split, backs))


@pytest.mark.parametrize("address", ["local", pytest.param("ray", marks=pytest.mark.ray)])
def test_ctrl_c_flushes(tmp_path: Path, address: str) -> None:
    """A terminal sends it to all processes of the group: those of a Ray of our own must not die of it."""
    whole = sweep(tmp_path, LONG)
    with Driver(tmp_path, "--address", address, "--workers", "1", nap=0.1, hold=6) as driver:
        driver.wait(some_came_back, "results")
        os.killpg(driver.process.pid, signal.SIGINT)
        (tmp_path / "go").touch()
        code, said = driver.end()
        backs = [event["batch"].split() for event in driver.events() if event["event"] == "back"]
        err, reported = driver.err(), driver.reported()
    assert code == 3
    assert said["stopped"] == "interrupted"
    draws = sum(int(stop) - int(start) for _, start, stop in backs)
    assert said["new_draws"] == reported == draws == len(rows_in(tmp_path)) / 3
    assert is_part(rows_in(tmp_path), whole)
    assert "Traceback" not in err


def test_a_time_limit_stops_in_time(tmp_path: Path) -> None:
    whole = sweep(tmp_path, LONG)
    with Driver(tmp_path, "--time-limit", "2s", nap=0.2) as driver:
        code, said = driver.end()
    assert (code, said["stopped"]) == (3, "time limit")
    assert 0 < len(rows_in(tmp_path)) < len(whole)
    assert is_part(rows_in(tmp_path), whole)


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    """Threads cannot be stopped in the midst of a draw, and draws may take minutes."""
    sweep(tmp_path, LONG)
    with Driver(tmp_path, as_json=False, nap=60) as driver:
        driver.wait(lambda events: [event for event in events if event["event"] == "told"][1:], "running driver")
        driver.process.send_signal(signal.SIGINT)
        driver.wait(lambda events: [event for event in events if event["event"] == "drains"], "end of the sweep")
        told = driver.err()
        start = time.monotonic()
        driver.process.send_signal(signal.SIGINT)
        code, _ = driver.end()
        took = time.monotonic() - start
        err = driver.err()
    assert took < 20  # before the driver leaves by itself, and half a draw
    assert code == 3
    assert re.search(
        r"^small: interrupted: stops; waits for \d batch(es)?, at most 25 s; Ctrl-C or SIGTERM again", told, re.M
    )
    assert "what was committed is safe, the same command goes on" in err
    assert "Traceback" not in err
    assert Store(tmp_path / "s").read().empty


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sweep that was begun and stopped."""
    folder = tmp_path_factory.mktemp("begun")
    sweep(folder, LONG)
    with Driver(folder, "--workers", "1", nap=0.1, hold=6) as driver:
        driver.wait(some_came_back, "results")
        driver.process.terminate()
        (folder / "go").touch()
        driver.end()
    return folder


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_wait_for_threads_has_an_end(begun: Path, tmp_path: Path, number: signal.Signals) -> None:
    """One signal is enough, even where a thread would never come back; what was committed before stays."""
    whole = sweep(tmp_path, LONG)
    shutil.copytree(begun / "s", tmp_path / "s")
    stored = rows_in(tmp_path)
    assert 0 < len(stored) < len(whole)
    with Driver(tmp_path, as_json=False, nap=600, patience=0.5) as driver:
        driver.wait(lambda events: [event for event in events if event["event"] == "told"], "running driver")
        driver.process.send_signal(number)
        code, _ = driver.end()
        err = driver.err()
    assert code == 3
    assert re.search(r"^small: \d batch(es)? did not end in 0 s, and will be made again$", err, re.M)
    assert "stopped (interrupted): what was committed is safe, the same command goes on" in err
    assert "Traceback" not in err
    pd.testing.assert_frame_equal(rows_in(tmp_path), stored, check_exact=True)
    assert is_part(stored, whole)


def test_what_is_awaited_and_for_how_long() -> None:
    again = "Ctrl-C or SIGTERM again leaves at once, with what is committed"
    assert waits([]) == f"stops and commits what came in; {again}"
    assert waits([11.2, 3.0]) == f"stops; waits for 2 batches, about 12 s, at most 25 s; {again}"
    assert waits([-4.0]) == f"stops; waits for 1 batch, about 1 s, at most 25 s; {again}"
    assert waits([None, 3.0]) == f"stops; waits for 2 batches, at most 25 s; {again}"


def test_the_first_signal_speaks_at_once_and_the_second_ends() -> None:
    """Whatever the main thread does, as waiting for a server or a lock: by the handler, not at the next look."""
    said = []
    with interrupts(lambda: said.append("told")) as asked:
        assert not asked()
        signal.raise_signal(signal.SIGTERM)
        assert (said, asked()) == (["told"], True)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert said == ["told"]


@pytest.mark.parametrize(
    ("verb", "words", "number"),
    [
        ("merge", "what was committed is safe, the same command goes on", signal.SIGTERM),
        ("verify", "the same command begins again", signal.SIGINT),
    ],
)
def test_other_verbs_end_in_a_sentence(tmp_path: Path, verb: str, words: str, number: int) -> None:
    line = [verb, *(["x"] if verb == "merge" else []), "--store", "s"]
    script = f"""
import signal, sys
from rmtsim.cli import main, store_verbs
def work(arguments):
    signal.raise_signal({int(number)})
    raise AssertionError("it went on")
setattr(store_verbs, {verb!r}, work)
sys.argv = ["rmtsim", *{line!r}]
raise SystemExit(main.main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.startswith(f"rmtsim {verb}: stopped; ")
    assert done.stderr.endswith(f"{words}\n")


def test_tables_that_do_not_end_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And what their threads make later is not written: by then, another may be the writer."""
    caplog.set_level(logging.INFO, "rmtsim")
    begun, may_end = threading.Event(), threading.Event()

    def compute() -> pd.DataFrame:
        begun.set()
        may_end.wait(60)
        return pd.DataFrame({"value": [1.0]})

    experiment = Experiment("slow", [Task("only", {}, compute)])
    monkeypatch.setattr("rmtsim.sweeps.loop.PATIENCE", 0.05)
    monkeypatch.setattr("rmtsim.sweeps.interrupts.PATIENCE", 0.05)
    threading.Thread(target=lambda: begun.wait(60) and os.kill(os.getpid(), signal.SIGTERM)).start()
    outcome = run_tables(experiment, tmp_path / "s", workers=1)
    assert str(outcome) == f"0 new tables; 0 of 1 tables done; stopped (interrupted): {GOES_ON}"
    again = "Ctrl-C or SIGTERM again leaves at once, with what is committed"
    assert f"slow: interrupted: stops; waits for 1 table, at most 0 s; {again}" in caplog.text
    assert "slow: 1 table did not end in 0 s, and will be made again" in caplog.text
    may_end.set()
    while threads_at_work():
        time.sleep(0.01)
    assert len(experiment.missing(Store(tmp_path / "s"))) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_command_is_loaded(tmp_path: Path, number: int) -> None:
    """It waits until there are words for it."""
    script = f"""
import signal, sys
class Moment:
    def find_spec(self, name, *_):
        if name == "rmtsim.cli.parser":
            signal.raise_signal({int(number)})
sys.meta_path.insert(0, Moment())
from rmtsim.cli.main import main
sys.argv = ["rmtsim", "figure", "--list"]
raise SystemExit(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    words = "rmtsim figure: stopped; nothing is left half-done, the same command begins again\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, "", words)


def test_a_signal_while_ray_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Training runs end at once, as sweeps do: there is nothing yet to wait for."""
    from rmtsim.cli.main import main
    from rmtsim.sweeps import executors

    @contextmanager
    def starting(*_: object) -> Iterator[None]:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("it went on")
        yield

    monkeypatch.setattr(executors, "connected", starting)
    (tmp_path / "t.toml").write_text(
        'name = "t"\nloss = ["ce"]\n[grid]\nn_classes = [2]\ndim = [4]\nn_samples = [12]\nhidden = [[]]\n'
        "[training]\nsteps = 2\ncheckpoints = [0, 1]\n"
    )
    assert main(["run", str(tmp_path / "t.toml"), "--store", str(tmp_path / "s"), "--address", "ray"]) == 3
    assert capsys.readouterr().err == "rmtsim run: stopped; what was committed is safe, the same command goes on\n"
    assert not (tmp_path / "s").exists()
