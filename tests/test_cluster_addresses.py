"""Which cluster an address stands for, and when it is asked at all. No Ray is started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import rmtsim
from harness.specs import LINEAR
from rmtsim.cli.main import main
from rmtsim.errors import InputError
from rmtsim.sweeps.connection import _found

#: A port on which nothing listens.
DEAD = "127.0.0.1:1"


def running(monkeypatch: pytest.MonkeyPatch, *addresses: str, last: str | None = None, chosen: str = "") -> None:
    """Pretend that these clusters run on this machine."""
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", lambda: frozenset(addresses))
    monkeypatch.setattr("ray._private.services.find_bootstrap_address", lambda _: last)
    if chosen:
        monkeypatch.setenv("RAY_ADDRESS", chosen)
    else:
        monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_of_several_clusters_auto_is_the_last_and_says_which_others_there_are(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    running(monkeypatch, "10.0.0.1:6379", "10.0.0.1:6380", "10.0.0.2:6379", last="10.0.0.1:6380")
    assert _found("auto") == "10.0.0.1:6380"
    assert caplog.messages == [
        "run: address: auto is 10.0.0.1:6380, the cluster that was started last; 10.0.0.1:6379, 10.0.0.2:6379 run on "
        "this machine, too: give the address of the one that is meant"
    ]


@pytest.mark.parametrize("last", [None, "10.0.0.9:6379"])
def test_of_several_clusters_none_is_guessed(last: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    running(monkeypatch, "10.0.0.1:6380", "10.0.0.1:6379", last=last)
    with pytest.raises(InputError) as error:
        _found("auto")
    assert str(error.value) == (
        "address: several clusters run on this machine, 10.0.0.1:6379, 10.0.0.1:6380, and it is not known which of "
        "them was started last; give the address of one, such as 10.0.0.1:6379, or set RAY_ADDRESS to it"
    )


@pytest.mark.parametrize(
    ("there", "last", "chosen", "expected"),
    [
        (["a:1"], None, "", "a:1"),
        (["a:1"], "gone:1", "", "a:1"),
        (["a:1", "b:1"], "a:1", "b:1", "b:1"),
        (["a:1", "b:1"], None, "c:1", "c:1"),
    ],
)
def test_one_cluster_or_a_chosen_one(
    there: list[str], last: str | None, chosen: str, expected: str, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    running(monkeypatch, *there, last=last, chosen=chosen)
    assert _found("auto") == expected
    assert not caplog.messages


def test_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    running(monkeypatch)
    with pytest.raises(InputError, match=r"^address: no Ray answers at 'auto'"):
        _found("auto")


def test_a_finished_sweep_asks_no_cluster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The help says so. An unfinished one does ask."""
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(LINEAR.format(draws=32, target_rse=0.5))
    line = ["run", "small.toml", "--store", "s", "--address", DEAD]
    assert main(line) == 2
    assert "no Ray answers at '127.0.0.1:1'" in capsys.readouterr().err
    assert not os.path.exists("s")
    assert main([*line[:4], "--workers", "1"]) == 0
    capsys.readouterr()
    assert main(line) == 0
    assert "nothing to do; 2 of 2 points done" in capsys.readouterr().err
    assert str(rmtsim.run("small.toml", "s", address=DEAD)).startswith("nothing to do")
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert "asked only if there is something to do" in " ".join(capsys.readouterr().out.split())
