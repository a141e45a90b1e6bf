"""The figure outside the proportional regime: which rates in C hold at small d, at any d/N and with many neurons."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from rmtsim.figures.figure import Figure
from rmtsim.figures.headlines import heavy_tails
from rmtsim.figures.parts import join_parts, part
from rmtsim.figures.registry import register
from rmtsim.paper.regime_rates import FAR, LEAST_CLASSES, LEAST_POINTS, extended, judge_rates, regimes_of, short
from rmtsim.stats.claims import SWEEP_COLUMNS
from rmtsim.stats.predictions import plain
from rmtsim.stats.quoted import quoted
from rmtsim.stats.tails import TOO_HEAVY_THERE
from rmtsim.stats.verdict import RATE_MARGIN, TOLERANCE
from rmtsim.text.tables import text_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_HEAD = (
    ["", "theorem", "measured", "theory", "theory", "theory", "measured", "theory", "theory", "measured", "theory"],
    ["", "power", "power", "power", "far", "C->inf", "constant", "constant", "C->inf", "outside", "verdict"],
)

_LEGEND = """\
There are draws up to C = {largest}; all that is said of more classes is theory. power: slope of log value in log C over
the C from 100 on that have draws, weighted, measured with its standard error, and the theory's at the same C, d, N; C
whose tail is too heavy for the mean to be trusted are left out, and no measured value of theirs is given (-).
far: the theory's slope from C = 1e5 to 1e6. C->inf: its power at this d and N as C -> infinity; none is given with a
hidden layer and CE. constant: value at the largest C with draws over the theorem's form there, measured, then the
theory's; C->inf: the theory's as C -> infinity. With a hidden layer and CE that is the sum of a series in 1/d, an
asymptotic one (inf: it has no sum), and no limit: at fixed d off-diagonal and output blocks leave the theorem's form in
the end. outside: share of the layer's squared norm outside its diagonal blocks at the largest C with draws. verdict, on
the theory's powers: holds: at the C of the draws and far within {margin:g} of the theorem's, and as C -> infinity,
where one is given, the theorem's; with a hidden layer and CE it says: up to C = 1e6. not yet: not at the C of the
draws, but far is closer. does not hold: else. differs: draws and theory are over {tolerance:g} standard errors apart,
as where the mean lies in draws too rare to meet, and nothing is said of the rate. not decided: too heavy tails leave
fewer than {least} C."""


@register
class Regimes(Figure):
    """Appendix A, first question."""

    name = "regimes"
    title = "Other regimes: d/N → 0 and → ∞, small d, many neurons"
    source = "Appendix A, first question"
    sentence = (
        "We will try to extend our analysis to other regimes such as non-asymptotic or over-parameterized "
        "regime in the future."
    )
    place = 26
    specs = ("regime_aspect", "regime_samples", "regime_dim", "regime_dim_hidden", "regime_width", "regime_width_mse")

    def select(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of sweeps over C at small d."""
        return regimes_of(rows)

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the values over the theorem's form as ``values``, and the verdicts on the rates as ``rates``."""
        values = extended(rows)
        return join_parts({"values": values, "rates": judge_rates(values)})

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw measured ratios and the theory over the theorem's form."""
        from rmtsim.paper.other_regimes_drawing import plot_regimes

        return plot_regimes(part(numbers, "values"))

    def text(self, numbers: pd.DataFrame) -> str:
        """Return a table with a block of lines per sweep, and a legend."""
        lines: list[list[str] | str] = [*_HEAD]
        sweep: tuple[Any, ...] | None = None
        rates = part(numbers, "rates")
        for row in rates.to_dict("records"):
            if (now := plain(row[key] for key in SWEEP_COLUMNS)) != sweep:
                lines += ["", _heading(row)]
                sweep = now
            lines.append(_cells(row))
        ratios = rates.loc[rates["quantity"] == "ratio", "verdict"].value_counts()
        tally = f"Of {ratios.sum()} ratios: {', '.join(f'{verdict} {count}' for verdict, count in ratios.items())}."
        table = text_table(lines, "<" + ">" * (len(_HEAD[0]) - 2) + "<")
        numbers_in_it = {"tolerance": TOLERANCE, "margin": RATE_MARGIN, "least": LEAST_POINTS}
        legend = _LEGEND.format(largest=rates["largest"].max(), **numbers_in_it)
        heavy = heavy_tails(part(numbers, "values"))
        return "\n".join([*table, "", tally, *heavy, "", legend])

    def headline(self, numbers: pd.DataFrame) -> str:
        """Return the power of C in off-diagonal over diagonal: a line per model, loss, layer and verdict.

        Each has the sizes; the measured power with its standard error; and the theory's at the same C, between the C of
        ``FAR``, and as C → ∞ where it is known. Of several sweeps these are the least and the largest.
        """
        rates = part(numbers, "rates")
        ratios = rates[rates["quantity"] == "ratio"]
        largest = int(ratios["largest"].max())
        lines = [
            f"Powers of C in off-diagonal/diagonal. Draws are of C from {LEAST_CLASSES} to {largest}; of more classes "
            "only the theory speaks, at the same d and N.\n"
        ]
        groups = ratios.groupby(["model", "loss", "layer", "verdict"], sort=False)
        return "\n".join([*lines, *(rate_in_words(group) for _, group in groups)])


def rate_in_words(group: pd.DataFrame) -> str:
    """Put rows of `judge_rates` of one model, loss, layer and verdict into a line."""
    first = group.iloc[0]
    layer = "linear model" if first["model"] == "linear" else f"{first['layer']} layer"
    measured = f"measured {_ends(group, 'exponent', 'std_error_exponent')}"
    low, high = (f"10^{math.log10(C):.0f}" for C in FAR)
    verdict, last = first["verdict"], ""
    if verdict == "not decided":
        measured = f"{TOO_HEAVY_THERE} at all but fewer than {LEAST_POINTS} C"
    if group["exponent_last"].notna().all():
        last = f", as C → ∞ {_ends(group, 'exponent_last')}"
    elif verdict == "holds":
        verdict = f"holds up to C = {high}"
    line = (
        f"- {layer}, {first['loss'].upper()} (theorem: {first['power']:.0f}): {verdict} at {_sizes(group)}: "
        f"{measured}; theory at the same C {_ends(group, 'exponent_theory')}"
    )
    if verdict == "differs":  # there the theory is not tested
        return line
    return f"{line}, at C from {low} to {high} {_ends(group, 'exponent_far')}{last}"


def _ends(group: pd.DataFrame, name: str, error: str | None = None) -> str:
    """Smallest and largest value of a column, with its standard error if there is one."""
    rows = group.sort_values(name).iloc[[0, -1]].to_dict("records")
    ends = [quoted(row[name], row[error]) if error else f"{row[name]:.2f}" for row in rows]
    return " to ".join(dict.fromkeys(ends))


def _sizes(group: pd.DataFrame) -> str:
    """Sizes of the sweeps: d, m, and the d/N of each."""
    found = []
    for _, rows in group.groupby(["dim", "width"], dropna=False):
        first = rows.iloc[0]
        neurons = "" if pd.isna(first["width"]) else f", m = {first['width']}"
        found.append(f"d = {first['dim']}{neurons}, d/N = {', '.join(map(short, rows['aspect_ratio']))}")
    return "; ".join(found)


def _cells(row: dict[Any, Any]) -> list[str]:
    def number(name: str, how: str, error: str = "", how_error: str = "") -> str:
        if math.isnan(row[name]):
            return "-"
        return f"{row[name]:{how}} ± {row[error]:{how_error}}" if error else f"{row[name]:{how}}"

    return [
        f"  {row['quantity']}",
        number("power", "+.0f"),
        number("exponent", "+.3f", "std_error_exponent", ".3f"),
        number("exponent_theory", "+.3f"),
        number("exponent_far", "+.3f"),
        number("exponent_last", "+.3f"),
        number("departure", ".3g", "std_error_departure", ".2g"),
        number("departure_theory", ".3g"),
        number("departure_last", ".3g"),
        number("outside", ".2g"),
        row["verdict"],
    ]


def _heading(row: dict[Any, Any]) -> str:
    width = "" if pd.isna(row["width"]) else f", m = {row['width']}"
    layer = "" if row["layer"] == row["model"] else f", {row['layer']} layer"
    return f"{row['model']} {row['loss']}{layer}: d/N = {row['aspect_ratio']:g}, d = {row['dim']}{width}"
