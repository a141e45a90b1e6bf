"""Figures 11 and 12 in numbers: block structure on clustered data, over clusters K and classes C."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.quoted import quoted
from analysis.render import WIDTH
from rmtsim.errors import InputError
from rmtsim.estimates import Estimate, ratio_estimate
from rmtsim.theory import finite

#: A layer with less than this share of its squared norm outside the diagonal blocks is near-block-diagonal.
NEAR = 0.1

#: Standard errors that a verdict leaves room for.
_ROOM = 3

LAYERS = {"hidden": (1, 1), "output": (2, 2)}
#: Relative standard errors below this are those of rounding.
_ROUNDING = 1e-9

_SETTING = ["loss", "n_classes", "dim", "n_samples", "hidden", "n_clusters", "scale"]


def cluster_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Ratio of mean squared norms of off-diagonal and diagonal blocks, and the share of the former, at initialisation.

    Parameters
    ----------
    table
        That of ``rmtsim.experiments.data_pictures.fig11`` or ``fig12``.

    Returns
    -------
    DataFrame
        One row per ``layer``, loss, C, K (``n_clusters``, 0 for Gaussian data) and ``scale``: ``draws``; ``value`` and
        ``std_error`` of the ratio; ``outside`` and ``std_error_outside``, what of the layer's squared norm lies outside
        its diagonal blocks; ``theory``, the ratio of expectations on Gaussian data at this size, NaN where there is no
        theory, with ``std_error_theory``.
    """
    norms = table[table["quantity"].isin(["diag_sqfro", "offdiag_sqfro"]) & (table["layer"] == table["other"])]
    lines = []
    for key, group in norms.groupby([*_SETTING, "layer"], sort=False):
        row = dict(zip([*_SETTING, "layer"], key, strict=True))
        row["layer"] = next(name for name, place in LAYERS.items() if place[0] == row["layer"])
        wide = group.pivot_table(index="draw", columns="quantity", values="value")
        diag, offdiag = (wide[name].to_numpy(float) for name in ("diag_sqfro", "offdiag_sqfro"))
        ratio = ratio_estimate(offdiag, diag)
        others = (_n_blocks(row) - 1) * offdiag
        outside = ratio_estimate(others, diag + others)
        lines.append(row | {"draws": len(wide), "value": ratio.value, "std_error": _known(ratio)})
        lines[-1] |= {"outside": outside.value, "std_error_outside": _known(outside)}
    found = pd.DataFrame(lines).sort_values(["loss", "n_classes", "layer"], kind="stable", ignore_index=True)
    settings = found[_SETTING[:5]].drop_duplicates().itertuples(index=False)
    theory = pd.concat([_gaussian(*row) for row in settings])
    return found.merge(theory, on=["loss", "n_classes", "layer"], how="left")


def _known(found: Estimate) -> float:
    """Return the standard error, or 0 where it is of rounding alone: at C = 2 all output blocks have equal norms."""
    return found.std_error if found.std_error > _ROUNDING * abs(found.value) else 0.0


def _n_blocks(row: Mapping[str, Any]) -> int:
    return int(row["hidden" if row["layer"] == "hidden" else "n_classes"])


def _gaussian(loss: str, n_classes: int, dim: int, n_samples: int, hidden: str) -> pd.DataFrame:
    """Ratio of expected norms on Gaussian data at initialisation, by layer."""
    lines: list[dict[str, Any]] = []
    try:
        for layer in finite("one_hidden", loss, n_classes, dim, n_samples, int(hidden), layers=tuple(LAYERS)):
            relative = math.hypot(layer.std_error_diag / layer.diag, layer.std_error_offdiag / (layer.offdiag or 1))
            ratio = layer.offdiag / layer.diag
            lines.append({"layer": layer.layer, "theory": ratio, "std_error_theory": ratio * relative})
    except InputError:
        lines = [{"layer": name, "theory": math.nan, "std_error_theory": math.nan} for name in LAYERS]
    return pd.DataFrame(lines).assign(loss=loss, n_classes=n_classes)


def report_clusters(table: pd.DataFrame) -> str:
    """Tell the ratios and shares, a line per layer, loss, C and scale and a column per K, and the verdicts, as text."""
    ratios = cluster_ratios(table)
    clusters = sorted(K for K in ratios["n_clusters"].unique() if K)
    parts = []
    for column, words in (("value", _RATIO), ("outside", _OUTSIDE)):
        ends = ["Gaussian", *(["theory"] if column == "value" else [])]
        grid = [["layer", "loss", "C", "scale", *(f"K = {K}" for K in clusters), *ends]]
        for key, group in _shown(ratios).groupby(["layer", "loss", "n_classes", "scale"], sort=False):
            layer, loss, C, scale = (str(part) for part in key)
            by_k = group.set_index("n_clusters")
            error = "std_error" if column == "value" else "std_error_outside"
            same = ratios[(ratios["layer"] == layer) & (ratios["loss"] == loss) & (ratios["n_classes"] == int(C))]
            control = same[same["n_clusters"] == 0].iloc[0]
            cells = [quoted(by_k.loc[K, column], by_k.loc[K, error]) for K in clusters]
            cells += [quoted(control[column], control[error])]
            cells += [quoted(control["theory"], control["std_error_theory"])] if column == "value" else []
            grid.append([layer, loss.upper(), C, scale, *cells])
        parts.append("\n".join([words, *_laid_out(grid)]))
    said = [textwrap.fill(line, WIDTH, initial_indent="- ", subsequent_indent="  ") for line in verdicts(ratios)]
    return "\n\n".join([*parts, "\n".join(said)])


_RATIO = (
    "Off-diagonal over diagonal blocks, mean squared norms at initialisation. In brackets: standard errors over\n"
    "draws, in units of the last digit; Gaussian, theory: Gaussian data of the same size, simulated and exact."
)
_OUTSIDE = "Share of the layer's squared norm outside its diagonal blocks"


def headline_clusters(table: pd.DataFrame) -> str:
    """Tell the verdicts in Markdown."""
    return "\n".join(f"- {line}" for line in verdicts(cluster_ratios(table)))


def verdicts(ratios: pd.DataFrame) -> list[str]:
    """Sentences, per number of classes, on whether there is block-diagonal structure at any K; and on C against K."""
    clustered = _shown(ratios[(ratios["n_clusters"] > 0)])
    by_class = [_on_classes(int(str(C)), group) for C, group in clustered.groupby("n_classes")]
    control = ratios[(ratios["n_clusters"] == 0) & (ratios["value"] > 0)].dropna(subset="theory")
    control = control[control["std_error"] > 0]
    z = (control["value"] - control["theory"]) / control["std_error"].pow(2).add(
        control["std_error_theory"] ** 2
    ) ** 0.5
    said = [*by_class, *_classes_against_clusters(clustered)]
    if len(z):
        said.append(f"Gaussian data beside them: against theory largest |z| {z.abs().max():.2f} of {len(z)}.")
    return said


def _shown(ratios: pd.DataFrame) -> pd.DataFrame:
    """Drop the rows without news: Gaussian data, and MSE's output layer, whose off-diagonal blocks are zero."""
    return ratios[(ratios["n_clusters"] > 0) & ((ratios["loss"] == "ce") | (ratios["layer"] == "hidden"))]


def _on_classes(C: int, ratios: pd.DataFrame) -> str:
    """Say how large the shares outside the diagonal blocks are over all K and scales."""
    parts, all_near, all_far = [], True, True
    for (layer, loss), group in ratios.groupby(["layer", "loss"], sort=False):
        ends = group.sort_values("outside").iloc[[0, -1]].to_dict("records")
        all_near &= bool((group["outside"] + _ROOM * group["std_error_outside"] < NEAR).all())
        all_far &= bool((group["outside"] - _ROOM * group["std_error_outside"] > NEAR).all())
        said = " to ".join(quoted(row["outside"], row["std_error_outside"]) for row in ends)
        parts.append(f"{layer} layer with {str(loss).upper()} {said}")
    whether = "at every K" if all_near else "at no K" if all_far else "not at every K, or not beyond doubt"
    return (
        f"C = {C}, share of a layer's squared norm outside its diagonal blocks, over K: {'; '.join(parts)}. "
        f"Near-block-diagonal (under {NEAR:g}): {whether}."
    )


def _classes_against_clusters(ratios: pd.DataFrame) -> Iterator[str]:
    """Compare the factors by which the ratio changes over K at one C, and over C at one K."""
    for layer in LAYERS:
        of_layer = ratios[(ratios["layer"] == layer) & (ratios["loss"] == "ce")]
        over_k = of_layer.groupby(["n_classes", "scale"])["value"].agg(lambda x: x.max() / x.min())
        classes = sorted(of_layer["n_classes"].unique())
        ends = of_layer[of_layer["n_classes"].isin([classes[0], classes[-1]])]
        over_c = ends.groupby(["n_clusters", "scale"])["value"].agg(lambda x: x.max() / x.min())
        yield (
            f"{layer.capitalize()} layer, CE, off-diagonal over diagonal: K from {of_layer['n_clusters'].min()} to "
            f"{of_layer['n_clusters'].max()} changes it by a factor of at most {over_k.max():.2f}, C from {classes[0]} "
            f"to {classes[-1]} by at least {over_c.min():{'.1f' if over_c.min() < 100 else '.0f'}}."
        )


def _laid_out(grid: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in grid]
