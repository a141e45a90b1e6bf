"""Heads of trained networks: the count of classes that the results speak of, and the page of results."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rmtsim
from harness.wavering import pairs_seen

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results" / "heads.md"


@pytest.mark.parametrize("scale", [0.01, 1.0, 20.0])
def test_the_ratio_of_orthogonal_samples_is_that_of_their_classes(scale: float) -> None:
    """Where x_n·x_m = 0, each block is a sum of blocks of samples that do not overlap."""
    rng = np.random.default_rng(0)
    V, X = rng.normal(size=(30, 12)), np.arange(1, 13)[:, None] * np.linalg.qr(rng.normal(size=(12, 12)))[0] / 3
    found = rmtsim.measure(V, X, scale=scale, nulls=())
    assert found.ratio == pytest.approx(1 / (29 * pairs_seen(V, X, scale=scale)), rel=1e-9)
    if scale == 1:  # correlated samples have another
        X = X + X.sum(axis=0)
        found = rmtsim.measure(V, X, nulls=())
        assert found.ratio != pytest.approx(1 / (29 * pairs_seen(V, X)), rel=0.05)


def test_the_bias_is_the_weight_of_an_input_of_one() -> None:
    rng = np.random.default_rng(0)
    V, X, bias = rng.normal(size=(30, 12)), rng.normal(size=(5, 12)), rng.normal(size=30)
    whole = pairs_seen(np.column_stack([V, bias]), np.column_stack([X, np.ones(5)]))
    assert pairs_seen(V, X, bias) == pytest.approx(whole, rel=1e-12)
    one = rmtsim.measure(V, X[:1], bias=bias, nulls=())
    assert one.ratio == pytest.approx(1 / (29 * pairs_seen(V, X[:1], bias)), rel=1e-9)


def test_samples_that_waver_between_two_classes_see_one_pair() -> None:
    V = np.zeros((5, 4))
    V[[0, 1]] = 100.0
    assert pairs_seen(V, np.ones((3, 4))) == pytest.approx(1)
    assert pairs_seen(np.zeros((5, 4)), np.ones((3, 4))) == pytest.approx(4)


def called(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)


def test_what_is_lacking_is_told() -> None:
    """With no package but those of the tests, and nothing is installed or written."""
    before = PAGE.read_bytes()
    done = called("-m", "benchmarks", "--only", "heads", "--quick")
    assert done.returncode == 1
    assert re.search("heads: there is no .*ddddocr.*textgenrnn; run it in an environment of its own: ", done.stderr)
    assert "Traceback" not in done.stderr
    assert PAGE.read_bytes() == before


#: A page of numbers that no run had.
RENDER = """
from benchmarks import heads
from benchmarks.heads_page import numbers, page
from benchmarks.report import Part, Table
row = {"network": "one", "n_classes": 17, "effective_classes": 1.25, "k": 1.75, "nearest": "1/C²"}
over = {f"ratio over {form}": 3.5 for form in heads.LAWS}
first = [{"network": "one", "ratio": 0.015625}], [{"network": "one", "measured": 0.5, "theorem": 0.125}], [row | over]
tables = [Table("", rows) for rows in (*first, *([{"network": "one", **over}] for _ in range(3)))]
part = Part("what was done", tables)
print(page(part, {"one": "a network"}, [*heads.LAWS], ["run it"]), numbers(part), sep="=====")
"""


def test_every_number_of_the_page_is_of_the_run() -> None:
    done = called("-c", RENDER)
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert (
        "is 4 to 4 times that of the theorem at their own C, d and N. Nearest, of the laws below, is 1/C² for 1 of 1."
        in words
    )
    for said in ("0.01562", "what was done", "1/C²: nearest for one", "up to 3.5", "    run it\n"):
        assert said in done.stdout
    for page, made in zip((PAGE, PAGE.parent / "numbers" / PAGE.name), done.stdout.split("====="), strict=True):
        written = re.sub(r"\| .*", "", page.read_text("utf-8"))
        assert re.findall(r"^## .*", made, re.MULTILINE) == re.findall(r"^## .*", written, re.MULTILINE)


def test_the_page_leads_somewhere() -> None:
    links = re.findall(r"\]\((.*?)\)", PAGE.read_text("utf-8"))
    assert links
    assert all((PAGE.parent / link).exists() for link in links)
