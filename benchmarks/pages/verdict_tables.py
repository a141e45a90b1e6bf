"""Tables of the verdicts that `rmtsim reproduce` came to: the short one of README, and the page of all."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from scipy.special import chdtr, chdtrc, ndtri

from docs.generate.markdown import prose
from docs.verdicts.sentences import LEVEL_OF_VALUES
from rmtsim.stats.render import tally
from rmtsim.stats.verdict import critical
from rmtsim.text.tables import markdown_table

#: What is kept of each claim of ``verdicts.json``.
_KEPT = [
    "model",
    "loss",
    "layer",
    "width",
    "aspect_ratio",
    "dim",
    "n_samples",
    "quantity",
    "exponent_theorem",
    "exponent_deviation",
    "std_error_exponent_deviation",
    "detectable_exponent_deviation",
    "constant_theorem",
    "size_deviation_percent",
    "constant_deviation_percent",
    "std_error_constant_deviation_percent",
    "detectable_constant_deviation_percent",
    "exponent",
    "std_error_exponent",
    "bias_exponent",
    "plain_slope",
    "verdict",
    "reason",
]

_QUANTITIES = {"diag": "diagonal", "offdiag": "off-diagonal", "ratio": "ratio"}

#: The aspect ratio and the d of README's table: those of Figures 8 and 9. Vocabulary sizes have another d.
_SHOWN, _DIM = 0.5, 500

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

Claim = Mapping[str, Any]


def short(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the pages need of a ``verdicts.json``, numbers to six digits."""
    claims = [{key: _rounded(claim[key]) for key in _KEPT} for claim in document["claims"]]
    points = pd.DataFrame(document["points"])
    return {"values": tally(points), "judged": judged(points), "claims": claims}


def judged(points: pd.DataFrame) -> dict[str, Any]:
    """Return how single values are judged together.

    Returns
    -------
    dict
        The number of values ``tested``; the least ``p_adjusted``, by Holm's rule over all; the fewest ``draws`` of a
        value; and of the ``diag`` and of the ``offdiag`` norms of the last layers, which are independent, each alone:
        their ``number``, the ``sum_of_squares`` of the normal deviates that are as probable as their z-scores are by
        Student's t, and ``p``, the two-sided probability of that sum.
    """
    tested = points[points["p_value"].notna()]
    last = tested[tested["layer"].isin(["linear", "output"])]
    independent = {}
    for quantity in ("diag", "offdiag"):
        normal = ndtri(last.loc[last["quantity"] == quantity, "p_value"].to_numpy(dtype=float) / 2)
        total, number = float((normal**2).sum()), len(normal)
        p = 2 * min(float(chdtr(number, total)), float(chdtrc(number, total)))
        independent[quantity] = {"number": number, "sum_of_squares": _rounded(total), "p": _rounded(p)}
    least, draws = float(tested["p_adjusted"].min()), int(tested["draws"].min())
    return {"tested": len(tested), "p_adjusted": _rounded(least), "draws": draws, **independent}


def readme_table(claims: Iterable[Claim]) -> str:
    """Return the table of README: of every layer the power of C in off-diagonal over diagonal norms."""
    rows = []
    for claim in claims:
        if claim["quantity"] != "ratio" or not _shown(claim):
            continue
        theorem = claim["exponent_theorem"]
        if claim["verdict"] == "exact":
            rows.append([_layer(claim), "0", "0 in every draw", "exact"])
        else:
            power = theorem + claim["exponent_deviation"]
            error = claim["std_error_exponent_deviation"]
            measured = f"{power:.4f} ± {error:.4f}".replace("-", "−")
            rows.append([_layer(claim), f"C{_raised(theorem)}", measured, claim["verdict"]])
    return "\n".join(
        markdown_table(["off-diagonal / diagonal", "theorem", "theorem's power + measured deviation", "verdict"], rows)
    )


def page(record: Mapping[str, Any]) -> str:
    """Return the page of verdicts: the answer, and the ratios of off-diagonal to diagonal norms."""
    claims = record["claims"]
    ratios = [claim for claim in claims if claim["quantity"] == "ratio"]
    head = ["layer", "d", "d/N", "power", "off by", "MDE", "off by, %", "MDE, %", "verdict"]
    rows = [
        _short_row(claim) for claim in sorted(ratios, key=lambda claim: (_layer(claim).split(", ")[::-1], claim["dim"]))
    ]
    found = record["judged"]
    limits = [f"{critical(found['tested'], dof):.1f}" for dof in (math.inf, found["draws"] - 1)]
    sums = " and ".join(
        f"{of['sum_of_squares']:.1f} for the {of['number']} {_QUANTITIES[quantity]} norms (two-sided p = {of['p']:.2f})"
        for quantity, of in ((quantity, found[quantity]) for quantity in ("diag", "offdiag"))
    )
    judging = _JUDGED.format(
        level=LEVEL_OF_VALUES, many=limits[0], few=limits[1], draws=found["draws"], least=found["p_adjusted"], sums=sums
    )
    values = f"{prose(_VALUES.format(values=record['values']))}\n\n{prose(judging)}"
    return _PAGE.format(answer=_answer(claims), table="\n".join(markdown_table(head, rows)), values=values)


def numbers(record: Mapping[str, Any]) -> str:
    """Return the page of the numbers of all claims."""
    claims = record["claims"]
    parts = []
    sizes_of_all = {(claim["aspect_ratio"], claim["dim"], claim["n_samples"]) for claim in claims}
    for size in sorted(sizes_of_all, key=lambda size: (-size[1], size[0])):
        aspect_ratio, dim, n_samples = size
        of_these = [claim for claim in claims if (claim["aspect_ratio"], claim["dim"], claim["n_samples"]) == size]
        sizes = f"d = {dim}, N = {n_samples}"
        rows = [_row(claim) for claim in of_these if (claim["quantity"], claim["verdict"]) != ("ratio", "exact")]
        parts.append(f"## d/N = {aspect_ratio:g} ({sizes})\n\n" + "\n".join(markdown_table(_HEAD, rows)))
    return _NUMBERS.format(tables="\n\n".join(parts), free=_free(claims))


def _answer(claims: Sequence[Claim]) -> str:
    """Return how many claims have which verdict, where those on zeros are counted once."""
    claims = [claim for claim in claims if (claim["quantity"], claim["verdict"]) != ("ratio", "exact")]
    counted = Counter(claim["verdict"] for claim in claims)
    found = [f"{count} {_VERBS[verdict][count > 1]}" for verdict, count in counted.most_common()]
    if not counted["differs"]:
        found.append("none differs")
    return f"Of {len(claims)} claims on norms and their ratios, {', '.join(found[:-1])}, and {found[-1]}."


#: A verdict as a verb, of one claim and of several.
_VERBS = {
    "agrees": ("agrees", "agree"),
    "differs": ("differs", "differ"),
    "exact": ("is exact", "are exact"),
    "not decided": ("is not decided", "are not decided"),
    "not tested": ("is not tested", "are not tested"),
}


_HEAD = [
    "layer",
    "blocks",
    "power",
    "off by",
    "MDE",
    "constant",
    "at this d, N, %",
    "off by, %",
    "MDE, %",
    "verdict",
]

_PAGE = """# Verdicts on Theorems 1 and 2

*Written by `python -m benchmarks.pages OUT` from what `rmtsim reproduce` left in OUT.*

**{answer}**

A claim of a theorem says that a norm, or the ratio of two, goes as a power of C times a constant. Norms of d×d blocks
(layers *linear* and *hidden*) are divided by d. The draws at C ≥ 10 are divided by the theory at the same C, d and N.
What is fitted is how far the two are apart: by a power of C, and by a constant factor. The table has the ratios of
off-diagonal to diagonal norms. [All claims](numbers/verdicts.md) have a page of their own.

{table}

- *off by* is the difference with its standard error: of the power, and of the constant in percent. *MDE*, the
  minimum detectable effect, is the smallest difference that would have been noticed in 95 % of cases.
- A claim *differs* where chance does not explain the difference: of a thousand reports on true theorems one has such a
  line. It is *not decided* where a power off by ½, or a factor of 2, would have gone unnoticed. *Exact* are zeros in
  every draw. [How verdicts are found](../explanation/verdicts.md).

## Single values

{values}
"""

_VALUES = (
    "Each mean is also held against the theory at its own C, d and N: {values}. Values that are equal by identity are "
    "zeros of the model, and copies at C = 2; they are no evidence."
)

_JUDGED = (
    "A value differs where its probability, by Student's t and [Holm's rule](../explanation/verdicts.md) over all "
    "these values, is at most {level}: the most significant one from |z| = {many} where it has very many draws, and "
    "from {few} where it has {draws}, the fewest here. The least such probability is {least:.2g}. The root mean "
    "square of z is no test, and no χ² belongs to it: diagonal norm, off-diagonal norm and ratio of the same draws "
    "depend on one another, as do layers, and Student's t is wider than the normal distribution. Independent are the "
    "values of one kind in the last layers. As normal deviates of the same probability, their sums of squares are "
    "{sums}. [Theory against simulation](figures/agreement.md) has such sums at other sizes."
)

_NUMBERS = """# Verdicts on Theorems 1 and 2: all claims

*Written by `python -m benchmarks.pages OUT` from what `rmtsim reproduce` left in OUT. [What the verdicts
are](../verdicts.md).*

- *off by* is the difference of the measured power of C, or constant, with its standard error. *MDE*, the minimum
  detectable effect, is the smallest difference that would have been noticed in 95 % of cases.
- *at this d, N* is how far the constant at this size is from the constant as d, N → ∞.

{tables}

## Fits without the theory

They decide nothing. Each has a systematic error of its own, the *bias*, found by giving the fit the theory's values in
place of the draws. A straight line in log–log axes is bent by small C.

{free}
"""


def _short_row(claim: Claim) -> list[str]:
    layer, _, *cells = _row(claim)
    start = [layer, str(claim["dim"]), f"{claim['aspect_ratio']:g}"]
    if claim["verdict"] == "exact":
        return [*start, "", "0 in every draw", "", "", "", "exact"]
    power, off, detectable, _, _, off_constant, detectable_constant, verdict = cells
    return [*start, power, off, detectable, off_constant, detectable_constant, verdict]


def _row(claim: Claim) -> list[str]:
    start = [f"{claim['layer']}, {claim['loss'].upper()}", _QUANTITIES[claim["quantity"]]]
    if claim["verdict"] == "exact":
        return [*start, "", "", "", "0", "", "", "", "exact"]
    off = claim["constant_deviation_percent"], claim["std_error_constant_deviation_percent"]
    cells = [
        f"{claim['exponent_theorem']:.0f}",
        f"{claim['exponent_deviation']:+.4f} ± {claim['std_error_exponent_deviation']:.4f}",
        f"{claim['detectable_exponent_deviation']:.4f}",
        f"{claim['constant_theorem']:.4g}",
        f"{claim['size_deviation_percent']:+.2f}",
        f"{off[0]:+.2f} ± {off[1]:.2f}",
        f"{claim['detectable_constant_deviation_percent']:.2f}",
    ]
    return [*start, *(cell.replace("-", "−") for cell in cells), claim["verdict"]]


def _free(claims: Iterable[Claim]) -> str:
    rows = []
    for claim in claims:
        if _shown(claim) and claim["verdict"] != "exact":
            cells = [
                f"{claim['exponent']:.4f} ± {claim['std_error_exponent']:.4f}",
                f"{claim['bias_exponent']:+.4f}",
                f"{claim['plain_slope']:.3f}",
                f"{claim['exponent_theorem']:.0f}",
            ]
            rows.append([_layer(claim), _QUANTITIES[claim["quantity"]], *(c.replace("-", "−") for c in cells)])
    head = [f"layer, at d/N = {_SHOWN:g}, d = {_DIM}", "blocks", "power of C", "bias", "straight line", "theorem"]
    return "\n".join(markdown_table(head, rows))


def _shown(claim: Claim) -> bool:
    return (claim["aspect_ratio"], claim["dim"]) == (_SHOWN, _DIM)


def _layer(claim: Claim) -> str:
    layer = "linear model" if claim["layer"] == "linear" else f"{claim['layer']} layer"
    return f"{layer}, {claim['loss'].upper()}"


def _raised(power: float) -> str:
    return f"{power:.0f}".translate(_RAISED)


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value
