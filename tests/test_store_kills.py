"""A writer that is killed at each step of a commit, a compaction or a merge."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

import rmtsim
from rmtsim.sampling.schema import KEY
from rmtsim.store import Store
from rmtsim.store.compact import compact
from rmtsim.store.merge import merge
from rmtsim.store.storage import WRITING
from rmtsim.store.verify import verify
from tests.filled_stores import POINT, SPEC, fill, holds, rows_of
from tests.s3 import location, s3, s3_server

__all__ = ["location", "s3", "s3_server"]  # fixtures

NURSERY = """
import os, pathlib, signal, sys
import rmtsim
from rmtsim.store.compact import compact
from rmtsim.store.storage import LocalFiles
from rmtsim.store.merge import merge
from rmtsim.store import Store, exchange
folder, what, *sources = sys.argv[1:]
point = rmtsim.Point("linear", "ce", 5, 12, 30)
parts = [rmtsim.simulate(point, range(k, k + 2), seed=7) for k in (4, 6)]
unlink, replace, fsync, opened = os.unlink, os.replace, os.fsync, pathlib.Path.open
link, exchanged, rmdir = os.link, exchange._exchange, os.rmdir

def act(place, report):
    if what == "compact":
        compact(Store(place))
        return
    if what == "compact without exchange":
        LocalFiles.replace = lambda *_: False
        compact(Store(place))
        return
    if what == "merge":
        merge(sources, Store(place))
        return
    with Store(place).writer() as writer:
        for part in parts:
            writer.append(part, {"name": "test"})
            os.write(report, b"2")  # reported

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def armed(step):
    left = [step]
    def wrap(function):
        def before(*arguments, **options):
            left[0] -= 1
            if left[0] == 0:
                die()
            return function(*arguments, **options)
        return before
    class Half:
        def __init__(self, file): self.file = file
        def __enter__(self): self.file.__enter__(); return self
        def __exit__(self, *error): return self.file.__exit__(*error)
        def __getattr__(self, name): return getattr(self.file, name)
        def write(self, data):
            left[0] -= 1
            if left[0] == 0:  # mid-write
                self.file.write(bytes(data)[: len(data) // 2])
                self.file.flush()
                die()
            return self.file.write(data)
    os.unlink, os.replace, os.fsync, os.link, os.rmdir = map(wrap, (unlink, replace, fsync, link, rmdir))
    exchange._exchange = wrap(exchanged)
    def half(path, mode="r", *rest):
        file = opened(path, mode, *rest)
        return Half(file) if mode == "xb" else file
    pathlib.Path.open = half

for step in range(1, 100):
    place = f"{folder}/{step}"
    report = os.open(f"{folder}/{step}.reported", os.O_CREAT | os.O_WRONLY)
    child = os.fork()
    if not child:
        armed(step)
        act(place, report)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(step, os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status))
    if not os.WIFSIGNALED(status):
        break
"""


def killed(tmp_path: Path, what: str, prepared: Store, steps: int, sources: Sequence[Store] = ()) -> list[Path]:
    """Kill at each step; return the stores, the last being that of a child that came through."""
    for step in range(1, steps + 1):
        shutil.copytree(prepared.root, tmp_path / str(step))
    command = [sys.executable, "-c", NURSERY, str(tmp_path), what, *(str(source.root) for source in sources)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ends = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert all(end == 9 for _, end in ends[:-1]), done.stderr
    assert ends[-1][1] == 0, done.stderr
    assert len(ends) <= steps
    return [tmp_path / str(step) for step, _ in ends]


def test_killed_at_each_step_of_a_commit(tmp_path: Path) -> None:
    places = killed(tmp_path, "commit", fill(tmp_path / "before", range(4)), steps=14)
    assert len(places) > 8  # two commits of four steps: write, sync, rename, sync of the directory
    leftovers = 0
    for place in places:
        store, reported = Store(place), int((place.with_name(f"{place.name}.reported")).stat().st_size) * 2
        stored = set(store.read()["draw"])
        assert stored >= set(range(4 + reported))
        assert stored in ({*range(4)}, {*range(6)}, {*range(8)})  # a commit is whole or absent
        findings = verify(store).findings
        assert {finding.kind for finding in findings} <= {"leftover"}
        leftovers += len(findings)
        with store.writer() as writer:  # the next one goes on at once
            for start in (4, 6):
                if start not in stored:
                    writer.append(rows_of(range(start, start + 2)), SPEC)
        holds(store, 8)
    assert leftovers > 0


@pytest.mark.parametrize("exchange", [True, False])
def test_killed_at_each_step_of_a_compaction(tmp_path: Path, exchange: bool) -> None:
    """Where the file system can exchange folders, other readers see every row once at every step, too."""
    before = fill(tmp_path / "before", range(2), range(2, 4), range(4, 7))
    what = "compact" if exchange else "compact without exchange"
    places = killed(tmp_path, what, before, steps=20)
    assert len(places) > (9 if exchange else 6)  # write, sync, rename, sync, and the three that go
    leftovers = 0
    for place in places:
        store = Store(place)
        pd.testing.assert_frame_equal(store.read(), rows_of(range(7)), check_exact=True)  # whatever happened
        if exchange:
            assert len(pd.read_parquet(store.draws_folder)) == 7
        findings = verify(store).findings
        assert {finding.kind for finding in findings} <= {"leftover"}
        leftovers += sum(finding.what.endswith("its compaction killed") for finding in findings)
        with store.writer() as writer:
            writer.append(rows_of(range(7, 8)), SPEC)
        holds(store, 8)
        assert len(pd.read_parquet(store.draws_folder)) == 8  # and for readers who know nothing of what replaces what
        assert not list((place / WRITING).iterdir())
        compact(store)
        holds(store, 8)
    assert leftovers >= (0 if exchange else 3)
    shard = [shard for shard in store.shards() if shard.compacted]
    assert len(shard) == 1
    assert store.read(KEY).duplicated().sum() == 0


def test_killed_at_each_step_of_a_merge(tmp_path: Path) -> None:
    """Rows never stand there without their spec, and the same merge goes on."""
    before, sources = fill(tmp_path / "before", range(4)), []
    for name, seed in (("k4", 4), ("k5", 5)):
        sources.append(Store(tmp_path / name))
        with sources[-1].writer() as writer:
            writer.save_spec(name, {"name": name})
            writer.append(rmtsim.simulate(POINT, 2, seed=seed), {"name": name})
    whole = Store(tmp_path / "whole")
    merge([before.root, *(source.root for source in sources)], whole)
    places = killed(tmp_path, "merge", before, steps=30, sources=sources)
    assert len(places) > 16  # two specs and two shards of four steps each
    states = set()
    for place in places:
        store = Store(place)
        rows, specs = store.read(), {str(spec["name"]) for spec in store.specs()}
        states.add((len(specs), len(rows)))
        assert not verify(store).damage
        merge([source.root for source in sources], store)
        assert not verify(store).damage
        pd.testing.assert_frame_equal(store.read(), whole.read(), check_exact=True)
        assert store.specs() == whole.specs()
    assert states == {(1, 4), (2, 4), (3, 4), (3, 6), (3, 8)}
