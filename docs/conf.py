"""Sphinx's settings: ``make docs`` builds the pages of docs/, and those beside the README, as one site.

Pages are the Markdown that a forge shows, so the source folder is the repository; `docs/index.md` is the table of
contents.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

from rmtsim.version import __version__

project = "rmtsim"
author = "The rmtsim authors"
release = __version__
html_title = f"rmtsim {__version__}"

extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**"]
exclude_patterns = [
    ".*",
    "_*",
    "build",
    "dist",
    "out",
    "rmtsim",
    "tests",
    "benchmarks",
    "harness",
    "analysis",
    "sweeps",
]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 6  # the anchors of a forge

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_show_sphinx = False
html_show_copyright = False  # the licence stands in the repository
html_copy_source = False
smartquotes = False  # --data stays what one types

#: Letters of code that a line of the site has room for.
_COLUMN = 95

#: The first page of the built folder leads to the table of contents.
_FIRST_PAGE = '<!doctype html><title>rmtsim</title><meta http-equiv="refresh" content="0; url=docs/index.html">\n'


def setup(app: Sphinx) -> dict[str, Any]:
    """Give the index its contents, pictures a link, formulas their MathML, and the site its first page."""
    app.connect("source-read", _as_site)
    app.connect("doctree-read", _with_linked_pictures)
    app.connect("doctree-read", _with_whole_numbers)
    app.connect("doctree-read", _with_wrapped_sentences)
    app.connect("build-finished", lambda app, error: (Path(app.outdir) / "index.html").write_text(_FIRST_PAGE))
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _as_site(app: Sphinx, page: str, source: list[str]) -> None:
    """Make of a page what it says on the site: links to folders become their text, and the index gets its contents."""
    folder = (Path(app.srcdir) / page).parent
    source[0] = re.sub(
        r"\[([^\]]*)\]\(([^)\s]+)\)", lambda link: link[1] if (folder / link[2]).is_dir() else link[0], source[0]
    )
    if page == root_doc:
        source[0] += "".join(_contents(section, folder) for section in source[0].split("\n## ")[1:])
    elif page.startswith("docs/") and (below := re.findall(r"\]\(([\w-]+/[\w./-]+)\.md\)", source[0])):
        source[0] += _toctree("", dict.fromkeys(below))


def _contents(section: str, folder: Path) -> str:
    """Return the table of contents of a section of the index: the pages that it links, then the others beside them.

    Pages in folders below these are contents of the pages that link them.
    """
    title, _, text = section.partition("\n")
    pages = {link: f"{name} <{link}>" for name, link in re.findall(r"\[([^\]]*)\]\(([^)#]+)\.md\)", text)}
    for room in {link.rpartition("/")[0] for link in pages} - {"", ".."}:
        for file in sorted((folder / room).glob("*.md")):
            pages.setdefault(f"{room}/{file.stem}", f"{room}/{file.stem}")
    return _toctree(title, pages.values())


def _toctree(title: str, pages: Iterable[str]) -> str:
    caption = [f":caption: {title}"] if title else []
    return "\n".join(["", "```{toctree}", ":hidden:", *caption, "", *pages, "```", ""])


def _with_linked_pictures(app: Sphinx, page: nodes.document) -> None:
    """Have every picture lead to itself in full size, as Sphinx does with those that have a scale."""
    for picture in page.findall(nodes.image):
        picture["scale"] = 100


def _with_whole_numbers(app: Sphinx, page: nodes.document) -> None:
    """Keep a number, its error and its unit on one line, where a table is narrow."""
    for text in [*page.findall(nodes.Text)]:
        whole = re.sub(r"(?<=\d)\)? (?:[±·] \d[\d.]*|%)", lambda found: found[0].replace(" ", "\u00a0"), text)
        if whole != text and not isinstance(text.parent, nodes.literal | nodes.literal_block):
            text.parent.replace(text, nodes.Text(whole))


def _with_wrapped_sentences(app: Sphinx, page: nodes.document) -> None:
    """Mark what a program prints where it may be wrapped: its long lines are sentences, and have no columns."""
    for block in page.findall(nodes.literal_block):
        columns = [line for line in block.astext().splitlines() if re.search(r"\S {2,}\S", line)]
        if block.get("language") == "text" and all(len(line) <= _COLUMN for line in columns):
            block["classes"].append("table-and-sentences" if columns else "sentences")


def _inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def _display(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode
