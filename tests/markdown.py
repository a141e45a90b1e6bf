"""Markdown as a forge reads it: the links of a page and the anchors of its headings."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]


def pages() -> list[Path]:
    """Return all pages that users read."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


@cache
def tokens(page: Path) -> list[Token]:
    """Return what a page consists of; the tokens of a line stand after it."""
    blocks = MarkdownIt("commonmark").enable("table").parse(page.read_text("utf-8"))
    return [token for block in blocks for token in (block, *(block.children or []))]


def links(page: Path) -> list[str]:
    """Return where the links of a page lead, and where its pictures lie."""
    found = [token.attrGet("href") or token.attrGet("src") for token in tokens(page)]
    return [unquote(str(link)) for link in found if link]


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors that a forge gives to the headings of a page."""
    made: Counter[str] = Counter()
    found = set()
    for token, after in pairwise(tokens(page)):
        if token.type == "heading_open":
            text = "".join(part.content for part in after.children or [] if part.type in ("text", "code_inline"))
            name = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
            found.add(f"{name}-{made[name]}" if made[name] else name)
            made[name] += 1
    return found


def dead_links(page: Path) -> list[str]:
    """Return the links of a page that lead nowhere: to no file of the repository, or to no heading of a page."""
    dead = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_relative_to(ROOT) or not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead
