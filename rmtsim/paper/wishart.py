"""Eigenvalues of A = (1/n) X Λ Xᵀ ∈ R^{d×d} with fewer samples than dimensions: the slides' histogram, and two more Λ.

``"identity"``: Λ = I, the slides' case with n = 50, d = 300 and 1000 samples of A. The limit is the Marchenko–Pastur
law, with an atom of mass 1 − n/d at 0. ``"coupled"``: the weights λ = p₁(1 − p₁) of the diagonal block of linear CE
(5), p = softmax(V x) at the same x. ``"copy"``: weights of an independent copy X̃, as the generalised Marchenko–Pastur
theorem wants them; by Lemma 1 the two have one limit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.paper.block_eigenvalues import block_weights
from rmtsim.sampling.simulation import MAX_SEED
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.text.checks import check_choice, check_size

Values = npt.NDArray[np.float64]

WEIGHTS = ("identity", "coupled", "copy")

#: An eigenvalue below this share of the largest is zero: rounding leaves 1e-15.
_ZERO = 1e-10

#: Sizes of the slides, their number of samples of A, and the classes of the Λ that depends on data.
SAMPLES, DIM, REPEATS, CLASSES = 50, 300, 1000, 10


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


def wishart(full: bool = False) -> Experiment:
    """Experiment: the slides' size, and others of the same d/n, smaller and larger, for the distance to the law.

    The slides' numbers, n = 50, d = 300 and 1000 samples, are those of either size; ``full`` adds a larger one.
    """
    repeats = {SAMPLES // 2: REPEATS, SAMPLES: REPEATS, 2 * SAMPLES: 100} | ({4 * SAMPLES: 100} if full else {})

    def task(weights: str, n_samples: int, draws: int) -> Task:
        dim = DIM // SAMPLES * n_samples
        parameters = {"weights": weights, "dim": dim, "n_samples": n_samples, "draws": draws, "n_classes": CLASSES}
        label = f"{weights}-n{n_samples:04d}"
        return Task(label, parameters, lambda: wishart_eigenvalues(weights, dim, n_samples, draws), draws * dim**3.0)

    return Experiment("wishart", [task(weights, *size) for weights in WEIGHTS for size in repeats.items()])
