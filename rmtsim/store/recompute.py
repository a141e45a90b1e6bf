"""Recomputation of stored draws: compared to the bit, or up to rounding where another BLAS or version made them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rmtsim.arrays.backend import resolve
from rmtsim.errors import InputError
from rmtsim.model.choices import LOSSES
from rmtsim.model.ensemble import Ensemble
from rmtsim.model.models import get_model
from rmtsim.model.point import Point, name_point
from rmtsim.sampling.schema import ENSEMBLE, KEY, SCHEMA, VALUES
from rmtsim.sampling.simulation import simulate
from rmtsim.store.coverage import Coverage, RangeSet, Series
from rmtsim.store.shards import Shard
from rmtsim.text.checks import check_choice
from rmtsim.text.words import name_row

#: Largest relative difference between values of one draw that two kernels of BLAS made.
ROUNDING = {"float64": 1e-9, "float32": 1e-4}


def same_bits(one: str, other: str) -> bool:
    """Whether draws that were made by these libraries (``blas``) must agree to the bit.

    Shards of earlier versions name cuBLAS and nothing more, and two GPUs of different kinds round differently.
    """
    return one == other and all(library.partition(",")[0] != "cuBLAS" for library in one.split("; "))


class Comparison(NamedTuple):
    """A stored draw, compared with the same draw made now."""

    draw: str  #: its key, as text
    shard: Shard  #: the shard that holds it
    verdict: str  #: ``equal``, ``rounded``, ``wrong``, or ``skipped``: a GPU made it, and there is none here


def recompute(shards: Sequence[Shard], there: Coverage, count: int) -> Iterator[Comparison]:
    """Recompute ``count`` draws, chosen at random from those in ``there``."""
    chosen = _choose(there, count)
    points = {series.point_id for series in chosen}
    found, blas = [], []
    for place, shard in enumerate(shards):
        with shard.open() as opened:
            blas.append(opened.metadata.get("blas", "unknown"))
            for piece in opened.pieces(points=points):
                rows = piece.filter(chosen.holds(piece)).to_pandas()
                found.append(rows.assign(shard=place))
    stored = pd.concat(found, ignore_index=True)
    for _, rows in stored.groupby([*KEY[:3], "shard", "weights_per_draw"], sort=True):
        of = rows.iloc[0]
        yield Comparison(
            name_row(of[KEY[:3]].to_dict(), name_point(of.to_dict())),
            shards[of["shard"]],
            _compare(rows, blas[of["shard"]]),
        )


def stored_point(row: Mapping[Any, Any]) -> Point:
    """Return the point of a row."""
    return Point(
        model=get_model(row["model"]).name,
        loss=check_choice("loss", row["loss"], LOSSES),
        n_classes=int(row["n_classes"]),
        dim=int(row["dim"]),
        n_samples=int(row["n_samples"]),
        width=None if pd.isna(row["width"]) else int(row["width"]),
        ensemble=Ensemble(**{name: row[name] for name in ENSEMBLE}),
    )


def agreement(stored: pd.DataFrame, others: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return for each pair of rows whether they agree to the bit, and whether they agree up to rounding."""
    left, right = (frame[VALUES].to_numpy(dtype=float) for frame in (stored, others))
    null = np.isnan(left) & np.isnan(right)
    tolerance = stored["dtype"].map(ROUNDING).to_numpy(dtype=float)[:, None]
    near = np.abs(left - right) <= tolerance * np.abs(right)
    return ((left == right) | null).all(axis=1), (near | null).all(axis=1)


def _choose(there: Coverage, count: int) -> Coverage:
    """Return ``count`` draws chosen at random, with all their layers."""
    layers: dict[tuple[str, int], list[str]] = {}
    draws: dict[tuple[str, int], RangeSet] = {}
    for (point, seed, layer), runs in there.items():
        layers.setdefault((point, seed), []).append(layer)
        for run in runs:
            draws.setdefault((point, seed), RangeSet()).add(run)
    runs_of = [(key, run) for key, runs in draws.items() for run in runs]
    ends = np.cumsum([len(run) for _, run in runs_of])
    chosen = Coverage()
    for place in random.sample(range(int(ends[-1])), min(count, int(ends[-1]))):
        index = int(np.searchsorted(ends, place, side="right"))
        key, run = runs_of[index]
        draw = run.stop - (int(ends[index]) - place)
        for layer in layers[key]:
            chosen.setdefault(Series(*key, layer), RangeSet()).add(range(draw, draw + 1))
    return chosen


def _compare(stored: pd.DataFrame, blas: str) -> str:
    of = stored.iloc[0]
    point, draw = stored_point(of.to_dict()), int(of["draw"])
    try:
        resolve(of["backend"])
    except InputError:
        return "skipped"
    sampled = (stored["classes"] < stored["n_classes"]).any()
    made = simulate(
        point,
        range(draw, draw + 1),
        seed=int(of["seed"]),
        backend=of["backend"],
        dtype=of["dtype"],
        layers=tuple(stored["layer"]),
        diagonal="auto" if sampled else "exact",
        weights_per_draw=int(of["weights_per_draw"]),
        progress=False,
    )
    now = made.set_index("layer").loc[stored["layer"]].reset_index()[SCHEMA.names]
    equal, near = agreement(stored, now)
    if equal.all() and (stored["classes"].to_numpy() == now["classes"].to_numpy()).all():
        return "equal"
    return "rounded" if near.all() and not same_bits(made.attrs["blas"], blas) else "wrong"
