"""The sentences of verdict on the pages of results: each follows from numbers by its rule; others make another."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from docs.verdicts import checks, open_questions, paper
from docs.verdicts.clauses import Clause, Listing, Sentence
from docs.verdicts.entries import Entry
from docs.verdicts.readings import Reading, by_chance, falls, grows, over, reading, under, within
from docs.verdicts.sections import FULL, Section, parts, sections, with_full
from tests.markdown import ROOT

GALLERY = ROOT / "benchmarks" / "gallery.md"
SECTIONS = sections(GALLERY.read_text("utf-8"))
ENTRIES = (*paper.ENTRIES, *open_questions.ENTRIES, *checks.ENTRIES)
SENTENCES = [
    pytest.param(entry, sentence, id=f"{entry.name}-{place}")
    for entry in ENTRIES
    for place, sentence in enumerate((*entry.paper, *entry.beside))
]

_NUMBER = r"\(?[−-]?\d[\d.]*(?:±[\d.]+)?\)?(?:·10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?(?: %)?"

#: Other results that the figures could have had: what is in the gallery, and what stands in its place.
OTHERS = (
    (rf"({_NUMBER}) → ({_NUMBER})", r"\2 → \1"),
    (rf"({_NUMBER}) → ({_NUMBER})", r"40.0±0.1 % → 40.0±0.1 %"),
    (rf"({_NUMBER}) → ({_NUMBER})", r"0.1±0.01 % → 0.1±0.01 %"),
    (rf"between layers ({_NUMBER}) → ({_NUMBER})", "between layers 0.1±0.01 % → 0.1±0.01 %"),
    (r"largest \|z\| [\d.]+", "largest |z| 9.99"),
    (r"\d\.\d{4} ± |\d\.\d{4}±", "0.9000±"),
    (r"(?<=of )\d+(?= measured values)", "9999"),
    (r"off-diagonal blocks are zero in every draw, as in theory", "theorem: 0; differs, off by +0.30±0.01 on"),
    (r"; agrees,", "; differs,"),
    (r"agrees$", "differs"),
    ("at (no|every) K", "at some K"),
    ("at no checkpoint", "at a checkpoint"),
    ("at no checkpoint", "not excluded at every checkpoint"),
    (": flat ", ": falling "),
    ("(?<=from )[\\d.]+(?= at K = 500)", "0.2966"),
    ("a factor of [^,]+,", "a factor of 1.05±0.01,"),
    (
        r"over K = 500 is \S+ on the unit sphere \(z \S+\), \S+ at",
        "over K = 500 is 50±1 on the unit sphere (z +9), 50±1 at",
    ),
    ("Holds|Not resolved", "Weakened"),
    ("Weakened|Not resolved", "Holds"),
    ("Not resolved|Holds", "Does not hold"),
    (r"goes to \S+ of its start", "goes to 0.5±0.4 of its start"),
    (r"whole cross layer's to [^,]+,", "whole cross layer's to 0.5±0.01,"),
    (r"exactly 0 in every draw; of (\d+)", "exactly 0 in every draw; of 7"),
    (r"(\+) ?exactly", "exactly"),
    (r"\d\.\d{4}±\d\.\d{4}$", "0.3000±0.0010"),
    (r"≈ \d[\d.]* %", "≈ 99.0 %"),
    ("(?<=: )(holds)(?= (up|at) )", "another power"),
    ("not decided at", "holds at"),
    (r"as C → ∞ −2.00 to −1.24|to 10\^6 −2.00 to −1.12", lambda found: re.sub(r" to −1\.\d\d$", "", found[0])),
    ("flatter|steeper", "kept"),
    ("zero throughout", "zero at first"),
    (r"own neurons \S+ on average", "own neurons −0.5±0.01 on average"),
    (r"together \S+ to \S+ \(", "together −0.50 to −0.30 ("),
    (r"at least [\d.]+", "at least 1.1"),
    ("survives", "is lost at the lower edge"),
    ("exponent (same|not decided): ([^;]+);", "exponent another: \\2;"),
    ("exponent not decided: [^;]+;", "exponent not decided: ar1, student_t:5;"),
    (r"−?-?(\d\.\d{3})±(\d\.\d{3})", r"-0.990±\2"),
    (r"-\d\.\d{3}±(\d\.\d{3})", r"-0.400±\1"),
)


def said(sentence: Sentence, section: Section) -> str:
    """Return the sentence on a section; empty if its numbers are not those of a result."""
    try:
        return sentence.say(section)
    except LookupError:
        return ""


def others(sentence: Sentence, section: Section) -> set[str]:
    """Return what else the sentence could have been, had the figure had other results."""
    found = set()
    for pattern, instead in OTHERS:
        text, full = (re.sub(pattern, instead, part, flags=re.MULTILINE) for part in (section.text, section.full))
        found.add(said(sentence, replace(section, text=text, full=full)))
    return found - {"", sentence.say(section)}


@pytest.mark.parametrize(("entry", "sentence"), SENTENCES)
def test_other_numbers_make_another_sentence(entry: Entry, sentence: Sentence) -> None:
    assert sentence.say(SECTIONS[entry.name]).endswith(".")
    assert others(sentence, SECTIONS[entry.name])


def test_a_sentence_that_is_judged_by_hand_is_found() -> None:
    by_hand = Clause("", lambda section: True, "As the paper says.", "Not so.")
    assert not any(others(by_hand, section) for section in SECTIONS.values())


def test_every_figure_has_a_verdict_and_a_word_only_if_it_tests_the_paper() -> None:
    for entry in ENTRIES:
        assert entry.verdict(SECTIONS[entry.name])
        assert bool(entry.outcome(SECTIONS[entry.name])) == bool(entry.paper)
    assert {entry.name for entry in ENTRIES} == set(SECTIONS)


def test_numbers_are_read_with_their_errors() -> None:
    words = {
        "8.9±1.7 %": (0.089, 0.017),
        "(2.5±1.1)·10⁻⁷": (2.5e-7, 1.1e-7),
        "2.92·10⁻⁵ %": (2.92e-7, 0),
        "−0.982±0.003": (-0.982, 0.003),
        "+4": (4, 0),
    }
    for word, (value, error) in words.items():
        found = reading(word)
        assert math.isclose(found.value, value)
        assert math.isclose(found.error, error)
    with pytest.raises(LookupError, match="'flat' is no number"):
        reading("flat")


def test_a_limit_counts_the_errors_and_how_many_decide() -> None:
    near = Reading(0.1, 0.01)._replace(value=0.1 - 0.0225)  # 2.25 standard errors: enough for one number, not for two
    assert under(0.1, [near]) is True
    assert under(0.1, [near, near]) is None
    assert under(0.1, [near, Reading(0.2, 0.01)]) is False
    assert over(0.1, [Reading(0.2, 0.01)]) is True
    assert over(0.1, [near]) is False
    assert grows([(Reading(1, 0.1), Reading(2, 0.1))]) is True
    assert falls([(Reading(1, 0.1), Reading(2, 0.1))]) is False
    assert grows([(Reading(1, 0.1), Reading(1.1, 0.1))]) is None


def test_chance_is_that_of_a_report() -> None:
    """Of one value 3.29 standard errors are one in a thousand; of a hundred 4.42."""
    assert by_chance([3.28], 1)
    assert not by_chance([3.30], 1)
    assert by_chance([4.41], 100)
    assert not by_chance([4.43], 100)
    assert within([(Reading(1.3, 0.1), 1)])
    assert not within([(Reading(1.4, 0.1), 1)])


def test_open_numbers_without_words_fail_the_build() -> None:
    section = Section("fig0", "share 0.09±0.02; verdict: unheard of")
    clause = Clause("", lambda section: under(0.1, section.read("share (\\S+);")), "Yes.", "No.")
    with pytest.raises(LookupError, match=r"fig0: its numbers say neither 'Yes\.' nor 'No\.'"):
        clause.say(section)
    assert replace(clause, unclear="Open.").say(section) == "Open."
    with pytest.raises(LookupError, match="the case has a verdict without words: 'unheard of'"):
        Listing("", {"the case": "verdict: (.*)"}, {"holds": "It holds for"}).say(section)


def test_a_run_without_full_sizes_keeps_those_of_before() -> None:
    fig2 = "## fig2\n\n**T** (S)\n\n> Q\n\n![T](fig2.png)\n\nnew numbers\n\n`made`"
    new = f"# Gallery\n\nNew.\n\n{fig2}\n\n## fig4\n\n**T** (S)\n"
    kept = parts(with_full(new, GALLERY.read_text("utf-8")))
    assert "new numbers" in kept["fig2"]
    assert "](fig2.png)" not in kept["fig2"]
    assert kept["fig2"].partition(FULL)[2] == parts(GALLERY.read_text("utf-8"))["fig2"].partition(FULL)[2] != ""
    assert FULL not in kept["fig4"]
    again = f"{new.partition('## fig4')[0].strip()}{FULL}\nnewer numbers\n"
    assert "newer numbers" in parts(with_full(again, GALLERY.read_text("utf-8")))["fig2"]
    assert "50,000 steps" not in parts(with_full(again, GALLERY.read_text("utf-8")))["fig2"]
