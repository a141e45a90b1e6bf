"""The report of a store: whole and alone, its numbers those of `fit` and `status`, and honest about what is missing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing

import rmtsim
from rmtsim.cli.main import main
from rmtsim.figures import Figure, get_figure, register, registry
from rmtsim.pages import contents as reading
from rmtsim.pages.contents import read_contents
from rmtsim.pages.elements import element
from rmtsim.pages.pictures import _of_means
from rmtsim.pages.report import page
from rmtsim.pages.vector_graphics import inline_svg
from rmtsim.stats.fit import Fit, fit
from rmtsim.stats.summary import summarize
from rmtsim.store import Store
from rmtsim.store.merge import merge
from rmtsim.sweeps.documents import builtin
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.sweeps.selection import Selection
from rmtsim.sweeps.spec import Sampling, Spec, from_document, load
from rmtsim.text.toml_text import toml_text
from tests.html_pages import SVG, foreign, parsed, section, tables, words
from tests.s3 import location, s3, s3_server
from tests.shards import flipped
from tests.synthetic import with_heavy_tails

__all__ = ["location", "s3", "s3_server"]  # fixtures

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


@pytest.fixture(scope="module")
def text(made: Path) -> str:
    """The report of the store."""
    return page(read_contents(Store(made), Selection()), "report.html")


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


def test_it_is_whole_and_needs_nothing_else(text: str) -> None:
    root = parsed(text)
    assert root.get("lang") == "en"
    assert foreign(root) == []
    names = [part.get("id") for part in root.iter() if part.get("id")]
    assert len(names) == len(set(names))
    links = [part.get("href", "") for part in root.iter() if part.get("href", "").startswith("#")]
    assert links
    assert {link[1:] for link in links} <= set(names)
    levels = [int(part.tag[1]) for part in root.iter() if part.tag in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(second - first <= 1 for first, second in pairwise(levels))
    for table in root.iter("table"):
        assert table.find("caption") is not None
        assert all(cell.get("scope") for cell in table.iter("th"))
    pictures = list(root.iter(f"{SVG}svg"))
    assert len(pictures) == 2  # one sweep against C, and the diagonal norm of another against d
    for picture in pictures:
        assert picture.get("role") == "img"
        described = [picture.find(f"{SVG}{tag}") for tag in ("title", "desc")]
        assert picture.get("aria-labelledby") == " ".join(str(part.get("id")) for part in described if part is not None)
    assert [words(title) for title in root.iter("h2")] == [
        "What was run", "Verdicts", "Figures", "Points", "What is damaged or missing", "How to reproduce it",
    ]  # fmt: skip


def test_the_parser_of_these_tests_sees_what_is_foreign() -> None:
    """A negative control."""
    for bad in (
        "<img src='https://a/b'/>", "<script>1</script>", "<style>@import 'x';</style>", "<b onclick='x()'/>",
        "<p style='background: url(//a/b)'/>", "<svg xmlns='http://www.w3.org/2000/svg'><image href='a.png'/></svg>",
    ):  # fmt: skip
        assert foreign(parsed(f"<!DOCTYPE html>\n<html>{bad}</html>"))
    assert not foreign(parsed("<!DOCTYPE html>\n<html><a href='#b' style='fill: url(#c)'/></html>"))
    with pytest.raises(SyntaxError):
        parsed("<!DOCTYPE html>\n<html><p>a < b</p></html>")


def test_claims_are_those_of_fit(made: Path, text: str) -> None:
    report = fit(Store(made))
    found = tables(section(parsed(text), "verdicts"))
    claims = report.claims
    agreeing = claims[claims["verdict"].isin(["agrees", "differs", "not decided"])]
    shown = found["Claims of Theorems 1 and 2 on powers of C and constants"]
    assert len(shown) == len(agreeing) > 0
    for row, (_, claim) in zip(shown, agreeing.iterrows(), strict=True):
        assert (row["quantity"], row["verdict"]) == (claim["quantity"], claim["verdict"])
        assert float(row["Δpower"]) == pytest.approx(claim["exponent_deviation"], abs=6e-5)
        assert float(row["MDE of ±s.e."].rstrip("%")) > 0
        assert f"d = {claim['dim']}" in row["group"]
    assert "offdiag, ratio" in [row["quantities"] for row in found["Identities"]]
    reasons = {row["why"] for row in found["Claims without a verdict"]}
    assert reasons == set(claims.loc[claims["verdict"] == "not tested", "reason"])
    said = words(section(parsed(text), "verdicts"))
    counts = claims["verdict"].value_counts()
    assert f"Of {len(claims)} claims, {counts['agrees']} agree, {counts['exact']} are exact by identity" in said
    assert f"Holm's rule covers the {len(agreeing)} claim" in said
    assert all(line in said for line in report.tally(10_000).splitlines())


def test_values_are_those_of_fit(made: Path, text: str) -> None:
    values = fit(Store(made)).compared
    shown = tables(section(parsed(text), "verdicts"))["Measured values beside the theory at their own C, d, N"]
    assert len(shown) == len(values)
    for row, (_, value) in zip(shown, values.iterrows(), strict=True):
        assert (row["C"], row["quantity"], row["verdict"]) == (
            str(value["n_classes"]),
            value["quantity"],
            value["verdict"],
        )
        if not pd.isna(value["measured"]):
            assert float(row["measured"]) == pytest.approx(value["measured"], rel=1e-4)
            assert float(row["theory"]) == pytest.approx(value["finite"], rel=1e-4)


def test_points_are_those_of_status(made: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--store", str(made), "--json"]) == 3
    points = json.loads(capsys.readouterr().out)["points"]
    found = tables(section(parsed(text), "points"))
    shown = {name: found[f"Points of {name}"] for name in ("begun", "done", "limited")}
    for row in points:
        [cells] = [
            one for one in shown[row["sweep"]] if (one["C"], one["d"]) == (str(row["n_classes"]), str(row["dim"]))
        ]
        assert (cells["state"], cells["draws"]) == (row["state"], str(row["draws"]))
        assert cells["rse"] == ("–" if row["rse"] is None else f"{row['rse']:.2%}")
    assert {row["state"] for row in points} == {"done", "limited", "partial", "new"}
    assert any("max_draws = 8 used up" in one["what limits it"] for one in shown["limited"])
    said = words(parsed(text).find(".//main"))
    assert "The store is unfinished: 3 points want more draws" in said
    assert "1 point used up max_draws above the target" in said


def test_what_was_run_can_be_run_again(made: Path, text: str) -> None:
    again = section(parsed(text), "again")
    texts = [words(part) for part in again.findall("pre/code")]
    commands, *specs = texts
    assert f"rmtsim run done.toml --store {made}" in commands
    assert commands.splitlines()[-1] == f"rmtsim report --store {made} --out report.html"
    assert [tomllib.loads(spec) for spec in specs] == Store(made).specs()
    [row] = tables(section(parsed(text), "run"))["How the rows of draws were made"]
    rows = Store(made).read()
    assert (row["rmtsim"], row["backend"], row["dtype"]) == (rmtsim.__version__, "numpy", "float64")
    assert int(row["rows"]) == len(rows)
    assert "openblas" in row["BLAS and its kernel, by the processor"].lower()


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


def test_equal_stores_give_equal_files(undrawn: None, made: Path) -> None:
    """Also in a process whose sets have another order; that equal drawings do is a test below."""
    script = "import sys, rmtsim; rmtsim.report(sys.argv[1], sys.argv[2], theory=False)"
    patch = "import rmtsim.pages.report as r; r.pictures_of = lambda *_: iter(()); "
    out = made.parent / "report.html"
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", patch + script, made, out], check=True, env=environment)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("rmtsim.pages.report.pictures_of", lambda *_: iter(()))
        assert report_of(made, theory=False) == out.read_text("utf-8")
    first, again = (report_of(made) for _ in range(2))
    assert first == again
    assert "<svg" in first


def test_everything_is_escaped(plain: None, folder: Path) -> None:
    bad = "<script>alert(1)</script> & \"'\x1b[31m"
    hostile = folder.rename(folder.parent / "a <script>alert(1)<&script> ' \" é")
    (hostile / "sweeps" / "<b>&.json").write_text(json.dumps({"name": "<b>&", "sampling": {}, "x": bad}))
    (hostile / "experiments" / "<i>&amp;").mkdir(parents=True)
    (hostile / "experiments" / "<i>&amp;" / "_spec.json").write_text(json.dumps({"spec": {"name": bad}, "tables": []}))
    text = report_of(hostile)
    said = words(parsed(text))
    assert foreign(parsed(text)) == []
    assert "<script>alert(1)<&script>" in said
    assert "<b>&.json is not a valid spec" in said
    assert "<i>&amp;" in said
    assert "\x1b" not in text
    assert element("p", bad, title=bad) == (
        '<p title="&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;&#x27;\\x1b[31m">'
        "&lt;script&gt;alert(1)&lt;/script&gt; &amp; \"'\\x1b[31m</p>"
    )


def test_damage_is_named_and_left_out(plain: None, folder: Path) -> None:
    whole = report_of(folder)
    assert "nothing is missing" in words(section(parsed(whole), "damage"))
    shards = sorted((folder / "draws").glob("*.parquet"))
    counts = [len(pd.read_parquet(shard)) for shard in shards]
    shards[1].write_bytes(flipped(shards[1].read_bytes(), 300))
    shards[2].unlink()
    (folder / "sweeps" / "limited.json").write_text("{")
    (folder / "experiments" / "e").mkdir(parents=True)
    (folder / "experiments" / "e" / "t-0123456789ab.parquet").write_bytes(b"PAR1")
    text = report_of(folder)
    damage = section(parsed(text), "damage")
    kinds = {row["what"].split(" ")[0].rpartition("/")[2]: row["kind"] for row in tables(damage)["Damaged or missing"]}
    assert kinds == {
        shards[1].name: "torn",
        "limited.json": "torn",
        "commit": "missing",
        "t-0123456789ab.parquet": "torn",
    }
    assert f"{len(shards) - 2} shards with {sum(counts) - counts[1] - counts[2]} rows" in words(damage)
    assert "damaged or missing: 4 findings, named below" in words(parsed(text).find(".//main"))
    assert "Points of limited" not in tables(section(parsed(text), "points"))
    assert main(["report", "--store", str(folder), "--out", str(folder / "r.html"), "--no-theory"]) == 0


def test_a_torn_page_of_an_earlier_format_is_damage(plain: None, tmp_path: Path) -> None:
    """Its shards have no digest: what is torn in them shows when it is read."""
    store = Path(shutil.copytree(GOLDEN / "format4" / "store", tmp_path / "store"))
    before = words(section(parsed(report_of(store, theory=False)), "damage"))
    assert "could be read, and nothing is missing" in before
    shard = sorted((store / "draws").glob("*.parquet"))[-1]
    shard.write_bytes(flipped(shard.read_bytes(), 60))
    [row] = tables(section(parsed(report_of(store, theory=False)), "damage"))["Damaged or missing"]
    assert (row["kind"], shard.name in row["what"]) == ("torn", True)


def test_rows_that_stand_twice_are_no_report(plain: None, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard = min((folder / "draws").glob("*.parquet"))
    rows = pd.read_parquet(shard)
    with Store(folder).writer() as writer:
        writer.append(rows, DONE)
    assert main(["report", "--store", str(folder), "--out", str(folder.parent / "r.html")]) == 1
    assert "twice, with equal values" in capsys.readouterr().err
    assert not (folder.parent / "r.html").exists()


def test_draws_that_no_spec_names(undrawn: None, folder: Path) -> None:
    (folder / "sweeps" / "done.json").unlink()
    (folder / "sweeps" / "begun.json").unlink()
    root = parsed(report_of(folder))
    assert "No spec in the store asks for" in words(root.find(".//main"))
    titles = [words(title) for title in section(root, "figures").iter("h3")]
    assert "Draws that no spec names: linear model, squared loss" in titles
    assert "all draws are of one point" in words(section(root, "figures"))  # of cross-entropy


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


def test_a_selection(plain: None, made: Path) -> None:
    root = parsed(report_of(made, sweep="limited"))
    assert set(tables(section(root, "points"))) == {"Points of limited"}
    assert "The draws that --sweep select" in words(root.find(".//header"))
    assert "limited.toml" in words(section(root, "again").find("pre/code")).splitlines()[0]
    root = parsed(report_of(made, where="n_classes == 10"))
    assert [row["C"] for row in tables(section(root, "points"))["Points of done"]] == ["10"]
    with pytest.raises(rmtsim.InputError, match=r"--seed: .* has no such draws"):
        report_of(made, seed=77)


def test_few_rows_are_held_at_a_time(plain: None, made: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_ROWS", 100)
    contents = read_contents(Store(made), Selection())
    assert contents._kept is None
    verdicts = tables(section(parsed(page(contents, "report.html")), "verdicts"))
    assert verdicts == tables(section(parsed(text), "verdicts"))
    point = contents.specs[1].points()[0].id
    assert len(contents.draws({point})) == (Store(made).read()["point_id"] == point).sum()


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


def test_the_verb(plain: None, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "r.html"
    out.write_text("before")
    line = ["report", "--store", str(made), "--where", "loss == 'mse'", "--no-theory", "--out", str(out)]
    assert main(line) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"{out}: written\n")
    root = parsed(out.read_text("utf-8"))
    assert "The theory was left out" in words(section(root, "verdicts"))
    assert f"rmtsim report --store {made} --where 'loss == '\"'\"'mse'\"'\"'' --no-theory --out r.html" in words(
        section(root, "again")
    )
    assert "rmtsim fit" not in words(section(root, "again"))
    for wrong, message in (
        (["--out", str(tmp_path / "r.pdf")], "--out: .* has the suffix '.pdf'; give one of .html"),
        (["--out", str(tmp_path / "no" / "r.html")], "there is no folder"),
        (
            ["--out", str(out), "--sweep", "x"],
            "--sweep: .* those that it keeps: begun, done, limited",
        ),
        (["--out", str(out), "--where", "nonsense"], "--where"),
    ):
        before = sorted(tmp_path.iterdir())
        assert main(["report", "--store", str(made), *wrong]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert re.search(message, error), error
        assert sorted(tmp_path.iterdir()) == before


def test_an_empty_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s" / "draws").mkdir(parents=True)
    for store, why in (("s", "holds neither draws nor tables; run a sweep into it first"), ("t", "there is no")):
        assert main(["report", "--store", str(tmp_path / store), "--out", str(tmp_path / "r.html")]) == 2
        error = capsys.readouterr().err
        assert why in error
        assert error.count("\n") == 1
    assert not (tmp_path / "r.html").exists()


def test_from_python(plain: None, made: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    assert rmtsim.report(made, out, sweep="done", theory=False) is None
    assert set(tables(section(parsed(out.read_text("utf-8")), "points"))) == {"Points of done"}
    for wrong, message in (
        ({"path": tmp_path / "r.txt"}, "^path: "),
        ({"where": "a ="}, "^where: "),
        ({"sweep": "x"}, "^sweep: "),
        ({"seed": -1}, "^seed: "),
        ({"theory": "no"}, "^theory: "),
        ({"store": tmp_path / "none"}, "^store: there is no"),
    ):
        with pytest.raises(rmtsim.InputError, match=message):
            rmtsim.report(**({"store": made, "path": out} | wrong))


def test_on_a_server(plain: None, s3: str, made: Path, text: str) -> None:
    """The same numbers as in a directory; secrets of the address are not shown."""
    merge([str(made)], Store(s3), lambda _: [])
    address = s3.replace("s3://", "s3://test:secretsecret@")
    root = parsed(report_of(address, theory=False))
    for name in ("run", "points"):
        assert tables(section(root, name)) == tables(section(parsed(text), name))
    assert "secretsecret" not in words(root)
    assert "rmtsim report --store 's3://***@bucket" in words(section(root, "again"))


def test_fit_is_what_is_shown(made: Path, text: str, monkeypatch: pytest.MonkeyPatch, plain: None) -> None:
    """A negative control: another verdict of `fit` is another page."""
    real = reading.summarize

    def worse(rows: pd.DataFrame) -> pd.DataFrame:
        means = real(rows)
        return means.assign(diag_sqfro=means["diag_sqfro"] * 1.5)

    monkeypatch.setattr(reading, "summarize", worse)
    root = parsed(report_of(made))
    assert "1 claim of the theorems differs from the draws" in words(root.find(".//main"))
    assert "Values that differ from the theory" in tables(section(root, "verdicts"))
    assert "Values that differ from the theory" not in tables(section(parsed(text), "verdicts"))
    assert isinstance(fit(Store(made)), Fit)
