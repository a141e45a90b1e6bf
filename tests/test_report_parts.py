"""Parts of a report: specs, tables of experiments, figures, tails, long tables."""

from __future__ import annotations

import tomllib
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing

import rmtsim
from rmtsim.cli.main import main
from rmtsim.figures import Figure, get_figure, register, registry
from rmtsim.pages.pictures import _of_means
from rmtsim.pages.vector_graphics import inline_svg
from rmtsim.stats.summary import summarize
from rmtsim.store import Store
from rmtsim.sweeps.documents import builtin
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.sweeps.spec import Sampling, Spec, load
from rmtsim.text.toml_text import toml_text
from tests.html_pages import SVG, parsed, section, tables, words
from tests.report_stores import GOLDEN, plain, report_of, undrawn
from tests.synthetic import with_heavy_tails

__all__ = ["plain", "undrawn"]  # fixtures


def test_specs_that_come_with_rmtsim_are_run_by_name(plain: None, tmp_path: Path) -> None:
    with Store(tmp_path / "s").writer() as writer:
        writer.save_spec("linear_mse", load("linear_mse").document())
    texts = [words(part) for part in section(parsed(report_of(tmp_path / "s")), "again").findall("pre/code")]
    assert f"rmtsim run linear_mse --store {tmp_path / 's'}" in texts[0].splitlines()
    assert texts[1] == builtin()["linear_mse"]


@pytest.mark.parametrize("document", [tomllib.loads(text) for text in builtin().values()], ids=list(builtin()))
def test_specs_are_written_as_toml(document: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text(document)) == document


def test_odd_texts_are_written_as_toml() -> None:
    document = {"name": 'a"b\\c\n\x7f\t é', "odd key": True, "t": {"x": [1e-300, -0.5, 10**12, "#"], "é": []}}
    assert tomllib.loads(toml_text(document)) == document
    with pytest.raises(rmtsim.InputError, match="NoneType is not a value of TOML"):
        toml_text({"a": None})


def test_a_heavy_tail_is_said(plain: None, tmp_path: Path) -> None:
    rows = pd.concat([rmtsim.simulate(rmtsim.Point("linear", "ce", C, 30, 60), 32) for C in (2, 20)])
    heavy = with_heavy_tails(rows, rows["n_classes"] == 20)
    heavy.attrs = rows.attrs
    spec = Spec(name="h", model="linear", loss="ce", n_classes=[2, 20], aspect_ratio=[0.5], dim=[30])
    with Store(tmp_path / "s").writer() as writer:
        writer.save_spec("h", spec.document())
        writer.append(heavy, spec.document())
    root = parsed(report_of(tmp_path / "s"))
    assert "1 point has too heavy a tail for a mean to be trusted" in words(root.find(".//main"))
    lines = tables(section(root, "points"))["Points of h"]
    assert ["tail" in line["what limits it"] for line in lines] == [False, True]


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.glob("format*")))
def test_earlier_formats(name: str, plain: None) -> None:
    store = GOLDEN / name / "store"
    root = parsed(report_of(store, theory=False))
    made = tables(section(root, "run"))["How the rows of draws were made"]
    assert sum(int(row["rows"].replace(",", "")) for row in made) == len(Store(store).read())
    assert "nothing is missing" in words(section(root, "damage"))


def test_experiments_alone() -> None:
    root = parsed(report_of(GOLDEN / "unsealed_tables"))
    [row] = tables(section(root, "experiments"))["Experiments"]
    assert (row["experiment"], row["what"]) == ("train", "training runs")
    [made] = tables(section(root, "run"))["How the tables of experiments were made"]
    assert made["tables"] == "2"
    commands, spec = (words(part) for part in section(root, "again").findall("pre/code"))
    assert "rmtsim run train.toml --store" in commands
    assert tomllib.loads(spec)["grid"] == {"n_classes": [2, 3], "dim": [4], "n_samples": [12], "hidden": [[]]}


class Toy(Figure):
    """A figure of two tables, with a picture in it."""

    name, title, source = "toy", "A <toy>", "here"
    sentence = r"It is $\mathcal{O}(1/C)$."

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        tasks = [Task(f"t{k}", {"k": k}, partial(pd.DataFrame, {"value": [k + 0.25]})) for k in range(2)]
        return Experiment("toy", tasks)

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        return rows

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        drawing = Drawing()
        drawing.subplots().imshow([[1, 2]])
        return drawing

    def text(self, numbers: pd.DataFrame) -> str:
        return f"in all {numbers['value'].sum()} & no more"


def test_figures_of_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure of the registry that the tables of an experiment draw, and one whose tables are not all there."""
    get_figure("fig8")
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    register(Toy)
    assert main(["run", "toy", "--store", str(tmp_path / "s"), "--workers", "1"]) == 0
    figures = section(parsed(report_of(tmp_path / "s")), "figures")
    [picture] = figures.iter(f"{SVG}svg")
    assert picture.get("class") == "on-paper"
    assert [row["value"] for row in tables(figures)["Numbers of the figure"]] == ["0.25", "1.25"]
    assert words(figures.find(".//pre")) == "in all 1.5 & no more"
    assert words(figures.find(".//blockquote")) == "It is 𝒪(1/C)."
    [first, _] = sorted((tmp_path / "s" / "experiments" / "toy").glob("*.parquet"))
    first.unlink()
    root = parsed(report_of(tmp_path / "s"))
    [row] = tables(section(root, "experiments"))["Experiments"]
    assert (row["what"], row["state"], row["tables"], row["done"]) == ("A <toy>", "partial", "2", "1")
    assert "not complete: toy" in words(root.find(".//main"))
    assert root.find(".//section[@id='figures']") is None
    assert "rmtsim run toy --store" in words(section(root, "again"))


def test_long_tables_are_cut(plain: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sections", "tables", "verdicts"):
        monkeypatch.setattr(f"rmtsim.pages.{module}.MOST_ROWS", 20)
    sampling = Sampling(min_draws=2, max_draws=2)
    sizes: dict[str, Any] = {"n_classes": [2], "aspect_ratio": [0.5], "dim": range(2, 32)}
    spec = Spec(name="long", model="linear", loss="mse", sampling=sampling, **sizes)
    one = rmtsim.simulate(spec.points()[0], 2)
    rows = pd.concat(
        [
            one.assign(point_id=p.id, dim=p.dim, n_samples=p.n_samples, block_rows=p.dim, block_cols=p.dim)
            for p in spec.points()
        ]
    )
    rows.attrs = one.attrs
    with Store(tmp_path / "s").writer() as writer:
        writer.save_spec("long", spec.document())
        writer.append(rows, spec.document())
    root = parsed(report_of(tmp_path / "s"))
    assert len(tables(section(root, "points"))["Points of long"]) == 20
    assert "20 of 30 points, those that limit first" in words(section(root, "points"))
    assert "The first 20 of 90 values" in words(section(root, "verdicts"))


def test_some_of_many_series_are_drawn(undrawn: None) -> None:
    sizes = [rmtsim.Point("linear", "mse", C, d, 2 * d) for C in (2, 4) for d in range(10, 30)]
    means = summarize(pd.concat([rmtsim.simulate(point, 2) for point in sizes]))
    picture = _of_means("m", "Sweep m: linear", means, theory=False)
    assert picture.note == (
        "Of its series only some are drawn: d = 10, 16, 23, 29, 4 of 20 values. "
        "`rmtsim plot --where EXPR` draws others."
    )
    assert set(picture.tables[""]["dim"]) == {10, 16, 23, 29}
    few = _of_means("m", "Sweep m: linear", means[means["dim"] < 14], theory=False)
    assert (few.note, len(few.tables[""])) == ("", 8)


def test_greys_are_ink_and_paper() -> None:
    figure = Drawing()
    axes = figure.subplots()
    axes.plot([1, 2], color="0.5")
    axes.plot([2, 1], color="#d55e00")
    svg = inline_svg(figure, "f", "<t>", "d & e")
    assert inline_svg(figure, "f", "<t>", "d & e") == svg
    assert "#000000" not in svg
    assert "color-mix(in srgb, var(--ink) 50%, var(--paper))" in svg
    assert "color-mix(in srgb, #d55e00 var(--color), var(--ink))" in svg
    assert 'id="f-title">&lt;t&gt;</title>' in svg
