"""Shares of a Hessian's squared norm: what lies outside its diagonal blocks, or in its cross layers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.errors import InputError
from rmtsim.estimates import Estimate, ratio_estimate
from rmtsim.point import LOSSES, Point
from rmtsim.theory import finite

Values = npt.NDArray[np.float64]

#: What tells pictures, and their places along training, from each other.
PICTURE = ["case", "step", "progress"]

#: Relative standard errors below this are rounding.
_ROUNDING = 1e-11

_PROBLEM = ["loss", "n_classes", "dim", "n_samples", "hidden", "data"]


def shares(table: pd.DataFrame) -> pd.DataFrame:
    """Shares of the squared norm, over draws.

    Parameters
    ----------
    table
        The long table of ``rmtsim.experiments.pictures``, of one or more draws.

    Returns
    -------
    DataFrame
        One row per case, step and ``share``: a layer's name, for what of that layer's own Hessian lies outside its
        diagonal blocks; ``"whole"`` for what of the whole lies outside them; ``"cross"`` for what lies between layers.
        ``draws``, ``value``, the ratio of means over draws, with ``std_error``, NaN for one draw; ``theory`` with
        ``std_error_theory``, the ratio of expected norms at this size, NaN where there is none; ``z``.
    """
    norms = table[table["quantity"].isin(["diag_sqfro", "offdiag_sqfro"])]
    lines = []
    for key, group in norms.groupby([*PICTURE, *_PROBLEM], sort=False):
        row = dict(zip([*PICTURE, *_PROBLEM], key, strict=True))
        neurons = neurons_of(row)
        wide = group.pivot_table(index="draw", columns=["layer", "other", "quantity"], values="value")
        parts = {column: wide[column].to_numpy(float) for column in wide.columns}
        expected = _theory(row) if row["step"] == 0 else {}
        for share, (part, whole) in _parts(parts, neurons).items():
            measured = _ratio(part, whole)
            theory = _theoretical(expected, neurons, share) if expected else Estimate(math.nan, math.nan)
            error = math.hypot(measured.std_error, theory.std_error)
            z = (measured.value - theory.value) / error if error else math.nan  # both exact: nothing to test
            lines.append(
                {name: row[name] for name in PICTURE}
                | {"share": share, "draws": len(wide), **measured._asdict()}
                | {"theory": theory.value, "std_error_theory": theory.std_error, "z": z}
            )
    return pd.DataFrame(lines)


def named(table: pd.DataFrame) -> dict[str, Any]:
    """Return the problem of a table's first row."""
    return {name: table[name].iloc[0] for name in _PROBLEM}


def neurons_of(row: Mapping[str, Any]) -> list[int]:
    """Neurons of each layer, from the columns of a table."""
    hidden = [int(width) for width in row["hidden"].split("-") if width]
    return [*hidden, int(row["n_classes"]) if row["loss"] in LOSSES else 1]


def layer_names(neurons: Sequence[int]) -> list[str]:
    """Return the names of the layers of a network."""
    if len(neurons) <= 2:
        return ["linear"] if len(neurons) == 1 else ["hidden", "output"]
    return [f"layer {k}" for k in range(1, len(neurons) + 1)]


def _parts(parts: Mapping[Any, Any], neurons: Sequence[int]) -> dict[str, tuple[Any, Any]]:
    """Return squared norms of each share's part and of what it is a part of; values may be arrays over draws."""
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
    return found


def _ratio(part: Values, whole: Values) -> Estimate:
    """Ratio of means over draws; where the draws differ by rounding alone, without error."""
    if len(part) == 1:
        return Estimate(float(part[0] / whole[0]), math.nan)
    found = ratio_estimate(part, whole)
    exact = found.std_error <= _ROUNDING * max(abs(found.value), _ROUNDING)
    return Estimate(float(part.sum() / whole.sum()), 0.0) if exact else found


def _theory(row: Mapping[str, Any]) -> dict[Any, Estimate]:
    """Return expected norms at initialisation, by pair of layers and quantity; empty where there is no theory."""
    if row["data"] != "gaussian" or row["loss"] not in LOSSES or "-" in row["hidden"]:
        return {}
    width = int(row["hidden"]) if row["hidden"] else None
    sizes = (int(row["n_classes"]), int(row["dim"]), int(row["n_samples"]), width)
    point = Point("one_hidden" if width else "linear", row["loss"], *sizes)
    places = {"linear": (1, 1), "hidden": (1, 1), "output": (2, 2), "cross": (1, 2)}
    try:
        found = {}
        for layer in finite(point.model, point.loss, *sizes):
            found[*places[layer.layer], "diag_sqfro"] = Estimate(layer.diag, layer.std_error_diag)
            found[*places[layer.layer], "offdiag_sqfro"] = Estimate(layer.offdiag, layer.std_error_offdiag)
    except InputError:
        return {}
    return found


def _theoretical(expected: Mapping[Any, Estimate], neurons: Sequence[int], share: str) -> Estimate:
    """Return a share of expected norms; its error by moving each norm by its own."""

    def value(moved: Any = None) -> float:
        norms = {key: one.value + (one.std_error if key == moved else 0.0) for key, one in expected.items()}
        part, whole = _parts(norms, neurons)[share]
        return float(part / whole)

    centre = value()
    return Estimate(centre, math.sqrt(sum((value(key) - centre) ** 2 for key in expected)))
