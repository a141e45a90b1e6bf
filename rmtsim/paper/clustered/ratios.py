"""The numbers of Figures 11 and 12: block structure on clustered data, over clusters K and classes C."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from rmtsim.errors import InputError
from rmtsim.figures.parts import join_parts
from rmtsim.full_hessian.description import PARTS
from rmtsim.model.fixed_values import fixed_values
from rmtsim.paper.hessian_pictures import MAPS
from rmtsim.paper.norm_shares import share_parts, shares
from rmtsim.stats.estimates import Estimate, ratio_estimate
from rmtsim.theory import finite

#: The two layers. Beside them stands the Hessian as a whole, which holds the cross layer too.
LAYERS = ("hidden", "output")

#: Columns that identify a problem.
_SETTING = ["loss", "n_classes", "dim", "n_samples", "hidden", "n_clusters", "scale"]


def all_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Return all numbers of the figures, in the parts of `rmtsim.figures.parts.join_parts`.

    Parameters
    ----------
    table
        That of `rmtsim.paper.clustered.networks.fig11` or ``fig12``.

    Returns
    -------
    DataFrame
        The parts ``maps``, the rows of the table that hold maps; ``shares``, of `rmtsim.paper.norm_shares.shares`, of
        the Hessians that have maps; and ``ratios``, of `cluster_ratios`.
    """
    pictured = table[table["case"].isin(table.loc[table["quantity"] == "mean", "case"].unique())]
    maps = pictured[pictured["quantity"].isin(MAPS)]
    return join_parts({"maps": maps, "shares": shares(pictured), "ratios": cluster_ratios(table)})


def cluster_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Return ratios of mean squared norms of off-diagonal and diagonal blocks, and shares, at initialisation.

    Parameters
    ----------
    table
        That of `rmtsim.paper.clustered.networks.fig11` or ``fig12``.

    Returns
    -------
    DataFrame
        One row per ``layer``, or ``"whole"``, loss, C, K (``n_clusters``, 0 for Gaussian data) and ``scale``:
        ``draws``; ``value`` and ``std_error`` of the ratio, NaN for the whole; ``outside`` and ``std_error_outside``,
        what of the layer's squared norm lies outside its diagonal blocks; ``theory``, the ratio of expectations on
        Gaussian data at this size, NaN where there is no theory, with ``std_error_theory``.
    """
    norms = table[table["quantity"].isin(["diag_sqfro", "offdiag_sqfro"])]
    lines = []
    for key, group in norms.groupby(_SETTING, sort=False):
        row: dict[str, Any] = dict(zip(_SETTING, key, strict=True))
        wide = group.pivot_table(index="draw", columns=["layer", "other", "quantity"], values="value")
        values: dict[Any, Any] = {column: wide[column].to_numpy(float) for column in wide.columns}
        parts = share_parts(values, [int(row["hidden"]), int(row["n_classes"])])
        for layer in (*LAYERS, "whole"):
            fixed = "ratio" in fixed_values(row["loss"], layer, int(row["n_classes"]))
            outside, ratio = ratio_estimate(*parts[layer], fixed=fixed), Estimate(math.nan, math.nan)
            if layer in LAYERS:
                norms_of = (values[*PARTS[layer], name] for name in ("offdiag_sqfro", "diag_sqfro"))
                ratio = ratio_estimate(*norms_of, fixed=fixed)
            lines.append(row | {"layer": layer, "draws": len(wide), "value": ratio.value})
            lines[-1] |= {"std_error": _known(ratio, fixed), "outside": outside.value}
            lines[-1] |= {"std_error_outside": _known(outside, fixed)}
    found = pd.DataFrame(lines).sort_values(["loss", "n_classes", "layer"], kind="stable", ignore_index=True)
    settings = found[_SETTING[:5]].drop_duplicates().itertuples(index=False)
    theory = pd.concat([_gaussian(*row) for row in settings])
    return found.merge(theory, on=["loss", "n_classes", "layer"], how="left")


def _known(found: Estimate, fixed: bool) -> float:
    """Return the standard error, 0 where the model fixes the value: the draws then differ by rounding alone."""
    return 0.0 if fixed else found.std_error


def _gaussian(loss: str, n_classes: int, dim: int, n_samples: int, hidden: str) -> pd.DataFrame:
    """Return the ratio of expected norms on Gaussian data at initialisation, by layer."""
    lines: list[dict[str, Any]] = []
    try:
        for layer in finite("one_hidden", loss, n_classes, dim, n_samples, int(hidden), layers=LAYERS):
            relative = math.hypot(layer.std_error_diag / layer.diag, layer.std_error_offdiag / (layer.offdiag or 1))
            ratio = layer.offdiag / layer.diag
            lines.append({"layer": layer.layer, "theory": ratio, "std_error_theory": ratio * relative})
    except InputError:
        lines = [{"layer": name, "theory": math.nan, "std_error_theory": math.nan} for name in LAYERS]
    return pd.DataFrame(lines).assign(loss=loss, n_classes=n_classes)
