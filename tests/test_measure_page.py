"""The page on how to measure a head: its commands are commands, its Python is Python."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import rmtsim
from rmtsim.cli.main import main
from rmtsim.cli.parser import parser

ROOT = Path(__file__).parents[1]
HOW_TO, NUMBERS = (
    (ROOT / "docs" / name).read_text("utf-8") for name in ("how-to/measure.md", "explanation/last-layers.md")
)


def test_the_commands_of_the_page_are_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = [line.replace("\\\n", " ") for line in re.findall(r"^    (rmtsim (?:.*\\\n)*.*)$", HOW_TO, re.MULTILINE)]
    verbs = [parser().parse_args(shlex.split(command)[1:]).verb for command in commands]
    assert verbs == ["measure"] * 3 + ["figure"] * 2
    rng = np.random.default_rng(0)
    monkeypatch.chdir(tmp_path)
    weight = 0.1 * rng.normal(size=(9, 32))
    np.savez("head.npz", features=rng.normal(size=(600, 32)), weight=weight, bias=np.zeros(9))
    assert main(shlex.split(commands[1])[1:]) == 0
    assert '"n_classes": 9' in capsys.readouterr().out


def test_checkpoints_are_measured_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop of the page, and the command after it, make a picture."""
    loop = re.search(
        r"^    for step in ([\d ]+); do\n((?: {8}.*\n)+)    done\n    (rmtsim figure .*)\n", HOW_TO, re.MULTILINE
    )
    assert loop is not None
    steps, body, draw = loop.groups()
    rng = np.random.default_rng(0)
    weight, features = 0.1 * rng.normal(size=(45, 32)), rng.normal(size=(512, 32))
    monkeypatch.chdir(tmp_path)
    for step in steps.split():
        np.savez(f"step{step}.npz", weight=(1 + int(step) / 5000) * weight, features=features)
        command, file = body.replace("\\\n", " ").replace("$step", step).split(">")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            assert main([*shlex.split(command)[1:], "--nulls", "theorem"]) == 0
        Path(file.strip()).write_text(printed.getvalue(), "utf-8")
    files = sorted(map(str, Path().glob("step*.json")))
    assert files == ["step0.json", "step1000.json", "step10000.json"]
    assert main(shlex.split(draw.replace("step*.json", " ".join(files)))[1:]) == 0
    assert Path("head.pdf").read_bytes().startswith(b"%PDF")


def test_the_python_of_the_page_is_python(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    *others, measured, drawn = re.findall(r"```python\n(.*?)```", HOW_TO, re.DOTALL)
    assert len(others) == 3
    for block in others:
        compile(block, "a block", "exec")
    rng = np.random.default_rng(0)
    V, X, bias = 0.1 * rng.normal(size=(9, 32)), rng.normal(size=(60, 32)), np.zeros(9)
    names = {"V": V, "X": X, "bias": bias}
    exec(measured, names)
    assert "C = 9, d = 32" in capsys.readouterr().out
    monkeypatch.setattr("matplotlib.pyplot.subplots", lambda *shape, **options: (None, Figure().subplots(*shape)))
    few = partial(rmtsim.measure, nulls="theorem")
    monkeypatch.setattr(rmtsim, "measure", lambda V, X, batch, **options: few(V, X, batch=30, **options))
    names |= {"rmtsim": rmtsim, "checkpoints": {0: (V, X), 100: (2 * V, X)}}
    exec(drawn, names)
    assert names["left"].get_xlabel() == "steps of training"  # type: ignore[attr-defined]
    assert names["right"].get_ylabel() == "class $i$"  # type: ignore[attr-defined]


def test_the_numbers_of_the_page_are_those_of_a_measurement() -> None:
    found = rmtsim.measure(np.zeros((5, 32)), np.ones((40, 32))).document()
    named = re.findall(r"^\| (`.*?`) \|", NUMBERS, re.MULTILINE)
    assert len(named) == 6
    assert set(re.findall(r"`(\w+)`", " ".join(named))) <= set(found)
    assert {null["name"] for null in found["nulls"]} == set(re.findall(r"\*(\w+)\*", NUMBERS.split("## Nulls")[1]))
