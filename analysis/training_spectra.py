"""Spectra of diagonal blocks through training: their distance from the laws of initialisation, and their shape."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from analysis.predictions import plain
from analysis.quoted import quoted
from analysis.render import WIDTH
from rmtsim.theory.spectra import Spectrum, block_spectrum

Values = npt.NDArray[np.float64]

#: What tells one set of runs from another.
SETTING = ["hidden", "loss", "n_classes", "dim", "n_samples"]

#: Numbers of a layer's blocks; ``summary`` has their means over draws.
NUMBERS = ("mean", "spread", "effective_rank", "top", "distance", "shape", "decoupled", "outlier")

#: Blocks of the hidden layer of every draw that are compared with their law, which depends on V.
_LAW_BLOCKS = 2

#: Points that a law's distribution function is interpolated from.
_CDF_POINTS = 1000


class Case(NamedTuple):
    """Layer of a setting: ``"linear"``, ``"hidden"`` or ``"output"``."""

    layer: str
    loss: str
    n_classes: int
    dim: int
    n_samples: int
    width: int | None

    @property
    def name(self) -> str:
        """In words."""
        kind = "linear model" if self.layer == "linear" else f"{self.layer} layer"
        m = "" if self.width is None else f", m = {self.width}"
        return f"{kind}, {self.loss.upper()}, C = {self.n_classes}, d = {self.dim}, N = {self.n_samples}{m}"


def cases(table: pd.DataFrame) -> Iterator[tuple[Case, pd.DataFrame]]:
    """Yield the layers of a table of ``rmtsim.experiments.training_experiments.training_spectra``, with their rows."""
    rows = table[table["quantity"].isin(["eigenvalue", "decoupled", "output_weight"])]
    for key, of_setting in rows.groupby(SETTING, sort=False):
        hidden, loss, C, d, N = plain(key)
        width = int(hidden) if hidden else None
        for number, layer in enumerate(("hidden", "output") if hidden else ("linear",), 1):
            chosen = (of_setting["layer"] == number) & (of_setting["quantity"] != "output_weight")
            if layer == "hidden":
                chosen |= of_setting["quantity"] == "output_weight"
            yield Case(layer, loss, C, d, N, width), of_setting[chosen]


def spectra_numbers(case: Case, rows: pd.DataFrame) -> pd.DataFrame:
    """Describe the spectra of one layer, a row per draw and checkpoint.

    Parameters
    ----------
    case, rows
        As ``cases`` yields them.

    Returns
    -------
    DataFrame
        ``draw``, ``progress`` and, means over the blocks,

        mean, spread
            First moment, and second moment over its square.
        effective_rank
            (Σ λ)² / (rows Σ λ²): one over ``spread``.
        top
            Largest eigenvalue over the median.
        distance, shape
            Kolmogorov-Smirnov distance from the limiting law of initialisation, of the eigenvalues, and of those
            divided by their mean from the law of mean 1. NaN in the output layer, which has no law; of two blocks a
            draw in the hidden layer, whose laws depend on V.
        decoupled
            Two-sample distance from the eigenvalues with the same weights and independent data; at initialisation it
            vanishes as d, N → ∞ (Lemmas 1 and 2).
        outlier
            Largest eigenvalue over the largest of those.
    """
    lines = []
    for draw, of_draw in rows.groupby("draw"):
        laws = laws_of(case, of_draw)
        for progress, at in of_draw.groupby("progress"):
            blocks = _blocks(at, "eigenvalue")
            line = {"draw": draw, "progress": progress, **_moments(blocks)}
            line |= dict(zip(("distance", "shape"), _from_laws(laws, blocks), strict=True))
            copies = _blocks(at, "decoupled") if (at["quantity"] == "decoupled").any() else None
            pairs = [] if copies is None else list(zip(blocks, copies, strict=True))
            line["decoupled"] = _mean([stats.ks_2samp(a, b).statistic for a, b in pairs])
            line["outlier"] = _mean([a[-1] / b[-1] for a, b in pairs if b[-1] > 0])
            lines.append(line)
    return pd.DataFrame(lines)


def spectra_summary(table: pd.DataFrame) -> list[tuple[Case, pd.DataFrame]]:
    """Return for every layer the means over draws of ``spectra_numbers`` at each ``progress``, with ``std_error_…``."""
    found = []
    for case, rows in cases(table):
        groups = spectra_numbers(case, rows).groupby("progress")[list(NUMBERS)]
        means = groups.mean().join(groups.sem().add_prefix("std_error_"))
        found.append((case, means.assign(draws=groups.size()).reset_index()))
    return found


def laws_of(case: Case, rows: pd.DataFrame) -> list[Spectrum]:
    """Return the limiting laws of the diagonal blocks at initialisation.

    One for the linear model, those of ``_LAW_BLOCKS`` blocks of each draw for the hidden layer, none for the output
    layer: its blocks stay m × m.
    """
    if case.layer == "linear":
        return [_law(case, None, 0)]
    matrices = rows[rows["quantity"] == "output_weight"].groupby("draw")
    return [_law(case, _bytes(of_draw), block) for _, of_draw in matrices for block in range(_LAW_BLOCKS)]


def _bytes(output_weights: pd.DataFrame) -> bytes:
    """V in a form that can be cached."""
    V = output_weights.pivot_table(values="value", index="i", columns="j").to_numpy()
    return np.ascontiguousarray(V, dtype=np.float64).tobytes()


@cache
def _law(case: Case, V: bytes | None, block: int) -> Spectrum:
    ratio = case.dim / case.n_samples
    if case.layer == "linear" or V is None:
        return block_spectrum("linear", case.loss, "linear", "diag", case.n_classes, ratio)
    array = np.frombuffer(V).reshape(case.n_classes, -1)
    neurons = (block, (block + 1) % array.shape[1])
    return block_spectrum("one_hidden", case.loss, "hidden", "diag", case.n_classes, ratio, V=array, neurons=neurons)


def report_spectra(table: pd.DataFrame) -> str:
    """Tell how the spectra change through training, as text."""
    lines = []
    for case, means in spectra_summary(table):
        lines.append(f"{case.name}; {means['draws'].iloc[0]} draws" + _theory(case))
        grid = [["steps", "mean", "m2/m1²", "rank", "top/median", "KS", "KS shape", "KS decoupled", "outlier"]]
        names = [name for name in NUMBERS if not means[name].isna().all()]
        keep = [0, *(k for k, name in enumerate(NUMBERS, 1) if name in names)]
        for row in means.to_dict("records"):
            grid.append([f"{row['progress']:.0%}", *(quoted(row[x], row[f"std_error_{x}"]) for x in NUMBERS)])
        grid = [[line[k] for k in keep] for line in grid]
        widths = [max(len(line[k]) for line in grid) for k in range(len(keep))]
        lines += ["  " + "  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in grid]
        lines += [textwrap.fill(_verdict(case, means), WIDTH, initial_indent="- ", subsequent_indent="  "), ""]
    legend = (
        "Of all diagonal blocks, in brackets standard errors over draws. mean: first moment m1. m2/m1²: second moment "
        "over its square. rank: effective, (Σλ)²/(n Σλ²). top/median: largest eigenvalue. KS: distance from the "
        "limiting law at initialisation; shape: both divided by their means. decoupled: from (1/N) X̃ᵀ Λ X̃, with the "
        "block's weights Λ and data on which they do not depend. outlier: largest eigenvalue over the largest of it."
    )
    return "\n".join([*lines, textwrap.fill(legend, WIDTH)])


def headline_spectra(table: pd.DataFrame) -> str:
    """Tell in Markdown how far the spectra go from the laws of initialisation."""
    return "\n".join(f"- {case.name}. {_verdict(case, means)}" for case, means in spectra_summary(table))


def _verdict(case: Case, means: pd.DataFrame) -> str:
    first, last = means.iloc[0], means.iloc[-1]

    def ends(name: str) -> str:
        return " → ".join(quoted(row[name], row[f"std_error_{name}"]) for row in (first, last))

    shape = (
        f"mean eigenvalue {ends('mean')}, effective rank {ends('effective_rank')}, largest over median {ends('top')}"
    )
    if case.layer == "output":
        return f"Output blocks: {shape}."
    keeps = last["shape"] - first["shape"] <= 3 * np.hypot(last["std_error_shape"], first["std_error_shape"])
    decoupled = last["decoupled"] - first["decoupled"]
    room = 3 * np.hypot(last["std_error_decoupled"], first["std_error_decoupled"])
    decoupling = "survives" if decoupled <= room else "is lost"
    return (
        f"KS distance from the law of initialisation {ends('distance')}, of the shape {ends('shape')}: the shape "
        f"{'stays' if keeps else 'changes'}; {shape}. KS distance from independent data with the same weights "
        f"{ends('decoupled')}, largest eigenvalue over theirs {ends('outlier')}: the decoupling {decoupling} (KS "
        "within 3 standard errors of the start)."
    )


def _theory(case: Case) -> str:
    """Moments that are known at initialisation without V; of the output layer for MSE, N → ∞, then d → ∞."""
    if case.layer == "linear":
        m1, m2 = _law(case, None, 0).free_moments(2)
        return f"; law of initialisation: mean {m1:.4g}, m2/m1² {m2 / m1**2:.4g}"
    if case.layer == "output" and case.loss == "mse" and case.width is not None:
        top, rest = output_mse_eigenvalues(case.width)
        values = np.array([top, *[rest] * (case.width - 1)])
        spread = np.mean(values**2) / np.mean(values) ** 2
        return f"; law of initialisation: mean {values.mean():.4g}, m2/m1² {spread:.4g}, top/median {top / rest:.4g}"
    return ""


def output_mse_eigenvalues(width: int) -> tuple[float, float]:
    """Return the simple and the (m − 1)-fold eigenvalue of 2 E[σσᵀ], the limit of (9) as N → ∞, then d → ∞.

    E σ_i² = 1/2 and E σ_i σ_j = 1/(2π), for orthonormal w_i, w_j.
    """
    off = 1 / np.pi
    return 1 - off + width * off, 1 - off


def _blocks(rows: pd.DataFrame, quantity: str) -> Values:
    """Return eigenvalues (blocks, rows), ascending."""
    chosen = rows[rows["quantity"] == quantity].sort_values(["i", "j"])
    return chosen["value"].to_numpy().reshape(int(chosen["i"].max()) + 1, -1)


def _moments(blocks: Values) -> dict[str, float]:
    first, second = blocks.mean(axis=1), (blocks**2).mean(axis=1)
    alive = first > 0  # the block of a dead neuron is zero, and has no shape
    spread = second[alive] / first[alive] ** 2
    medians = np.median(blocks, axis=1)
    return {
        "mean": float(first.mean()),
        "spread": float(spread.mean()),
        "effective_rank": float(np.mean(1 / spread)),
        "top": float(np.median(blocks[alive, -1] / medians[alive])),
    }


def _from_laws(laws: list[Spectrum], blocks: Values) -> tuple[float, float]:
    """Mean distances of blocks from their laws, or from the one of all, as they are and divided by their means."""
    if not laws:
        return np.nan, np.nan
    found = []
    for values, law in zip(blocks, laws * len(blocks) if len(laws) == 1 else laws, strict=False):
        grid, cdf, mean = _distribution(law)
        scaled = values * (mean / values.mean() if values.mean() else 0.0)
        found.append([_kolmogorov_smirnov(np.interp(x, grid, cdf)) for x in (values, scaled)])
    raw, shape = np.mean(found, axis=0)
    return float(raw), float(shape)


@cache
def _distribution(law: Spectrum) -> tuple[Values, Values, float]:
    grid, _ = law.grid(_CDF_POINTS)
    return grid, law.cdf(grid), float(law.moments(1)[0])


def _kolmogorov_smirnov(below: Values) -> float:
    """Return sup |F_n − F| from F at the eigenvalues, ascending."""
    steps = np.arange(len(below) + 1) / len(below)
    return float(max(np.max(steps[1:] - below), np.max(below - steps[:-1])))


def _mean(values: list[Any]) -> float:
    return float(np.mean(values)) if values else np.nan
