"""The numbers of Figures 11 and 12: block structure on clustered data, over clusters K and classes C."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from rmtsim.errors import InputError
from rmtsim.figures.parts import join_parts
from rmtsim.full_hessian.description import PARTS
from rmtsim.model.fixed_values import fixed_values
from rmtsim.paper.norm_shares import MAPS, share_parts, shares
from rmtsim.stats.estimates import Estimate, ratio_estimate
from rmtsim.stats.verdict import NEAR, bounds, z_score
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
        the Hessians that have maps; ``ratios``, of `cluster_ratios`; ``factors``, of `factors`; and ``structure``, of
        `structures`.
    """
    pictured = table[table["case"].isin(table.loc[table["quantity"] == "mean", "case"].unique())]
    maps = pictured[pictured["quantity"].isin(MAPS)]
    ratios = cluster_ratios(table)
    of_ratios = {"ratios": ratios, "factors": factors(ratios), "structure": structures(ratios)}
    return join_parts({"maps": maps, "shares": shares(pictured), **of_ratios})


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
        the share of the layer's squared norm outside its diagonal blocks; ``theory``, the ratio of expectations on
        Gaussian data at this size, NaN where there is no theory, with ``std_error_theory``; and on Gaussian data ``z``,
        the z-score of the ratio, NaN where the model fixes it.
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
    found = found.merge(theory, on=["loss", "n_classes", "layer"], how="left")
    columns = ["value", "theory", "std_error", "std_error_theory"]
    z = pd.Series([z_score(*row) for row in found[columns].itertuples(index=False)], index=found.index)
    return found.assign(z=z.where((found["n_clusters"] == 0) & (found["std_error"] > 0)))


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


def clustered_rows(ratios: pd.DataFrame) -> pd.DataFrame:
    """Return clustered data alone, without the output layer of MSE, whose off-diagonal blocks are zero."""
    return ratios[(ratios["n_clusters"] > 0) & ((ratios["loss"] == "ce") | (ratios["layer"] == "hidden"))]


def structures(ratios: pd.DataFrame) -> pd.DataFrame:
    """Judge whether Hessians on clustered data are near-block-diagonal, with each number of classes.

    Returns
    -------
    DataFrame
        Two rows per ``n_classes``: of the ``"layers"``, and of the ``"whole"``, which is that of CE. ``cases``, the
        shares outside the diagonal blocks, at every K and scale, of each layer and loss, all of which are looks;
        ``near``, how many of them are under `rmtsim.stats.verdict.NEAR`, and ``far``, over it, by more than the
        tolerance; and ``verdict``, ``"at every K"``, ``"at no K"`` or ``"in some cases"``.
    """
    lines = []
    for C, of_classes in clustered_rows(ratios).groupby("n_classes"):
        is_whole = of_classes["layer"] == "whole"
        for name, rows in (("layers", of_classes[~is_whole]), ("whole", of_classes[is_whole])):
            cases = len(rows)
            lower, upper = bounds(rows["outside"], rows["std_error_outside"], int(rows["draws"].min()), cases)
            near, far = int((upper < NEAR).sum()), int((lower > NEAR).sum())
            verdict = "at every K" if near == cases else "at no K" if far == cases else "in some cases"
            place = {"n_classes": C, "layer": name, "cases": cases}
            lines.append(place | {"near": near, "far": far, "verdict": verdict})
    return pd.DataFrame(lines)


def factors(ratios: pd.DataFrame) -> pd.DataFrame:
    """Return by what factors K and C change the numbers of `cluster_ratios` on clustered data, with CE.

    Returns
    -------
    DataFrame
        Rows per ``layer`` and ``scale``, with ``factor`` and its ``std_error``. In the layers: of the ratio of blocks,
        ``over`` ``"clusters"``, at the fewest K, ``first``, over that at the most, ``last``, a geometric mean over C;
        and ``over`` ``"classes"``, at the fewest C over that at the most, a geometric mean over the two K; ``z`` is
        how many standard errors the logarithm is from 0. In the whole, a row per ``n_classes``: of the largest share
        outside the diagonal blocks, at the K ``last``, over the smallest, at ``first``.
    """
    rows = ratios[(ratios["n_clusters"] > 0) & (ratios["loss"] == "ce")]
    lines: list[dict[str, Any]] = []
    for (layer, scale), group in rows[rows["layer"] != "whole"].groupby(["layer", "scale"], sort=False):
        at = group.set_index(["n_clusters", "n_classes"])
        (few, *_, many), (least, *_, most) = (sorted(group[name].unique()) for name in at.index.names)
        over = {
            "clusters": (few, many, [(at.loc[few, C], at.loc[many, C]) for C in sorted(group["n_classes"].unique())]),
            "classes": (least, most, [(at.loc[K, least], at.loc[K, most]) for K in (few, many)]),
        }
        for name, (first, last, pairs) in over.items():
            place = {"layer": layer, "scale": scale, "over": name, "first": int(first), "last": int(last)}
            lines.append(place | _mean_factor(pairs))
    for (C, scale), group in rows[rows["layer"] == "whole"].groupby(["n_classes", "scale"], sort=False):
        low, high = group.sort_values("outside").iloc[[0, -1]].to_dict("records")
        factor = high["outside"] / low["outside"]
        error = factor * math.hypot(*(row["std_error_outside"] / row["outside"] for row in (low, high)))
        place = {"layer": "whole", "scale": scale, "over": "clusters", "n_classes": C}
        ends = {"first": low["n_clusters"], "last": high["n_clusters"]}
        lines.append(place | ends | {"factor": factor, "std_error": error})
    return pd.DataFrame(lines).astype({"n_classes": "Int64"})


def _mean_factor(pairs: Sequence[tuple[pd.Series, pd.Series]]) -> dict[str, float]:
    """Return the geometric mean of ratios of independent values, with its error, and the z-score of its logarithm."""
    logs = [math.log(a["value"] / b["value"]) for a, b in pairs]
    squares = [(row["std_error"] / row["value"]) ** 2 for pair in pairs for row in pair]
    mean, error = sum(logs) / len(pairs), math.sqrt(sum(squares)) / len(pairs)
    factor = math.exp(mean)
    return {"factor": factor, "std_error": factor * error, "z": z_score(mean, 0.0, error)}
