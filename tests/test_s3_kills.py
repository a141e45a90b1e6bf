"""A driver of a sweep on S3 that is killed at each request that changes the store; the next run takes over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple
from urllib.parse import quote

import pandas as pd
import pyarrow.fs as pafs
import pytest

import rmtsim.store.lock
from harness.driver import is_part
from harness.specs import spec_of
from rmtsim.sampling.schema import KEY
from rmtsim.store import Store
from rmtsim.store.verify import verify
from rmtsim.sweeps.runner import run
from tests.s3 import FlakyServer, flaky, flaky_s3, s3, s3_server

__all__ = ["flaky", "flaky_s3", "s3", "s3_server"]  # fixtures

SPEC = """
name = "killed"
model = "linear"
loss = "ce"
[grid]
n_classes = [3, 5]
aspect_ratio = [0.5]
dim = [8]
[sampling]
min_draws = 8
max_draws = 8
target_rse = 1e-6
"""

#: Forks drivers before anything has threads; each line on stdin is the store of one, which commits each batch.
NURSERY = """
import os, sys
import rmtsim.store.writer
from rmtsim.store import Store
from rmtsim.sweeps import loop, pace, runner
from rmtsim.sweeps.spec import load
loop.COMMIT_EVERY, runner.MANY = 0.0, 2
pace.Pace.batch_draws = lambda *_: 8
add = runner.DrawCommitter.add
def add_and_commit(self, job, result):
    add(self, job, result)
    self.commit()
runner.DrawCommitter.add = add_and_commit
spec, early = load(sys.argv[1]), len(sys.argv) > 2
for line in sys.stdin:
    report = os.open(sys.argv[1] + ".reported", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    child = os.fork()
    if not child:
        if early:  # a driver that reports what it has not committed yet
            commit = runner.DrawCommitter.commit
            def first_report(self):
                done = self.done + sum(len(one.draws) for one in self._simulated)
                os.pwrite(report, b"%09d" % done, 0)
                commit(self)
            runner.DrawCommitter.commit = first_report
        tell = lambda progress: os.pwrite(report, b"%09d" % progress.done, 0)
        outcome = runner.run(spec, Store(line.strip()), workers=1, backend="numpy", on_progress=tell)
        os._exit(len(outcome.unfinished))
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    os.close(report)
    print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status), flush=True)
"""


class Death(NamedTuple):
    """A driver that was killed: at which request, what it had reported, and what readers saw then."""

    at: str
    reported: int  #: draws
    ours: pd.DataFrame
    theirs: pd.DataFrame  #: of pandas


class Drivers:
    """Drivers on stores of their own behind a server, which kills each at its n-th request that changes something."""

    def __init__(self, folder: Path, server: FlakyServer, address: str, *options: str) -> None:
        self._folder, self._server, self._address = folder, server, address
        line = [sys.executable, "-c", NURSERY, str(folder / "spec.toml"), *options]
        self._nursery = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Drivers:
        return self

    def __exit__(self, *_: object) -> None:
        self._nursery.communicate("")

    def store(self, number: int) -> str:
        return self._address.replace("/dir?", f"/dir{number}?")

    def die_at(self, number: int) -> Death | None:
        """Have one die at its request of that number; None if it came through."""
        assert self._nursery.stdin
        left, place, marked = number, f"/dir{number}/", ("", "")

        def changes(method: str, path: str) -> bool:
            return method in ("PUT", "DELETE", "POST") and place in path

        def kill_at(method: str, path: str) -> int:
            nonlocal left, marked
            left -= changes(method, path)
            if changes(method, path) and left == 0:
                marked = method, path
                if number % 2 and method == "PUT":  # what the server has got of it is thrown away
                    os.kill(child, signal.SIGKILL)
                    return 500
            return 0

        def kill_after(method: str, path: str) -> None:
            if (method, path) == marked:
                os.kill(child, signal.SIGKILL)

        self._server.refuse, self._server.done = kill_at, kill_after
        self._nursery.stdin.write(f"{self.store(number)}\n")
        self._nursery.stdin.flush()
        child = self._line()
        end = self._line()
        self._server.refuse, self._server.done = (lambda *_: 0), (lambda *_: None)
        if end <= 0:
            assert end == 0
            return None
        assert end == signal.SIGKILL
        at = f"{marked[0]} {marked[1].partition('?')[0].partition(place)[2]}"
        said = (self._folder / "spec.toml.reported").read_text()
        return Death(at, int(said or 0), Store(self.store(number)).read(), with_pandas(self.store(number)))

    def _line(self) -> int:
        assert self._nursery.stdout
        return int(self._nursery.stdout.readline())


def deaths(folder: Path, server: FlakyServer, address: str, *options: str) -> Generator[tuple[Death, str], None, None]:
    """Yield every death, and the address of its store; ends with the driver that comes through."""
    with Drivers(folder, server, address, *options) as drivers:
        number = 0
        while death := drivers.die_at(number := number + 1):
            yield death, drivers.store(number)


def with_pandas(address: str) -> pd.DataFrame:
    """Read the folder of draws as somebody does who knows nothing of rmtsim."""
    place, _, options = address.removeprefix("s3://").partition("?")
    given = dict(option.split("=") for option in options.split("&"))
    system = pafs.S3FileSystem(
        endpoint_override=given["endpoint_override"], scheme="http", region="us-east-1", allow_bucket_creation=False
    )
    folder = f"{quote(place)}/draws"
    if not any(info.is_file for info in system.get_file_info(pafs.FileSelector(folder, allow_not_found=True))):
        return pd.DataFrame(columns=KEY)
    return pd.read_parquet(folder, filesystem=system)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that those have waited who watch a claim; they wait by this clock alone."""
    waited = [0.0]

    def sleep(seconds: float) -> None:
        waited[0] += seconds

    monkeypatch.setattr(rmtsim.store.lock, "time", SimpleNamespace(monotonic=lambda: waited[0], sleep=sleep))
    monkeypatch.setattr(rmtsim.store.lock, "RENEWAL", 60.0)  # so that two looks are enough
    return waited


def test_whatever_a_kill_cuts_short_the_next_run_ends_with_the_same_rows(
    tmp_path: Path, flaky: FlakyServer, flaky_s3: str, clock: list[float]
) -> None:
    spec = spec_of(SPEC, tmp_path)
    run(spec, Store(tmp_path / "whole"), workers=1, backend="numpy")
    whole = Store(tmp_path / "whole").read()
    died_at = list[str]()
    halves = died_holding = 0

    for death, place in deaths(tmp_path, flaky, flaky_s3):
        died_at.append(death.at)
        assert is_part(death.ours, whole), death.at
        assert len(death.ours[KEY[:3]].drop_duplicates()) >= death.reported, (
            death.at
        )  # nothing that was reported is lost
        twice = int(death.theirs.duplicated(KEY).sum())
        assert twice == 0 or "draws/" in death.at or "commits.json" in death.at, death.at
        halves += bool(twice)
        store, begun = Store(place), clock[0]
        outcome = run(spec, store, workers=1, backend="numpy")
        died_holding += clock[0] - begun >= 30  # the claim was watched for its 30 s
        assert outcome.unfinished == []
        pd.testing.assert_frame_equal(store.read(), whole, check_exact=True)
        theirs = with_pandas(place).sort_values(KEY, ignore_index=True)
        assert len(theirs) == len(whole), death.at
        assert not theirs.duplicated(KEY).any(), death.at
        if twice:  # else its files are those that a run leaves whom no one disturbs
            assert verify(store).findings == [], death.at
        assert store.files.names("locks") == [] or not outcome.new_draws
    assert len(died_at) > 7
    assert any(at.startswith("PUT locks/") for at in died_at)
    assert sum(at.startswith("PUT draws/") for at in died_at) >= 3
    assert any(at.startswith("DELETE draws/") for at in died_at)
    assert died_holding >= 3  # else all was done, and the next run takes no claim
    assert halves > 0  # a compaction was cut short, and pandas saw its rows twice until the next run


def test_the_check_sees_a_driver_that_reports_too_early(tmp_path: Path, flaky: FlakyServer, flaky_s3: str) -> None:
    """A negative control: what is reported before it is committed is found to be lost."""
    spec_of(SPEC, tmp_path)
    died = deaths(tmp_path, flaky, flaky_s3, "early")
    lost = (death.at for death, _ in died if len(death.ours[KEY[:3]].drop_duplicates()) < death.reported)
    assert next(lost).startswith("PUT draws/")
    lost.close()
    died.close()
