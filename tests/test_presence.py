"""`status` knows a writer at work, and does not tell to run again what runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rmtsim
from rmtsim.cli.main import main
from rmtsim.store import Store
from rmtsim.store.presence import who_writes
from rmtsim.sweeps.runner import run
from rmtsim.sweeps.spec import from_document

POINT = rmtsim.Point("linear", "ce", 5, 12, 24)
SPEC = from_document(
    {
        "name": "begun", "model": "linear", "loss": "ce",
        "grid": {"n_classes": [5, 6], "aspect_ratio": [0.5], "dim": [12]}, "sampling": {"min_draws": 8},
    }
).document()  # fmt: skip

MINE = rf"process {os.getpid()} of \w+ on \S+"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "s")
    with store.writer() as writer:
        writer.save_spec("begun", SPEC)
        writer.append(rmtsim.simulate(POINT, 8), SPEC)
    return store


def status(store: Store, capsys: pytest.CaptureFixture[str]) -> tuple[str, dict[str, object]]:
    """Return the text and the document that it prints; both end with 3, as something is left to do."""
    assert main(["status", "--store", store.location]) == 3
    text = capsys.readouterr().out
    assert main(["status", "--store", store.location, "--json"]) == 3
    return text, json.loads(capsys.readouterr().out)


def test_status_of_a_live_run(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    text, document = status(store, capsys)
    assert "run again to go on" in text
    assert document["writer"] is None
    with store.writer():
        text, document = status(store, capsys)
    assert re.match(
        rf"{store.location} is being written by {MINE}, since \d{{4}}-\d\d-\d\d \d\d:\d\d; it goes on", text
    )
    assert "C = 6, d = 12, N = 24: new, 0 draws: at work" in text
    assert "run again" not in text
    assert re.fullmatch(MINE, document["writer"]["owner"])  # type: ignore[index]


def test_status_counts_the_draws_that_no_spec_asks_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of a spec of the same name that was run before, of another seed, and of a store without any spec."""
    small = Store(tmp_path / "s")
    grids = ([2, 3], 0), ([2], 0), ([2], 1)
    specs = [
        from_document(
            {
                **SPEC,
                "grid": {**SPEC["grid"], "n_classes": C},
                "sampling": {"seed": seed, "min_draws": 4, "max_draws": 4},
            }
        )
        for C, seed in grids
    ]
    shown = []
    for spec in specs:
        run(spec, small, workers=1, backend="numpy")
        main(["status", "--store", small.location])
        lines = capsys.readouterr().out
        main(["status", "--store", small.location, "--json"])
        shown.append((json.loads(capsys.readouterr().out)["unnamed"], lines.partition("beside these: ")[2]))
    rest = "that no spec in the store asks for; fit, figure and export take them too, unless --sweep NAME leaves "
    rest += "them out\n"
    assert shown == [
        ({"points": 0, "draws": 0}, ""),
        ({"points": 1, "draws": 4}, f"4 draws of 1 point {rest}"),
        ({"points": 2, "draws": 8}, f"8 draws of 2 points {rest}"),
    ]
    (tmp_path / "s" / "sweeps" / "begun.json").unlink()
    assert main(["status", "--store", small.location]) == 0
    assert capsys.readouterr().out == f"beside these: 12 draws of 2 points {rest}"


def test_status_counts_the_draws_beyond_those_that_a_loosened_target_asks_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small, shown = Store(tmp_path / "s"), []
    for target in (0.01, 0.04):
        sampling = {"seed": 0, "min_draws": 4, "max_draws": 60, "target_rse": target}
        spec = from_document({**SPEC, "grid": {**SPEC["grid"], "n_classes": [2, 3]}, "sampling": sampling})
        run(spec, small, workers=1, backend="numpy")
        main(["status", "--store", small.location, "--json"])
        document = json.loads(capsys.readouterr().out)
        shown.append(([row["draws"] for row in document["points"]], document["unnamed"]))
    (many, none), (few, rest) = shown
    assert none == {"points": 0, "draws": 0}
    assert sum(few) < sum(many)  # else there is nothing to see
    assert rest == {"points": 2, "draws": sum(many) - sum(few)}
    main(["status", "--store", small.location])
    said = f"beside these: {rest['draws']} draws of 2 points that no spec in the store asks for; fit, figure and export"
    assert said in capsys.readouterr().out


def test_a_writer_that_was_killed_is_none(store: Store) -> None:
    """The system frees its lock; its name is left in the file."""
    script = "import os, signal, sys; from rmtsim.store import Store; Store(sys.argv[1]).writer().__enter__(); "
    killed = subprocess.run(
        [sys.executable, "-c", f"{script}os.kill(os.getpid(), {int(signal.SIGKILL)})", store.location]
    )
    assert killed.returncode == -signal.SIGKILL
    assert (Path(store.location) / ".lock").read_text().startswith("process ")
    assert who_writes(store.files) is None
    with store.writer():
        assert who_writes(store.files) is not None


def test_who_asks_keeps_no_writer_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the moment that the question takes it has the lock too, which a writer waits out."""
    import fcntl

    held = os.open(Path(store.location) / ".lock", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_SH)
    monkeypatch.setattr("rmtsim.store.lock.time.sleep", lambda _: fcntl.flock(held, fcntl.LOCK_UN))
    with store.writer():
        pass
    os.close(held)


@pytest.fixture
def claimed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store that keeps claims, renewed whenever someone looks instead of by a clock."""
    store = Store("memory://presence/s")
    yield store
    with store.writer():  # leaves it empty of claims
        pass


def test_a_claim_that_is_renewed(claimed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmtsim.store.presence.RENEWAL", 0.05)
    assert who_writes(claimed.files) is None
    with claimed.writer() as writer:
        assert who_writes(claimed.files) is None  # it stands still for as long as we watch
        looks = []

        def look(_: float) -> None:
            looks.append(writer._lock._put())  # type: ignore[attr-defined]

        monkeypatch.setattr("rmtsim.store.presence.time.sleep", look)
        found = who_writes(claimed.files)
        assert found is not None
        assert re.fullmatch(MINE, found.owner)
        assert re.fullmatch(r"for about \d+ s", found.since)
        assert len(looks) == 1
    assert who_writes(claimed.files) is None


def test_verify_of_a_live_run(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--store", store.location]) == 0
    said = capsys.readouterr()
    assert "1 of the 2 points of begun has fewer than 8 draws; the same `rmtsim run` fills them\n" in said.out
    assert not said.err
    with store.writer():
        assert main(["verify", "--store", store.location]) == 0
    said = capsys.readouterr()
    assert "1 of the 2 points of begun has fewer than 8 draws; a writer is at work\n" in said.out
    assert re.match(rf"{store.location} is being written by {MINE}, since .*; it goes on by itself\n", said.err)


@pytest.mark.parametrize("given", [0, 100])
def test_copies_made_in_another_way(tmp_path: Path, given: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A float32 store copied over one in float64: both are right, and the advice is not the command just given."""
    for dtype, parts in {"float64": [range(4)], "float32": [range(4, 8), range(4)]}.items():
        with Store(tmp_path / dtype).writer() as writer:
            writer.save_spec("begun", SPEC)
            for part in parts:
                writer.append(rmtsim.simulate(POINT, part, dtype=dtype), SPEC)
    [copied] = (tmp_path / "float32" / "draws").glob("00000002-*.parquet")
    copied.rename(tmp_path / "float64" / "draws" / copied.name)
    told = duplicated(tmp_path / "float64", given, capsys)
    assert "numpy float64 5 1 and" in told
    assert f"{copied.name} by numpy float32 5 1 (backend, dtype, classes, weights_per_draw); each may be right" in told
    assert "--recompute" not in told


@pytest.mark.parametrize(
    ("given", "advice"), [(0, "--recompute 100` shows which is wrong"), (100, "remove a shard that is called wrong")]
)
def test_recompute_does_not_advise_itself(
    tmp_path: Path, given: int, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rmtsim.simulate(POINT, range(4))
    with Store(tmp_path / "s").writer() as writer:
        writer.save_spec("begun", SPEC)
        writer.append(rows, SPEC)
        writer.append(rows.assign(diag_sqfro=rows["diag_sqfro"] * 1.5), SPEC)
    told = duplicated(tmp_path / "s", given, capsys)
    assert advice in told
    assert f"--recompute {given}`" not in told


def duplicated(folder: Path, given: int, capsys: pytest.CaptureFixture[str]) -> str:
    """What `verify` says of rows that stand twice."""
    assert main(["verify", "--store", str(folder), *(["--recompute", str(given)] if given else [])]) == 1
    [told] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("duplicated")]
    return told
