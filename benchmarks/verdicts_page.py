"""The pages of results on verdicts that are wrong, and the rules on the numbers that choose their sentences."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.special import bdtrc

from benchmarks import environment
from benchmarks.report import Part, Row, Table, markdown
from docs.generate.markdown import prose
from rmtsim.stats.verdict import LEVEL, POWER

#: Percentage points by which shares may differ: of deviations up and down, and from ``POWER``.
SIGNS, CAUGHT = 10.0, 3.0

#: Of tables of false 'differs': the columns of the page, and what they are called there.
_FALSE = {
    "C": "C",
    "noise": "noise",
    "lines tested": "lines tested",
    "lines that differ": "lines that *differ*, %",
    "reports with one": "reports with one, %",
    "theory-free reports with one": "theory-free rule: reports, %",
}

#: The d/N whose lines the page shows.
_SHOWN = "d/N = 1"


def page(part: Part) -> str:
    """Return the page; every number in it is of the part."""
    [sizes], normal, other, power, caught = (table.rows for table in part.tables)
    of_run = environment.of_run("verdicts", sizes["processor s"])
    return f"""# How often verdicts are wrong

{prose(of_run)}

A [verdict](../explanation/verdicts.md) can be wrong in two ways: a claim *differs* though it is true, or it *agrees*
though it is off.

{prose(f"**{_false_answer(normal, sizes['sets'])} {_caught_answer(caught)}**")}

{prose(_about(sizes))}

## True claims that differ

{prose(_PROMISE)}

{_table(normal)}

{prose(f"{_THEORY_FREE} {_theory_free_answer(normal)}")}

## Where the promise ends

{prose(f"Here the means have heavy tails, or depend on one another. {_other_answer(other, sizes['sets'])}")}

{_table([{key: value for key, value in row.items() if "theory-free" not in key} for row in other])}

## Claims that are off, and noticed

{prose(_power_words(power))}

{_power_table(power)}

{prose(f"{_signs_answer(power)} {_caught_words(caught)}")}

[All tables](numbers/verdict_errors.md) have every line at every d/N.
"""


def numbers(part: Part) -> str:
    """Return the page of all tables."""
    tables = "\n\n".join(f"## {table.title}\n\n{markdown(table)}" for table in part.tables[1:])
    return f"""# How often verdicts are wrong: all tables

*Written by `python -m benchmarks --only verdicts`. [What they say](../verdict_errors.md).*

{prose(part.about)}

{tables}
"""


def largest_difference(power: Sequence[Row], rule: str = "") -> tuple[float, str]:
    """Return the largest difference between the shares that are noticed up and down, and the line that has it.

    Parameters
    ----------
    rule
        What the names of the rule's columns begin with.
    """
    up = [key for key in power[0] if key.startswith((f"{rule}constant +", f"{rule}power +"))]
    found = [(abs(row[key] - row[key.replace("+", "−")]), row["line"]) for row in power for key in up]
    return max(found)


_PROMISE = f"""\
The noise is normal and independent, as the promise asks for: of true reports at most {100 * LEVEL:g} % have a line that
*differs*. *Errors × 0.5* are half of those of `make reproduce`, and errors in percent are relative. *Lines tested* is
the mean number of lines whose points are enough for a test."""

_THEORY_FREE = """\
The *theory-free rule*, which earlier versions had, shows why the fit on the theory's curve decides. It holds the
theory-free fit against the theorem, allows it 3.5 standard errors and its own bias, and says *differs*, too, where χ²
of the fit is too large. It needs four numbers of classes; a dash stands where there are fewer."""


def _about(sizes: Row) -> str:
    return (
        f"The run draws {sizes['sets']} sets of measured values: the theory's own, at C from {sizes['least C']} to "
        f"{sizes['largest C']}, and noise with the standard errors of one `make reproduce`. A set is a report of up to "
        f"{sizes['lines']} lines, all those that are no identities."
    )


def _chance(wrong: int, sets: int, looks: int) -> bool:
    """Whether chance explains so many wrong reports in the worst of some cases, if each is wrong as often as promised.

    As the promise has it, which calls one in a thousand wrong.
    """
    return not wrong or bool(looks * bdtrc(wrong - 1, sets, LEVEL) > LEVEL)


def _wrong(row: Row, sets: int) -> int:
    """Return the number of reports with a line that differs."""
    return round(row["reports with one"] * sets / 100)


def _false_answer(normal: Sequence[Row], sets: int) -> str:
    most = max(_wrong(row, sets) for row in normal)
    if not most:
        return f"In each of {len(normal)} cases none of {sets} reports on true claims had a line that *differs*."
    of = f"In the worst of {len(normal)} cases {most} of {sets} reports on true claims had a line that *differs*"
    if _chance(most, sets, len(normal)):
        return f"{of}, which chance explains where {100 * LEVEL:g} % are promised."
    return f"{of}, more than the promised {100 * LEVEL:g} %."


def _caught_answer(caught: Sequence[Row]) -> str:
    shares = [row["noticed"] for row in caught]
    kept = all(abs(share - 100 * POWER) <= CAUGHT for share in shares)
    return (
        "A claim that is off by its minimum detectable effect was noticed in "
        f"{_range(shares)} % of the sets, {'as promised' if kept else 'not as often as promised'} ({100 * POWER:g} %)."
    )


def _theory_free_answer(normal: Sequence[Row]) -> str:
    key = "theory-free reports with one"
    first, *_, last = [row for row in normal if row["C"] == "all" and "×" in row["noise"]]
    if last[key] > first[key]:
        return (
            "The more precise the means, the more often it takes a bias for a deviation: from "
            f"{first[key]:.3g} % of the reports ({first['noise']}) to {last[key]:.3g} % ({last['noise']})."
        )
    return f"It is wrong in {first[key]:.3g} % of the reports ({first['noise']})."


def _other_answer(other: Sequence[Row], sets: int) -> str:
    broken = [row for row in other if not _chance(_wrong(row, sets), sets, len(other))]
    if not broken:
        return f"In none of these {len(other)} cases are more reports wrong than promised."
    cases = f"{len(broken)} of these {len(other)} cases" if len(broken) < len(other) else f"each of {len(other)} cases"
    lines, reports = (max(row[key] for row in broken) for key in ("lines that differ", "reports with one"))
    return (
        f"In {cases} more reports are wrong than promised: up to {lines:.2g} % of the lines *differ*, and up to "
        f"{reports:.2g} % of the reports have such a line."
    )


def _power_words(power: Sequence[Row]) -> str:
    shown, hidden = _split(power)
    words = f"The table has the share of sets, in percent, in which a line at {_SHOWN} is noticed whose truth is off."
    if shown and hidden:
        words += f" Not shown are those that are noticed in every set: {', '.join(map(_short, hidden))}."
    return words


def _split(power: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Return the lines to show, and those that are noticed in every set; all, if every one is."""
    lines = [row for row in power if f", {_SHOWN}," in row["line"]]
    missed = [row for row in lines if min(_noticed(row).values()) < 100]
    return (missed, [row for row in lines if row not in missed]) if missed else (lines, [])


def _noticed(row: Row) -> dict[str, float]:
    return {key: value for key, value in row.items() if key.startswith(("constant", "power"))}


def _short(row: Row) -> str:
    return str(row["line"].replace(f", {_SHOWN},", ""))


def _power_table(power: Sequence[Row]) -> str:
    shown = [{name: f"{share:.1f}" for name, share in _noticed(row).items()} for row in _split(power)[0]]
    return markdown(Table("", [{"line": _short(row)} | of for row, of in zip(_split(power)[0], shown, strict=True)]))


def _signs_answer(power: Sequence[Row]) -> str:
    ours, line = largest_difference(power)
    free, free_line = largest_difference(power, "theory-free ")
    words = "Deviations up and down are noticed equally often" if ours <= SIGNS else "It matters where a deviation goes"
    words += f": the two shares of a line differ by up to {ours:.2g} points ({line}). With the theory-free rule they "
    words += f"differ by up to {free:.3g} points ({free_line})"
    return f"{words}, as its bias hides deviations of its own sign." if free > max(ours, SIGNS) else f"{words}."


def _caught_words(caught: Sequence[Row]) -> str:
    shares = ", ".join(f"{row['deviation']} {row['noticed']:.1f}" for row in caught)
    return (
        "The [minimum detectable effect](../explanation/verdicts.md#when-it-agrees-and-when-it-is-not-decided) of each "
        f"line was noticed in these shares of the sets, in percent: {shares}."
    )


def _range(shares: Sequence[float]) -> str:
    return " to ".join(dict.fromkeys(f"{of(shares):.1f}" for of in (min, max)))


def _table(rows: Sequence[Row]) -> str:
    """Return a table of false 'differs'."""
    there = [key for key in _FALSE if any(key in row for row in rows)]
    return markdown(Table("", [{_FALSE[key]: _rounded(row.get(key)) for key in there} for row in rows]))


def _rounded(value: object) -> object:
    return float(f"{value:.2g}") if isinstance(value, float) else value
