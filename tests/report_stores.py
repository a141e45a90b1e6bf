"""Stores that the tests of the report share, and reports of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import rmtsim
from rmtsim.pages.contents import read_contents
from rmtsim.pages.elements import element
from rmtsim.pages.report import page
from rmtsim.store import Store
from rmtsim.sweeps.selection import Selection
from rmtsim.sweeps.spec import from_document

GOLDEN = Path(__file__).parent / "golden"

#: A sweep over C that is done, one over d of which a point uses up its draws, and one that has hardly begun.
DONE: dict[str, Any] = {
    "name": "done",
    "model": "linear",
    "loss": "mse",
    "grid": {"n_classes": [2, 10, 20, 40, 80], "aspect_ratio": [0.5], "dim": [20]},
    "sampling": {"min_draws": 32, "max_draws": 2000, "target_rse": 0.05},
}

LIMITED = DONE | {
    "name": "limited",
    "grid": {"n_classes": [5], "aspect_ratio": [0.5], "dim": [2, 60]},
    "sampling": {"min_draws": 8, "max_draws": 8, "target_rse": 0.08},
}

BEGUN = LIMITED | {
    "name": "begun",
    "loss": "ce",
    "grid": {"n_classes": [5], "aspect_ratio": [0.5], "dim": [30, 31, 32]},
    "sampling": {"min_draws": 8, "max_draws": 100, "target_rse": 0.01},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the three sweeps; see `folder`."""
    folder = tmp_path_factory.mktemp("report") / "store"
    for spec in (DONE, LIMITED):
        rmtsim.run(spec, folder, workers=1)
    with Store(folder).writer() as writer:
        writer.save_spec("begun", from_document(BEGUN).document())
        writer.append(rmtsim.simulate(from_document(BEGUN).points()[0], 4), BEGUN)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of the store that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "store"))


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without figures, which take most of the time."""
    monkeypatch.setattr("rmtsim.pages.report.pictures_of", lambda *_: iter(()))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of which all is made but the graphic."""
    monkeypatch.setattr("rmtsim.pages.pictures.inline_svg", lambda _, name, *__: element("svg", id=name))


def report_of(store: Path | str, theory: bool = True, **selected: Any) -> str:
    chosen = Selection.of(*(selected.get(name) for name in ("where", "sweep", "seed")))
    return page(read_contents(Store(store), chosen), "report.html", theory=theory)
