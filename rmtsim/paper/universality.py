"""Which assumptions matter: the ratio against C with other laws of data and weights, beside the Gaussian theory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from rmtsim.errors import InputError
from rmtsim.figures.figure import Figure
from rmtsim.figures.parts import join_parts, part
from rmtsim.figures.registry import register
from rmtsim.model.ensemble import LECUN
from rmtsim.sampling.schema import ENSEMBLE_NUMBERS
from rmtsim.stats.curve_fit import MIN_POINTS, fit_on_curve
from rmtsim.stats.summary import summarize
from rmtsim.stats.verdict import LEVEL, MAX_DISTANCE, RATE_MARGIN, Deviation
from rmtsim.text.tables import records, text_table
from rmtsim.theory import finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

#: The columns of a law.
_LAW = ["data", "weights"]

#: Verdicts on whether an exponent or a constant is the Gaussian one.
_SAME, _OTHER, _OPEN = "same", "another", "not decided"

_HEAD = (
    ["data", "weights", "power over", "exponent", "over Gaussian", "constant", "from C", ""],
    ["", "", "Gaussian", "", "at largest C", "", "", ""],
)

_LEGEND = """\
Ratio of off-diagonal to diagonal blocks of the linear model with cross-entropy at d = {dim}, N = {n_samples}, over that
of the exact theory for Gaussian data and weights at the same C, d and N. power over Gaussian: slope of its logarithm in
log C. exponent: same, where the slope is within {margin:g} of 0 whatever its error; another, where it is beyond.
constant: likewise, whether the quotient at the largest C is within {distance:.0%} of 1; from C: the least C from which
on all quotients are. not decided: neither, or the tail of the draws is too heavy. Errors count as large as they are
once in {once:.0f} such tables."""


@register
class Universality(Figure):
    """Theorem 1 without its assumptions."""

    name = "universality"
    title = "Which assumptions matter: other laws of data and weights"
    source = "Theorem 1, without Assumptions 1 and 2"
    sentence = (
        "We find that: the ratio between the off-diagonal and diagonal blocks decays to zero at the rate of "
        r"$\mathcal{O}(1/C^2)$, where $C$ is the number of classes. … This means that off-diagonal blocks "
        "become relatively negligible as $C$ increases."
    )
    place = 27
    specs = (
        "universality_gaussian",
        "universality_rademacher",
        "universality_uniform",
        "universality_student_t",
        "universality_sphere",
        "universality_ar1",
        "universality_spectrum",
        "universality_spiked",
        "universality_uniform_weights",
        "universality_orthogonal_weights",
    )

    def select(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of linear cross-entropy at the sizes at which there are the most laws."""
        chosen = rows[(rows["model"] == "linear") & (rows["loss"] == "ce") & (rows["init"] == LECUN.init)]
        for name in ENSEMBLE_NUMBERS:
            chosen = chosen[chosen[name] == getattr(LECUN, name)]
        laws = chosen[[*_LAW, "dim", "n_samples"]].drop_duplicates().groupby(["dim", "n_samples"]).size()
        if laws.empty or laws.max() < 2:
            raise InputError(
                "figure universality: the draws hold no two laws of data or weights of linear ce at one d and N; run "
                "`rmtsim reproduce universality`, or sweeps that differ in [ensemble] data or weights"
            )
        place: Any = laws.idxmax()
        dim, n_samples = place
        found: pd.DataFrame = chosen[(chosen["dim"] == dim) & (chosen["n_samples"] == n_samples)]
        return found

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the ratios over the Gaussian theory as ``points``, and the verdicts on each law as ``laws``."""
        points = over_gaussian(rows)
        return join_parts({"points": points, "laws": judge_laws(points)})

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw the ratios over the Gaussian theory against C."""
        from rmtsim.paper.universality_drawing import plot_universality

        return plot_universality(part(numbers, "points"))

    def text(self, numbers: pd.DataFrame) -> str:
        """Return a line for each law, and a legend."""
        lines = [*_HEAD, *(_cells(row) for row in records(part(numbers, "laws")))]
        first = part(numbers, "points").iloc[0]
        legend = _LEGEND.format(
            dim=first["dim"],
            n_samples=first["n_samples"],
            margin=RATE_MARGIN,
            distance=MAX_DISTANCE,
            once=1 / LEVEL,
        )
        return "\n".join([*text_table(lines, "<<><><><"), "", legend])

    def headline(self, numbers: pd.DataFrame) -> str:
        """Return which laws have the exponent, and which the constant, of Gaussian data and weights."""
        laws = part(numbers, "laws")
        names = [_name(row) for row in records(laws)]
        said = []
        for what in ("exponent", "constant"):
            for verdict in (_SAME, _OTHER, _OPEN):
                found = [name for name, of in zip(names, laws[what], strict=True) if of == verdict]
                said += [f"{what} {verdict}: {', '.join(found)}"] if found else []
        return "; ".join(said)


def over_gaussian(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the ratios of off-diagonal to diagonal blocks over those of Gaussian data and weights.

    Parameters
    ----------
    rows
        Draws of linear cross-entropy at one d and N.

    Returns
    -------
    DataFrame
        One row per law (``data``, ``weights``) and C: ``draws``; ``ratio`` with its ``std_error_ratio``; ``gaussian``,
        the exact theory's at this C, d and N for Gaussian data and weights; ``quotient``, the one over the other, with
        ``std_error_quotient`` and ``skewness`` (that of draws over √draws); ``heavy_tail``, whether the draws have too
        heavy a tail for these to be trusted.
    """
    means = summarize(rows)
    theory = {
        C: finite("linear", "ce", C, int(means["dim"].iloc[0]), int(means["n_samples"].iloc[0]))[0].ratio
        for C in sorted(means["n_classes"].unique().tolist())
    }
    gaussian = means["n_classes"].map(theory)
    table = means.assign(
        gaussian=gaussian,
        quotient=means["ratio"] / gaussian,
        std_error_quotient=means["std_error_ratio"] / gaussian,
        skewness=means["skewness_ratio"] / means["draws"] ** 0.5,
        heavy_tail=means["heavy_tail_ratio"].astype(bool),
    )
    columns = [*_LAW, "n_classes", "dim", "n_samples", "draws", "ratio", "std_error_ratio", "gaussian"]
    order = {law: place for place, law in enumerate(_laws(table))}
    places = [order[law] for law in zip(table["data"], table["weights"], strict=True)]
    found = table[[*columns, "quotient", "std_error_quotient", "skewness", "heavy_tail"]].assign(place=places)
    return found.sort_values(["place", "n_classes"], ignore_index=True).drop(columns="place")


def _laws(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the laws, the Gaussian one first, then by data and weights."""
    laws = sorted(set(zip(table["data"], table["weights"], strict=True)))
    return sorted(laws, key=lambda law: (law[1] != LECUN.weights, law[0] != LECUN.data))


def judge_laws(points: pd.DataFrame) -> pd.DataFrame:
    """Return for each law whether exponent and constant of the ratio are the Gaussian ones, and from which C.

    Parameters
    ----------
    points
        As `over_gaussian` returns them.

    Returns
    -------
    DataFrame
        One row per law: ``power``, the slope of log quotient in log C with ``std_error_power``, and ``exponent``, the
        verdict on it; ``largest``, the largest C, ``quotient`` there with ``std_error_quotient``, and ``constant``, the
        verdict; ``from_classes``, the least C from which on all quotients are within `MAX_DISTANCE` of 1, null where
        that at the largest is not.

    Notes
    -----
    *same*: the power is within `RATE_MARGIN` of 0, or the quotient within `MAX_DISTANCE` of 1, and so is the interval
    that misses the true one once in a thousand tables; *another*: none of that is; *not decided*: neither, or the draws
    that it rests on have too heavy a tail.
    """
    lines, groups = [], list(points.groupby(_LAW, sort=False))
    tests = 2 * len(groups)
    for law, group in groups:
        rse = group["std_error_quotient"] / group["quotient"]
        trusted = group["quotient"].mask(group["heavy_tail"])
        fit = fit_on_curve(group["n_classes"], trusted, rse, group["draws"])
        last = group.iloc[-1]
        dof = max(last["draws"] - 1, 1)
        off = Deviation(last["quotient"] - 1, last["std_error_quotient"], dof, last["skewness"])
        constant = _OPEN if last["heavy_tail"] else _verdict(off, MAX_DISTANCE, tests)
        far = group["n_classes"][(group["quotient"] - 1).abs() > MAX_DISTANCE]
        near = group["n_classes"][group["n_classes"] > far.max()] if len(far) else group["n_classes"]
        lines.append(
            dict(zip(_LAW, law, strict=True))
            | {
                "power": fit.exponent.value,
                "std_error_power": fit.exponent.std_error,
                "exponent": _verdict(fit.exponent, RATE_MARGIN, tests),
                "largest": int(last["n_classes"]),
                "quotient": last["quotient"],
                "std_error_quotient": last["std_error_quotient"],
                "constant": constant,
                "from_classes": int(near.min()) if len(near) and constant == _SAME else None,
                "heavy_tails": int(group["heavy_tail"].sum()),
                "reason": fit.reason,
            }
        )
    return pd.DataFrame(lines).astype({"from_classes": "Int64"})


def _verdict(deviation: Deviation, margin: float, tests: int) -> str:
    """Whether a deviation is within the margin, beyond it, or neither for certain."""
    low, high = deviation.interval(LEVEL / tests)
    if max(-low, high) <= margin:
        return _SAME
    return _OTHER if max(low, -high) > margin else _OPEN


def _name(row: dict[str, Any]) -> str:
    """Return a law in words."""
    weights = "" if row["weights"] == LECUN.weights else f"{row['weights']} weights"
    return " and ".join(filter(None, ["" if weights and row["data"] == LECUN.data else row["data"], weights]))


def _cells(row: dict[str, Any]) -> list[str]:
    power = f"under {MIN_POINTS} C" if row["reason"] else f"{row['power']:+.3f} ± {row['std_error_power']:.3f}"
    return [
        row["data"],
        row["weights"],
        power,
        row["exponent"],
        "-" if row["std_error_quotient"] is None else f"{row['quotient']:.3f} ± {row['std_error_quotient']:.3f}",
        row["constant"],
        "-" if row["from_classes"] is None else str(row["from_classes"]),
        f"too heavy a tail at {row['heavy_tails']} C" if row["heavy_tails"] else "",
    ]
