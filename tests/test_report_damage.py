"""Reports of stores that are damaged, or hold what no spec names: it is said, and left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from rmtsim.cli.main import main
from rmtsim.pages.elements import element
from rmtsim.store import Store
from tests.html_pages import foreign, parsed, section, tables, words
from tests.report_stores import DONE, GOLDEN, folder, made, plain, report_of, undrawn
from tests.shards import flipped

__all__ = ["folder", "made", "plain", "undrawn"]  # fixtures


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
