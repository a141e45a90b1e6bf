"""Spectra of diagonal blocks in numbers: their shape, and their distance from limiting laws and decoupled blocks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.paper.trained_networks import scheduled
from rmtsim.paper.training_spectra.eigenvalues import COPIES
from rmtsim.stats.distances import distance_of_samples, distances_from_law
from rmtsim.stats.predictions import plain
from rmtsim.theory.spectra import Spectrum, block_spectrum

Values = npt.NDArray[np.float64]

#: Columns that identify a set of runs.
SETTING = ["hidden", "loss", "n_classes", "dim", "n_samples", "steps", "learning_rate"]

#: Smallest eigenvalues that make the lower edge.
EDGE = 5

#: Eigenvalues below this part of the largest are zero but for rounding.
_ROUNDING = 1e-12

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
    schedule: str

    @property
    def name(self) -> str:
        """Its layer, sizes and schedule, in words."""
        kind = "linear model" if self.layer == "linear" else f"{self.layer} layer"
        m = "" if self.width is None else f", m = {self.width}"
        sizes = f"C = {self.n_classes}, d = {self.dim}, N = {self.n_samples}{m}"
        return f"{kind}, {self.loss.upper()}, {sizes}; {self.schedule}"


def cases(table: pd.DataFrame) -> Iterator[tuple[Case, pd.DataFrame]]:
    """Yield the layers of a table of the experiment ``training_spectra``, with their rows."""
    rows = table[table["quantity"].isin(["eigenvalue", *COPIES, "output_weight"])]
    for key, of_setting in rows.groupby(SETTING, sort=False):
        hidden, loss, C, d, N, *_ = plain(key)
        width, schedule = int(hidden) if hidden else None, scheduled(of_setting.iloc[0])
        for number, layer in enumerate(("hidden", "output") if hidden else ("linear",), 1):
            chosen = (of_setting["layer"] == number) & (of_setting["quantity"] != "output_weight")
            if layer == "hidden":
                chosen |= of_setting["quantity"] == "output_weight"
            yield Case(layer, loss, C, d, N, width, schedule), of_setting[chosen]


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
            Two-sample distance from the eigenvalues of decoupled blocks, with the same weights and independent data; at
            initialisation it vanishes as d, N → ∞ (Lemmas 1 and 2). A mean over two copies of the data, as are edges.
        floor
            That distance between the decoupled blocks of the two copies: what a block has that is decoupled.
        edge, edge_floor
            Mean over the five smallest eigenvalues of the logarithm of each over that of the decoupled block; and
            between the two copies, 0 in the mean.
        outlier
            Logarithm of the largest eigenvalue over the largest of the decoupled block.
    """
    lines = []
    for draw, of_draw in rows.groupby("draw"):
        laws = laws_of(case, of_draw)
        for progress, at in of_draw.groupby("progress"):
            blocks = _blocks(at, "eigenvalue")
            line = {"draw": draw, "progress": progress, **_moments(blocks)}
            line |= dict(zip(("distance", "shape"), _from_laws(laws, blocks), strict=True))
            lines.append(line | _from_copies(at, blocks))
    return pd.DataFrame(lines)


def laws_of(case: Case, rows: pd.DataFrame) -> list[Spectrum]:
    """Return the limiting laws of the diagonal blocks at initialisation.

    One for the linear model, those of ``_LAW_BLOCKS`` blocks of each draw for the hidden layer, none for the output
    layer: its blocks stay m × m.
    """
    if case.layer == "linear":
        return [law(case, None, 0)]
    matrices = rows[rows["quantity"] == "output_weight"].groupby("draw")
    return [law(case, _bytes(of_draw), block) for _, of_draw in matrices for block in range(_LAW_BLOCKS)]


def _bytes(output_weights: pd.DataFrame) -> bytes:
    """V in a form that can be cached."""
    V = output_weights.pivot_table(values="value", index="i", columns="j").to_numpy()
    return np.ascontiguousarray(V, dtype=np.float64).tobytes()


@cache
def law(case: Case, V: bytes | None, block: int) -> Spectrum:
    """Return the limiting law of a diagonal block at initialisation; V and the block of a hidden layer only."""
    ratio = case.dim / case.n_samples
    if case.layer == "linear" or V is None:
        return block_spectrum("linear", case.loss, "linear", "diag", case.n_classes, ratio)
    array = np.frombuffer(V).reshape(case.n_classes, -1)
    neurons = (block, (block + 1) % array.shape[1])
    return block_spectrum("one_hidden", case.loss, "hidden", "diag", case.n_classes, ratio, V=array, neurons=neurons)


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
    below = []
    for values, law in zip(blocks, laws * len(blocks) if len(laws) == 1 else laws, strict=False):
        grid, cdf, mean = _distribution(law)
        scaled = values * (mean / values.mean() if values.mean() else 0.0)
        below.append([np.interp(x, grid, cdf) for x in (values, scaled)])
    raw, shape = distances_from_law(np.array(below)).mean(axis=0)
    return float(raw), float(shape)


@cache
def _distribution(law: Spectrum) -> tuple[Values, Values, float]:
    grid, _ = law.grid(_CDF_POINTS)
    return grid, law.cdf(grid), float(law.moments(1)[0])


def _from_copies(rows: pd.DataFrame, blocks: Values) -> dict[str, float]:
    """Compare blocks with decoupled ones, and these with each other; NaN in the output layer, which has none."""
    names = ("decoupled", "floor", "edge", "edge_floor", "outlier")
    if not rows["quantity"].isin(COPIES).any():
        return dict.fromkeys(names, np.nan)
    copies = np.stack([_blocks(rows, name) for name in COPIES], axis=1)
    alive = (copies[..., -1] > 0).all(axis=1) & (blocks[:, -1] > 0)  # not those of dead neurons
    found = [
        (
            np.mean([distance_of_samples(a, b) for b in pair]),
            distance_of_samples(*pair),
            np.mean([_lower_edge(a, b) for b in pair]),
            _lower_edge(*pair),
            np.mean(np.log(a[-1] / pair[:, -1])),
        )
        for a, pair in zip(blocks[alive], copies[alive], strict=True)
    ]
    means = np.mean(np.array(found, dtype=np.float64), axis=0) if found else np.full(len(names), np.nan)
    return dict(zip(names, means.tolist(), strict=True))


def _lower_edge(a: Values, b: Values) -> float:
    """Mean log ratio of the smallest eigenvalues, of those that are not zero."""
    first = int(max(np.sum(x <= _ROUNDING * x[-1]) for x in (a, b)))
    edge = slice(first, first + EDGE)
    return float(np.mean(np.log(a[edge] / b[edge])))
