"""The tables of verdicts as plain text of at most 110 columns."""

from __future__ import annotations

import itertools
import math
import textwrap
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rmtsim.model.ensemble import LECUN, Ensemble
from rmtsim.sampling.schema import ENSEMBLE
from rmtsim.stats.verdict import DECISIVE_EXPONENT, DECISIVE_FACTOR, LEVEL, POWER
from rmtsim.text.tables import WIDTH, records, text_table

_SWEEP = ["model", "loss", "layer", "width", "dim", "n_samples", *ENSEMBLE]

_CLAIMS_HEAD = ["quantity", "power", "free", "±s.e.", "bias", "constant", "size"]
_CLAIMS_HEAD += ["Δpower", "±s.e.", "MDE", "Δconst.", "±s.e.", "MDE", " verdict"]
_CLAIMS_SPARE = [(2, 3, 4), (6,)]
_CLAIMS_LEGEND = (
    "power, constant: the theorem's, for d, N, then C → ∞. free: the power fitted without the theory; s.e.: standard "
    "error; bias: systematic error of that fit, seen on the theory's own values at these C. It decides nothing. size: "
    "deviation of the theory's constant at this d and N from its limit d, N → ∞. Δpower, Δconst.: what power and "
    "constant are off from the theory's at these C, d, N. MDE: minimum detectable effect, the least such deviation, of "
    f"either sign, that {POWER:.0%} of such data would have shown. differs: chance does not explain the deviation; by "
    f"chance alone, at most {LEVEL:.1%} of reports have such a line (Holm's rule over all lines, with three tests "
    f"each: power, constant, χ²/dof). agrees: chance explains it, and {DECISIVE_EXPONENT:g} in the power and a factor "
    f"of {DECISIVE_FACTOR:g} in the constant would have shown; else not decided. exact: the theorem has zero, and "
    "so has every draw. not tested: for the reason that is given."
)
_POINTS_HEAD = ["C", "draws", "quantity", "measured", "±s.e.", "theory", "±s.e.", "limit", "size", "z", "MDE"]
_POINTS_HEAD += [" verdict"]
_POINTS_SPARE = [(8,), (7,), (6,), (10,)]
_POINTS_LEGEND = (
    "draws: in brackets, how many exact draws would be as precise. theory: at this C, d and N. limit: d, N → ∞. size: "
    "deviation of the theory from its limit. z: measured less theory, in standard errors, with the skewness of the "
    f"draws. MDE: minimum detectable effect, the least deviation from the theory that {POWER:.0%} of such data would "
    f"have shown. differs: chance does not explain the deviation; by chance alone, at most {LEVEL:.1%} of reports have "
    "such a line (Holm's rule, Student's t). exact: equal by identity, as zeros and copies are. not decided: a factor "
    f"of {DECISIVE_FACTOR:g} would not have shown, or the tail is too heavy."
)


class Block(NamedTuple):
    """The lines of one sweep over C.

    Attributes
    ----------
    heading
        The sweep in words.
    reason
        The reason that all its lines have, if there are several; else empty.
    lines
        The cells of each line, and its own reason, empty where ``reason`` says it.
    """

    heading: str
    reason: str
    lines: list[tuple[list[str], str]]


class Layout(NamedTuple):
    """A table of verdicts as text: the names of its columns, its blocks, and what the columns mean."""

    head: list[str]
    blocks: list[Block]
    legend: str


def layout(table: pd.DataFrame) -> Layout:
    """Lay out a table of ``claims`` or ``points`` as cells, one block per sweep over C."""
    is_claims = "exponent_theorem" in table.columns
    head, legend = (_CLAIMS_HEAD, _CLAIMS_LEGEND) if is_claims else (_POINTS_HEAD, _POINTS_LEGEND)
    cells = _claim_cells if is_claims else _point_cells
    blocks = []
    for _, of_sweep in itertools.groupby(records(table), key=lambda row: [row[key] for key in _SWEEP]):
        lines = list(of_sweep)
        once = len(lines) > 1 and len({line["reason"] for line in lines}) == 1
        shown = [(cells(line), "" if once else line["reason"]) for line in lines]
        blocks.append(Block(_heading(lines[0]), lines[0]["reason"] if once else "", shown))
    return Layout(head, blocks, legend)


def render(table: pd.DataFrame, width: int = WIDTH) -> str:
    """Lay out a table of ``claims`` or ``points``, one block of lines per sweep over C, with a legend.

    Standard errors (s.e.) and the deviation that the finite d and N make (size) stand in columns of their own. Where
    lines may have less than 110 columns, what decides nothing is left out.
    """
    head, blocks, legend = layout(table)
    spare = _CLAIMS_SPARE if head is _CLAIMS_HEAD else _POINTS_SPARE
    rows: list[list[str] | str] = [head]
    for heading, reason, lines in blocks:
        rows += ["", *textwrap.wrap(heading, width, subsequent_indent="  "), *_wrapped(reason, width)]
        for cells, own in lines:
            rows += [cells, *_wrapped(own, width)]
    numbers = ">" * (len(head) - 2)
    shown = text_table(rows, f"<{numbers}<", 1, width=width if width < WIDTH else math.inf, spare=spare)
    return "\n".join([*shown, "", textwrap.fill(legend, width)])


def _wrapped(reason: str, width: int) -> list[str]:
    """Return the lines of a reason, indented below what it is of."""
    return textwrap.wrap(reason, width, initial_indent=" " * 6, subsequent_indent=" " * 6)


def tally(points: pd.DataFrame, agree: str = "measured values agree with the theory at their own C, d, N") -> str:
    """Return how many values of `rmtsim.stats.comparison.compare` agree with the theory, and their z-scores.

    Identities, which are no evidence, are counted apart.
    """
    counts = {verdict: int(count) for verdict, count in points["verdict"].value_counts().items()}
    tested = points[~points["verdict"].isin(["exact", "not tested"])]
    heavy = tested["heavy_tail"].astype(bool)
    z = tested.loc[np.isfinite(tested["z"]) & ~heavy, "z"]
    said = [f"{counts.get('agrees', 0)} of {len(tested)} {agree}"]
    if blind := counts.get("not decided", 0):
        of_these = f" (too heavy a tail: {heavy.sum()})" if heavy.any() else ""
        said.append(f"{blind} {'is' if blind == 1 else 'are'} not decided{of_these}")
    if exact := counts.get("exact", 0):
        said.append(f"{exact} more {'is' if exact == 1 else 'are'} equal by identity")
    spread = f"; largest |z| {z.abs().max():.2f}, root mean square {(z**2).mean() ** 0.5:.2f}" if len(z) else ""
    return f"{', '.join(said)}{spread}"


def _claim_cells(row: dict[str, Any]) -> list[str]:
    return [
        f"  {row['quantity']}",
        _number(row["exponent_theorem"], ".0f"),
        _number(row["exponent"], "+.4f"),
        _number(row["std_error_exponent"], ".4f"),
        _number(row["bias_exponent"], "+.4f"),
        _number(row["constant_theorem"], ".4g"),
        _number(row["size_deviation_percent"], "+.2f", "%"),
        _short(row["exponent_deviation"], 4, sign="+"),
        _short(row["std_error_exponent_deviation"], 4),
        _short(row["detectable_exponent_deviation"], 4),
        _short(row["constant_deviation_percent"], 2, "%", "+"),
        _short(row["std_error_constant_deviation_percent"], 2, "%"),
        _short(row["detectable_constant_deviation_percent"], 2, "%"),
        f" {row['verdict']}",
    ]


def _point_cells(row: dict[str, Any]) -> list[str]:
    return [
        f"  {row['n_classes']}",
        _draws(row["draws"], row["effective_draws"]),
        row["quantity"],
        _number(row["measured"], ".5g"),
        _relative(row["std_error"], row["measured"]),
        _number(row["finite"], ".5g"),
        _relative(row["std_error_finite"], row["finite"]),
        _number(row["limit"], ".5g"),
        _number(row["size_deviation_percent"], "+.2f", "%"),
        _number(row["z"], "+.2f"),
        _short(row["detectable_percent"], 1, "%"),
        f" {row['verdict']}",
    ]


def _draws(count: int, effective: float) -> str:
    """Return the number of draws, with that of as precise exact ones where it is less by a hundredth or more."""
    return f"{count} ({effective:.0f})" if effective < 0.99 * count else str(count)


def _number(value: float | None, how: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{how}}{unit}"


def _short(value: float | None, places: int, unit: str = "", sign: str = "") -> str:
    """Return a number to so many places, and fewer where it is large, so that its column keeps its width."""
    if value is None:
        return "-"
    places -= min(max(0, len(f"{abs(value):.0f}") - 1), places)
    return f"{value:{sign}.{places}f}{unit}" if abs(value) < 1e4 else f"{value:{sign}.0e}{unit}"


def _relative(error: float | None, value: float | None) -> str:
    """Return an error in percent of its value."""
    return "-" if error is None or not value else f"{100 * error / abs(value):.2f}%"


def _heading(row: dict[str, Any]) -> str:
    width = "" if row["width"] is None else f", m = {row['width']}"
    sizes = f"d/N = {row['aspect_ratio']:g}, d = {row['dim']}, N = {row['n_samples']}{width}"
    layer = "" if row["layer"] == row["model"] else f", {row['layer']} layer"
    ensemble = Ensemble(*(row[name] for name in ENSEMBLE))
    return f"{row['model']} {row['loss']}{layer}: {sizes}" + ("" if ensemble == LECUN else f"; {ensemble}")
