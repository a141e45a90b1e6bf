"""Spectra of the blocks of linear cross-entropy, simulated, beside their limits (55) and (56)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.model.point import Point
from rmtsim.paper.block_eigenvalues import BLOCKS, block_eigenvalues
from rmtsim.stats.distances import distances_from_law
from rmtsim.stats.estimates import mean_estimate
from rmtsim.stats.least_squares import least_squares
from rmtsim.stats.predictions import plain
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.text.tables import text_table
from rmtsim.theory.spectra import Spectrum, block_spectrum

Values = npt.NDArray[np.float64]

#: Power of C that the eigenvalues of a block are multiplied by, and their sign.
SCALE = {"diag": (1, 1), "offdiag": (2, -1)}

#: Points that the limiting distribution function is interpolated from, to under 1e-5.
_CDF_POINTS = 1000

#: The figure's numbers of classes, and d → draws: about as many eigenvalues of each size.
SPECTRUM_CLASSES = (2, 10, 100, 1000)
_DRAWS = {32: 128, 64: 64, 128: 32, 256: 16, 512: 12, 1024: 8}


def spectrum(seed: int = 0, draws: Mapping[int, int] | None = None) -> Experiment:
    """Experiment: both blocks of linear CE at d/N = 1/2; ``draws`` maps d to a number of draws."""

    def task(n_classes: int, dim: int, count: int) -> Task:
        point = Point("linear", "ce", n_classes, dim, 2 * dim)

        def compute() -> pd.DataFrame:
            return pd.concat([block_eigenvalues(point, block, count, seed=seed) for block in BLOCKS], ignore_index=True)

        parameters = {"point": point.id, "draws": count, "seed": seed}
        return Task(f"linear-ce-c{n_classes:04d}-d{dim:04d}", parameters, compute, cost=count * dim**3)

    sizes = draws or _DRAWS
    return Experiment("spectrum", [task(C, dim, count) for C in SPECTRUM_CLASSES for dim, count in sizes.items()])


@cache
def limiting_spectrum(block: str, n_classes: int | None, aspect_ratio: float) -> Spectrum:
    """Limiting law (55) of H_ii, or (56) of −H_ij, of linear CE; without a C that of C H_ii, of −C² H_ij, as C → ∞."""
    return block_spectrum("linear", "ce", "linear", block, n_classes, aspect_ratio)


def kolmogorov_smirnov(eigenvalues: pd.DataFrame) -> pd.DataFrame:
    """Distances between the eigenvalues of every draw and their limiting law.

    Parameters
    ----------
    eigenvalues
        The table of ``rmtsim.paper.block_eigenvalues``: blocks of linear CE.

    Returns
    -------
    DataFrame
        One row per block, C and d: ``draws``, the mean over draws of sup_x |F_draw(x) − F(x)| as ``distance``, and its
        ``std_error``. The weights of a draw are N samples of their law, given its V, so this falls as d^−1/2 in the
        end; at small d an error of order 1/d adds to it.
    """
    lines = []
    for key, of_block in eigenvalues.groupby(["block", "n_classes"], sort=False):
        block, C = plain(key)
        gamma = float((of_block["dim"] / of_block["n_samples"]).iloc[0])
        law = limiting_spectrum(block, C, gamma)
        grid, _ = law.grid(_CDF_POINTS)
        below = np.interp(SCALE[block][1] * of_block["eigenvalue"].to_numpy(), grid, law.cdf(grid))
        for dim, of_size in of_block.assign(below=below).groupby("dim"):
            draws = np.array([draw.to_numpy() for _, draw in of_size.groupby("draw")["below"]])
            distance, error = mean_estimate(distances_from_law(draws))
            lines.append(
                {"block": block, "n_classes": C, "dim": dim, "draws": len(draws)}
                | {"distance": distance, "std_error": error}
            )
    return pd.DataFrame(lines)


def slopes(distances: pd.DataFrame) -> pd.DataFrame:
    """Power of d that the distances fall by, with its standard error, per block and C."""
    lines = []
    for key, group in distances.groupby(["block", "n_classes"], sort=False):
        block, C = plain(key)
        d, distance, error = (group[name].to_numpy(float) for name in ("dim", "distance", "std_error"))
        fit = least_squares([np.ones(len(d)), np.log(d)], np.log(distance), error / distance)
        last = group.iloc[-1]
        lines.append({"block": block, "n_classes": C, "dim": last["dim"], "distance": last["distance"]})
        lines[-1] |= {"std_error": last["std_error"], "slope": fit.values[1], "std_error_slope": fit.std_errors[1]}
    return pd.DataFrame(lines)


def render_spectrum(eigenvalues: pd.DataFrame) -> str:
    """Lay out the distances at the largest size and their slopes as plain text."""
    grid = [["block", "C", "d", "distance", "slope in d"]]
    for row in slopes(kolmogorov_smirnov(eigenvalues)).to_dict("records"):
        distance = f"{row['distance']:.4f} ± {row['std_error']:.4f}"
        slope = f"{row['slope']:+.3f} ± {row['std_error_slope']:.3f}"
        block = {"diag": "diagonal", "offdiag": "off-diagonal"}[row["block"]]
        grid.append([block, str(row["n_classes"]), str(row["dim"]), distance, slope])
    legend = "distance: Kolmogorov-Smirnov, of the eigenvalues of one block to the limiting law at its C and d/N."
    return "\n".join([*text_table(grid, "<>"), "", legend])
