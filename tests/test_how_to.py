"""The how-to guides: their commands are run, and print what the pages say."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmtsim.figures import get_figure, registry
from tests.markdown import ROOT
from tests.pages import run_page
from tests.s3 import s3, s3_server

__all__ = ["s3", "s3_server"]  # fixtures

PAGES = ("laptop", "merge-stores", "own-data", "own-figures", "report", "resume-and-repair", "theory", "training-runs")


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    get_figure("fig8")
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))  # figures of a page are forgotten


@pytest.mark.parametrize("name", PAGES)
def test_a_page_does_what_it_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_page(ROOT / "docs" / "how-to" / f"{name}.md", tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```sh\necho 1\n```\n\n```text\n… 2\n```\n", "the page says"),
        ("```sh\nrmtsim status --store none\n```\n", "ended with 2"),
        ("```sh\nfalse\n```\n", "ended with 1"),
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "the page says"),
    ],
)
def test_a_page_that_is_wrong_is_found(text: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(AssertionError, match=found):
        run_page(page, tmp_path, monkeypatch)


SPEC = """
name = "mine"
model = "linear"
loss = "mse"
[grid]
n_classes = [2, 4]
aspect_ratio = [0.5]
dim = [8]
"""


@pytest.mark.s3
def test_the_page_on_s3_does_what_it_says(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "how-to" / "s3.md").read_text("utf-8")
    page = tmp_path / "s3.md"
    page.write_text(f"```toml{SPEC}```\n\n" + text.replace("s3://bucket/prefix", f"'{s3}'"))
    assert page.read_text("utf-8").count(s3) > 3
    run_page(page, tmp_path, monkeypatch)
