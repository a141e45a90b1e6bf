"""A figure of a user's own, by what `rmtsim.figures` offers: it is listed, planned, run, drawn and reproduced."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from rmtsim.cli.main import main
from rmtsim.errors import InputError
from rmtsim.figures import Figure, get_figure, register
from rmtsim.figures.registry import all_figures
from rmtsim.sweeps.experiment import Experiment, Task


def squares(full: bool) -> pd.DataFrame:
    return pd.DataFrame({"n": range(1, 6 if full else 4)}).assign(square=lambda table: table["n"] ** 2)


class Squares(Figure):
    """Squares of the first whole numbers."""

    name = "squares"
    title = "Squares"
    source = "Elements, Book VII"
    sentence = "A square is $n^2$."

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        return Experiment("squares", [Task("squares", {"full": full}, lambda: squares(full))])

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        return rows

    def plot(self, numbers: pd.DataFrame):  # type: ignore[no-untyped-def]
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing()
        drawing.subplots().plot(numbers["n"], numbers["square"])
        return drawing


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    get_figure("fig8")
    from rmtsim.figures import registry

    monkeypatch.setattr(registry, "_registered", dict(registry._registered))  # forgotten after the test
    register(Squares)


@pytest.mark.usefixtures("registered")
def test_it_is_listed_last_and_its_cost_is_not_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["figure", "--list", "--json"]) == 0
    last = json.loads(capsys.readouterr().out)[-1]
    assert last == {
        "name": "squares",
        "title": "Squares",
        "source": "Elements, Book VII",
        "seconds": None,
        "full_seconds": None,
        "cost": "not measured",
        "full_cost": "not measured",
        "command": "rmtsim reproduce squares",
    }
    for verb in ("plan", "run", "reproduce"):
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        assert "squares" in capsys.readouterr().out
    assert main(["figure", "sqares", "--store", "S", "--out", "f.png"]) == 2
    said = capsys.readouterr().err
    assert "'sqares' is not known (did you mean squares?); choose one of" in said
    assert "head, squares" in said


@pytest.mark.usefixtures("registered")
def test_it_is_run_drawn_and_reproduced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = str(tmp_path / "store")
    assert main(["plan", "squares", "--store", store]) == 0
    assert "its time was never measured" in capsys.readouterr().out
    assert main(["run", "squares", "--store", store]) == 0
    assert main(["figure", "squares", "--store", store, "--out", str(tmp_path / "f.pdf")]) == 0
    assert (tmp_path / "f.pdf").read_bytes().startswith(b"%PDF")
    capsys.readouterr()
    assert main(["reproduce", "squares", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "squares: nothing to do" in said.err
    assert [line.split() for line in said.out.splitlines()] == [["n", "square"], ["1", "1"], ["2", "4"], ["3", "9"]]
    assert (tmp_path / "squares.png").read_bytes().startswith(b"\x89PNG")
    assert main(["reproduce", "squares", "--full", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["5", "25"]


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "fig8"}, "figure: the name 'fig8' is taken; give another"),
        ({"name": "all"}, "figure: the name 'all' is taken; give another"),
        ({"name": "my/figure"}, "the name 'my/figure' is not valid; give letters, digits and underscores"),
        ({"name": "other", "title": ""}, "figure Other: title is ''; give some text"),
        ({"name": "other", "specs": ("figure8",)}, "figure other: give specs of sweeps .* or tables; one of both"),
    ],
)
def test_what_is_not_whole_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        register(type("Other", (Squares,), changes))
    assert get_figure("squares").title == "Squares"


class Faulty(Squares):
    """A figure whose code is wrong."""

    name = "faulty"

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        return rows[["cube"]]


@pytest.mark.usefixtures("registered")
def test_a_fault_in_its_code_is_one_sentence_and_the_others_are_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rmtsim.figures import registry

    register(Faulty)
    assert main(["run", "squares", "--store", str(tmp_path / "store")]) == 0
    assert main(["figure", "faulty", "--store", str(tmp_path / "store"), "--out", str(tmp_path / "f.pdf")]) == 1
    line = Path(__file__).read_text("utf-8").splitlines().index('        return rows[["cube"]]') + 1
    place = f"faulty: its own code failed at {__file__}:{line} (KeyError: "
    assert place in capsys.readouterr().err
    own = {name: kind for name, kind in registry._registered.items() if name in ("squares", "faulty")}
    monkeypatch.setattr(registry, "_registered", own)
    assert main(["reproduce", "all", "--out", str(tmp_path / "out")]) == 1
    assert "faulty: left out: " + place.removeprefix("faulty: ") in capsys.readouterr().err
    assert (tmp_path / "out/squares.png").exists()


SPEC = """
name = "{layer}"
model = "one_hidden"
loss = "mse"
layers = ["{layer}"]
[grid]
n_classes = [3]
dim = [4]
aspect_ratio = [1.0]
width = [2]
[sampling]
seed = 0
min_draws = 4
max_draws = 4
target_rse = 0.5
"""


class TwoLayers(Figure):
    """A figure of two sweeps of the same draws, each of one layer."""

    name = "two_layers"
    title = "Two layers"
    source = "Theorem 2"
    sentence = "Two layers."
    numbers, plot = Squares.numbers, Squares.plot

    def select(self, rows: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"n": [4, 8], "square": [1, len(rows)]})


@pytest.mark.usefixtures("registered")
def test_what_it_costs_is_told_where_all_of_it_was_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rmtsim.figures import registry

    TwoLayers.specs = []
    for layer in ("hidden", "output"):
        path = tmp_path / f"{layer}.toml"
        path.write_text(SPEC.format(layer=layer))
        TwoLayers.specs.append(str(path))
    register(TwoLayers)
    monkeypatch.setattr(registry, "_registered", {"two_layers": registry._registered["two_layers"]})
    costs = tmp_path / "out/costs.json"
    for computed in (True, False):  # then drawn from what is there
        main(["reproduce", "all", "--out", str(tmp_path / "out")])
        assert ("two_layers" in json.loads(costs.read_text("utf-8"))) is computed


def installed(folder: Path, package: str, module: str, content: str) -> None:
    """Install a package in a folder whose entry point is a module."""
    (folder / f"{module}.py").write_text(content)
    about = folder / f"{package}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[rmtsim.figures]\nown = {module}\n")


def listed(folder: Path, *line: str) -> tuple[list[str], str]:
    """Return the names that the command line lists with a folder on Python's path, and what it says."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(Path(__file__).parents[1])])}
    done = subprocess.run(
        [sys.executable, *(line or ("-m", "rmtsim")), "figure", "--list", "--json"],
        env=environment, capture_output=True, text=True, check=False, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [figure["name"] for figure in json.loads(done.stdout)], done.stderr


OWN = """
from rmtsim.figures import Figure, register


@register
class Own(Figure):
    name, title, source, sentence, specs = "own", "Own", "Mine", "It is mine.", ("linear_mse",)

    def numbers(self, rows): ...

    def plot(self, numbers): ...
"""


def test_the_command_line_has_figures_of_installed_packages(tmp_path: Path) -> None:
    """One is listed last; one that cannot be imported is named and left out, with the figure that it has by then."""
    installed(tmp_path, "own-figures", "own_figures", OWN)
    installed(tmp_path, "other-figures", "other_figures", OWN.replace('"own"', '"other"') + "1 / 0\n")
    names, said = listed(tmp_path)
    assert names[-1] == "own"
    assert "fig8" in names
    assert "other" not in names
    assert "own" not in all_figures()  # without the package there is none
    assert said.splitlines() == [
        "figure: other_figures of the installed package other-figures is left out, for it cannot be imported "
        "(ZeroDivisionError: division by zero); correct it, or uninstall the package"
    ]


def test_what_a_package_registers_from_elsewhere_is_left_out_with_it(tmp_path: Path) -> None:
    (tmp_path / "other_parts.py").write_text(OWN.replace('"own"', '"other"'))
    installed(tmp_path, "own-figures", "own_figures", OWN)
    installed(tmp_path, "other-figures", "other_figures", "import other_parts\n1 / 0\n")
    names, said = listed(tmp_path)
    assert ("own" in names, "other" in names) == (True, False)
    assert "other_figures of the installed package other-figures is left out" in said


def test_a_package_that_fails_takes_no_figure_of_a_sound_one_along(tmp_path: Path) -> None:
    """Though the sound one is not imported anew."""
    installed(tmp_path, "own-figures", "own_figures", OWN)
    installed(tmp_path, "a-failing-one", "a_failing_one", "import own_figures\n1 / 0\n")
    names, said = listed(tmp_path)
    assert "own" in names
    assert "a_failing_one of the installed package a-failing-one is left out" in said


def test_a_file_that_ends_with_the_command_line_has_its_figure(tmp_path: Path) -> None:
    end = "\nif __name__ == '__main__':\n    import sys\n    from rmtsim.cli.main import main\n    sys.exit(main())\n"
    (tmp_path / "own.py").write_text(OWN + end)
    assert listed(tmp_path, "own.py")[0][-1] == "own"
