"""The verdicts of a report, as `rmtsim fit` decides them."""

from __future__ import annotations

import pandas as pd

from rmtsim.pages.elements import Content, Markup, element
from rmtsim.pages.tables import LONG, MOST_ROWS, folded, table
from rmtsim.stats.curve_fit import TESTS
from rmtsim.stats.fit import Fit
from rmtsim.stats.render import layout
from rmtsim.stats.verdict import LEVEL
from rmtsim.text.sizes import format_count
from rmtsim.text.words import number_of

#: How verdicts look.
_LOOKS = {"agrees": "good", "differs": "bad", "not decided": "open"}

#: Columns of a line that is not broken.
_ONE_LINE = 10_000

_DECIDED = ("agrees", "differs", "not decided")


def verdicts_section(fit: Fit, fit_command: str) -> list[Content]:
    """Return the claims with their verdicts, identities apart, and every measured value beside the theory."""
    claims, compared = fit.claims, fit.compared
    decided = claims[claims["verdict"].isin(_DECIDED)]
    parts: list[Content] = [element("p", in_words(claims), " ", _holm(decided, compared))]
    if len(decided):
        legend = layout(decided).legend
        parts.append(_table(decided, "Claims of Theorems 1 and 2 on powers of C and constants"))
        parts.append(folded("What the columns mean", element("p", legend)))
    exact, untested = (claims[claims["verdict"] == verdict] for verdict in ("exact", "not tested"))
    if len(exact):
        said = "The theorem has zero there, and so has every draw: this holds by identity, and is no evidence."
        parts.append(element("h3", "Equal by identity"))
        parts.append(_reasons(exact, said))
    if len(untested):
        parts.append(element("h3", "Not tested"))
        parts.append(_reasons(untested, None))
    parts.append(element("h3", "Measured values beside the theory"))
    parts += [element("p", line) for line in fit.tally(_ONE_LINE).splitlines()]
    differing = compared[(compared["verdict"] == "differs") | ~compared["within_limit"].fillna(True)]
    if len(differing):
        parts.append(_table(differing.head(MOST_ROWS), "Values that differ from the theory", _cut(len(differing))))
    cut = _cut(len(compared), element("code", f"{fit_command} --points"), " prints all.")
    values = _table(compared.head(MOST_ROWS), "Measured values beside the theory at their own C, d, N", cut)
    parts.append(folded("What the columns mean", element("p", layout(compared.head(1)).legend)))
    every = f"{number_of(len(compared), 'value')} with their precision"
    parts.append(folded(every, values, long=len(compared) > LONG))
    return parts


def in_words(claims: pd.DataFrame) -> str:
    """Return how many claims have each verdict, in a sentence."""
    counts = claims["verdict"].value_counts()
    order = (*_DECIDED, "exact", "not tested")
    words = {"agrees": "agree", "differs": "differ", "not decided": "are not decided", "exact": "are exact by identity"}
    said = [f"{counts[one]} {words.get(one, 'are not tested')}" for one in order if counts.get(one)]
    return f"Of {number_of(len(claims), 'claim')}, {', '.join(said)}."


def _holm(decided: pd.DataFrame, compared: pd.DataFrame) -> str:
    tested = int(compared["p_adjusted"].notna().sum())
    return (
        f"Holm's rule covers the {number_of(len(decided), 'claim')} that can be decided, with {TESTS} tests each "
        f"(power, constant, shape), and in a family of its own the {number_of(tested, 'measured value')} held against "
        f"the theory: in each family, something is called different by chance with a probability of at most "
        f"{LEVEL:.1%}."
    )


def _table(rows: pd.DataFrame, caption: str, note: Content = None) -> Markup:
    """Return a table of claims or of measured values, one group of lines for each sweep over C."""
    head, blocks, _ = layout(rows)
    lines: list[list[Content] | str] = []
    for heading, shared, cells_of in blocks:
        lines.append(f"{heading}: {shared}" if shared else heading)
        for cells, reason in cells_of:
            *numbers, verdict = (cell.strip() for cell in cells)
            lines.append([*numbers, badge(verdict), reason])
    names = [*(name.strip() for name in head), "why"]
    if all(isinstance(line, str) or not line[-1] for line in lines):
        names = names[:-1]
        lines = [line if isinstance(line, str) else line[:-1] for line in lines]
    numbers_at = [place for place, name in enumerate(names) if name not in ("quantity", "verdict", "why")]
    return table(names, lines, caption, numbers_at, note, words=[len(head)])


def _reasons(claims: pd.DataFrame, note: str | None) -> Markup:
    """Return claims without numbers, with their reasons."""
    _, blocks, _ = layout(claims)
    rows: list[list[Content]] = []
    for heading, shared, lines in blocks:
        reasons: dict[str, list[str]] = {}
        for cells, reason in lines:
            reasons.setdefault(reason or shared, []).append(cells[0].strip())
        rows += [[heading, ", ".join(quantities), reason] for reason, quantities in reasons.items()]
    head = ["sweep over C", "quantities", "why"]
    if not any(row[-1] for row in rows):
        return table(head[:-1], [row[:-1] for row in rows], "Identities", note=note)
    return table(head, rows, "Claims without a verdict", note=note, words=[2], few=[0])


def badge(verdict: str) -> Markup:
    """Return a verdict, in its color."""
    return element("span", verdict, class_=f"verdict {_LOOKS.get(verdict, '')}".strip())


def _cut(count: int, *more: Content) -> Content:
    """Return that a table was cut, if it was, and where the whole is to be had."""
    if count <= MOST_ROWS:
        return None
    return [f"The first {MOST_ROWS} of {format_count(count)} values. ", *more]
