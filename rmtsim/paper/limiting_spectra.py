"""Spectra of the blocks of linear cross-entropy, simulated, beside their limits (55) and (56)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.figures.figure import Figure
from rmtsim.figures.parts import join_parts, part
from rmtsim.figures.registry import register
from rmtsim.model.point import Point
from rmtsim.paper.block_eigenvalues import BLOCKS, block_eigenvalues
from rmtsim.paper.limiting_laws import SCALE, limiting_spectrum
from rmtsim.stats.distances import distances_from_law
from rmtsim.stats.estimates import mean_estimate
from rmtsim.stats.least_squares import least_squares
from rmtsim.stats.predictions import plain
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.text.tables import text_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

Values = npt.NDArray[np.float64]

_BLOCKS = {"diag": "diagonal", "offdiag": "off-diagonal"}

#: Points that the limiting distribution function is interpolated from, to under 1e-5.
_CDF_POINTS = 1000

#: The figure's numbers of classes, and d → draws: about as many eigenvalues of each size.
SPECTRUM_CLASSES = (2, 10, 100, 1000)
_DRAWS = {32: 128, 64: 64, 128: 32, 256: 16, 512: 12, 1024: 8}


@register
class LimitingSpectra(Figure):
    """Histograms of the eigenvalues of one block beside their limiting densities, and the distances between the two."""

    name = "spectrum"
    title = "Spectra of diagonal and off-diagonal blocks, and their limits"
    source = "Section 6, Proposition 1; equations (55), (56)"
    sentence = r"Then Proposition 1 is applicable to obtain the limiting eigenvalue distribution of $\tilde{H}_{ii}$."
    place = 21

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment, which has one size."""
        return spectrum()

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the parts ``distances`` (`distances_to_limits`), ``slopes``, and ``eigenvalues`` at the largest d."""
        distances = distances_to_limits(rows)
        largest = rows[rows["dim"] == rows["dim"].max()]
        return join_parts({"distances": distances, "slopes": slopes(distances), "eigenvalues": largest})

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw the densities at the largest d, and the distances over d."""
        from rmtsim.paper.limiting_spectra_drawing import plot_spectrum

        return plot_spectrum(*(part(numbers, name) for name in ("eigenvalues", "distances", "slopes")))

    def text(self, numbers: pd.DataFrame) -> str:
        """Return the distances at the largest d, and the powers of d that they fall by."""
        grid = [["block", "C", "d", "distance", "slope in d"]]
        rates = part(numbers, "slopes").set_index(["block", "n_classes"])
        for key, group in part(numbers, "distances").groupby(["block", "n_classes"], sort=False):
            block, C = plain(key)
            last, rate = group.iloc[-1], rates.loc[(block, C)]
            distance = f"{last['distance']:.4f} ± {last['std_error_distance']:.4f}"
            slope = f"{rate['slope']:+.3f} ± {rate['std_error_slope']:.3f}"
            grid.append([_BLOCKS[block], str(C), str(last["dim"]), distance, slope])
        legend = "distance: Kolmogorov-Smirnov, of the eigenvalues of one block to the limiting law at its C and d/N."
        return "\n".join([*text_table(grid, "<>"), "", legend])


def spectrum(seed: int = 0, draws: Mapping[int, int] | None = None) -> Experiment:
    """Return the experiment on both blocks of linear CE at d/N = 1/2; ``draws`` maps d to a number of draws."""

    def task(n_classes: int, dim: int, count: int) -> Task:
        point = Point("linear", "ce", n_classes, dim, 2 * dim)

        def compute() -> pd.DataFrame:
            return pd.concat([block_eigenvalues(point, block, count, seed=seed) for block in BLOCKS], ignore_index=True)

        parameters = {"point": point.id, "draws": count, "seed": seed}
        return Task(f"linear-ce-c{n_classes:04d}-d{dim:04d}", parameters, compute, cost=count * dim**3)

    sizes = draws or _DRAWS
    return Experiment("spectrum", [task(C, dim, count) for C in SPECTRUM_CLASSES for dim, count in sizes.items()])


def distances_to_limits(eigenvalues: pd.DataFrame) -> pd.DataFrame:
    """Return the distances between the eigenvalues of every draw and their limiting law.

    Parameters
    ----------
    eigenvalues
        Tables of `rmtsim.paper.block_eigenvalues.block_eigenvalues`: blocks of linear CE.

    Returns
    -------
    DataFrame
        One row per block, C and d: ``draws``, the mean over draws of sup_x |F_draw(x) − F(x)| as ``distance``, and its
        ``std_error_distance``. The weights of a draw are N samples of their law, given its V, so this falls as d^−1/2
        in the end; at small d an error of order 1/d adds to it.
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
                | {"distance": distance, "std_error_distance": error}
            )
    return pd.DataFrame(lines)


def slopes(distances: pd.DataFrame) -> pd.DataFrame:
    """Return the power of d that the distances of each block and C follow, with its standard error."""
    lines = []
    for key, group in distances.groupby(["block", "n_classes"], sort=False):
        block, C = plain(key)
        d, distance, error = (group[name].to_numpy(float) for name in ("dim", "distance", "std_error_distance"))
        fit = least_squares([np.ones(len(d)), np.log(d)], np.log(distance), error / distance)
        rate = {"slope": float(fit.values[1]), "std_error_slope": float(fit.std_errors[1])}
        lines.append({"block": block, "n_classes": C} | rate)
    return pd.DataFrame(lines)
