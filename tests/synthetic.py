"""Tables of draws with the store's columns and known means: expectations times lognormal noise of mean 1.

And stores of such draws, and a theory that is quick, for tests of what is done with its values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from rmtsim.model.point import Point
from rmtsim.sampling.schema import SimulatedDraws, table_of
from rmtsim.store import Store
from rmtsim.store.core_time import CoreTime, Taken
from rmtsim.sweeps.spec import Spec
from rmtsim.theory import Prediction

Means = Mapping[str, tuple[float | None, float | None]]


def noise(n: int, relative: float, seed: int = 0) -> np.ndarray:
    """Return normal values of mean 1 and a standard deviation."""
    return 1 + relative * np.random.default_rng(seed).standard_normal(n)


def pair(n: int, relative: float) -> np.ndarray:
    """Return values of the two norms of one layer, (draws, 1, 2), each that of `noise`."""
    return np.stack([noise(n, relative), noise(n, relative, 1)], axis=1)[:, None, :]


def made_of(point: Point, draws: range, layers: Sequence[str], values: np.ndarray) -> SimulatedDraws:
    """Return draws as they come from a worker, with values (draws, layers, 4) that nothing has computed."""
    return SimulatedDraws(point, draws, tuple(layers), 0, "numpy", "float64", point.n_classes, "test", values)


def write_shards(store: Store, spec: Spec, shards: Iterable[Sequence[SimulatedDraws]]) -> Store:
    """Write a shard of each of several lists of draws, half a second of a core for each draw; no disk is waited for."""
    with pytest.MonkeyPatch.context() as patch, store.writer() as writer:
        patch.setattr("os.fsync", lambda _: None)
        writer.save_spec(spec.name, spec.document())
        for some in shards:
            taken = CoreTime({one.point.id: Taken(len(one.draws), 0.5 * len(one.draws)) for one in some})
            writer.append(table_of(some), spec.document(), taken)
    return store


def draws_of(
    point: Point, means: Means, rng: np.random.Generator, draws: int = 64, rse: float = 0.04, seed: int = 0
) -> pd.DataFrame:
    """Rows of one point: layer → (mean of diag_sqfro, of offdiag_sqfro), each draw scattered by ``rse``."""
    values, sigma = np.zeros((draws, len(means), 4)), np.sqrt(np.log1p(rse**2))
    for k, expectations in enumerate(means.values()):
        noise = np.exp(sigma * rng.standard_normal((draws, 2)) - sigma**2 / 2)
        values[:, k, :2] = noise * [np.nan if mean is None else mean for mean in expectations]
    made = replace(made_of(point, range(draws), tuple(means), values), seed=seed)
    rows: pd.DataFrame = table_of([made]).to_pandas()
    return rows.astype({"width": "Int64"})


def sweep_of(
    points: Sequence[Point], means: Sequence[Means], seed: int = 0, draws: int = 64, rse: float = 0.04
) -> pd.DataFrame:
    """Rows of several points."""
    rng = np.random.default_rng(seed)
    parts = [draws_of(*pair, rng, draws, rse) for pair in zip(points, means, strict=True)]
    return pd.concat(parts, ignore_index=True)


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
