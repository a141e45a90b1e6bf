"""Eigenvalues of A = (1/n) X Λ Xᵀ ∈ R^{d×d} with fewer samples than dimensions: the slides' histogram, and two more Λ.

``"identity"``: Λ = I, the slides' case with n = 50, d = 300 and 1000 samples of A. The limit is the Marchenko–Pastur
law, with an atom of mass 1 − n/d at 0. ``"coupled"``: the weights λ = p₁(1 − p₁) of the diagonal block of linear
cross-entropy (5), p = softmax(V x) at the same x. ``"copy"``: weights of an independent copy X̃, which the generalised
Marchenko–Pastur theorem assumes. By Lemma 1 the last two have one limit.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.figures.figure import Figure
from rmtsim.figures.parts import join_parts, part
from rmtsim.figures.registry import register
from rmtsim.paper.block_eigenvalues import block_weights
from rmtsim.paper.wishart_laws import CLASSES, DIM, REPEATS, SAMPLES, WEIGHTS, law_scale, wishart_law
from rmtsim.sampling.simulation import MAX_SEED
from rmtsim.stats.distances import distance_of_samples, distances_from_law
from rmtsim.stats.estimates import mean_estimate
from rmtsim.stats.predictions import plain
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.text.checks import check_choice, check_size
from rmtsim.text.tables import text_table
from rmtsim.theory.spectra import Spectrum

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

Values = npt.NDArray[np.float64]

#: An eigenvalue below this share of the largest is zero: rounding leaves 1e-15.
_ZERO = 1e-10

#: Points that a limiting distribution function is interpolated from, to under 1e-5.
_CDF_POINTS = 2000

#: Groups of draws left out in turn for standard errors.
_GROUPS = 20


@register
class Wishart(Figure):
    """Histograms of the eigenvalues beside their limiting laws, and the distances between the two over n."""

    name = "wishart"
    title = "Eigenvalues of (1/n) X Λ Xᵀ"
    source = "slides, “Key Challenges in the Proof”"
    sentence = r"If $X_N, \Lambda_N$ are independent: can use Generalized Marchenko–Pastur Theorem (1967)"
    place = 19

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment at the slides' size, and at others of the same d/n, for the distance to the law.

        The slides' numbers, n = 50, d = 300 and 1000 samples, are those of either size; ``full`` adds a larger n.
        """
        repeats = {SAMPLES // 2: REPEATS, SAMPLES: REPEATS, 2 * SAMPLES: 100} | ({4 * SAMPLES: 100} if full else {})
        return Experiment(self.name, [_task(weights, *size) for weights in WEIGHTS for size in repeats.items()])

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the parts ``distances`` (see `wishart_distances`), and ``eigenvalues``: those at the slides' size."""
        shown = rows[(rows["dim"] == DIM) & (rows["n_samples"] == SAMPLES)]
        return join_parts({"distances": wishart_distances(rows), "eigenvalues": shown})

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw densities and distribution functions at the slides' size, and the distances over n."""
        from rmtsim.paper.wishart_drawing import plot_wishart

        return plot_wishart(part(numbers, "eigenvalues"), part(numbers, "distances"))

    def text(self, numbers: pd.DataFrame) -> str:
        """Return the atoms and the distances."""
        grid = [["weights", "n", "d", "draws", "atom", "1-n/d", "distance", "of one draw", "X to copy"]]
        for row in part(numbers, "distances").to_dict("records"):
            cells = [
                f"{row[name]:.4f} ± {row[f'std_error_{name}']:.4f}" if np.isfinite(row[name]) else "-"
                for name in ("distance", "distance_of_draw", "distance_to_copy")
            ]
            atom = f"{row['atom']:.6f} ± {row['std_error_atom']:.6f}"
            sizes = [str(row[name]) for name in ("weights", "n_samples", "dim", "draws")]
            grid.append([*sizes, atom, f"{row['atom_law']:.4f}", *cells])
        legend = (
            "distance: Kolmogorov-Smirnov, of the mean spectrum over draws to its limiting law, atom included; of one\n"
            "draw: its mean over draws. X to copy: of the mean spectra with weights of X and of an independent copy."
        )
        return "\n".join([*text_table(grid, "<>", gap=1), "", legend])


def _task(weights: str, n_samples: int, draws: int) -> Task:
    """Return the task of `wishart_eigenvalues` at the slides' d/n."""
    dim = DIM // SAMPLES * n_samples
    parameters = {"weights": weights, "dim": dim, "n_samples": n_samples, "draws": draws, "n_classes": CLASSES}
    label = f"{weights}-n{n_samples:04d}"
    return Task(label, parameters, lambda: wishart_eigenvalues(weights, dim, n_samples, draws), draws * dim**3.0)


def wishart_eigenvalues(
    weights: str, dim: int, n_samples: int, draws: int, *, n_classes: int = CLASSES, seed: int = 0
) -> pd.DataFrame:
    """Return the non-zero eigenvalues of samples of A = (1/n) X Λ Xᵀ, X (d, n) with entries N(0, 1).

    Parameters
    ----------
    weights
        Λ: one of ``WEIGHTS``. V has entries N(0, 1/d), anew in each draw; λ is multiplied by C, so that it is of order
        one. Equal seeds give equal X, V and X̃.
    dim, n_samples, draws
        d, n and the number of samples of A.
    n_classes
        C; not used with ``"identity"``.

    Returns
    -------
    DataFrame
        One row per non-zero eigenvalue: ``weights``, ``dim``, ``n_samples``, ``n_classes``, ``seed``, ``draw``,
        ``zeros``, how many of the d eigenvalues of the draw are zero, and ``eigenvalue``, ascending within a draw.

    Raises
    ------
    InputError
        If a value is not valid.

    Examples
    --------
    >>> from rmtsim.paper.wishart import wishart_eigenvalues
    >>> table = wishart_eigenvalues("identity", dim=30, n_samples=5, draws=2)
    >>> len(table), table.zeros.unique().tolist()
    (10, [25])
    """
    check_choice("weights", weights, WEIGHTS)
    sizes = {"dim": dim, "n_samples": n_samples, "draws": draws, "n_classes": n_classes}
    for name, size in sizes.items():
        check_size(name, size)
    check_size("seed", seed, least=0, most=MAX_SEED)
    parts = []
    for draw in range(draws):
        values = np.linalg.eigvalsh(_sample(weights, dim, n_samples, n_classes, [seed, dim, n_samples, draw]))
        nonzero = values[values > _ZERO * values[-1]]
        found = {"draw": draw, "zeros": dim - len(nonzero), "eigenvalue": nonzero}
        parts.append(pd.DataFrame({"weights": weights, **sizes, "seed": seed} | found).drop(columns="draws"))
    return pd.concat(parts, ignore_index=True)


def _sample(weights: str, dim: int, n_samples: int, n_classes: int, key: list[int]) -> Values:
    """One A; its order of draws gives all three weights the same X, and two of them the same V."""
    rng = np.random.default_rng(key)
    X = rng.standard_normal((n_samples, dim))
    if weights == "identity":
        return np.asarray(X.T @ X / n_samples)
    V = rng.standard_normal((n_classes, dim)) / dim**0.5
    seen = X if weights == "coupled" else rng.standard_normal((n_samples, dim))
    weight = n_classes * block_weights(seen @ V.T, V, layer="linear", loss="ce", block="diag")
    return np.asarray(X.T @ (weight[:, None] * X) / n_samples)


@cache
def _cdf(weights: str, n_classes: int, aspect_ratio: float) -> tuple[Values, Values]:
    """Points on the scale of A, and the law's distribution function there, to interpolate it to under 1e-5."""
    law = wishart_law(weights, n_classes, aspect_ratio)
    grid, _ = law.grid(_CDF_POINTS)
    return law_scale(weights, n_classes) * grid, law.cdf(grid)


def wishart_distances(eigenvalues: pd.DataFrame) -> pd.DataFrame:
    """Return the distances of the simulated spectra to their limiting laws.

    Parameters
    ----------
    eigenvalues
        Tables of `wishart_eigenvalues`.

    Returns
    -------
    DataFrame
        One row per Λ and n:

        - ``draws``; ``atom``, the mean share of zero eigenvalues, its ``std_error_atom``, and ``atom_law`` = 1 − n/d;
        - ``distance`` = sup_x |F̄(x) − F(x)| of the mean F̄ over draws of the spectra's distribution functions, the atom
          included (Kolmogorov–Smirnov), with ``std_error_distance`` by a jackknife over 20 groups of
          draws. As the draws grow, it tends to the distance of the expected spectrum at this n, not to zero;
        - ``distance_of_draw``: the mean over draws of the distance of one, with ``std_error_distance_of_draw``;
        - ``distance_to_copy`` between ``coupled`` and ``copy`` at the same n, NaN for ``identity``, and
          ``std_error_distance_to_copy``.
    """
    copies = dict(list(eigenvalues[eigenvalues["weights"] == "copy"].groupby("n_samples")))
    lines = []
    for key, group in eigenvalues.groupby(["weights", "dim", "n_samples", "n_classes"], sort=False):
        weights, dim, n_samples, n_classes = plain(key)
        law, cdf = wishart_law(weights, n_classes, dim / n_samples), _cdf(weights, n_classes, dim / n_samples)
        positions = [draw.to_numpy() for _, draw in group.groupby("draw")["eigenvalue"]]
        own = np.array([_distance([x], law, cdf, dim) for x in positions])
        atoms = group.groupby("draw")["zeros"].first().to_numpy() / dim
        of_kept = partial(_distance, law=law, cdf=cdf, dim=dim)
        distance, error = _jackknife(lambda kept, of_kept=of_kept: of_kept(kept[0]), [positions])
        line = {"weights": weights, "dim": dim, "n_samples": n_samples, "draws": len(positions)}
        atom, one = mean_estimate(atoms, fixed=True), mean_estimate(own)  # the rank, n, is the same in every draw
        line |= {"atom": atom.value, "std_error_atom": atom.std_error, "atom_law": law.atom}
        line |= {"distance": distance, "std_error_distance": error}
        line |= {"distance_of_draw": one.value, "std_error_distance_of_draw": one.std_error}
        line |= {"distance_to_copy": np.nan, "std_error_distance_to_copy": np.nan}
        if weights == "coupled" and n_samples in copies:
            other = [draw.to_numpy() for _, draw in copies[n_samples].groupby("draw")["eigenvalue"]]
            apart, error = _jackknife(lambda kept, dim=dim: _apart(kept[0], kept[1], dim), [positions, other])
            line |= {"distance_to_copy": apart, "std_error_distance_to_copy": error}
        lines.append(line)
    return pd.DataFrame(lines)


def _distance(draws: list[Values], law: Spectrum, cdf: tuple[Values, Values], dim: int) -> float:
    """Kolmogorov–Smirnov distance of the pooled spectrum of draws (non-zero eigenvalues) to the law."""
    x = np.concatenate(draws)
    return float(distances_from_law(np.interp(x, *cdf), dim * len(draws) - len(x), law.atom))


def _apart(first: list[Values], second: list[Values], dim: int) -> float:
    """Kolmogorov–Smirnov distance of two pooled spectra, zeros included."""
    pooled = (np.concatenate([*draws, np.zeros(dim * len(draws) - sum(map(len, draws)))]) for draws in (first, second))
    return distance_of_samples(*pooled)


def _jackknife(statistic: Any, samples: list[list[Values]]) -> tuple[float, float]:
    """Statistic of all draws, and its standard error by leaving out groups of them, the same of every sample."""
    groups = min(_GROUPS, len(samples[0]))
    if groups < 2:
        return statistic(samples), np.nan
    left = [
        statistic([[x for i, x in enumerate(draws) if i % groups != k] for draws in samples]) for k in range(groups)
    ]
    return statistic(samples), float(np.sqrt((groups - 1) * np.var(left)))
