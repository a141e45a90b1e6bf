"""What the tests of bad input share: a good spec, a folder with it, and what a refusal looks like."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from rmtsim.cli.main import main

GOOD = """
name = "good"
model = "one_hidden"
loss = "ce"
layers = ["hidden", "output"]
[grid]
n_classes = [2, 10]
aspect_ratio = [0.5]
dim = [10]
width = [3]
[sampling]
seed = 0
min_draws = 4
max_draws = 8
target_rse = 0.1
"""


def run(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    try:
        code = main(argv)
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    captured = capsys.readouterr()
    assert captured.out == ""
    return code, captured.err


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.toml").write_text(GOOD)
    return tmp_path


def check(code: int, message: str, words: str, here: Path) -> None:
    assert code == 2, message
    assert message.count("\n") == 1, message
    assert words in message, message
    assert "Traceback" not in message
    parts = [part.strip() for part in message.partition(";")[0].split(":")[:-1]]
    assert all(second not in first.split() for first, second in pairwise(parts)), message  # as in "data: data: …"
    assert [path.name for path in here.iterdir()] == ["good.toml"]
