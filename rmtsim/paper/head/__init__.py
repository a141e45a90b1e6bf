"""The last layer of a trained network beside nulls: through training, or over models of the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd

from rmtsim.figures.figure import Figure
from rmtsim.figures.parts import PART, join_parts, part
from rmtsim.figures.registry import register
from rmtsim.paper.head.numbers import MEASURED, powers
from rmtsim.stats.quoted import quoted
from rmtsim.sweeps.experiment import Experiment
from rmtsim.text.tables import records, text_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_NULLS = ("theorem", "logit_variance", "decoupled", "gaussian")

_LEGEND = """\
In brackets: standard error over batches, in units of the last digit. ratio: mean squared norm of the off-diagonal
blocks over that of the diagonal ones, then that of each null at the same C, d and N. outside: share of the squared norm
outside the diagonal blocks. power: p of a diagonal block's squared norm ~ f^p in the frequency f of its class as
predicted, over classes."""


@register
class Head(Figure):
    """Section 3.1's near-block-diagonal structure of the last layer through training, beside what could explain it."""

    name = "head"
    title = "The last layer of a trained network, beside nulls"
    source = "Section 3.1, Finding 1"
    sentence = (
        "For both MSE loss and CE loss, we observe near-block-diagonal structures in $H_{ww}$ and $H_{vv}$ and such "
        "structures maintains along training."
    )
    place = 30
    measured = True

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment: a network with 100 classes, trained here."""
        from rmtsim.paper.head.networks import trained_head

        return trained_head()

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return norms beside nulls, blocks of each class, maps of blocks, and ``powers`` of the frequency."""
        parts = {name: part(rows, name).drop(columns=PART) for name in ("norms", "classes", "blocks")}
        return join_parts(parts | {"powers": powers(parts["classes"])})

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw ratio and share outside beside the nulls, and classes and blocks of the first and last measurement."""
        from rmtsim.paper.head.drawing import plot_head

        return plot_head(numbers)

    def text(self, numbers: pd.DataFrame) -> str:
        """Return a line for each measurement, and a legend."""
        norms, slopes = part(numbers, "norms"), _powers(numbers)
        grid = [["", "", "ratio", *[""] * len(_NULLS), "", ""]]
        first = "step" if norms["step"].notna().all() else "model"
        grid.append([first, "perplexity", MEASURED, *_NULLS, "outside", "power"])
        for name, found in _by_name(norms).items():
            ratios = [_value(found, kind, "ratio") for kind in (MEASURED, *_NULLS)]
            outside, power = _value(found, MEASURED, "outside"), slopes.get(name, "-")
            grid.append([name, _perplexity(found), *ratios, outside, power])
        return "\n".join([_sizes(norms), "", *text_table(grid, ">"), "", _LEGEND])

    def headline(self, numbers: pd.DataFrame) -> str:
        """Return what the first and the last measurement have, in Markdown."""
        norms, slopes = part(numbers, "norms"), _powers(numbers)
        by_name = _by_name(norms)
        names = list(by_name)
        ends = {name: by_name[name] for name in (names[0], names[-1])}

        def said(kind: str, quantity: str) -> str:
            return " → ".join(_value(found, kind, quantity) for found in ends.values())

        place = "step " if norms["step"].notna().all() else ""
        kinds = [kind for kind in _NULLS if any(kind in found for found in ends.values())]
        beside = "".join(f"; {kind.replace('_', ' ')} {said(kind, 'ratio')}" for kind in kinds)
        lines = [
            f"{_sizes(norms)}; {' → '.join(place + name for name in ends)}: perplexity "
            + " → ".join(map(_perplexity, ends.values())),
            f"off-diagonal/diagonal {said(MEASURED, 'ratio')}{beside}",
            f"share of the squared norm outside the diagonal blocks {said(MEASURED, 'outside')}",
        ]
        if known := [slopes[name] for name in ends if name in slopes]:
            p = " → ".join(known)
            lines.append(f"squared norm of a class's diagonal block ~ f^p in its predicted frequency f, p = {p}")
        return "\n".join(f"- {line}" for line in lines)


#: The rows of one measurement, by what they are of.
_Found: TypeAlias = dict[str, dict[str, Any]]


def _by_name(norms: pd.DataFrame) -> dict[str, _Found]:
    found: dict[str, _Found] = {}
    for row in records(norms):
        found.setdefault(row["name"], {})[row["of"]] = row
    return found


def _powers(numbers: pd.DataFrame) -> dict[str, str]:
    """Return the power of the frequency of each name that has one."""
    known = records(part(numbers, "powers").dropna(subset="power"))
    return {row["name"]: quoted(row["power"], row["std_error_power"]) for row in known}


def _perplexity(found: _Found) -> str:
    return f"{found[MEASURED]['perplexity']:.4g}"


def _value(found: _Found, kind: str, quantity: str) -> str:
    """Return a number of the measurement or of a null, with its standard error."""
    row = found.get(kind, {})
    if row.get(quantity) is None:
        return "-"
    return quoted(row[quantity], row[f"std_error_{quantity}"] or 0.0)


def _sizes(norms: pd.DataFrame) -> str:
    """Return the sizes, or from which to which they are."""
    letters = {"n_classes": "C", "dim": "d", "batch": "N", "batches": "batches"}
    ends = {letter: (norms[name].min(), norms[name].max()) for name, letter in letters.items()}
    return ", ".join(f"{letter} = {a}" + (f" to {b}" if b > a else "") for letter, (a, b) in ends.items())
