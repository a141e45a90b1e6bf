"""A page of results: for each figure a verdict in words, a small table of its numbers, and where all of them are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill

from benchmarks.pages.sections import Section, TableMaker

_WIDTH = 120


@dataclass(frozen=True)
class Entry:
    """A figure on a page of results.

    Parameters
    ----------
    name
        The figure, as in the registry.
    title
        The heading.
    verdict
        What came out, in words. It holds no number: these are in the table, which is made of the gallery.
    table
        Makes the table; None for a figure whose verdict says all.
    """

    name: str
    title: str
    verdict: str
    table: TableMaker | None = None


def page(title: str, introduction: str, entries: Sequence[Entry], found: Mapping[str, Section]) -> str:
    """Lay out a page."""
    parts = [f"# {title}", fill(_SOURCE, _WIDTH), introduction]
    return "\n\n".join([*parts, *(_entry(entry, found[entry.name]) for entry in entries)]) + "\n"


_SOURCE = (
    "*Written by `python -m benchmarks.pages` from the [gallery](gallery.md), which `rmtsim reproduce all` writes: "
    "every number on this page stands there, with all others and the sentence of the paper.*"
)


def _entry(entry: Entry, section: Section) -> str:
    parts = [f"## {entry.title}", fill(entry.verdict, _WIDTH)]
    if entry.table is not None:
        parts.append("\n".join(entry.table(section)))
    if "Not drawn" not in section.text:
        parts.append(f"![{entry.title}]({entry.name}{'_full' if section.full else ''}.png)")
    return "\n\n".join([*parts, f"[Numbers of `{entry.name}`](gallery.md#{entry.name})"])
