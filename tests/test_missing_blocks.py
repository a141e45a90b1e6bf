"""Who asks for one class is told once that there will be no off-diagonal blocks, and who asks for more is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rmtsim.cli.main import main
from rmtsim.model.point import Point
from rmtsim.sweeps.missing_blocks import without_off_diagonal

SPEC = """
name = "few"
model = "linear"
loss = "mse"
[grid]
n_classes = {classes}
aspect_ratio = [0.5]
dim = [4]
[sampling]
max_draws = 16
target_rse = 0.5
"""
SAID = "no off-diagonal blocks, and so no ratio, in the linear layer of 1 of 2 points: one class has one block"


def test_a_plan_and_the_first_run_say_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec, store = tmp_path / "spec.toml", tmp_path / "store"
    spec.write_text(SPEC.format(classes="[1, 3]"))

    def said(verb: str) -> str:
        assert main([verb, str(spec), "--store", str(store)]) == 0
        output = capsys.readouterr()
        return " ".join((output.out + output.err).split())

    assert said("plan").count(SAID) == 1
    assert main(["plan", str(spec), "--store", str(store), "--json"]) == 0
    [note] = json.loads(capsys.readouterr().out)["notes"]
    assert note.startswith(SAID)
    assert said("run").count(f"few: {SAID}") == 1
    assert "off-diagonal" not in said("run")  # nothing is left to do, and it was said


def test_nothing_is_said_of_two_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "spec.toml").write_text(SPEC.format(classes="[2, 3]"))
    for verb in ("plan", "run"):
        assert main([verb, str(tmp_path / "spec.toml"), "--store", str(tmp_path / "store")]) == 0
        output = capsys.readouterr()
        assert "off-diagonal blocks" not in output.out + output.err


def test_classes_are_those_of_the_output_and_neurons_of_the_hidden_layer() -> None:
    points = [Point("one_hidden", "ce", C, dim=4, n_samples=8, width=m) for C, m in ((1, 3), (1, 2), (5, 1))]
    assert [
        text.partition(", and so no ratio, in the ")[2] for text in without_off_diagonal(points, points[0].layers)
    ] == [
        "hidden layer of 1 of 3 points: one neuron has one block, on the diagonal",
        "output layer of 2 of 3 points: one class has one block, on the diagonal",
    ]
