"""Tables of experiments: verified, merged, and reported in a sentence where they are torn."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from harness.specs import TRAININGS
from rmtsim.cli.experiment_verbs import experiment_status
from rmtsim.cli.main import main
from rmtsim.errors import InputError, StoppedError
from rmtsim.kernels.memory import BASE
from rmtsim.store import Store
from rmtsim.store.experiment_tables import specs, write_spec
from rmtsim.store.failures import TornError
from rmtsim.store.merge import merge
from rmtsim.store.table_files import TableFile, table_bytes
from rmtsim.store.verify import verify
from rmtsim.store.verify_tables import recompute_tables
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.sweeps.resources import allocate_tables
from rmtsim.sweeps.table_runner import run_tables
from rmtsim.training.task import Checkpoint


def experiment(values: range, name: str = "squares") -> Experiment:
    def task(k: int) -> Task:
        return Task(f"of-{k}", {"k": k}, lambda: pd.DataFrame({"k": range(500), "square": [k * k] * 500}))

    return Experiment(name, [task(k) for k in values])


def test_stores_are_merged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    run_tables(experiment(range(3)), ours)
    run_tables(experiment(range(2, 5)), theirs)
    before = {path.name: path.stat().st_mtime_ns for path in (ours / "experiments/squares").iterdir()}
    assert main(["merge", str(theirs), "--store", str(ours)]) == 0
    assert "2 tables of experiments" in capsys.readouterr().err
    assert not experiment(range(5)).missing(ours)
    assert set(experiment(range(5)).read(ours)["square"]) == {0, 1, 4, 9, 16}
    after = {path.name: path.stat().st_mtime_ns for path in (ours / "experiments/squares").iterdir()}
    assert before.items() <= after.items()  # what was there stays
    assert main(["merge", str(theirs), "--store", str(ours)]) == 0
    assert "nothing to do" in capsys.readouterr().err


def test_a_torn_source_is_merged_not_at_all(tmp_path: Path) -> None:
    """Nor what is sound in it, nor another source."""
    sound, torn, into = tmp_path / "sound", tmp_path / "torn", Store(tmp_path / "into")
    run_tables(experiment(range(3), "cubes"), sound)
    run_tables(experiment(range(3)), torn)
    run_tables(experiment(range(3, 4)), into)
    before = sorted((tmp_path / "into").rglob("*"))
    last = sorted((torn / "experiments/squares").iterdir())[-1]
    whole = last.read_bytes()
    last.write_bytes(whole[:-20])
    with pytest.raises(TornError, match=rf"{last} is torn"):
        merge([sound, torn], into)
    last.write_bytes(whole)
    spec = torn / "experiments/squares/_spec.json"
    for text in ('{"spec": {', "[]", '{"spec": 3, "tables": []}', '{"spec": {}, "tables": 3}'):
        spec.write_text(text)
        with pytest.raises(TornError, match=rf"{spec} is torn; remove it and run its experiment again"):
            merge([sound, torn], into)
        assert [finding.kind for finding in verify(Store(torn)).findings] == ["torn"]
    assert sorted((tmp_path / "into").rglob("*")) == before
    spec.unlink()
    assert merge([sound, torn], into).tables == 6


def status(store: Store) -> dict[str, tuple[int, ...]]:
    return {row["experiment"]: (row["tables"], row["done"], row["begun"]) for row in experiment_status(store)}


def test_specs_that_share_a_name_are_both_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ranges = {"ours": range(3), "theirs": range(3, 7), "others": range(7, 9)}
    stores = {name: Store(tmp_path / name) for name in ranges}
    for name, store in stores.items():
        wanted = Experiment("squares", experiment(ranges[name]).tasks[1:])  # one is not there yet
        run_tables(wanted, store)
        with store.writer() as writer:
            write_spec(writer, "squares", {"spec": {"of": name}, "tables": experiment(ranges[name]).paths()})
    ours, theirs, others = stores.values()
    merged = merge([theirs.location, others.location], ours)
    assert (merged.tables, merged.specs) == (4, 2)
    kept = f"the spec squares of {theirs.location} is another than that of {ours.location}, and is kept as squares-2"
    assert kept in caplog.text
    assert status(ours) == {"squares": (3, 2, 0), "squares-2": (4, 3, 0), "squares-3": (2, 1, 0)}
    assert specs(ours)["squares-2"] == specs(theirs)["squares"]
    assert merge([others.location, theirs.location, ours.location + "/../theirs"], ours)[:3] == (0, 0, 0)
    assert len(specs(ours)) == 3
    assert merge([ours.location], Store(tmp_path / "new")).specs == 3
    assert status(Store(tmp_path / "new")) == status(ours)


def test_experiments_that_are_shown_together_keep_their_folders(tmp_path: Path) -> None:
    both = Experiment("both", parts=[experiment(range(2)), experiment(range(2, 4), "more")])
    run_tables(both, tmp_path)
    assert all((tmp_path / path).exists() for path in both.paths())
    assert [table.folder for table in both.tables] == ["experiments/squares"] * 2 + ["experiments/more"] * 2
    assert both.folders == ("experiments/both", "experiments/squares", "experiments/more")


def test_a_table_that_stands_twice_is_made_once(tmp_path: Path) -> None:
    twice = Experiment("squares", [*experiment(range(3)).tasks, *experiment(range(1, 4)).tasks])
    assert len(twice.tasks) == run_tables(twice, tmp_path).new_tables == 4


def test_a_stop_hides_no_error(tmp_path: Path) -> None:
    """One fails, and so stops the other; what is raised is the failure."""
    at_work = threading.Event()

    def waits(saved: Checkpoint) -> pd.DataFrame:
        at_work.set()
        while not saved.stopping:
            time.sleep(0.001)
        raise StoppedError("stopped, as another failed")

    def fails() -> pd.DataFrame:
        assert at_work.wait(60)
        raise ValueError("no luck")

    tasks = [Task("waits", {}, waits, cost=2.0, resumable=True), Task("fails", {}, fails)]
    outcome = run_tables(Experiment("e", tasks), tmp_path, workers=2, fail_fast=True)
    assert (outcome.new_tables, outcome.missing, outcome.stopped) == (0, 2, "failure")
    assert [str(failure) for failure in outcome.failures] == ["fails failed 3 times: no luck"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_is_reported_and_the_others_are_made(tmp_path: Path, workers: int) -> None:
    def fails() -> pd.DataFrame:
        raise ValueError("no luck\nat all")

    failing = [Task(name, {}, fails, cost=9.0) for name in ("one", "two")]
    mixed = Experiment("squares", [*failing, *experiment(range(4)).tasks])
    outcome = run_tables(mixed, tmp_path, workers=workers)
    assert (outcome.new_tables, outcome.missing, outcome.stopped) == (4, 2, "")
    assert sorted((str(failure.job), failure.reason) for failure in outcome.failures) == [
        ("one", "no luck"),
        ("two", "no luck"),
    ]
    assert str(outcome) == "4 new tables; 4 of 6 tables done; 2 tables failed, the same command tries them again"
    assert len(mixed.missing(tmp_path)) == 2


def test_torn_tables_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    run_tables(experiment(range(3)), store)
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
    assert run_tables(experiment(range(3)), store).new_tables == 2
    assert not verify(Store(store)).findings


def test_tables_of_the_same_name_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Equal values are the same table, whoever made it; others are refused, and nothing is written."""

    def with_value(value: float) -> Experiment:
        return Experiment("e", [Task("t", {}, lambda: pd.DataFrame({"value": [value, float("nan")]}))])

    for name, value in {"one": 0.1, "same": 0.1, "other": 0.1 + 2**-55}.items():
        run_tables(with_value(value), tmp_path / name)
    run_tables(experiment(range(1)), tmp_path / "other")
    [path] = (tmp_path / "same/experiments/e").iterdir()
    path.write_bytes(path.read_bytes().replace(b"openblas", b"0penblas"))  # a file of other bytes and metadata
    into = tmp_path / "one"
    with pytest.raises(TornError):
        merge([tmp_path / "same"], Store(into))
    table = Experiment("e", [Task("t", {}, lambda: pd.DataFrame({"value": [0.1, float("nan")]}))])
    path.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rmtsim.store.table_files.blas_kernel", lambda: "another BLAS")
        run_tables(table, tmp_path / "same")
    assert path.read_bytes() != next((into / "experiments/e").iterdir()).read_bytes()
    assert merge([tmp_path / "same"], Store(into)).tables == 0
    before = sorted(into.rglob("*"))
    for sources, target in (([tmp_path / "other"], into), ([into, tmp_path / "other"], tmp_path / "new")):
        assert main(["merge", *map(str, sources), "--store", str(target)]) == 2
        said = capsys.readouterr().err
        assert f"{tmp_path / 'other/experiments/e'}/{path.name} has other values than {into / 'experiments/e'}/" in said
        assert "--recompute 100` may show which are wrong; merge elsewhere meanwhile" in said
    assert sorted(into.rglob("*")) == before
    assert not (tmp_path / "new").exists()


def test_tables_are_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that stored specs name: equal, or wrong where they are sealed all the same."""
    spec, store = tmp_path / "small.toml", tmp_path / "store"
    spec.write_text(TRAININGS.replace("draws = 2", "draws = 1"))
    assert main(["run", str(spec), "--store", str(store)]) == 0
    run_tables(experiment(range(1)), store)  # no spec says how it is made
    capsys.readouterr()
    assert main(["verify", "--store", str(store), "--recompute", "100"]) == 0
    said = capsys.readouterr()
    assert "; 12 tables of experiments made again, 1 left out, as they cannot be compared here: all is well" in said.out
    assert said.err.count(": made again") == 12
    path = sorted((store / "experiments/small").glob("*.parquet"))[0]
    file = TableFile(Store(store).files, f"experiments/small/{path.name}")
    rows = file.frame()
    rows.loc[3, "value"] += 2.0**-40
    parameters = json.loads(file.metadata["parameters"])
    path.write_bytes(table_bytes(rows, f"experiments/small/{path.name}", parameters))
    assert not verify(Store(store)).findings
    assert main(["verify", "--store", str(store), "--recompute", "2"]) in (0, 1)  # chosen at random
    capsys.readouterr()
    assert main(["verify", "--store", str(store), "--recompute", "100"]) == 1
    told = f"wrong: {path} has other values than the same table made now; remove it and run its experiment again"
    assert told in capsys.readouterr().out
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rmtsim.store.verify_tables.blas_kernel", lambda: "another BLAS")
        report = verify(Store(store), 100, {f"experiments/small/{path.name}": lambda: rows})
        assert (report.tables_recomputed, report.tables_skipped, report.findings) == (1, 12, [])


def test_rounding_of_another_blas_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pd.DataFrame({"k": [1, 2], "value": [1.0, float("nan")], "word": ["a", "b"]})
    made = Experiment("e", [Task("t", {}, lambda: rows)])
    run_tables(made, tmp_path)
    [path] = made.paths()
    changes = {"equal": 0.0, "rounded": 1e-7, "far": 1e-2}
    found = {}
    for blas in ("the same", "another"):
        if blas == "another":
            monkeypatch.setattr("rmtsim.store.verify_tables.blas_kernel", lambda: "another BLAS")
        for name, change in changes.items():
            makers = {path: lambda change=change: rows.assign(value=rows["value"] * (1 + change))}
            found[blas, name] = list(recompute_tables(Store(tmp_path), makers, 1))
    verdicts = {key: verdict for key, [(_, verdict)] in found.items()}
    assert verdicts == {
        ("the same", "equal"): "equal",
        ("the same", "rounded"): "wrong",
        ("the same", "far"): "wrong",
        ("another", "equal"): "equal",
        ("another", "rounded"): "rounded",
        ("another", "far"): "skipped",
    }


def test_memory_limits_how_many_tables_are_made_at_a_time() -> None:
    gib = 2.0**30
    tasks = [Task(name, {}, pd.DataFrame, memory=int(BASE + need)) for name, need in (("small", 1), ("large", gib / 8))]
    assert allocate_tables(tasks, None, 8, BASE + gib / 2) == 4
    assert allocate_tables(tasks, None, 2, BASE + gib / 2) == 2
    assert allocate_tables(tasks, None, 8, 3 * (BASE + gib / 8), processes=True) == 3
    assert allocate_tables(tasks[:1], 5, 8, BASE + gib / 2) == 5
    unknown = [Task("unknown", {}, pd.DataFrame)]
    assert (allocate_tables(unknown, 9, 2, BASE), allocate_tables(unknown, None, 2, BASE)) == (9, 2)
    with pytest.raises(
        InputError, match=r"^memory: the table large takes 348 MiB, Python included, and there are 252 MiB"
    ):
        allocate_tables(tasks, None, 8, BASE + gib / 32)
    with pytest.raises(InputError, match=r"^workers: 5 tables at a time as large as large take .*; give at most 4"):
        allocate_tables(tasks, 5, 8, BASE + gib / 2)
    with pytest.raises(InputError, match=r"^memory: .* is more than this machine has"):
        allocate_tables(tasks, None, 8, 1e18)
