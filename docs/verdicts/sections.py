"""The sections of the gallery, and the small tables that are made of their numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from docs.verdicts.readings import Reading, reading
from rmtsim.text.tables import markdown_table
from rmtsim.text.uncertainty import plus_minus

_RAISED = str.maketrans("−0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

#: Moments of training in the gallery, in words.
_STEPS = {"0": ", first step", "100": ", last step"}

#: What stands before the numbers of ``--full``.
FULL = "\n\nWith `--full`:\n"

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

    def pick(self, pattern: str, *, full: bool = False) -> tuple[str, ...]:
        """Return the groups of the one place that a pattern matches, each number with its error as one word.

        Raises
        ------
        LookupError
            If there is none: the words of the gallery have changed, and the page has to be looked at.
        """
        if (found := re.search(pattern, self.full if full else self.text)) is None:
            raise LookupError(f"gallery, {self.name}: nothing matches {pattern!r}")
        return found.groups()

    def picks(self, pattern: str) -> list[str]:
        """Return what a pattern with one group matches, in all places, of which there is at least one."""
        self.pick(pattern)
        return re.findall(pattern, self.text)

    def read(self, pattern: str, *, full: bool = False) -> list[Reading]:
        """Return the groups of `pick` as numbers."""
        return [reading(word) for word in self.pick(pattern, full=full)]

    def shares(self, *, full: bool = False) -> dict[str, tuple[Reading, Reading]]:
        """Return of every layer the share outside its diagonal blocks, at the first and the last place."""
        _, rows = _shares(self.full if full else self.text)
        return {layer: (reading(first), reading(last)) for layer, first, last in rows}


def sections(gallery: str) -> dict[str, Section]:
    """Return the sections of a gallery by the names of their figures, each number with its error as one word."""
    found = {}
    for name, part in parts(gallery).items():
        own, _, full = part.replace(" ± ", "±").replace(" · 10", "·10").partition(FULL)
        found[name] = Section(name, own, full)
    return found


def parts(gallery: str) -> dict[str, str]:
    """Return the text of each figure by its name."""
    texts = (part.partition("\n\n") for part in gallery.split("\n## ")[1:])
    return {name: text.strip() for name, _, text in texts}


def with_full(gallery: str, before: str) -> str:
    """Return a gallery without its pictures, and with the numbers of ``--full`` of an earlier one where it has none."""
    head, *texts = gallery.split("\n## ")
    full = {name: text.partition(FULL)[2] for name, text in parts(before).items()}
    kept = []
    for text in texts:
        name = text.partition("\n")[0]
        added = f"{FULL}{full[name]}\n" if full.get(name) and FULL not in text else ""
        kept.append(re.sub(r"^!\[.*\)\n\n", "", text.rstrip("\n") + added, flags=re.MULTILINE).rstrip("\n") + "\n")
    return "\n## ".join([head, *kept])


def spaced(word: str) -> str:
    """Return a number as a page writes it."""
    return plus_minus(word).replace("±", " ± ").replace("·10", " · 10")


def picked(head: Sequence[str], *rows: Sequence[str]) -> TableMaker:
    """Return what makes a table whose rows have a label and patterns, each of which makes one or more cells."""

    def make(section: Section) -> list[str]:
        cells = [
            [label, *(spaced(cell) for pattern in patterns for cell in section.pick(pattern))]
            for label, *patterns in rows
        ]
        return markdown_table(head, cells)

    return make


def shares_outside(section: Section) -> list[str]:
    """Return a table of the shares of the squared norm outside the diagonal blocks, at the first and the last place."""
    places, rows = _shares(section.text)
    if section.full:
        full_places, full_rows = _shares(section.full)
        places += [f"{place}, `--full`" for place in full_places]
        rows = [[*row, *full_row[1:]] for row, full_row in zip(rows, full_rows, strict=True)]
    return markdown_table(["share outside the diagonal blocks", *places], [[*map(spaced, row)] for row in rows])


def _shares(text: str) -> tuple[list[str], list[list[str]]]:
    found = re.search(r"outside the diagonal blocks, (.+?) → (.+?): (.+?)(?:;|\n|$)", text)
    if found is None:
        raise LookupError("gallery: there are no shares outside the diagonal blocks")
    first, last, layers = found.groups()
    first, last = (re.sub(r" at (0|100)%", lambda at: _STEPS[at[1]], place) for place in (first, last))
    return [first, last], [[*row] for row in re.findall(r"([a-z][a-z ]*(?:\d)?) (\d\S* %) → (\d\S* %)", layers)]


def rates(section: Section) -> list[str]:
    """Return a table of the powers of C of off-diagonal over diagonal norms, with their verdicts."""
    return markdown_table(["layer, loss", "d/N", "theorem", "measured less theorem", "verdict"], list(_rates(section)))


def rate_verdicts(section: Section, loss_and_layer: str = "") -> list[str]:
    """Return the verdicts of `rates`, on all layers or the one whose first cell is given."""
    found = [row[-1] for row in _rates(section) if loss_and_layer in ("", row[0])]
    if not found:
        raise LookupError(f"gallery, {section.name}: there is no rate of {loss_and_layer or 'any layer'}")
    return found


def _rates(section: Section) -> Iterator[list[str]]:
    for line in re.findall(r"^- (\w+ layer, .*)$", section.text, re.MULTILINE):
        layer, loss, aspect_ratio = re.findall(r"^(\w+) layer, (\w+), d/N = ([\d.]+)", line)[0]
        if "zero in every draw" in line:
            yield [f"{layer}, {loss}", aspect_ratio, "0", "0 in every draw", "exact"]
            continue
        theorem, verdict, off = re.findall(r"theorem: (\S+); ([a-z ]+), off by (\S+) on", line)[0]
        yield [f"{layer}, {loss}", aspect_ratio, f"C{theorem.translate(_RAISED)}", spaced(off), verdict]
