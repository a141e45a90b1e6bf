"""The sentences of a verdict: a rule on the numbers of a figure chooses the words of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from docs.verdicts.sections import Section


class Sentence(Protocol):
    """A sentence that follows from numbers, and the rule by which it does."""

    @property
    def rule(self) -> str:
        """The rule, as the page states it."""

    def outcome(self, section: Section) -> bool | None:
        """Whether what the paper says is seen: None where it is in part, or where the numbers leave it open."""

    def say(self, section: Section) -> str:
        """Return the sentence."""


@dataclass(frozen=True)
class Clause:
    """One of two or three sentences.

    Parameters
    ----------
    rule
        The rule, as the page states it: when the first of the sentences is written.
    test
        The rule on the numbers: None where their errors leave it open.
    yes, no, unclear
        What is said if it holds, if it does not, and if that is open. Without the last, open numbers fail the build.
    """

    rule: str
    test: Callable[[Section], bool | None]
    yes: str
    no: str
    unclear: str = ""

    def outcome(self, section: Section) -> bool | None:
        """Whether the first sentence is written: None if the numbers leave it open."""
        return self.test(section)

    def say(self, section: Section) -> str:
        """Return the sentence."""
        found = self.test(section)
        if found is None and not self.unclear:
            raise LookupError(f"gallery, {section.name}: its numbers say neither {self.yes!r} nor {self.no!r}")
        return self.unclear if found is None else self.yes if found else self.no


@dataclass(frozen=True)
class Listing:
    """A sentence that lists cases by their verdicts, which the figure itself comes to.

    Parameters
    ----------
    rule
        The rule, as the page states it.
    cases
        Each case by its name, as a pattern whose one group is the verdict.
    words
        The start of a sentence by what its verdict begins with, that of the paper first. Others fail the build.
    """

    rule: str
    cases: Mapping[str, str]
    words: Mapping[str, str]

    def outcome(self, section: Section) -> bool | None:
        """Whether all cases, no case, or some of them (None) have the verdict of the paper."""
        found = [next(iter(self.words)) == word for word in self._sorted(section)]
        return None if len(found) > 1 and any(found) else found[0]

    def say(self, section: Section) -> str:
        """Return a sentence for each verdict that is there."""
        found = self._sorted(section)
        return " ".join(f"{words}: {_joined(found[word])}." for word, words in self.words.items() if word in found)

    def _sorted(self, section: Section) -> dict[str, list[str]]:
        found = defaultdict(list)
        for case, pattern in self.cases.items():
            [verdict] = section.pick(pattern)
            start = next((word for word in self.words if verdict.lower().startswith(word.lower())), None)
            if start is None:
                raise LookupError(f"gallery, {section.name}: {case} has a verdict without words: {verdict!r}")
            found[start].append(case)
        return found


def _joined(cases: list[str]) -> str:
    return "; ".join(cases)
