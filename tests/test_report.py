"""The report of a store: whole and alone, its numbers those of `fit` and `status`, and honest about what is missing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

import rmtsim
from rmtsim.cli.main import main
from rmtsim.pages import contents as reading
from rmtsim.pages.contents import read_contents
from rmtsim.pages.report import page
from rmtsim.stats.fit import Fit, fit
from rmtsim.store import Store
from rmtsim.store.merge import merge
from rmtsim.sweeps.selection import Selection
from tests.html_pages import SVG, foreign, parsed, section, tables, words
from tests.report_stores import made, plain, report_of, undrawn
from tests.s3 import location, s3, s3_server

__all__ = ["location", "made", "plain", "s3", "s3_server", "undrawn"]  # fixtures


@pytest.fixture(scope="module")
def text(made: Path) -> str:
    """The report of the store."""
    return page(read_contents(Store(made), Selection()), "report.html")


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


def test_a_selection(plain: None, made: Path) -> None:
    root = parsed(report_of(made, sweep="limited"))
    assert set(tables(section(root, "points"))) == {"Points of limited"}
    assert "The draws that --sweep select" in words(root.find(".//header"))
    assert "limited.toml" in words(section(root, "again").find("pre/code")).splitlines()[0]
    root = parsed(report_of(made, where="n_classes == 10"))
    assert [row["C"] for row in tables(section(root, "points"))["Points of done"]] == ["10"]
    with pytest.raises(rmtsim.InputError, match=r"--seed: .* has no such draws; it has draws of the seed 0; give"):
        report_of(made, seed=77)


def test_few_rows_are_held_at_a_time(plain: None, made: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_KEPT", 100)
    contents = read_contents(Store(made), Selection())
    assert contents._kept is None
    verdicts = tables(section(parsed(page(contents, "report.html")), "verdicts"))
    assert verdicts == tables(section(parsed(text), "verdicts"))
    point = contents.specs[1].points()[0].id
    assert len(contents.draws({point})) == (Store(made).read()["point_id"] == point).sum()


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
        (["--out", str(tmp_path / "r.pdf")], "--out: .* has the suffix '.pdf'; give a file that ends in .html"),
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
