"""Ctrl-C, SIGTERM, a time limit and a second driver: what came back is committed, and the same command goes on."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from rmtsim.store import Store
from tests.chaos import Driver, RayCluster, is_part, rows_in
from tests.test_ray_workers import sweep


def some_came_back(events: list[dict[str, Any]]) -> bool:
    return sum(event["event"] == "back" for event in events) > 5


def test_a_second_driver_is_refused_and_sigterm_flushes(tmp_path: Path, cluster: RayCluster) -> None:
    """SIGTERM is what `ray job stop` and batch systems send; Ray's own handler would end the driver at once."""
    whole = sweep(tmp_path, 0.1, 2000)
    with cluster.node(gpus=1), Driver(tmp_path, cluster=cluster, as_json=False, nap=0.2) as driver:
        driver.wait(some_came_back, "results")
        with Driver(tmp_path, cluster=cluster, nap=0.2) as second:
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


@pytest.mark.parametrize("address", ["local", "ray"])
def test_ctrl_c_flushes(tmp_path: Path, address: str) -> None:
    """A terminal sends it to all processes of the group: those of a Ray of our own must not die of it."""
    whole = sweep(tmp_path, 0.1, 2000)
    with Driver(tmp_path, "--address", address, "--workers", "1", nap=0.1) as driver:
        driver.wait(some_came_back, "results")
        os.killpg(driver.process.pid, signal.SIGINT)
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
    whole = sweep(tmp_path, 0.1, 2000)
    with Driver(tmp_path, "--time-limit", "5s", nap=0.2) as driver:
        code, said = driver.end()
    assert (code, said["stopped"]) == (3, "time limit")
    assert 0 < len(rows_in(tmp_path)) < len(whole)
    assert is_part(rows_in(tmp_path), whole)


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    """Threads cannot be stopped in the midst of a draw, and draws may take minutes."""
    sweep(tmp_path, 0.1, 2000)
    with Driver(tmp_path, as_json=False, nap=60) as driver:
        driver.wait(lambda events: [event for event in events if event["event"] == "told"][1:], "running driver")
        driver.process.send_signal(signal.SIGINT)
        driver.wait(lambda events: [event for event in events if event["event"] == "drains"], "end of the sweep")
        start = time.monotonic()
        driver.process.send_signal(signal.SIGINT)
        code, _ = driver.end()
        took = time.monotonic() - start
        err = driver.err()
    assert took < 30  # half a draw
    assert code == 3
    assert "what was committed is safe, the same command goes on" in err
    assert "Traceback" not in err
    assert Store(tmp_path / "s").read().empty
