"""A verb that lacks a package names it in one sentence; verbs that do without it go on as ever."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small_package import RAISES, SPEC

ROOT = Path(__file__).parents[1]

#: The command line in a process in which some packages cannot be found.
WITHOUT = """
import sys
hidden = sys.argv.pop(1).split(",")
sys.modules.update(dict.fromkeys(hidden))  # what stands there as None cannot be imported, and is not found
from rmtsim.cli.main import main
raise SystemExit(main())
"""

RUN = "run spec.toml --store s --workers 1 --backend numpy"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spec, its store, and a ``sweeps.py`` of the user's."""
    folder = tmp_path_factory.mktemp("missing")
    (folder / "spec.toml").write_text(SPEC)
    (folder / "sweeps.py").write_text(RAISES)
    done = without("nothing", RUN, folder)
    assert done.returncode == 0, done.stderr
    return folder


def without(packages: str, words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, packages, *words.split()],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("package", "words", "code"),
    [
        ("ray", "run spec.toml --store new --address ray", 1),
        ("matplotlib", "figure fig8_mse --store s --out new.png", 1),
        ("matplotlib", "report --store s --out new.html", 1),
        ("cupy", "run spec.toml --store new --backend cupy", 2),
    ],
)
def test_it_is_named_in_one_sentence(package: str, words: str, code: int, folder: Path) -> None:
    done = without(package, words, folder)
    assert done.returncode == code, done.stderr
    verb = words.partition(" ")[0]
    said = done.stderr.splitlines()[-1]  # progress may come before it
    assert said.startswith(f"rmtsim {verb}: ")
    assert package in said.lower()
    assert "not installed" in said
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert not (folder / "new.png").exists()


@pytest.mark.parametrize("words", [RUN, "status --store s", "verify --store s"])
def test_what_draws_and_ray_are_not_needed_elsewhere(words: str, folder: Path) -> None:
    done = without("ray,matplotlib,seaborn,cupy", words, folder)
    assert done.returncode == 0, done.stderr
    assert "installed" not in done.stderr
