"""Tables of experiments: verified, merged, and told of in a sentence where they are torn."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from rmtsim.cli.main import main
from rmtsim.experiment import Experiment, Task
from rmtsim.store import Store
from rmtsim.store.failures import TornError
from rmtsim.store.merge import merge
from rmtsim.store.verify import verify


def experiment(values: range, name: str = "squares") -> Experiment:
    def task(k: int) -> Task:
        return Task(f"of-{k}", {"k": k}, lambda: pd.DataFrame({"k": range(500), "square": [k * k] * 500}))

    return Experiment(name, [task(k) for k in values])


def test_stores_are_merged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    experiment(range(3)).run(ours)
    experiment(range(2, 5)).run(theirs)
    before = {path.name: path.stat().st_mtime_ns for path in (ours / "experiments/squares").iterdir()}
    assert main(["merge", str(theirs), "--store", str(ours)]) == 0
    assert "2 tables of experiments" in capsys.readouterr().err
    assert not experiment(range(5)).missing(ours)
    assert set(experiment(range(5)).read(ours)["square"]) == {0, 1, 4, 9, 16}
    after = {path.name: path.stat().st_mtime_ns for path in (ours / "experiments/squares").iterdir()}
    assert before.items() <= after.items()  # what was there stays
    assert main(["merge", str(theirs), "--store", str(ours)]) == 0
    assert "nothing to do" in capsys.readouterr().err


def test_torn_tables_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    experiment(range(3)).run(store)
    assert main(["verify", "--store", str(store)]) == 0
    assert "3 tables of experiments: all is well" in capsys.readouterr().out
    cut, flipped, _ = sorted((store / "experiments/squares").iterdir())
    cut.write_bytes(cut.read_bytes()[:-20])
    data = bytearray(flipped.read_bytes())
    data[len(data) // 8] ^= 1
    flipped.write_bytes(data)
    report = verify(Store(store))
    assert [finding.kind for finding in report.findings] == ["torn", "torn"]
    assert all("remove it and run its experiment again" in str(finding) for finding in report.findings)
    assert main(["verify", "--store", str(store)]) == 1
    with pytest.raises(TornError, match=r"is torn .*; remove it and run its experiment again"):
        experiment(range(3)).read(store)
    with pytest.raises(TornError):  # and is not spread
        merge([store], Store(tmp_path / "other"))
    cut.unlink()
    flipped.unlink()
    assert experiment(range(3)).run(store) == 2
    assert not verify(Store(store)).findings
