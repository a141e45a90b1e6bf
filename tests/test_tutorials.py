"""The tutorials and the explanations: their commands and their Python are run, and print what the pages say."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmtsim.kernels.cost import _SAMPLED_CLASSES
from rmtsim.store.compact import MANY
from rmtsim.store.lock import PATIENCE, RENEWAL
from rmtsim.sweeps.scheduler import ATTEMPTS, LOSSES
from tests.markdown import ROOT
from tests.pages import blocks, run_page

PAGES = sorted([*(ROOT / "docs" / "tutorials").glob("*.md"), *(ROOT / "docs" / "explanation").glob("*.md")])
RUN = [page for page in PAGES if {language for language, _ in blocks(page)} & {"sh", "python", "console"}]


def test_these_pages_have_what_runs() -> None:
    tutorials = {"a-sweep-of-your-own", "first-ten-minutes", "the-last-layer-of-your-own-network"}
    assert {page.stem for page in RUN} == {*tutorials, "laws", "theory"}


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_a_page_does_what_it_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_page(page, tmp_path, monkeypatch)


def test_numbers_of_the_explanations_are_those_of_the_code() -> None:
    durability, algebra, blocks_page = (
        " ".join((ROOT / "docs" / "explanation" / f"{name}.md").read_text("utf-8").split())
        for name in ("durability", "algebra", "blocks")
    )
    assert f"renews it every {RENEWAL:.0f} s" in durability
    assert f"stood still for {PATIENCE:.0f} s" in durability
    assert f"one large shard of {MANY} small ones" in durability
    assert (ATTEMPTS, LOSSES) == (3, 10)
    assert "tried three times, or ten times if its worker died with it" in durability
    assert f"from {_SAMPLED_CLASSES} of the classes where there are {8 * _SAMPLED_CLASSES} or more" in algebra
    sizes = (ROOT / "benchmarks" / "pages" / "block_picture.py").read_text("utf-8")
    assert "CLASSES, DIM, SAMPLES = (3, 10, 50), 12, 6\n" in sizes
    assert "at d = 12 and N = 6" in blocks_page
