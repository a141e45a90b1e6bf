"""Whatever writes into a store is its one writer: sweeps, training runs, tables of figures, merges, compaction."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rmtsim
from rmtsim.cli.main import main
from rmtsim.figures import get_figure
from rmtsim.paper.simo import Simo
from rmtsim.store import Store, StoreError
from rmtsim.store.verify import verify
from rmtsim.sweeps.experiment import Experiment
from rmtsim.sweeps.table_runner import run_tables
from tests.small_sweeps import TINY
from tests.trained_tables import TRAIN, contents

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    (tmp_path / "train.toml").write_text(TRAIN)
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path


def few(full: bool = False) -> Experiment:
    return Experiment("simo", Simo().tables(full).tasks[:2])


def test_every_verb_that_writes_is_refused_while_another_writes(
    specs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(get_figure("simo"), "tables", few)
    theirs, store = str(specs / "theirs"), specs / "out/store"
    for name in ("train", "tiny"):
        assert main(["run", str(specs / f"{name}.toml"), "--store", theirs]) == 0
    shutil.copytree(GOLDEN / "format2/store/draws", store / "draws")
    shutil.copytree(GOLDEN / "unsealed_tables/experiments", specs / "old/experiments")
    with Store(store).writer() as writer:
        for draw in range(2):  # so that there is something to compact
            point = rmtsim.Point("linear", "ce", 2, 3, 4)
            writer.append(rmtsim.simulate(point, range(draw, draw + 1)), {"name": "golden"})
        before = contents(specs)
        for line in (
            ["run", str(specs / "train.toml"), "--store", str(store)],
            ["run", str(specs / "tiny.toml"), "--store", str(store)],
            ["run", "simo", "--store", str(store)],
            ["reproduce", "simo", "--out", str(specs / "out")],
            ["merge", theirs, "--store", str(store)],
            ["merge", str(specs / "old"), "--store", str(store)],  # nothing but tables
            ["compact", "--store", str(store)],
        ):
            capsys.readouterr()
            assert main(line) == 1, line
            said = capsys.readouterr().err
            assert f"{store} is being written by process {os.getpid()} of " in said, line
            assert said.rstrip("\n").endswith("wait for it, or use another store")
            assert contents(specs) == before, line
    with Store(store).writer(), pytest.raises(StoreError, match="is being written by"):
        run_tables(few(), store)
    assert main(["merge", theirs, "--store", str(store)]) == 0
    assert verify(Store(store)).tables == 8


def test_three_runs_of_one_spec_at_once_do_the_work_once(specs: Path) -> None:
    """However they meet: one that comes while another works is refused, one that comes later has nothing to do."""
    line = [sys.executable, "-m", "rmtsim", "run", str(specs / "train.toml"), "--store", str(specs / "store")]
    runs = [subprocess.Popen(line, stderr=subprocess.PIPE, text=True, cwd=specs) for _ in range(3)]
    ended = [(run.communicate()[1], run.returncode) for run in runs]
    told = "".join(said for said, _ in ended)
    assert sorted({code for _, code in ended}) in ([0], [0, 1]), told
    assert sum(map(int, re.findall(r"(\d) new tables", told))) == 8
    for said, code in ended:
        # "another process" as long as the winner, which has just taken the lock, has not yet written its name into it
        assert bool(re.search(r"is being written by (process \d+ of|another process)", said)) == (code == 1)
        assert "Traceback" not in said
    report = verify(Store(specs / "store"))
    assert (report.tables, report.findings) == (8, [])


def test_what_a_killed_run_leaves_hinders_no_other(specs: Path) -> None:
    script = f"""
import os
import re
from rmtsim.cli.main import main
from rmtsim.sweeps.table_runner import TableCommitter
TableCommitter.add = lambda *_: os._exit(9)
main(["run", {str(specs / "train.toml")!r}, "--store", {str(specs / "store")!r}])
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    leftover = specs / "store/experiments/train/.table.parquet.123.tmp"  # of an earlier version
    leftover.write_bytes(b"half a table")
    assert [finding.kind for finding in verify(Store(specs / "store")).findings] == ["leftover", "unfinished"]
    assert main(["run", str(specs / "train.toml"), "--store", str(specs / "store")]) == 0
    assert not verify(Store(specs / "store")).findings
    assert not leftover.exists()
