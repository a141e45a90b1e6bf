"""Which assumptions matter: the ratio against C with other laws and activations, beside the theory of the paper's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from textwrap import fill
from typing import TYPE_CHECKING, Any

import pandas as pd

from rmtsim.errors import InputError
from rmtsim.figures.figure import Figure
from rmtsim.figures.parts import join_parts, part
from rmtsim.figures.registry import register
from rmtsim.model.ensemble import LAWS, LECUN
from rmtsim.model.layers import CROSS, LINEAR
from rmtsim.sampling.schema import ENSEMBLE_NUMBERS
from rmtsim.stats.curve_fit import MIN_POINTS, fit_on_curve
from rmtsim.stats.summary import summarize
from rmtsim.stats.verdict import LEVEL, MAX_DISTANCE, RATE_MARGIN, Deviation
from rmtsim.text.tables import records, text_table
from rmtsim.theory import finite
from rmtsim.theory.prediction import Prediction

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

#: The columns of a law, in each layer.
_LAW = ["layer", *LAWS]

#: The layers, in the order of the table.
_LAYERS = ("linear", "hidden", "output")

#: The columns of the sizes of a model beside C.
_SIZES = ["model", "dim", "n_samples", "width"]

#: Verdicts on whether an exponent or a constant is that of the paper's laws.
_SAME, _OTHER, _OPEN = "same", "another", "not decided"

_HEAD = (
    ["layer", "law", "power over", "exponent", "over theory", "constant", "from C", ""],
    ["", "", "theory", "", "at largest C", "", "", ""],
)

_LEGEND = """\
Ratio of off-diagonal to diagonal blocks with cross-entropy ({sizes}), over that of the exact theory for Gaussian data
and weights, and ReLU, at the same C, d, N and m. power over theory: slope of its logarithm in log C. exponent: same,
where the slope is within {margin:g} of 0 whatever its error; another, where it is beyond. constant: likewise, whether
the quotient at the largest C is within {distance:.0%} of 1; from C: the least C from which on all quotients are. not
decided: neither, or the tail of the draws is too heavy. Errors count as large as they are once in {once:.0f} tables of
a layer."""


@register
class Universality(Figure):
    """The theorems without their assumptions."""

    name = "universality"
    title = "Which assumptions matter: other laws, other activations"
    source = "Theorems 1 and 2, with other laws"
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
        "universality_relu",
        "universality_gelu",
        "universality_silu",
        "universality_tanh",
        "universality_identity",
    )

    def select(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of cross-entropy at the sizes at which each model has the most laws, two or more."""
        chosen = rows[(rows["loss"] == "ce") & (rows["layer"] != CROSS.name) & (rows["init"] == LECUN.init)]
        for name in ENSEMBLE_NUMBERS:
            chosen = chosen[chosen[name] == getattr(LECUN, name)]
        laws = chosen[[*_SIZES, *LAWS]].drop_duplicates()
        count = laws.groupby(_SIZES, dropna=False).size().rename("laws").reset_index()
        most = count[count["laws"] > 1].sort_values("laws", kind="stable").drop_duplicates("model", keep="last")
        if most.empty:
            raise InputError(
                "figure universality: the draws hold no two laws of data or weights, nor two activations, with ce at "
                "one d and N (and m); run `rmtsim reproduce universality`, or sweeps that differ in [ensemble] alone"
            )
        keys = pd.MultiIndex.from_frame(most[_SIZES].fillna(0))
        return chosen[pd.MultiIndex.from_frame(chosen[_SIZES].fillna(0)).isin(keys)]

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the ratios over the theory as ``points``, and the verdicts on each law as ``laws``."""
        points = over_theory(rows)
        return join_parts({"points": points, "laws": judge_laws(points)})

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw the ratios over the theory against C."""
        from rmtsim.paper.universality_drawing import plot_universality

        points, laws = part(numbers, "points"), records(part(numbers, "laws"))
        names = {tuple(row[name] for name in _LAW): law_in_words(row) for row in laws}
        return plot_universality(points, names, sizes_in_words(points))

    def text(self, numbers: pd.DataFrame) -> str:
        """Return a line for each law, and a legend."""
        lines = [*_HEAD, *(_cells(row) for row in records(part(numbers, "laws")))]
        legend = _LEGEND.format(
            sizes="; ".join(dict.fromkeys(sizes_in_words(part(numbers, "points")).values())),
            margin=RATE_MARGIN,
            distance=MAX_DISTANCE,
            once=1 / LEVEL,
        )
        return "\n".join([*text_table(lines, "<<><><><"), "", fill(legend, 120)])

    def headline(self, numbers: pd.DataFrame) -> str:
        """Return which laws have the exponent, and which the constant, of the paper's, in each layer."""
        said = []
        for layer, laws in part(numbers, "laws").groupby("layer", sort=False):
            names = [law_in_words(row) for row in records(laws)]
            of_layer = []
            for what in ("exponent", "constant"):
                for verdict in (_SAME, _OTHER, _OPEN):
                    found = [name for name, of in zip(names, laws[what], strict=True) if of == verdict]
                    of_layer += [f"{what} {verdict}: {', '.join(found)}"] if found else []
            said.append(f"{layer}: {'; '.join(of_layer)}")
        return ". ".join(said)


def over_theory(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the ratios of off-diagonal to diagonal blocks over those of Gaussian data and weights, and ReLU.

    Parameters
    ----------
    rows
        Draws of cross-entropy, of each model at one d, N and m.

    Returns
    -------
    DataFrame
        One row per layer, law (``data``, ``weights``, ``activation``) and C: ``draws``; ``ratio`` with its
        ``std_error_ratio``; ``theory``, the exact theory's at this C, d, N and m for the paper's laws; ``quotient``,
        the one over the other, with ``std_error_quotient`` and ``skewness`` (that of draws over √draws);
        ``heavy_tail``, whether the draws have too heavy a tail for these to be trusted.
    """
    means = summarize(rows)
    keys = list(means[["layer", "n_classes", *_SIZES]].fillna(0).itertuples(index=False, name=None))
    of_key = {key: _theory(*key) for key in keys}
    of_points = [of_key[key] for key in keys]
    theory = pd.Series([one.ratio for one in of_points], means.index)
    rse = pd.Series([one.std_error_ratio / one.ratio for one in of_points], means.index)
    quotient = means["ratio"] / theory
    table = means.assign(
        theory=theory,
        quotient=quotient,
        std_error_quotient=((means["std_error_ratio"] / theory) ** 2 + (quotient * rse) ** 2) ** 0.5,
        skewness=means["skewness_ratio"] / means["draws"] ** 0.5,
        heavy_tail=means["heavy_tail_ratio"].astype(bool),
    )
    order = {law: place for place, law in enumerate(_laws(table))}
    places = [order[law] for law in table[_LAW].itertuples(index=False, name=None)]
    columns = [*_LAW, "n_classes", "dim", "n_samples", "width", "draws", "ratio", "std_error_ratio", "theory"]
    found = table[[*columns, "quotient", "std_error_quotient", "skewness", "heavy_tail"]].assign(place=places)
    return found.sort_values(["place", "n_classes"], ignore_index=True).drop(columns="place")


def _theory(layer: str, n_classes: int, model: str, dim: int, n_samples: int, width: int) -> Prediction:
    """Return what the theory says of a layer of the paper's ensemble; the linear model has a width of 0."""
    [found] = finite(model, "ce", n_classes, dim, n_samples, int(width) or None, layers=(layer,))
    return found


def _laws(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return the laws in the order of the layers, the paper's first, then by data, weights and activation."""
    laws = sorted(set(table[_LAW].itertuples(index=False, name=None)))

    def place(law: tuple[str, ...]) -> list[Any]:
        layer, data, weights, activation = law
        return [_LAYERS.index(layer), weights != LECUN.weights, data != LECUN.data, activation != LECUN.activation]

    return sorted(laws, key=place)


def sizes_in_words(points: pd.DataFrame) -> dict[str, str]:
    """Return the model and the sizes of each layer, as text."""
    said = {}
    for layer, group in points.groupby("layer", sort=False):
        dim, n_samples, width = group[["dim", "n_samples", "width"]].iloc[0]
        model = "linear model" if pd.isna(width) else f"one hidden layer of {width:.0f} neurons"
        said[str(layer)] = f"{model}, d = {dim:.0f}, N = {n_samples:.0f}"
    return said


def judge_laws(points: pd.DataFrame) -> pd.DataFrame:
    """Return for each law whether exponent and constant of the ratio are those of the theory, and from which C.

    Parameters
    ----------
    points
        As `over_theory` returns them.

    Returns
    -------
    DataFrame
        One row per layer and law: ``power``, the slope of log quotient in log C with ``std_error_power``, and
        ``exponent``, the
        verdict on it; ``largest``, the largest C, ``quotient`` there with ``std_error_quotient``, and ``constant``, the
        verdict; ``from_classes``, the least C from which on all quotients are within `MAX_DISTANCE` of 1, null where
        that at the largest is not.

    Notes
    -----
    *same*: the power is within `RATE_MARGIN` of 0, or the quotient within `MAX_DISTANCE` of 1, and so is the interval
    that misses the true one once in a thousand tables of a layer; *another*: none of that is; *not decided*: neither,
    or the draws that it rests on have too heavy a tail.
    """
    lines, groups = [], list(points.groupby(_LAW, sort=False))
    laws_of = Counter(law[0] for law, _ in groups)
    for law, group in groups:
        tests = 2 * laws_of[law[0]]
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


def law_in_words(row: Mapping[str, Any]) -> str:
    """Return a law in words: the activation where there is one, and what else is not the paper's."""
    names = [
        "" if row["layer"] == LINEAR.name else row["activation"],
        "" if row["data"] == LECUN.data else row["data"],
        "" if row["weights"] == LECUN.weights else f"{row['weights']} weights",
    ]
    return " and ".join(filter(None, names)) or LECUN.data


def _cells(row: dict[str, Any]) -> list[str]:
    power = f"under {MIN_POINTS} C" if row["reason"] else f"{row['power']:+.3f} ± {row['std_error_power']:.3f}"
    return [
        row["layer"],
        law_in_words(row),
        power,
        row["exponent"],
        "-" if row["std_error_quotient"] is None else f"{row['quotient']:.3f} ± {row['std_error_quotient']:.3f}",
        row["constant"],
        "-" if row["from_classes"] is None else str(row["from_classes"]),
        f"too heavy a tail at {row['heavy_tails']} C" if row["heavy_tails"] else "",
    ]
