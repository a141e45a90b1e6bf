"""Pages of results: a summary with a verdict for each figure, and a page for each with its numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from docs.generate.markdown import prose
from docs.verdicts.clauses import Sentence
from docs.verdicts.sections import FULL, Section, TableMaker

#: What the sentences of a figure say together of what the paper says.
OUTCOMES = {True: "as the paper says", None: "in part", False: "not seen"}


@dataclass(frozen=True)
class Entry:
    """A figure on a page of results.

    Parameters
    ----------
    name
        The figure, as in the registry.
    title
        The heading.
    paper
        What came out, where a sentence of the paper is tested by it.
    beside
        What came out beside that.
    table
        Makes the table; None for a figure whose verdict says all.
    words
        What stands after the verdict, without numbers: links, and what is not measured.
    note
        Makes what is said below all numbers, on the page of the figure alone.
    """

    name: str
    title: str
    paper: Sequence[Sentence] = ()
    beside: Sequence[Sentence] = ()
    table: TableMaker | None = None
    words: str = ""
    note: Callable[[Section], str] | None = None

    def outcome(self, section: Section) -> str:
        """Return in three words whether the figure shows what the paper says; empty if it tests no sentence of it."""
        found = {sentence.outcome(section) for sentence in self.paper}
        return OUTCOMES[found.pop() if len(found) == 1 else None] if found else ""

    def verdict(self, section: Section) -> str:
        """Return what came out, in words that follow from the numbers."""
        said = [sentence.say(section) for sentence in (*self.paper, *self.beside)]
        return " ".join([*said, *([self.words] if self.words else [])])


def summary(title: str, introduction: str, entries: Sequence[Entry], found: Mapping[str, Section]) -> str:
    """Lay out the page of several figures."""
    parts = [f"# {title}", prose(_SOURCE), introduction]
    return "\n\n".join([*parts, *(_item(entry, found[entry.name]) for entry in entries)]) + "\n"


def tally(entries: Sequence[Entry], found: Mapping[str, Section]) -> str:
    """Return how many figures came out how, and which do not show all of what the paper says."""
    words = [(entry, word) for entry in entries if (word := entry.outcome(found[entry.name]))]
    named = [
        f"{word} in {', '.join(_short(entry) for entry, its in words if its == word)}"
        for word in OUTCOMES.values()
        if word != OUTCOMES[True] and any(its == word for _, its in words)
    ]
    agreeing = sum(word == OUTCOMES[True] for _, word in words)
    parts = [f"{agreeing} of {len(words)} entries of this page show what the paper says", *named]
    return f"{'; '.join(parts)}."


def figure_page(entry: Entry, section: Section, raw: str, summary_page: str) -> str:
    """Lay out the page of one figure.

    Parameters
    ----------
    raw
        Its part of the gallery.
    summary_page
        The page that has a summary of it: its title and file, as a link.
    """
    head, quoted, *rest = raw.split("\n\n")
    source = re.sub(r"^\*\*.*\*\* \((.*)\)$", r"\1", head)
    parts = [
        f"# {entry.title}",
        prose(_MADE.format(source=source[0].upper() + source[1:], summary=summary_page)),
        prose(_verdict(entry, section)),
        quoted,
    ]
    if entry.table is not None:
        parts.append("\n".join(entry.table(section)))
    drawn = "Not drawn" not in section.text
    if drawn:
        parts.append(f"![{entry.title}](../{entry.name}{'_full' if section.full else ''}.png)")
    if rules := [sentence.rule for sentence in (*entry.paper, *entry.beside)]:
        lines = "\n".join(prose(f"- {rule}") for rule in rules)
        parts.append(f"## How the words are chosen\n\n{_RULES}\n\n{lines}")
    own, _, full = (_without_time(part) for part in "\n\n".join(rest).partition(FULL))
    picture = f"\n\n![{entry.title}, at smaller sizes](../{entry.name}.png)" if drawn and full else ""
    parts.append(f"## All numbers{picture}\n\n{own.strip()}")
    if entry.note is not None:
        parts.append(prose(entry.note(section)))
    if full:
        parts.append(f"## With `--full`\n\nOf the last run that had them.\n\n{full.strip()}")
    return "\n\n".join(parts) + "\n"


_SOURCE = (
    "*Written by `python -m benchmarks.pages` from the numbers of `rmtsim reproduce all`. Each title leads to a page "
    "with the picture, the sentence of the paper, all numbers, and the rule by which these choose the words.*"
)
_MADE = (
    "*{source}. Written by `python -m benchmarks.pages` from the numbers of `rmtsim reproduce all`. Summary: "
    "{summary}.*"
)
_RULES = "[Thresholds and errors](../paper.md) are the same for all figures. A sentence is written, or its opposite:"


def _item(entry: Entry, section: Section) -> str:
    text = _verdict(entry, section).replace("](../", "](")
    return f"## [{entry.title}](figures/{entry.name}.md)\n\n{prose(text)}"


def _verdict(entry: Entry, section: Section) -> str:
    word = entry.outcome(section)
    return (f"**{word[0].upper()}{word[1:]}.** " if word else "") + entry.verdict(section)


def _without_time(text: str) -> str:
    """Return numbers without the time that the run took, which depends on what else the machine did."""
    return re.sub(r"^(`rmtsim reproduce [^`]*`): [^\n]*$", r"\1", text, flags=re.MULTILINE)


def _short(entry: Entry) -> str:
    start, _, rest = entry.title.partition(": ")
    return f"the slides ({rest})" if start == "Slides" else start
