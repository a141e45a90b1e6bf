"""Shares of the squared norm of a Hessian: outside its diagonal blocks, and between its layers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.errors import InputError
from rmtsim.full_hessian.description import PARTS
from rmtsim.model.choices import LOSSES
from rmtsim.model.fixed_values import fixed_values
from rmtsim.stats.estimates import Estimate, ratio_estimate
from rmtsim.stats.verdict import z_score
from rmtsim.theory import finite
from rmtsim.theory.deep import deep_layers

Values = npt.NDArray[np.float64]

#: Columns that identify a picture, and its place along training.
PICTURE_KEYS = ["case", "step", "progress"]

#: Quantities of a picture's maps and blocks.
MAPS = ("edge", "column_edge", "mean", "largest", "block_edge", "block_sqfro")

#: Shares below this, in percent, are rounding.
_ZERO = 1e-9

#: Columns of the problem.
PROBLEM_KEYS = ["loss", "n_classes", "dim", "n_samples", "hidden", "data"]


def shares(table: pd.DataFrame) -> pd.DataFrame:
    """Return the shares of the squared norm, over draws.

    Parameters
    ----------
    table
        The long table of `rmtsim.paper.hessian_pictures`, of one or more draws.

    Returns
    -------
    DataFrame
        One row per case, step and ``share``: the share outside the diagonal blocks of a layer's own Hessian, by the
        layer's name, and of the ``"whole"``; the share between layers, ``"cross"``; and ``"stripes"``, the share of the
        term with the residual, (11) and (18) of the paper, in the cross layer of one hidden layer, where all draws have
        it. Columns ``draws``, ``value``, the ratio of means over draws, with ``std_error``, NaN for one draw;
        ``theory`` with ``std_error_theory``, the ratio of expected norms at this size, NaN where there is none; ``z``.
        With several hidden layers the theory is to leading order in 1/width, without an error, so there is no ``z``.
    """
    norms = table[table["quantity"].isin(["diag_sqfro", "offdiag_sqfro", "stripe_sqfro"])]
    lines = []
    for key, group in norms.groupby([*PICTURE_KEYS, *PROBLEM_KEYS], sort=False):
        row: dict[str, Any] = dict(zip([*PICTURE_KEYS, *PROBLEM_KEYS], key, strict=True))
        neurons = neurons_of(row)
        wide = group.pivot_table(index="draw", columns=["layer", "other", "quantity"], values="value")
        wide = wide.dropna(axis="columns")
        parts = {column: wide[column].to_numpy(float) for column in wide.columns}
        expected = _theory(row, neurons) if row["step"] == 0 else {}
        for share, (part, whole) in share_parts(parts, neurons).items():
            measured = _ratio(part, whole, fixed=share in fixed_shares(row["loss"], neurons))
            theory = expected.get(share, Estimate(math.nan, math.nan))
            z = z_score(measured.value, theory.value, measured.std_error, theory.std_error)
            lines.append(
                {name: row[name] for name in PICTURE_KEYS}
                | {"share": share, "draws": len(wide), **measured._asdict()}
                | {"theory": theory.value, "std_error_theory": theory.std_error, "z": z}
            )
    return pd.DataFrame(lines)


def in_percent(value: float, error: float, *, with_error: bool = True) -> str:
    """Return a share in percent, to two figures of its standard error."""
    value, error = 100 * value, 100 * error
    if math.isnan(value):
        return "0 of 0"
    if abs(value) < _ZERO:
        return "0 %"
    if not error > 0:
        return f"{value:.3g} %"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{decimals}f} ± {error:.{decimals}f} %" if with_error else f"{value:.{decimals}f} %"


def problem_of(table: pd.DataFrame) -> dict[str, Any]:
    """Return the problem of a table's first row."""
    return {name: table[name].iloc[0] for name in PROBLEM_KEYS}


def neurons_of(row: Mapping[str, Any]) -> list[int]:
    """Return the neurons of each layer, from the columns of a table."""
    hidden = [int(width) for width in row["hidden"].split("-") if width]
    return [*hidden, int(row["n_classes"]) if row["loss"] in LOSSES else 1]


def layer_names(neurons: Sequence[int]) -> list[str]:
    """Return the names of the layers of a network."""
    if len(neurons) <= 2:
        return ["linear"] if len(neurons) == 1 else ["hidden", "output"]
    return [f"layer {k}" for k in range(1, len(neurons) + 1)]


def share_parts(parts: Mapping[Any, Any], neurons: Sequence[int]) -> dict[str, tuple[Any, Any]]:
    """Return of each share the squared norms of the part and of the whole; values may be arrays over draws."""
    inside, outside, names = 0.0, 0.0, layer_names(neurons)
    found, cross = {}, 0.0
    for a, n in enumerate(neurons, 1):
        diagonal = n * parts[a, a, "diag_sqfro"]
        others = n * (n - 1) * parts[a, a, "offdiag_sqfro"] if n > 1 else 0 * diagonal
        found[names[a - 1]] = (others, diagonal + others)
        inside, outside = inside + diagonal, outside + others
        for b in range(a + 1, len(neurons) + 1):
            cross = cross + 2 * n * neurons[b - 1] * parts[a, b, "offdiag_sqfro"]
    if len(neurons) > 1:
        whole = inside + outside + cross
        found |= {"whole": (outside + cross, whole), "cross": (cross, whole)}
    if len(neurons) == 2 and (1, 2, "stripe_sqfro") in parts:
        found["stripes"] = (parts[1, 2, "stripe_sqfro"], cross / 2)  # of one of the two triangles
    return found


def fixed_shares(loss: str, neurons: Sequence[int]) -> set[str]:
    """Return the shares that the model fixes: they are the same in every draw, and have no standard error."""
    last = layer_names(neurons)[-1]
    single = {name for name, n in zip(layer_names(neurons), neurons, strict=True) if n == 1}  # nothing lies outside
    return single | ({last} if "ratio" in fixed_values(loss, "output", neurons[-1]) else set())


def _ratio(part: Values, whole: Values, *, fixed: bool) -> Estimate:
    """Return the ratio of means over draws, without error where it is fixed; NaN for 0 of 0."""
    if not whole.any():  # a saturated softmax has no curvature
        return Estimate(math.nan, math.nan)
    if len(part) == 1:
        return Estimate(float(part[0] / whole[0]), math.nan)
    if fixed:  # draws differ by rounding alone
        return Estimate(float(part.sum() / whole.sum()), 0.0)
    return ratio_estimate(part, whole)


def _theory(row: Mapping[str, Any], neurons: Sequence[int]) -> dict[str, Estimate]:
    """Return the shares of the expected norms at initialisation, where there is theory; inexact ones have no error."""
    if row["data"] != "gaussian" or row["loss"] not in LOSSES:
        return {}
    sizes = (int(row["n_classes"]), int(row["dim"]), int(row["n_samples"]))
    try:
        return _leading(row["loss"], *sizes, neurons) if len(neurons) > 2 else _finite(row["loss"], *sizes, neurons)
    except InputError:
        return {}


def _leading(loss: str, n_classes: int, dim: int, n_samples: int, neurons: Sequence[int]) -> dict[str, Estimate]:
    """Return the expected share of each layer of a deep network, to leading order in 1/width."""
    layers = deep_layers(loss, (dim, *neurons), n_samples)
    others = [(n - 1) * layer.ratio for n, layer in zip(neurons, layers, strict=True)]
    names = layer_names(neurons)
    return {name: Estimate(other / (1 + other), math.nan) for name, other in zip(names, others, strict=True)}


def _finite(loss: str, n_classes: int, dim: int, n_samples: int, neurons: Sequence[int]) -> dict[str, Estimate]:
    """Return the expected shares of the linear model, or of one hidden layer."""
    width = neurons[0] if len(neurons) > 1 else None
    expected = {}
    for layer in finite("one_hidden" if width else "linear", loss, n_classes, dim, n_samples, width):
        expected[*PARTS[layer.layer], "diag_sqfro"] = Estimate(layer.diag, layer.std_error_diag)
        expected[*PARTS[layer.layer], "offdiag_sqfro"] = Estimate(layer.offdiag, layer.std_error_offdiag)

    def values(moved: Any = None) -> dict[str, float]:
        norms = {key: one.value + (one.std_error if key == moved else 0.0) for key, one in expected.items()}
        return {share: float(part / whole) for share, (part, whole) in share_parts(norms, neurons).items()}

    centre, moved = values(), [values(key) for key in expected]  # each norm by its own error
    return {
        share: Estimate(at, math.sqrt(sum((each[share] - at) ** 2 for each in moved))) for share, at in centre.items()
    }
