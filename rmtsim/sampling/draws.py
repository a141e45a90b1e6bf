"""Random draws of (X, W, V, y) from keyed streams, and further last layers V₂, V₃, … for the same X, W and y.

The matrices are centred, with the laws and variances of the point's ensemble; by default all entries are i.i.d.
normals. Labels are uniform over the classes. An array is a pure function of (seed, point, draw, role), and so is each
of its rows: see `rmtsim.sampling.random_rows`.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from rmtsim.arrays.backend import Array, Module, backend_of
from rmtsim.arrays.threads import ONE_THREAD, ThreadTeam
from rmtsim.kernels.scaling import Scaling
from rmtsim.model.activation import get_activation
from rmtsim.model.point import Point
from rmtsim.sampling.random_rows import RandomRows, stream
from rmtsim.sampling.weight_rows import weight_rows

_UNSCALED = Scaling()


class Draws(NamedTuple):
    """A batch of draws; the first axis runs over draws."""

    X: Array  #: (B, N, d)
    V: RandomRows  #: (B, C, d), or (B, C, m) with a hidden layer, made as asked for; `last_layers` gives further ones
    W: Array | None  #: (B, m, d), or None for the linear model
    y: Array | None  #: (B, N) labels, or None if not asked for
    active: Array | None  #: ReLU's masks 1_{n,i} (B, N, m) of the draw before it was rounded to float32; else None


def sample(
    point: Point,
    draws: range,
    seed: int,
    *,
    dtype: str,
    xp: Module,
    labels: bool = False,
    team: ThreadTeam = ONE_THREAD,
    scaling: Scaling = _UNSCALED,
) -> Draws:
    """Draw the arrays of ``draws`` of ``point``, in ``dtype``, as arrays of ``xp``, less what ``scaling`` takes out."""
    C, d, N, m, ensemble = point.n_classes, point.dim, point.n_samples, point.width, point.ensemble
    prefix = f"{backend_of(xp).stream}/{seed}/{point.id}"

    place: dict[str, Any] = {"dtype": dtype, "xp": xp, "team": team}

    def weights(role: str, rows: int, columns: int, variance: float, power: int) -> RandomRows:
        size = rows, columns
        return weight_rows(ensemble.weights, f"{prefix}/{role}", draws, size, variance, power=power, **place)

    data = {"law": ensemble.data_law, "power": -scaling.data}
    X = RandomRows(f"{prefix}/X", draws, (N, d), ensemble.data_variance, **data, **place)
    V = weights("V", C, m or d, ensemble.last_variance(m or d, C), scaling.last)
    W = None if m is None else weights("W", m, d, ensemble.hidden_variance(d, m), -sum(scaling.hidden))
    if W is None or dtype == "float64" or not get_activation(ensemble.activation).rectifies:
        samples, hidden, active = X.all(), None if W is None else W.all(), None
    else:
        double = W.in_float64().all()
        samples, active = X.all_with_signs(double)
        hidden = xp.astype(double, samples.dtype)
    y = None
    if labels:
        keys = (blake2b(f"{prefix}/y/{draw}".encode(), digest_size=16).digest() for draw in draws)
        y = xp.asarray(np.stack([stream(key).integers(C, size=N) for key in keys]))
    return Draws(samples, V, hidden, y, active)


def last_layers(V: RandomRows, count: int) -> list[RandomRows]:
    """Return V₁ … V_count of the draws whose last layer is V = V₁; V_r does not depend on ``count``."""
    return [V, *(V.other(str(r)) for r in range(2, count + 1))]
