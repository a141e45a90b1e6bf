"""The sections of the gallery, and the small tables that are made of their numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rmtsim.text.tables import markdown_table
from rmtsim.text.uncertainty import plus_minus

_RAISED = str.maketrans("−0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

#: Moments of training in the gallery, in words.
_STEPS = {"0": ", first step", "100": ", last step"}

#: Makes the lines of a table of a section's numbers.
TableMaker = Callable[["Section"], list[str]]


@dataclass(frozen=True)
class Section:
    """The numbers of one figure, as the gallery has them.

    Parameters
    ----------
    name
        The figure.
    text
        The numbers at the sizes that `rmtsim reproduce` takes by itself.
    full
        Those of ``--full``; empty if there are none.
    """

    name: str
    text: str
    full: str = ""

    def pick(self, pattern: str) -> tuple[str, ...]:
        """Return the groups of the one place that a pattern matches, written with ±.

        Raises
        ------
        LookupError
            If there is none: the words of the gallery have changed, and the page has to be looked at.
        """
        if (found := re.search(pattern, self.text)) is None:
            raise LookupError(f"gallery, {self.name}: nothing matches {pattern!r}")
        return tuple(_spaced(group) for group in found.groups())


def sections(gallery: str) -> dict[str, Section]:
    """Return the sections of a gallery by the names of their figures, each number with its error as one word."""
    found = {}
    for part in gallery.replace(" ± ", "±").replace(" · 10", "·10").split("\n## ")[1:]:
        name, _, text = part.partition("\n")
        own, _, full = text.partition("\nWith `--full`:\n")
        found[name] = Section(name, own, full)
    return found


def _spaced(word: str) -> str:
    """Return a number as a page writes it."""
    return plus_minus(word).replace("±", " ± ").replace("·10", " · 10")


def picked(head: Sequence[str], *rows: Sequence[str]) -> TableMaker:
    """Return what makes a table whose rows have a label and patterns, each of which makes one or more cells."""

    def make(section: Section) -> list[str]:
        cells = [
            [label, *(cell for pattern in patterns for cell in section.pick(pattern))] for label, *patterns in rows
        ]
        return markdown_table(head, cells)

    return make


def shares_outside(section: Section) -> list[str]:
    """Return a table of the shares of the squared norm outside the diagonal blocks, at the first and the last place."""
    places, cells = _shares(section.text)
    if not section.full:
        return markdown_table(["share outside the diagonal blocks", *places], cells)
    full_places, full_cells = _shares(section.full)
    head = ["share outside the diagonal blocks", *places, *(f"{place}, `--full`" for place in full_places)]
    return markdown_table(head, [[*row, *full_row[1:]] for row, full_row in zip(cells, full_cells, strict=True)])


def _shares(text: str) -> tuple[list[str], list[list[str]]]:
    found = re.search(r"outside the diagonal blocks, (.+?) → (.+?): (.+?)(?:;|\n)", text)
    if found is None:
        raise LookupError("gallery: there are no shares outside the diagonal blocks")
    first, last, layers = found.groups()
    first, last = (re.sub(r" at (0|100)%", lambda at: _STEPS[at[1]], place) for place in (first, last))
    rows = re.findall(r"([a-z][a-z ]*(?:\d)?) (\d\S* %) → (\d\S* %)", layers)
    return [first, last], [[_spaced(cell) for cell in row] for row in rows]


def rates(section: Section) -> list[str]:
    """Return a table of the powers of C of off-diagonal over diagonal norms, with their verdicts."""
    return markdown_table(["layer, loss", "d/N", "theorem", "measured less theorem", "verdict"], list(_rates(section)))


def _rates(section: Section) -> Iterator[list[str]]:
    for line in re.findall(r"^- (\w+ layer, .*)$", section.text, re.MULTILINE):
        layer, loss, aspect_ratio = re.findall(r"^(\w+) layer, (\w+), d/N = ([\d.]+)", line)[0]
        if "zero in every draw" in line:
            yield [f"{layer}, {loss}", aspect_ratio, "0", "0 in every draw", "exact"]
            continue
        theorem, verdict, off = re.findall(r"theorem: (\S+); ([a-z ]+), off by (\S+) on", line)[0]
        yield [f"{layer}, {loss}", aspect_ratio, f"C{theorem.translate(_RAISED)}", _spaced(off), verdict]
