"""README is short, its commands and its Python print what it says, and it cites what CITATION.cff cites."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from rmtsim.version import __version__
from tests.markdown import ROOT, tokens
from tests.pages import blocks, run_page

PAGE = ROOT / "README.md"
README = PAGE.read_text("utf-8")
LOCKS = ("requirements.lock", "requirements-test.lock")


def test_it_is_short() -> None:
    assert len(README.split()) <= 900
    assert len(README.splitlines()) <= 150


def test_python_and_commands_print_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them: five lines of the command line, and ten of Python."""
    monkeypatch.setattr("matplotlib.pyplot.gca", lambda: Figure().subplots())
    kinds = [language for language, _ in blocks(PAGE)]
    assert kinds == ["python", "text", "sh", "text", "bibtex"]
    texts = [text for _, text in blocks(PAGE)]
    assert [len(texts[place].split("\n")) - texts[place].count("\n\n") - 1 for place in (0, 2)] == [10, 5]
    run_page(PAGE, tmp_path, monkeypatch)
    assert (tmp_path / "fig8.png").read_bytes().startswith(b"\x89PNG")


def test_what_it_installs_is_there() -> None:
    [lines] = [token.content for token in tokens(PAGE) if token.type == "code_block"]
    commands = [line.partition("  #")[0].strip() for line in lines.splitlines()]
    assert commands == ["pip install .", "make reproduce", "make test"]
    rules = (ROOT / "Makefile").read_text("utf-8")
    assert all(f"\n{command.removeprefix('make ')}:" in rules for command in commands[1:])
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert set(re.findall(r"'\.\[(\w+)\]'", lines)) == {name for name in extras if name.startswith("cuda")}


def test_environments_have_the_sizes_that_are_stated() -> None:
    """To a tenth: of what the lock files name, as it is installed here; a package of another platform has no size."""
    names = [re.findall(r"^([\w.-]+)==", (ROOT / lock).read_text("utf-8"), re.M) for lock in LOCKS]
    sizes = [sum(map(installed_size, set(names[0]))), sum(map(installed_size, set(names[1]) - set(names[0])))]
    units = {"MB": 1e6, "GB": 1e9}
    stated = re.findall(r"\(requirements.*\.lock\), about ([\d.]+) (MB|GB)", (ROOT / "Makefile").read_text("utf-8"))
    for (number, unit), size in zip(stated, sizes, strict=True):
        assert float(number) * units[unit] == pytest.approx(size, rel=0.1)
    assert f"makes .venv ({' '.join(stated[0])})" in README


def installed_size(package: str) -> int:
    try:
        found = distribution(package)
    except PackageNotFoundError:
        return 0
    paths = (Path(str(found.locate_file(file))) for file in found.files or ())
    return sum(path.stat().st_size for path in paths if path.is_file())


def test_its_table_has_a_number_and_a_word_a_row() -> None:
    table = README.partition("<!-- verdicts")[2].partition("<!-- end of verdicts")[0]
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("|")][2:]
    assert 1 <= len(rows) == len({row[0] for row in rows}) <= 8
    assert {row[-1].strip() for row in rows} <= {"agrees", "differs", "exact", "not decided", "not tested"}
    assert all(re.fullmatch(r"−?[\d.]+( ± [\d.]+| in every draw)", row[-2].strip()) for row in rows)


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
