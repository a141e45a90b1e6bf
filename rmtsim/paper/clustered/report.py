"""What Figures 11 and 12 say, in words: block structure on clustered data, over clusters K and classes C."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import pandas as pd

from rmtsim.figures.parts import part
from rmtsim.paper.clustered.ratios import LAYERS, clustered_rows
from rmtsim.stats.quoted import quoted
from rmtsim.stats.verdict import NEAR
from rmtsim.text.tables import WIDTH, text_table

_SCALES = {"unit": "on the unit sphere", "standard": "at standard scale"}


def report_clusters(numbers: pd.DataFrame) -> str:
    """Return ratios and shares, a line per layer, loss, C and scale and a column per K, and the verdicts, as text."""
    ratios = part(numbers, "ratios")
    parts = [_RATIO, *_grid(ratios[ratios["layer"] != "whole"], "value", "std_error", theory=True)]
    parts += ["", _OUTSIDE, *_grid(ratios, "outside", "std_error_outside"), ""]
    said = (textwrap.fill(line, WIDTH, initial_indent="- ", subsequent_indent="  ") for line in verdicts(numbers))
    return "\n".join([*parts, *said])


def _grid(ratios: pd.DataFrame, column: str, error: str, *, theory: bool = False) -> list[str]:
    """Lay out a column of the ratios with its errors."""
    clusters = sorted(K for K in ratios["n_clusters"].unique() if K)
    ends = ["Gaussian", *(["theory"] if theory else [])]
    grid = [["layer", "loss", "C", "scale", *(f"K = {K}" for K in clusters), *ends]]
    for key, group in clustered_rows(ratios).groupby(["layer", "loss", "n_classes", "scale"], sort=False):
        layer, loss, C, scale = (str(part) for part in key)
        by_k = group.set_index("n_clusters")
        same = ratios[(ratios["layer"] == layer) & (ratios["loss"] == loss) & (ratios["n_classes"] == int(C))]
        control = same[same["n_clusters"] == 0].iloc[0]
        cells = [quoted(by_k.loc[K, column], by_k.loc[K, error]) for K in clusters]
        cells += [quoted(control[column], control[error])]
        cells += [quoted(control["theory"], control["std_error_theory"])] if theory else []
        grid.append([layer, loss.upper(), C, scale, *cells])
    return text_table(grid)


_RATIO = (
    "Off-diagonal over diagonal blocks, mean squared norms at initialisation. In brackets: standard errors over\n"
    "draws, in units of the last digit; Gaussian, theory: Gaussian data of the same size, simulated and exact."
)
_OUTSIDE = "Share of the squared norm outside the diagonal blocks, of a layer's own Hessian or the whole"


def headline_clusters(numbers: pd.DataFrame) -> str:
    """Return the verdicts in Markdown."""
    return "\n".join(f"- {line}" for line in verdicts(numbers))


def verdicts(numbers: pd.DataFrame) -> list[str]:
    """Return sentences on whether there is block-diagonal structure at any K, for each C, and on C against K."""
    ratios, factors, structure = (part(numbers, name) for name in ("ratios", "factors", "structure"))
    clustered, by_classes = clustered_rows(ratios), dict(list(structure.groupby("n_classes")))
    said = [_on_classes(int(str(C)), group, by_classes[C]) for C, group in clustered.groupby("n_classes")]
    said += [_within(layer, factors) for layer in LAYERS]
    said.append(_of_the_whole(clustered, factors))
    z = ratios["z"].dropna().abs()
    if len(z):
        said.append(f"Gaussian data beside them: against theory largest |z| {z.max():.2f} of {len(z)}.")
    return said


def _on_classes(C: int, ratios: pd.DataFrame, structure: pd.DataFrame) -> str:
    """Return what lies outside the diagonal blocks at the ends of K, by scale, and whether it is little at all K."""
    few, many = ratios["n_clusters"].min(), ratios["n_clusters"].max()
    said = []
    for scale, of_scale in ratios.groupby("scale", sort=False):
        parts = []
        for (layer, loss), group in of_scale.groupby(["layer", "loss"], sort=False):
            ends = (group.set_index("n_clusters").loc[K] for K in (few, many))
            values = " → ".join(quoted(row["outside"], row["std_error_outside"]) for row in ends)
            parts.append(f"{layer} {str(loss).upper()} {values}")
        said.append(f"{_SCALES[str(scale)]} {', '.join(parts)}")
    layers, whole = (_whether(structure[structure["layer"] == name].iloc[0]) for name in ("layers", "whole"))
    return (
        f"C = {C}, outside the diagonal blocks, K = {few} → {many}: {'; '.join(said)}. Near-block-diagonal (under "
        f"{NEAR:g}): hidden and output layers {layers}; the whole with CE {whole}."
    )


def _whether(row: pd.Series) -> str:
    if row["verdict"] != "in some cases":
        return str(row["verdict"])
    rest = row["cases"] - row["near"] - row["far"]
    return f"in {row['near']} of {row['cases']} cases, not in {row['far']}" + (f", {rest} unresolved" if rest else "")


def _within(layer: str, factors: pd.DataFrame) -> str:
    """Return by what factors K and C change the ratio of blocks within a layer, in words."""
    of_layer = factors[factors["layer"] == layer]
    clusters, classes = (of_layer[of_layer["over"] == over] for over in ("clusters", "classes"))
    over_k = [f"{_factor(row)} {_SCALES[row['scale']]} (z {row['z']:+.1f})" for row in clusters.to_dict("records")]
    over_c = [_factor(row) for row in classes.to_dict("records")]
    (few, many), (least, most) = (rows[["first", "last"]].iloc[0] for rows in (clusters, classes))
    return (
        f"{layer.capitalize()} layer, CE, off-diagonal over diagonal: K = {few} over K = {many} is "
        f"{', '.join(over_k)}, geometric means over C; C = {least} over C = {most} is {', '.join(over_c)}, "
        "means over these K."
    )


def _factor(row: Mapping[Any, Any]) -> str:
    return quoted(row["factor"], row["std_error"])


def _of_the_whole(ratios: pd.DataFrame, factors: pd.DataFrame) -> str:
    """Return how far K changes the share outside the whole's diagonal blocks, where it does so most."""
    most = factors[factors["layer"] == "whole"].sort_values("factor").iloc[-1]
    same = (ratios["layer"] == "whole") & (ratios["loss"] == "ce")
    same &= (ratios["n_classes"] == most["n_classes"]) & (ratios["scale"] == most["scale"])
    by_k = {row["n_clusters"]: row for row in ratios[same].to_dict("records")}
    low, high = (
        f"{quoted(by_k[K]['outside'], by_k[K]['std_error_outside'])} at K = {K}" for K in (most["first"], most["last"])
    )
    return (
        f"Whole Hessian, CE, with what lies between layers: K changes the share outside the diagonal blocks from {low} "
        f"to {high}, a factor of {_factor(most.to_dict())}, at C = {most['n_classes']} {_SCALES[most['scale']]}, where "
        "it does so most."
    )
