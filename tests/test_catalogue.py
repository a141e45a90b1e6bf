"""The catalogue of figures: its words are whole, `--list` prints them, `reproduce all` makes a gallery."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing

from harness.specs import LINEAR
from rmtsim.cli.main import main
from rmtsim.errors import InputError, RunError
from rmtsim.figures import Figure, all_figures, get_figure, register, registry
from rmtsim.figures.costs import FILE, Cost, cost_of, in_words, read_costs
from rmtsim.figures.registry import DEFAULT, select_figures
from rmtsim.model.point import Point
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.sweeps.spec import load
from rmtsim.theory import finite
from tests.synthetic import sweep_of


def test_every_figure_is_whole() -> None:
    for figure in all_figures().values():
        figure.check()
        assert figure.sentence.count("$") % 2 == 0, figure.name
        assert figure.place < math.inf, figure.name
        assert all(load(spec).points() for full in (False, True) for spec in figure.sweeps(full))
        assert not figure.has_full_size or cost_of(figure) != cost_of(figure, full=True), figure.name


def test_what_an_experiment_is_called_is_what_reproduces_it() -> None:
    """Messages on missing tables name the experiment."""
    for figure in all_figures().values():
        if not figure.specs and not figure.data:
            assert all(figure in select_figures([figure.tables(full).name]) for full in (False, True))


def test_names_stand_for_figures() -> None:
    assert [figure.name for figure in select_figures(DEFAULT)] == ["fig8", "fig8_mse", "fig9", "fig9_mse"]
    assert [figure.name for figure in select_figures(["fig8_mse", "fig8"])] == ["fig8_mse", "fig8"]
    everything = select_figures(["all"])
    assert {figure.name for figure in everything} == set(all_figures())
    costs = [cost_of(figure).seconds for figure in everything]
    assert costs == sorted(costs)
    with pytest.raises(InputError, match=r"choose one of all, .*fig8, fig9, "):
        select_figures(["fig8", "fig88"])


def test_times_in_words() -> None:
    said = {
        0.2: "1 s",
        59.4: "59 s",
        59.6: "1 min",
        205: "3 min 25 s",
        7200: "2 h",
        7505: "2 h 5 min",
        math.inf: "not measured",
    }
    assert {seconds: in_words(Cost(seconds)) for seconds in said} == said


def test_the_list_names_source_cost_and_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["figure", "--list"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["figure", "source", "2", "cores", "--full", "command"]
    assert main(["figure", "--list", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [record["name"] for record in records] == list(all_figures())
    for line, record in zip(lines, records, strict=True):
        shown = [record[key] for key in ("name", "source", "cost", "full_cost", "command")]
        assert re.split(r"\s{2,}", line) == shown
        assert record["command"].startswith(f"rmtsim reproduce {record['name']}")


@pytest.mark.parametrize("columns", [80, 160])
def test_the_list_fits_the_terminal(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["figure", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[-1].endswith("would have room for: --full, command)") == (columns == 80)


class Toy(Figure):
    """A figure of one number."""

    name = "toy"
    title = "A toy"
    source = "here"
    sentence = "On toy."

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        parameters = {"full": full, "data": data}
        return Experiment("toy", [Task("t", parameters, lambda: pd.DataFrame({"value": [2.5 if full else 1.5]}))])

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        return rows

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        return Drawing()

    def text(self, numbers: pd.DataFrame) -> str:
        return f"is {numbers['value'].iloc[0]}"


class Own(Toy):
    name = "own"
    title = "A figure of the user's data"
    sentence = "On own."
    data = "eggs"


class Broken(Toy):
    name = "broken"
    title = "A broken figure"
    sentence = "On broken."

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        def compute() -> pd.DataFrame:
            raise RunError("toy: the bits are worn out; buy new ones")

        return Experiment("broken", [Task("t", {}, compute)])


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry of four: a sweep, an experiment, one that fails, one that needs data."""
    (tmp_path / "small.toml").write_text(LINEAR.format(draws=6, target_rse=0.9))
    decay = get_figure("fig8_mse")
    monkeypatch.setattr(decay, "specs", [str(tmp_path / "small.toml")])
    monkeypatch.setattr(decay, "quantities", ("diag",))  # two panels are drawn in a third of the time of six
    monkeypatch.setattr(registry, "_PACKAGES", ())
    monkeypatch.setattr(registry, "_registered", {"fig8_mse": decay})
    for kind in (Broken, Toy, Own):
        register(kind)
    cost = Cost(2, 2)
    costs = {("fig8_mse", False): Cost(3, 2), ("broken", False): cost, ("toy", False): Cost(1, 2)}
    costs |= {("own", False): Cost(4, 2)}
    monkeypatch.setattr("rmtsim.figures.costs.stored_costs", lambda: costs)
    monkeypatch.setattr("rmtsim.figures.gallery.stored_costs", lambda: costs)
    return tmp_path / "out"


def sections(out: Path) -> dict[str, str]:
    _, *parts = (out / "gallery.md").read_text("utf-8").split("\n## ")
    return {part.split("\n")[0]: part for part in parts}


def test_all_goes_on_and_makes_a_gallery(toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "all", "--out", str(toys)]) == 1
    said = capsys.readouterr()
    assert "broken: left out: 1 of its 1 table failed: toy: the bits are worn out; buy new ones\n" in said.err
    assert "own: left out: needs eggs; give --data FOLDER\n" in said.err
    assert [line.split(":")[0].split("/")[-1] for line in said.err.splitlines() if ": drawn" in line] == [
        "toy.png, .pdf",  # cheapest first
        "fig8_mse.png, .pdf",
    ]
    found = sections(toys)
    assert list(found) == ["fig8_mse", "broken", "toy", "own"]  # by their places
    for name, section in found.items():
        assert name == "fig8_mse" or f"> On {name}." in section
        pictures = re.findall(r"!\[.*?\]\((.*?)\)", section)
        assert [(toys / picture).read_bytes()[:4] for picture in pictures] == [b"\x89PNG"] * (
            name in ("fig8_mse", "toy")
        )
    assert "is 1.5" in found["toy"]
    assert "computed and drawn in" in found["toy"]
    assert "zero in every draw" in found["fig8_mse"]
    assert "- 1 of 2 measured values agree with the theory at their own C, d, N, 1 is not decided" in found["fig8_mse"]
    assert "4 more are equal by identity" in found["fig8_mse"]
    assert "Not drawn: 1 of its 1 table failed: toy: the bits are worn out; buy new ones" in found["broken"]
    assert "`rmtsim reproduce own --data FOLDER`" in found["own"]
    page = (toys / "gallery.md").read_text("utf-8")
    assert re.search(r"\[broken\]\(#broken\) +\| here +\| 2 s( \(2 cores\))? +\| 2 s", page)
    assert re.search(r"\[toy\]\(#toy\) +\| here +\| \d[^|]* \| not measured +\|", page)
    assert (toys / "verdicts.txt").exists()


def test_the_gallery_measures_what_figures_cost(toys: Path) -> None:
    main(["reproduce", "all", "--out", str(toys), "--workers", "1"])
    first = read_costs((toys / FILE).read_text("utf-8"))
    assert first["broken", False] == Cost(2, 2)  # not made, so the former time stays
    for name in ("toy", "fig8_mse"):
        cost = first[name, False]
        assert cost.cores == 1
        assert cost.date
        assert cost.processor
        assert 0 < cost.seconds < 60
    assert ("toy", True) not in first
    main(["reproduce", "all", "--out", str(toys), "--workers", "1"])  # draws what is stored: that is not its cost
    assert read_costs((toys / FILE).read_text("utf-8"))["toy", False] == Cost(1, 2)


def test_a_repeat_redraws_and_full_keeps_tables_of_its_own(toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = toys / "store" / "experiments" / "toy"
    assert main(["reproduce", "toy", "--out", str(toys)]) == 0
    assert not (toys / "gallery.md").exists()
    [reduced] = tables.glob("*.parquet")
    before = reduced.read_bytes()
    assert main(["reproduce", "all", "--data", "eggs", "--out", str(toys)]) == 1  # broken remains
    assert "drawn from stored tables in" in sections(toys)["toy"]
    assert "computed and drawn in" in sections(toys)["own"]
    capsys.readouterr()
    assert main(["reproduce", "toy", "--full", "--out", str(toys)]) == 0
    said = capsys.readouterr()
    assert said.out == "is 2.5\n"
    assert "toy: 1 new table; 1 of 1 tables done\n" in said.err
    assert reduced.read_bytes() == before
    assert len(list(tables.glob("*.parquet"))) == 3
    assert main(["reproduce", "all", "--out", str(toys)]) == 1  # what is there with --full is shown too
    found = sections(toys)
    assert "is 1.5" in found["toy"]
    assert "With `--full`:\n\n![A toy, with --full](toy_full.png)" in found["toy"]
    assert "is 2.5" in found["toy"]
    assert "`rmtsim reproduce toy --full`" in found["toy"]
    assert "With `--full`:\n" not in found["own"] + found["fig8_mse"]
    assert (toys / "toy_full.png").exists()
    capsys.readouterr()
    for full, value in (([], "1.5"), (["--full"], "2.5")):
        assert main(["figure", "toy", *full, "--store", str(toys / "store"), "--out", str(toys / "f.png")]) == 0
        assert main(["reproduce", "toy", *full, "--out", str(toys)]) == 0
        assert capsys.readouterr().out == f"is {value}\n"


def test_a_figure_asked_for_by_name_is_not_left_out(toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "fig8_mse", "own", "--out", str(toys)]) == 2
    assert capsys.readouterr().err == "rmtsim reproduce: own: needs eggs; give --data FOLDER\n"
    assert not toys.exists()
    assert main(["reproduce", "broken", "--out", str(toys)]) == 1


def test_a_headline_has_the_rate_of_the_draws() -> None:
    """The theory's own values agree with the theorem; values that fall more slowly do not."""
    points = [Point("linear", "ce", C, 100, 200) for C in (10, 20, 50, 100, 200, 500, 1000)]
    exact = [finite("linear", "ce", point.n_classes, 100, 200)[0] for point in points]
    tables = [
        sweep_of(points, [{"linear": (p.diag, p.offdiag * p.n_classes**slower)} for p in exact], rse=0.002)
        for slower in (0, 0.5)
    ]
    figure = get_figure("fig8")
    good, slow = (figure.headline(figure.numbers(table)) for table in tables)
    found = [re.search(r"p = (\S+) ± (\S+) \(bias of the fit (\S+)\); theorem: -2; (\w+)", s) for s in (good, slow)]
    rates = [[float(number) for number in match.groups()[:3]] for match in found if match]
    for (power, error, bias), expected in zip(rates, (-2, -1.5), strict=True):
        assert power - bias == pytest.approx(expected, abs=5 * error)
        assert abs(bias) < 0.05
    assert [match[4] for match in found if match] == ["agrees", "differs"]
    assert "21 of 21 measured values agree" in good
    assert float(re.findall(r"differs, off by (\S+) ±", slow)[0]) == pytest.approx(0.5, abs=0.005)
    assert "7 of 21 measured values agree" in slow
