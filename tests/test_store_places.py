"""A store in a directory, on an S3 server and in a file system of fsspec: the same, with one writer each."""

from __future__ import annotations

import gc
import http.server
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rmtsim
import rmtsim.store.lock
import rmtsim.store.shard_files
from rmtsim.cli.main import main
from rmtsim.sampling.schema import KEY, SCHEMA
from rmtsim.store import Store, StoreError
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.sweeps.table_runner import run_tables
from tests.s3 import location, s3, s3_server

__all__ = ["location", "s3", "s3_server"]  # fixtures

POINTS = [rmtsim.Point("linear", "ce", 5, 12, 30), rmtsim.Point("one_hidden", "mse", 5, 12, 30, 3)]
SPEC = {"name": "test", "grid": {}}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rmtsim.store.lock, "PATIENCE", 2.5)
    monkeypatch.setattr(rmtsim.store.lock, "RENEWAL", 0.2)


def rows_of(draws: range) -> pd.DataFrame:
    return pd.concat([rmtsim.simulate(point, draws, seed=7) for point in POINTS])


def fill(store: Store, *parts: range) -> None:
    with store.writer() as writer:
        writer.save_spec("test", SPEC)
        for part in parts:
            writer.append(rows_of(part), SPEC)


def test_everywhere_the_same(location: str) -> None:
    store = Store(location)
    assert not store.exists()
    assert store.read().empty
    assert store.specs() == []
    fill(store, range(4), range(4, 10))
    assert store.exists()
    assert store.specs() == [SPEC]
    expected = rows_of(range(10)).sort_values(KEY, ignore_index=True)
    pd.testing.assert_frame_equal(store.read(), expected, check_exact=True)
    assert len(store.shards()) == 2  # one commit, one shard, though of two points
    one = store.read(["diag_sqfro", "draw"], points=[POINTS[1].id])
    assert list(one.columns) == ["diag_sqfro", "draw"]
    assert len(one) == 30
    fill(store, range(10, 12))  # another writer goes on
    assert [shard.order[0] for shard in store.shards()] == [1, 2, 3]
    pieces = list(store.tables(["draw", "point_id"], points=[POINTS[0].id]))
    assert [piece["draw"].to_pylist() for piece in pieces] == [[*range(12)]]  # small shards come together
    assert pieces[0].column_names == ["draw", "point_id"]


def test_a_table_is_as_good_as_a_frame(location: str) -> None:
    rows = rows_of(range(3))
    shuffled = rows.sample(frac=1, random_state=0)
    table = pa.Table.from_pandas(shuffled, schema=SCHEMA, preserve_index=False)
    with Store(location).writer() as writer:
        shard = writer.append(table.replace_schema_metadata({"rmtsim.blas": "mine 1"}), SPEC)
    with shard.open() as opened:
        assert opened.metadata["blas"] == "mine 1"
        assert opened.read(KEY).to_pylist() == rows.sort_values(KEY)[KEY].to_dict("records")  # sorted within
    pd.testing.assert_frame_equal(Store(location).read(), rows.sort_values(KEY, ignore_index=True), check_exact=True)
    with Store(location).writer() as writer, pytest.raises(ValueError, match="one seed"):
        writer.append(pd.concat([rows, rmtsim.simulate(POINTS[0], 1, seed=8)]), SPEC)


def test_nothing_is_left_but_the_store(location: str) -> None:
    store = Store(location)
    fill(store, range(2))
    assert len(store.files.names("draws")) == len(store.files.names("sweeps")) == 1
    assert store.files.names("locks") == []


def test_one_writer_at_a_time(location: str) -> None:
    store = Store(location)
    fill(store, range(2))
    with store.writer() as writer:
        refused = f"being written by process {os.getpid()} of .* on .*; wait for it, or use another store"
        with pytest.raises(StoreError, match=refused), Store(location).writer():
            pass
        writer.append(rows_of(range(2, 4)), SPEC)  # the first one is not disturbed
    with Store(location).writer():
        pass


CLAIMS = """
import sys, time, rmtsim, rmtsim.store.lock
from rmtsim.store import Store, StoreError
rmtsim.store.lock.PATIENCE, rmtsim.store.lock.RENEWAL = 2.5, 0.2
point = rmtsim.Point("linear", "ce", 5, 12, 30)
rows = rmtsim.simulate(point, range(100, 102), seed=7)
print("ready", flush=True)
sys.stdin.readline()
try:
    with Store(sys.argv[1]).writer() as writer:
        print("writing", flush=True)
        sys.stdin.readline()
        writer.append(rows, {"name": "test"})
    print("wrote", flush=True)
except StoreError as error:
    print(error, flush=True)
"""


def writer_processes(*locations: str) -> list[subprocess.Popen[str]]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    processes = [subprocess.Popen([sys.executable, "-c", CLAIMS, to], text=True, **pipes) for to in locations]
    for process in processes:
        assert heard(process) == "ready"
    return processes


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ended(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_two_processes_at_once(tmp_path: os.PathLike[str], s3: str) -> None:
    local = os.path.join(tmp_path, "store")
    processes = writer_processes(local, local, s3, s3)
    for place, two in ((local, processes[:2]), (s3, processes[2:])):
        for process in two:
            tell(process)
        said = [heard(process) for process in two]
        winners = [process for process, words in zip(two, said, strict=True) if words == "writing"]
        refused = [words for words in said if words != "writing"]
        assert len(winners) <= 1  # on S3, where none can be first for sure, both may refuse
        assert len(winners) == 1 or place == s3
        assert all(re.search(r"is being written by (process \d+ of|another process)", words) for words in refused), said
        for process in winners:
            tell(process)
            assert heard(process) == "wrote"
        for process in two:
            ended(process)
        assert len(Store(place).read()) == 2 * len(winners)


def test_a_dead_writers_claim_is_taken_over(s3: str, caplog: pytest.LogCaptureFixture) -> None:
    [process] = writer_processes(s3)
    tell(process)
    assert heard(process) == "writing"
    ended(process)
    assert len(Store(s3).files.names("locks")) == 1
    start = time.monotonic()
    fill(Store(s3), range(2))
    assert time.monotonic() - start >= 2.5  # as long as it takes to see that nobody renews it
    assert f"claimed by process {process.pid} of" in caplog.text
    assert Store(s3).files.names("locks") == []


@pytest.mark.parametrize("wakes", ["while the other writes", "when the other has ended"])
def test_a_writer_that_slept_notices_it_and_writes_nothing(s3: str, wakes: str) -> None:
    [process] = writer_processes(s3)
    tell(process)
    assert heard(process) == "writing"
    process.send_signal(signal.SIGSTOP)
    with Store(s3).writer() as writer:  # takes it for dead
        writer.append(rows_of(range(2)), SPEC)
        if wakes == "while the other writes":
            process.send_signal(signal.SIGCONT)
            time.sleep(0.6)  # it may renew its claim
            tell(process)
            # In the midst of a renewal it learns that its claim went, not who took it.
            assert re.search(f"taken over by (process {os.getpid()} of|another process)", heard(process))
    if wakes == "when the other has ended":
        process.send_signal(signal.SIGCONT)
        time.sleep(0.6)
        tell(process)
        assert "taken over by another process" in heard(process)
    ended(process)
    assert set(Store(s3).read()["draw"]) == {0, 1}
    assert Store(s3).files.names("locks") == []


def test_the_verbs_work_on_s3(s3: str, tmp_path: os.PathLike[str], capsys: pytest.CaptureFixture[str]) -> None:
    fill(Store(s3), range(2), range(2, 4))
    out = os.path.join(tmp_path, "table.csv")
    assert main(["compact", "--store", s3]) == 0
    assert main(["verify", "--store", s3, "--recompute", "2"]) == 0
    assert "1 shard, 16 rows; 2 draws made again: all is well" in capsys.readouterr().out
    assert main(["merge", s3, "--store", os.path.join(tmp_path, "copy")]) == 0
    pd.testing.assert_frame_equal(Store(os.path.join(tmp_path, "copy")).read(), Store(s3).read(), check_exact=True)
    assert main(["export", "--store", s3, "--out", out]) == 0
    assert len(pd.read_csv(out)) == 4


def test_verbs_of_sweeps_work_on_s3(s3: str, capsys: pytest.CaptureFixture[str]) -> None:
    fill(Store(s3), range(4))
    assert main(["fit", "--store", s3]) == 0, capsys.readouterr().err


def test_experiments_work_on_s3(s3: str) -> None:
    tasks = [Task(f"t{k}", {"k": k}, lambda k=k: pd.DataFrame({"k": [k]})) for k in range(3)]
    experiment = Experiment("squares", tasks)
    store = Store(s3)
    with store.writer():
        pass
    assert run_tables(experiment, store).new_tables == 3
    assert run_tables(experiment, store).new_tables == 0
    assert experiment.read(store)["k"].tolist() == [0, 1, 2]


@pytest.fixture(params=[403, 500])
def refusing(request: pytest.FixtureRequest, s3_server: str) -> Iterator[tuple[int, str]]:
    """A server that refuses everything."""

    class Refuses(http.server.BaseHTTPRequestHandler):
        def refuse(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(request.param)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = refuse  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield request.param, f"s3://b/x?endpoint_override=127.0.0.1:{server.server_port}&scheme=http&region=us-east-1"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_refuses(refusing: tuple[int, str], capsys: pytest.CaptureFixture[str]) -> None:
    code, address = refusing
    assert main(["verify", "--store", address]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "store: s3://b/x cannot be reached (" in message
    assert ("permission denied" in message) == (code == 403)
    with pytest.raises(StoreError, match="s3://b/x"), Store(address).writer():
        pass


def test_nobody_answers(s3_server: str, capsys: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    assert main(["verify", "--store", "s3://b/x?endpoint_override=127.0.0.1:1&scheme=http&region=us-east-1"]) == 1
    assert time.monotonic() - start < 60  # and not the minutes for which a library would try
    assert "s3://b/x cannot be reached (no server answers)" in capsys.readouterr().err


def test_a_bucket_is_made_only_when_asked(s3: str) -> None:
    address = s3.replace("&allow_bucket_creation=true", "")
    with pytest.raises(StoreError, match="bucket"), Store(address).writer():
        pass
    assert not Store(s3).exists()


def test_file_addresses_are_directories(tmp_path: os.PathLike[str]) -> None:
    fill(Store(f"file://{tmp_path}/a"), range(2))
    assert len(Store(os.path.join(tmp_path, "a")).read()) == 8


def test_reading_draws_one_by_one_keeps_nothing(tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rmtsim.store.gathering, "ROWS", 1000)  # those of a shard
    store = Store(os.path.join(tmp_path, "store"))
    rows = rmtsim.simulate(POINTS[0], 1000, seed=7)
    with store.writer() as writer:
        for k in range(40):
            writer.append(rows.assign(draw=rows["draw"] + 1000 * k), SPEC)
    one = next(store.tables()).nbytes
    gc.collect()  # what other tests left in cycles would be freed while this one counts
    before, most = pa.total_allocated_bytes(), 0
    for table in store.tables():
        assert table.num_rows == 1000
        most = max(most, pa.total_allocated_bytes() - before)
    assert one < most < 12 * one  # the next few are opened meanwhile, 40 are not


def test_points_that_are_not_wanted_are_not_read(tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rmtsim.store.shard_files, "GROUP_ROWS", 100)
    points = [rmtsim.Point("linear", "ce", n_classes, 3, 4) for n_classes in range(2, 12)]
    store = Store(os.path.join(tmp_path, "store"))
    with store.writer() as writer:
        writer.append(pd.concat([rmtsim.simulate(point, 100) for point in points]), SPEC)
    read: list[int] = []
    read_group = pq.ParquetFile.read_row_group

    def counted(file: pq.ParquetFile, group: int, **options: object) -> pa.Table:
        read.append(group)
        return read_group(file, group, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    for point in points:
        pd.testing.assert_frame_equal(store.read(points=[point.id]), rmtsim.simulate(point, 100), check_exact=True)
    assert sorted(read) == list(range(10))  # of ten row groups, each time the one
