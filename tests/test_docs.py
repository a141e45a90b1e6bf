"""The pages of docs/: they build without a warning, their links lead somewhere, and the index has all of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from tests.markdown import ROOT, dead_links, links, pages

INDEX = ROOT / "docs" / "index.md"


class Page(HTMLParser):
    """The links and anchors of a page of the site."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.links += [given[key] or "" for key in ("href", "src") if key in given]
        self.anchors |= {given["id"] or ""} if "id" in given else set()


def dead_links_of_site(site: Path) -> list[str]:
    """Return every link of a built site that leads to no file of it, or to no anchor of a page."""
    built = {file: Page(file) for file in site.rglob("*.html")}
    dead = []
    for file, page in built.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or link in ("", "#"):
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            known = built[target].anchors if target in built else set()
            if not target.is_file() or (parts.fragment and target in built and unquote(parts.fragment) not in known):
                dead.append(f"{file.relative_to(site)}: {link}")
    return dead


def build(source: Path, site: Path, trees: Path) -> subprocess.CompletedProcess[str]:
    """Build the site as ``make docs`` does."""
    [line] = [line for line in (ROOT / "Makefile").read_text("utf-8").splitlines() if " -m sphinx " in line]
    options = line.split(" -m sphinx ")[1].replace("build/doctrees", str(trees)).replace("build/docs", str(site))
    command = [sys.executable, "-m", "sphinx", *options.split()]
    return subprocess.run(
        command, cwd=source, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )


def test_the_site_builds_without_a_warning_and_without_a_dead_link(tmp_path: Path) -> None:
    done = build(ROOT, tmp_path / "site", tmp_path / "trees")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    built = {file.relative_to(tmp_path / "site").with_suffix(".md") for file in (tmp_path / "site").rglob("*.html")}
    assert {page.relative_to(ROOT) for page in pages()} <= built
    assert dead_links_of_site(tmp_path / "site") == []


def write_site(folder: Path, paragraphs: list[str]) -> None:
    (folder / "docs" / "_static").mkdir(parents=True)
    (folder / "docs" / "conf.py").write_text((ROOT / "docs" / "conf.py").read_text("utf-8"))
    (folder / "docs" / "_static" / "site.css").write_text("")
    (folder / "docs" / "index.md").write_text("# All\n\n## Some\n\n- [Page](page.md)\n")
    (folder / "docs" / "page.md").write_text("\n\n".join(["# Page", *paragraphs, ""]))


def test_long_sentences_that_a_program_prints_are_wrapped_and_tables_scroll(tmp_path: Path) -> None:
    long = "a word " * 30
    blocks = {"sentences": long, "table-and-sentences": f"a    b\n1    2\n{long}", "": f"a{' ' * 99}b\n{long}"}
    write_site(tmp_path, [f"```text\n{text}\n```" for text in blocks.values()])
    assert build(tmp_path, tmp_path / "site", tmp_path / "trees").returncode == 0
    found = re.findall(
        r'<div class="(.*?) ?highlight-text', (tmp_path / "site" / "docs" / "page.html").read_text("utf-8")
    )
    assert found == list(blocks)
    style = (ROOT / "docs" / "_static" / "site.css").read_text("utf-8")
    assert all(f"div.{name} pre" in style for name in blocks if name)


def test_mistakes_on_a_page_fail_the_build(tmp_path: Path) -> None:
    mistakes = ["[one](no/such.md)", "[one](index.md#no-such-heading)", "![picture](none.png)", "{ref}`nothing`"]
    write_site(tmp_path, mistakes)
    done = build(tmp_path, tmp_path / "site", tmp_path / "trees")
    assert done.returncode != 0
    assert all(found in done.stderr for found in ("no/such.md", "no-such-heading", "none.png", "'nothing'"))
    assert "docs/index.md" not in done.stderr


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere_on_a_forge(page: Path) -> None:
    assert dead_links(page) == []


def test_dead_links_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.markdown.ROOT", tmp_path)
    page = tmp_path / "page.md"
    (tmp_path / "other.md").write_text("# A `name`, and more\n\n## Twice\n\n## Twice\n")
    good = ["other.md#a-name-and-more", "other.md#twice-1", "#words", "https://example.org/none", "mailto:a@b"]
    dead = ["none.md", "other.md#no-heading", "#none", "other.md#twice-2", "../outside.md"]
    (tmp_path.parent / "outside.md").write_text("")
    page.write_text(
        "# Words\n\n" + "\n".join(f"[text]({link})" for link in good + dead) + "\n\n| a |\n|---|\n| [x](y) |\n"
    )
    assert dead_links(page) == [*dead, "y"]


#: Words of a page. A page answers one question, which takes four minutes to read at 300 words a minute; what is longer
#: is two pages. What is looked up and not read has no limit: the reference, and pages of nothing but numbers.
BUDGET, LOOKED_UP = 1200, ("docs/reference", "docs/results/numbers", "CHANGELOG.md", "CONTRIBUTING.md")


def words(page: Path) -> int:
    """Return how many words and numbers a page has; signs and the frames of tables are none."""
    return sum(any(map(str.isalnum, word)) for word in page.read_text("utf-8").split())


def long_pages(root: Path, found: list[Path]) -> list[str]:
    """Return the pages that are to be read and have more words than a page may."""
    of_root = {page.relative_to(root).as_posix(): page for page in found}
    return [name for name, page in of_root.items() if not name.startswith(LOOKED_UP) and words(page) > BUDGET]


def test_no_page_is_long() -> None:
    assert long_pages(ROOT, pages()) == [], f"split them: a page has at most {BUDGET} words, and answers one question"


def test_a_long_page_is_found(tmp_path: Path) -> None:
    for name in (
        "docs/results/long.md",
        "docs/results/short.md",
        "docs/reference/long.md",
        "docs/results/numbers/long.md",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("# Title\n\n" + "word | 0.5 ± " * (601 if "long" in name else 599))
    assert long_pages(tmp_path, sorted(tmp_path.rglob("*.md"))) == ["docs/results/long.md"]


def test_the_index_has_every_page() -> None:
    """Or a page that it lists links to it, where the page lies in a folder below."""
    listed = {(INDEX.parent / link).resolve() for link in links(INDEX)}
    for page in [page for page in pages() if page in listed]:
        below = {(page.parent / link.partition("#")[0]).resolve() for link in links(page) if "/" in link}
        listed |= {link for link in below if link.parent.parent == page.parent}
    missing = [page.relative_to(ROOT) for page in pages() if page not in listed | {INDEX}]
    assert missing == [], "add them to docs/index.md, under the heading of their kind"


def test_the_forms_for_issues_are_forms() -> None:
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    assert [form.stem for form in forms] == ["config", "fault", "number", "wish"]
    for form in forms[1:]:
        document = yaml.safe_load(form.read_text("utf-8"))
        assert {"name", "description", "body"} <= set(document), form.name
        fields = [field for field in document["body"] if field["type"] != "markdown"]
        assert all(field["attributes"]["label"] for field in fields), form.name
        assert len({field["id"] for field in fields}) == len(fields), form.name
