"""Tables of draws with the store's columns and known means: expectations times lognormal noise of mean 1.

And a theory that is quick, for tests of what is done with its values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from rmtsim.model.point import Point
from rmtsim.theory import Prediction

Means = Mapping[str, tuple[float | None, float | None]]


def draws_of(
    point: Point, means: Means, rng: np.random.Generator, draws: int = 64, rse: float = 0.04, seed: int = 0
) -> pd.DataFrame:
    """Rows of one point: layer → (mean of diag_sqfro, of offdiag_sqfro), each draw scattered by ``rse``."""
    rows: list[dict[str, Any]] = []
    sigma = np.sqrt(np.log1p(rse**2))
    for layer, expectations in means.items():
        block_rows, block_cols = point.block_shape(layer)
        noise = np.exp(sigma * rng.standard_normal((draws, 2)) - sigma**2 / 2)
        for draw in range(draws):
            diag, offdiag = (None if mean is None else mean * noise[draw, k] for k, mean in enumerate(expectations))
            rows.append(
                {
                    "point_id": point.id,
                    "model": point.model,
                    "loss": point.loss,
                    "layer": layer,
                    "n_classes": point.n_classes,
                    "dim": point.dim,
                    "n_samples": point.n_samples,
                    "width": point.width,
                    "aspect_ratio": point.aspect_ratio,
                    "seed": seed,
                    "draw": draw,
                    "block_rows": block_rows,
                    "block_cols": block_cols,
                    "diag_sqfro": diag,
                    "offdiag_sqfro": offdiag,
                    "backend": "numpy",
                    "dtype": "float64",
                    **asdict(point.ensemble),
                }
            )
    return table(rows)


def sweep_of(
    points: Sequence[Point], means: Sequence[Means], seed: int = 0, draws: int = 64, rse: float = 0.04
) -> pd.DataFrame:
    """Rows of several points."""
    rng = np.random.default_rng(seed)
    parts = [draws_of(*pair, rng, draws, rse) for pair in zip(points, means, strict=True)]
    return pd.concat(parts, ignore_index=True)


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows with the store's types."""
    types = {"width": "Int64", "diag_sqfro": "float64", "offdiag_sqfro": "float64"}
    return pd.DataFrame(rows).astype(types)


def quick(regime: Callable[..., list[Prediction]]) -> Callable[..., list[Prediction]]:
    """Return the theory with MSE's values, but for zeros, for any loss: for tests of something else.

    CE's own values take seconds with a hidden layer.
    """

    def of_mse(model: str, loss: str, *arguments: object, **options: object) -> list[Prediction]:
        found = regime(model, "mse", *arguments, **options)
        offdiag = [one.offdiag or one.diag / 2 for one in found]
        return [replace(one, offdiag=off, ratio=off / one.diag) for one, off in zip(found, offdiag, strict=True)]

    return of_mse


def with_heavy_tails(rows: pd.DataFrame, where: pd.Series) -> pd.DataFrame:
    """Return rows in which one draw of the points ``where`` has most of their off-diagonal norm."""
    outlying = where & (rows["draw"] == 0)
    return rows.assign(offdiag_sqfro=rows["offdiag_sqfro"].where(~outlying, 1000 * rows["offdiag_sqfro"]))
