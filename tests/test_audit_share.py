"""Which batches an audit takes, and which audits are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import rmtsim
from rmtsim.cli.main import main
from rmtsim.errors import InputError
from rmtsim.sweeps.audit import check_audit, is_audited
from rmtsim.sweeps.batches import Batch


def test_which_batches_are_audited() -> None:
    """A share of them, by their draws alone."""
    points = [rmtsim.Point("linear", "ce", C, 10, 20) for C in range(2, 12)]
    batches = [
        Batch(point, range(start, start + 5), ("linear",), 3, "numpy", "float64", "exact", 1, None)
        for point in points
        for start in range(0, 1000, 5)
    ]
    chosen = [is_audited(batch, 0.2) for batch in batches]
    assert abs(sum(chosen) - 400) < 5 * (2000 * 0.2 * 0.8) ** 0.5
    assert chosen == [is_audited(replace(batch, threads=2, memory=1e9), 0.2) for batch in batches]
    assert all(is_audited(batch, 0.3) for batch, yes in zip(batches, chosen, strict=True) if yes)
    assert all(is_audited(batch, 1.0) for batch in batches)
    assert not any(is_audited(batch, 0.0) for batch in batches)


@pytest.mark.parametrize(
    ("share", "address", "workers", "words"),
    [
        (2, "auto", None, "^audit: 2 is not valid; give a number from 0 to 1, such as 0.02$"),
        (float("nan"), "auto", None, "^audit: nan is not valid"),
        (True, "auto", None, "^audit: True is not valid"),
        ("much", "auto", None, "^audit: 'much' is not valid"),
        (0.5, "local", None, "^audit: the threads of one process, .*give the address of a cluster, or ray"),
        (0.5, "ray", 1, "^audit: one worker has none to be compared with"),
    ],
)
def test_audits_that_cannot_be(share: Any, address: str, workers: int | None, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        check_audit(share, address, workers)
    with pytest.raises(InputError, match=words):
        rmtsim.run("figure8", tmp_path / "s", audit=share, address=address, workers=workers)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("line", ["figure8 --audit 1.1", "figure8 --audit 0.5", "training --audit=1"])
def test_audits_that_cannot_be_on_the_command_line(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["run", *line.split(), "--store", str(tmp_path / "s")])
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "s").exists()
