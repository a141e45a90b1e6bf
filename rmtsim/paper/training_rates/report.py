"""The powers of C through training, in words and tables of text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import pandas as pd

from rmtsim.figures.parts import part
from rmtsim.paper.trained_networks import scheduled
from rmtsim.paper.training_rates.powers import KEYS, MIN_CLASSES, THEOREM
from rmtsim.stats.predictions import plain
from rmtsim.stats.quoted import quoted
from rmtsim.stats.verdict import IN_WORDS, LEVEL
from rmtsim.text.tables import WIDTH, text_table
from rmtsim.text.words import number_of


def report_rates(numbers: pd.DataFrame) -> str:
    """Return the exponents at every checkpoint, with verdicts, and those at equal loss, as text."""
    fits, equal = part(numbers, "exponents"), part(numbers, "equal_loss")
    lines = [_how(part(numbers, "ratios")), ""]
    for key, of_case in fits.groupby(KEYS, sort=False):
        loss, layer, rule = plain(key)
        first = of_case.iloc[0]
        lines.append(f"{loss.upper()}, {layer} layer, {rule}: theorem {THEOREM[layer]}" + _start(first))
        if first["verdict"] == "zero":
            lines.append("")
            continue
        grid = [["steps", "exponent", "upper", "change", "F", "verdict"]]
        for row in of_case.to_dict("records"):
            values = [quoted(row[x], row[f"std_error_{x}"]) for x in ("exponent", "upper", "change")]
            said = _in_words(row["verdict"], row["power"])
            grid.append([f"{row['progress']:.0%}", *values, f"{row['f']:.1f}", said])
        lines += [*text_table(grid, ">>>>><", indent=2), ""]
    lines.append("CE, where the loss is a part of that at initialisation:")
    for row in equal.to_dict("records"):
        exponent = quoted(row["exponent"], row["std_error_exponent"])
        lines.append(f"  {row['layer']} layer, {row['rule']}, loss × {row['relative_loss']:g}: {exponent}")
    legend = (
        "exponent: of C, in the ratio of mean squared norms, off-diagonal over diagonal: slope in log–log over C ≥ "
        f"{MIN_CLASSES}, upper: over the upper factor 4; in brackets standard errors over draws. change: from "
        "initialisation, same draws. F: of a straight line (Welch-James). kept: as at initialisation, to "
        f"{IN_WORDS}; bent: that too, but not the upper one; unresolved: these exceed half of it; "
        "steeper, flatter: not, but negative by as many; lost: not even that. no power law: so large an F has a "
        f"probability under {LEVEL:g}. Squared loss has no equal stage at all C: it begins at about C/2, ends near 1."
    )
    return "\n".join([*lines, "", textwrap.fill(legend, WIDTH)])


def headline_rates(numbers: pd.DataFrame) -> str:
    """Return the exponents at the start and the end in Markdown."""
    lines = (f"{_how(part(numbers, 'ratios'))}.", *_headlines(part(numbers, "exponents")))
    return "\n".join(f"- {line}" for line in lines)


def _how(found: pd.DataFrame) -> str:
    """Return how the runs were made, in words."""
    one, draws = found.iloc[0], found[["seed", "draw"]].drop_duplicates()
    return f"One hidden layer, m = {one['width']}, d = {one['dim']}; {scheduled(one)}, {number_of(len(draws), 'draw')}"


def _headlines(fits: pd.DataFrame) -> Iterator[str]:
    for key, of_case in fits.groupby(KEYS, sort=False):
        loss, layer, rule = plain(key)
        first, last = of_case.iloc[0], of_case.iloc[-1]
        where = f"{loss.upper()}, {layer} layer, {rule}"
        if first["verdict"] == "zero":
            yield f"{where}: off-diagonal blocks are zero throughout"
            continue
        yield (
            f"{where}: off-diagonal/diagonal follows C^p over C ≥ {MIN_CLASSES}, p = {_exponent(first)} at "
            f"initialisation (theory {first['theory']:.3f}, theorem {THEOREM[layer]} as C → ∞), {_exponent(last)} at "
            f"the end, {quoted(last['upper'], last['std_error_upper'])} over the upper factor 4: "
            f"{_in_words(last['verdict'], last['power'])}"
        )


def _in_words(verdict: str, power: bool) -> str:
    return verdict if power else f"{verdict}, no power law"


def _exponent(row: pd.Series) -> str:
    return quoted(row["exponent"], row["std_error_exponent"])


def _start(first: pd.Series) -> str:
    if first["verdict"] == "zero":
        return "; off-diagonal blocks are zero in every run, at every checkpoint"
    return f" as C → ∞, theory at these C {first['theory']:.3f} at initialisation"
