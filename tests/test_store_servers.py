"""A server that fails now and then: a commit is tried again, a read says what to do."""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid

import pandas as pd
import pytest

import rmtsim
import rmtsim.store.locations
import rmtsim.store.lock
import rmtsim.store.writer
from rmtsim.cli.main import main
from rmtsim.sampling.schema import KEY
from rmtsim.store import Store, StoreError
from rmtsim.store.compact import compact
from rmtsim.store.lock import ClaimLock
from rmtsim.store.storage import open_files
from rmtsim.sweeps.stored_points import StoredPoints
from tests.growing_store import FIVE
from tests.growing_store import SPEC as GROWING
from tests.s3 import FlakyServer, flaky, flaky_s3, s3, s3_server

__all__ = ["flaky", "flaky_s3", "s3", "s3_server"]  # fixtures

POINT = rmtsim.Point("linear", "ce", 5, 12, 30)
SPEC = {"name": "test"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rmtsim.store.writer, "PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr(rmtsim.store.locations, "_ATTEMPTS", 1)  # pyarrow's own pauses take seconds
    monkeypatch.setattr(rmtsim.store.lock, "RENEWAL", 3600.0)  # a renewal would get refusals meant for the writer


def rows_of(draws: range) -> pd.DataFrame:
    return rmtsim.simulate(POINT, draws, seed=7)


def failing(times: int, status: int, method: str, part: str) -> object:
    left = [times]

    def refuse(asked: str, path: str) -> int:
        if asked == method and part in path and left[0] > 0:
            left[0] -= 1
            return status
        return 0

    return refuse


@pytest.mark.parametrize("status", [500, 503])
def test_a_commit_that_a_server_fails_once_is_tried_again(
    flaky: FlakyServer, flaky_s3: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rmtsim")
    store = Store(flaky_s3)
    with store.writer() as writer:
        writer.save_spec("test", SPEC)
        writer.append(rows_of(range(2)), SPEC)
        flaky.refuse = failing(2, status, "PUT", ".parquet")
        shard = writer.append(rows_of(range(2, 4)), SPEC)
        assert flaky.refused == 2
        flaky.refuse = failing(1, status, "GET", "locks")  # the look at the lock before it
        writer.append(rows_of(range(4, 6)), SPEC)
        assert flaky.refused == 3
    assert shard.order[0] == 2
    assert [one.order[0] for one in store.shards()] == [1, 2, 3]
    pd.testing.assert_frame_equal(store.read(), rows_of(range(6)).sort_values(KEY, ignore_index=True))
    retries = [record for record in caplog.records if "trying again" in record.getMessage()]
    assert {record.levelname for record in retries} == {"WARNING"}
    assert f"{shard.name} is written, at attempt 3" in caplog.text
    assert f"{shard.name} cannot be written (" in retries[0].getMessage()
    attempts = [message[message.index("attempt") :] for message in (record.getMessage() for record in retries)]
    assert attempts == ["attempt 2 of 4", "attempt 3 of 4", "attempt 2 of 4"]
    assert main(["verify", "--store", flaky_s3]) == 0


def test_a_server_that_stays_away_ends_it(
    flaky: FlakyServer, flaky_s3: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(flaky_s3)
    with pytest.raises(StoreError, match="cannot be written"), store.writer() as writer:  # noqa: PT012
        writer.append(rows_of(range(2)), SPEC)
        flaky.refuse = lambda method, path: 503 if method == "PUT" and ".parquet" in path else 0
        writer.append(rows_of(range(2, 4)), SPEC)
    assert flaky.refused == 4
    flaky.refuse = lambda method, path: 0
    with store.writer() as writer:
        writer.save_spec("test", SPEC)
        assert writer.append(rows_of(range(2, 4)), SPEC).order[0] == 2  # no number is left out
    assert main(["verify", "--store", flaky_s3]) == 0


def test_what_does_not_pass_is_not_tried_again(
    flaky: FlakyServer, flaky_s3: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StoreError, match="permission denied"), Store(flaky_s3).writer() as writer:  # noqa: PT012
        flaky.refuse = lambda method, path: 403 if method == "PUT" and ".parquet" in path else 0
        writer.append(rows_of(range(2)), SPEC)
    assert flaky.refused == 1
    assert "trying again" not in caplog.text


def test_a_small_file_that_a_server_does_not_hand_out_once_is_read_again(flaky: FlakyServer, flaky_s3: str) -> None:
    """The claim of another writer, say: without it nobody could start."""
    with Store(flaky_s3).writer() as writer:
        writer.save_spec("test", SPEC)
        [claim] = Store(flaky_s3).files.names("locks")
        flaky.refuse = failing(1, 500, "GET", claim)
        assert json.loads(Store(flaky_s3).files.read(f"locks/{claim}"))["owner"]
        flaky.refuse = failing(2, 500, "GET", claim)
        with pytest.raises(StoreError, match=r"cannot be read .*; try again$"):
            Store(flaky_s3).files.read(f"locks/{claim}")
        assert flaky.refused == 3


@pytest.mark.parametrize(("status", "advice"), [(503, "try again"), (403, "make it readable")])
def test_a_shard_that_a_server_does_not_hand_out(
    flaky: FlakyServer, flaky_s3: str, status: int, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(flaky_s3)
    with store.writer() as writer:
        shard = writer.append(rows_of(range(2)), SPEC)
    flaky.refuse = lambda method, path: status if method == "GET" and shard.name in path else 0
    with pytest.raises(StoreError, match=rf"{shard.name} cannot be read .*; {advice}$"):
        store.read()
    assert main(["verify", "--store", flaky_s3]) == 1
    assert capsys.readouterr().out.startswith(f"unreadable: {shard} cannot be read (")


def test_requests_are_few(flaky: FlakyServer, flaky_s3: str) -> None:
    """A commit takes a look at the claims and a PUT; a look at the store a list, and two requests a new shard."""
    asked: list[str] = []
    flaky.refuse = lambda method, path: asked.append("LIST" if "list-type" in path else method) or 0

    def count() -> dict[str, int]:
        found = {kind: asked.count(kind) for kind in sorted({*asked})}
        asked.clear()
        return found

    watched = StoredPoints(Store(flaky_s3))
    with Store(flaky_s3).writer() as writer:
        writer.save_spec(GROWING.name, GROWING.document())
        for start in (0, 2):
            writer.append(rmtsim.simulate(FIVE, range(start, start + 2), seed=0), GROWING.document())
        count()
        writer.append(rmtsim.simulate(FIVE, range(4, 6), seed=0), GROWING.document())
        assert count() == {"LIST": 1, "PUT": 1}
        watched.refresh()
        assert count() == {"GET": 3 + 1, "HEAD": 3 + 1, "LIST": 2}  # three shards and a spec
        watched.refresh()
        assert count() == {"LIST": 1}
        writer.append(rmtsim.simulate(FIVE, range(6, 8), seed=0), GROWING.document())
        count()
        watched.refresh()
        assert count() == {"GET": 1, "HEAD": 1, "LIST": 1}
    assert watched.table()["draws"].tolist() == [8, 0]
    compact(Store(flaky_s3))
    count()
    watched.refresh()
    assert count() == {"GET": 1, "HEAD": 1, "LIST": 1}
    count()
    store = Store(flaky_s3)
    assert len(store.read()) == len(store.read()) == 8
    assert count() == {"GET": 3, "HEAD": 3, "LIST": 2}  # what a shard replaces is asked for once


def test_a_folder_of_a_store_is_none(s3: str) -> None:
    with Store(s3).writer() as writer:
        writer.save_spec("test", SPEC)
        writer.append(rows_of(range(2)), SPEC)
    inside = s3.replace("/dir?", "/dir/draws?")
    assert main(["verify", "--store", inside]) == 2
    with pytest.raises(rmtsim.InputError, match=r"is a folder of a store; give the store, s3://.*/dir$"):
        Store(inside).writer().__enter__()
    assert main(["verify", "--store", s3.replace("s3://", "S3://")]) == 0


def check_for(seconds: float, lock: ClaimLock) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        lock.check()
        time.sleep(0.05)


@pytest.mark.parametrize("heir", ["writes", "has ended"])
def test_a_writer_that_slept_in_the_midst_of_a_renewal(monkeypatch: pytest.MonkeyPatch, heir: str) -> None:
    """Between the answer that its claim stands and the renewal of it, while another took over."""
    monkeypatch.setattr(rmtsim.store.lock, "PATIENCE", 0.5)
    monkeypatch.setattr(rmtsim.store.lock, "RENEWAL", 0.05)
    place = f"memory://{uuid.uuid4().hex}/store"
    files = open_files(place)
    files.prepare(("locks",))
    names, asleep, awake = files.names, threading.Event(), threading.Event()

    def sleepy(folder: str) -> list[str]:
        found = names(folder)
        if threading.current_thread().name == "rmtsim-claim" and not asleep.is_set():
            asleep.set()
            awake.wait()
        return found

    monkeypatch.setattr(files, "names", sleepy)
    sleeper, other = ClaimLock(files), ClaimLock(open_files(place))
    sleeper.acquire()
    asleep.wait()
    other.acquire()
    if heir == "has ended":
        other.release()
    awake.set()
    with pytest.raises(StoreError, match="was taken over by"):
        check_for(10.0, sleeper)
    sleeper.release()
    other.release()
    assert open_files(place).names("locks") == []
