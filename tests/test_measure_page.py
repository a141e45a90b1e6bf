"""The page on how to measure a head: its commands are commands, its Python is Python."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import rmtsim
from rmtsim.cli.main import main
from rmtsim.cli.parser import parser

ROOT = Path(__file__).parents[1]
HOW_TO = (ROOT / "docs" / "how-to" / "measure.md").read_text("utf-8")


def test_the_commands_of_the_page_are_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = [line.replace("\\\n", " ") for line in re.findall(r"^    (rmtsim (?:.*\\\n)*.*)$", HOW_TO, re.MULTILINE)]
    assert len(commands) == 3
    for command in commands:
        assert parser().parse_args(shlex.split(command)[1:]).verb == "measure"
    rng = np.random.default_rng(0)
    monkeypatch.chdir(tmp_path)
    weight = 0.1 * rng.normal(size=(9, 32))
    np.savez("head.npz", features=rng.normal(size=(600, 32)), weight=weight, bias=np.zeros(9))
    assert main(shlex.split(commands[1])[1:]) == 0
    assert '"n_classes": 9' in capsys.readouterr().out


def test_the_python_of_the_page_is_python(capsys: pytest.CaptureFixture[str]) -> None:
    *others, last = re.findall(r"```python\n(.*?)```", HOW_TO, re.DOTALL)
    assert len(others) == 3
    for block in others:
        compile(block, "a block", "exec")
    rng = np.random.default_rng(0)
    V, X, bias = 0.1 * rng.normal(size=(9, 32)), rng.normal(size=(60, 32)), np.zeros(9)
    exec(last, {"V": V, "X": X, "bias": bias})
    assert "C = 9, d = 32" in capsys.readouterr().out


def test_the_numbers_of_the_page_are_those_of_a_measurement() -> None:
    """And its links lead somewhere."""
    found = rmtsim.measure(np.zeros((5, 32)), np.ones((40, 32))).document()
    named = re.findall(r"^\| (`.*?`) \|", HOW_TO, re.MULTILINE)
    assert len(named) == 6
    assert set(re.findall(r"`(\w+)`", " ".join(named))) <= set(found)
    assert {null["name"] for null in found["nulls"]} == set(re.findall(r"\*(\w+)\*", HOW_TO.split("**Nulls**")[1]))
    for link in re.findall(r"\]\((.*?)\)", HOW_TO):
        assert (ROOT / "docs" / "how-to" / link).exists()
