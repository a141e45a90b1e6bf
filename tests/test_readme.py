"""The README's commands are commands, its files are there, its numbers are those of the code."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import rmtsim
from rmtsim.cli.main import main
from rmtsim.cli.parser import parser
from rmtsim.sampling.schema import SCHEMA
from rmtsim.sweeps.spec import builtin_specs, from_document
from rmtsim.sweeps.training_spec import builtin_trainings, load_any
from rmtsim.version import __version__

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def test_pictures_are_there() -> None:
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert len(pictures) == 8
    assert all((ROOT / picture).exists() for picture in pictures)


def test_the_specs_are_valid() -> None:
    sweep, training = (tomllib.loads(text) for text in re.findall(r"```toml\n(.*?)```", README, re.DOTALL))
    assert len(from_document(sweep).points()) == 3
    assert training == load_any("training").document()
    assert all(f"`{name}`" in README for name in [*builtin_specs(), *builtin_trainings()])


def test_every_verb_and_column_is_named() -> None:
    verbs = parser()._subparsers._group_actions[0].choices
    assert all(f"`rmtsim {verb} " in README for verb in verbs)
    table = README.split("## The store")[1].split("Versions, spec")[0]
    named = {
        word.strip() for line in re.findall(r"^\| ([a-z_, ]+) \|", table, re.MULTILINE) for word in line.split(",")
    }
    assert set(SCHEMA.names) <= named


def test_the_theory_printed_is_what_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    command, output = re.findall(r"    \$ (rmtsim theory.*?)\n((?:    .*\n)+)", README)[0]
    assert main(shlex.split(command)[1:]) == 0
    assert capsys.readouterr().out.split() == output.split()


def test_the_python_session_prints_what_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("matplotlib.pyplot.gca", lambda: Figure().subplots())
    session = README.split("## From Python")[1]
    [code, *_], [output, *_] = (
        re.findall(r"```python\n(.*?)```", session, re.DOTALL),
        re.findall(r"(?:    .*\n)+", session),
    )
    exec(code, {})
    assert capsys.readouterr().out.split() == output.split()


def test_the_lines_on_arrays_run() -> None:
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[1]
    rng = np.random.default_rng(0)
    shapes = {"X": (6, 3), "W": (2, 3), "W1": (5, 3), "W2": (2, 5)}
    names = {name: rng.normal(size=shape) for name, shape in shapes.items()} | {"y": rng.integers(4, size=6)}
    first, *others = code.splitlines()
    exec(first, {"rmtsim": rmtsim, "V": rng.normal(size=(4, 3)), **names})
    exec("\n".join(others), {"rmtsim": rmtsim, "V": rng.normal(size=(4, 2)), **names})


def test_what_to_cite_is_the_same_everywhere() -> None:
    """The entries of BibTeX say what CITATION.cff says: converters of that file know no key but their own."""
    bibtex = README.partition("```bibtex")[2].partition("```")[0].replace("{", "").replace("}", "")
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    for key in ("@softwarermtsim,", "@miscdong2025quantifying,"):
        assert key in bibtex
    for title in re.findall(r'title: "(.*)"', citation):
        assert f"= {title}," in bibtex
    for family in re.findall(r"family-names: (.*)", citation):
        assert f"{family}, " in bibtex
    assert re.search(r"doi: (.*)", citation)[1] in bibtex  # type: ignore[index]
    assert f"version: {__version__}\n" in citation
    assert f"version = {__version__}\n" in bibtex
