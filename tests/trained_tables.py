"""A store that holds the tables of eight training runs, for tests of files of tables."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rmtsim.cli.main import main

TRAIN = """
name = "train"
loss = ["ce", "mse"]
[grid]
n_classes = [2, 3]
dim = [4]
n_samples = [12]
hidden = [[], [3]]
[training]
steps = 20
learning_rate = 0.05
checkpoints = [0, 1]
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spec, and a store that holds its eight tables."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "train.toml").write_text(TRAIN)
    assert main(["run", str(folder / "train.toml"), "--store", str(folder / "store")]) == 0
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "own")
    return tmp_path / "own"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
