"""The reference of JSON documents names the keys that verbs print, and no others."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from docs.generate import DOCS
from rmtsim.cli.main import main

PAGE = (DOCS / "reference" / "json.md").read_text("utf-8")

SPEC = """
name = "mine"
model = "linear"
loss = "mse"
[grid]
n_classes = [2, 10, 20]
aspect_ratio = [0.5]
dim = [8]
[sampling]
max_draws = 64
target_rse = 0.2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("json")
    (path / "mine.toml").write_text(SPEC)
    return path


def printed(line: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    assert main([word.replace("DIR", str(folder)) for word in [*line.split(), "--json"]]) == 0
    return json.loads(capsys.readouterr().out)


def described(heading: str) -> tuple[set[str], list[set[str]]]:
    """Return the keys named in the text under a heading, and those in the first column of each table."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    tables = []
    for table in re.split(r"\n(?!\|)", section):
        cells = re.findall(r"^\| (.+?) \|", table, re.MULTILINE)[2:]
        if cells:
            tables.append({key for cell in cells for key in (POINT if "*the point*" in cell else keys(cell))})
    return keys(section), tables


def keys(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


POINT = keys(PAGE.partition("these keys are there: ")[2].partition(", with")[0])


def test_plan_run_and_status(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = printed("plan DIR/mine.toml --store DIR/s", folder, capsys)
    assert described("plan")[1] == [set(plan), set(plan["points"][0])]
    assert set(plan["seconds"]) == {"low", "expected", "high"}
    run = printed("run DIR/mine.toml --store DIR/s", folder, capsys)
    assert described("run")[1] == [set(run)]
    status = printed("status --store DIR/s", folder, capsys)
    assert described("status")[1] == [set(status), set(status["points"][0])]
    assert set(status["unnamed"]) == {"points", "draws"}


def test_fit_and_verify(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed("run DIR/mine.toml --store DIR/t", folder, capsys)
    fit = printed("fit --store DIR/t", folder, capsys)
    assert set(fit) == {"claims", "points"}
    assert described("fit")[1] == [set(fit["claims"][0]), set(fit["points"][0])]
    assert described("verify")[1] == [set(printed("verify --store DIR/t", folder, capsys))]


def test_theory_and_figures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "theory --model linear --loss mse --classes 10 --aspect-ratio 0.5"
    named, [table] = described("theory")
    rows = printed(line, folder, capsys)
    assert all(set(row) == table for row in rows)
    law = printed(f"{line} --spectrum", folder, capsys)
    assert set(law[0]) <= named
    assert set(printed("figure --list", folder, capsys)[0]) == described("figure --list")[0]
