"""The tutorials and the explanations: their commands and their Python are run, and print what the pages say."""

from __future__ import annotations

from pathlib import Path

import pytest

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
