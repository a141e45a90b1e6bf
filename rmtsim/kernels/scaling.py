"""Powers of two that take a network's arrays to order one, and its Hessian back to scale.

Norms go with fourth powers of the arrays, so arrays that are small or large in their dtype leave its range long before
the norms leave that of float64. But the loss does not change if X is divided by 2^x and each hidden layer W_k by
2^{c_k} while the last layer V is multiplied by 2^{x + Σ c_k}, for ReLU is positively homogeneous; and a power of two
changes no digit. With c_L = −(x + Σ c_k) for V, a part of the Hessian is then that of the scaled network times
2^{−(c_a + c_b)}.

Where logits are so small that they change no digit of a probability, or (for MSE) so large that no digit of the labels
shows in the residual, V is moved further, by 2^δ, to where its squares can be held: curvature and residual stay as they
are, and only the powers of V in a part count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rmtsim.arrays.backend import Array, Module, backend_of, to_numpy
from rmtsim.kernels.doubts import AT_ONCE, Doubts, NotedDoubts
from rmtsim.model.activation import get_activation
from rmtsim.model.loss import get_loss
from rmtsim.model.point import Point

Exponents = npt.NDArray[np.int64]

#: Arrays whose largest entry is within 2^±4 are left alone.
_BAND = 4
#: Logits below 2^−60 change no digit in float64, and above 2^60 hide the labels' ones; in float32 2^∓30.
_FAR = {"float32": 30, "float64": 60}
#: Logits above this cannot be subtracted from one another in the dtype without overflow.
_HIGHEST = {"float32": 100, "float64": 960}


class OutOfRange(Exception):  # noqa: N818  # users see an InputError, or the result of float64
    """A result that the dtype cannot hold, or that has lost its digits on the way: which, and why."""


@dataclass(frozen=True)
class Scaling:
    """Binary exponents that were taken out of a network, each a number or one for each draw.

    Parameters
    ----------
    data
        x: X is 2^x times the X that is computed with.
    hidden
        c_k of each hidden layer.
    extra
        δ: V that is computed with is V · 2^{x + Σ c_k + δ}.
    """

    data: Any = 0
    hidden: Sequence[Any] = field(default=())
    extra: Any = 0

    @property
    def last(self) -> Any:
        """What V is multiplied by: x + Σ c_k + δ."""
        return self.data + sum(self.hidden) + self.extra

    def entry(self, a: int, b: int) -> Any:
        """Return e for the part of layers a ≤ b, counted from 0: H_ab is 2^e times that of the scaled network."""
        last = len(self.hidden)
        last_exponent = -(self.data + sum(self.hidden))
        c = [*self.hidden, last_exponent]
        if b == last:
            powers_raised, powers_lowered = 0, int(a < last)
        else:
            powers_raised, powers_lowered = 1 + int(a == b), 2
        raised, lowered = np.maximum(self.extra, 0), np.minimum(self.extra, 0)
        return -(c[a] + c[b]) - powers_raised * raised - powers_lowered * lowered


@np.errstate(over="ignore", invalid="ignore")  # what is not finite is found by the checks that follow
def scaled_network(
    X: Array, weights: Sequence[Array], loss: str, dtype: str, xp: Module, activation: str = "relu"
) -> tuple[Array, list[Array], Scaling]:
    """Return X and all layers with entries and features of order one, and what was taken out, for each draw.

    Hidden layers whose activation is not homogeneous cannot be scaled; such a network is returned as it is.

    Raises
    ------
    OutOfRange
        If logits would overflow.
    """
    sigma = get_activation(activation)
    if weights[:-1] and not sigma.homogeneous:
        return X, list(weights), Scaling(0, (0,) * (len(weights) - 1))
    x = exponent(X, xp)
    X = times_power(X, -x, xp)
    h, hidden, taken = X, [], []
    for W in weights[:-1]:
        c = exponent(W, xp)
        W = times_power(W, -c, xp)
        h = sigma.value(h @ W.mT, xp)
        of_features = exponent(h, xp)
        h = times_power(h, -of_features, xp)
        hidden.append(times_power(W, -of_features, xp))
        taken.append(c + of_features)
    V, total = weights[-1], x + sum(taken)
    seen = largest(h, -2, xp)  # of each input of the last layer
    logits = exponent_of_products(to_numpy(largest(V, -2, xp)), to_numpy(seen), total)
    extra = extra_exponent(logits, loss, dtype)
    # Weights that nothing passes are in no block, whatever their size, unless a neuron that gives 0 has a slope there.
    if (not taken or sigma.rectifies) and bool(xp.any(idle := (seen == 0)[..., None, :])):
        V = xp.where(idle, xp.zeros_like(V), V)
    return X, [*hidden, times_power(V, total + extra, xp)], Scaling(x, taken, extra)


def exponent_of_products(a: np.ndarray, b: np.ndarray, e: Any) -> Exponents:
    """Return k of each draw with max a∘b 2^e in [2^{k−1}, 2^k), where float64 may not hold the products; 0 for 0."""
    (a, of_a), (b, of_b) = (np.frexp(factor.astype(np.float64)) for factor in (a, b))
    product, of_product = np.frexp(a * b)
    there = product != 0
    k = np.max(np.where(there, of_a.astype(np.int64) + of_b + of_product, np.iinfo(np.int32).min), axis=-1)
    return np.where(there.any(axis=-1), k + e, 0)


def ensemble_scaling(point: Point, dtype: str) -> Scaling:
    """Return what to take out of a point's draws: nothing, unless its ensemble's variances are far from LeCun's."""
    if point.width is not None and not get_activation(point.ensemble.activation).homogeneous:
        return Scaling(hidden=(0,))
    scales = point.ensemble.scales(point.n_classes, point.width, point.dim)
    x, c = (k if abs(k := round(math.log2(variance) / 2)) > _BAND else 0 for variance in (scales.data, scales.hidden))
    extra = int(extra_exponent(round(math.log2(scales.gain) / 2), point.loss, dtype))
    return Scaling(x, () if point.width is None else (c,), extra)


def extra_exponent(logits: Any, loss: str, dtype: str) -> Any:
    """Return δ for logits of about 2^logits.

    Raises
    ------
    OutOfRange
        If they would overflow, and the loss does not let them be scaled.
    """
    extra = get_loss(loss).scale_exponent(logits, _FAR[dtype])
    if np.any(logits + extra > _HIGHEST[dtype]):
        size = decimal(1.0, np.max(logits))
        raise OutOfRange(f"logits reach about {size}, which {dtype} cannot subtract; give X or V in other units")
    return extra


def exponent(A: Array, xp: Module, band: int = _BAND) -> Exponents:
    """Return e of each draw with max |A| in [2^{e−1}, 2^e); 0 within the band, and where all is zero."""
    return exponent_of(to_numpy(largest(A, (-2, -1), xp)), band)


def exponent_of(largest: np.ndarray, band: int = _BAND) -> Exponents:
    """Return e of numbers in [2^{e−1}, 2^e); 0 within the band, and for 0."""
    found = np.frexp(largest.astype(np.float64))[1].astype(np.int64)
    return np.where(np.abs(found) <= band, 0, found)


def largest(A: Array, axis: int | tuple[int, ...], xp: Module) -> Array:
    """Return max |A| over the axes, on a CPU without an array of |A|."""
    if backend_of(xp).needs_gpu:
        return xp.max(xp.abs(A), axis=axis)
    return xp.maximum(xp.max(A, axis=axis), -xp.min(A, axis=axis))


def times_power(A: Array, e: Any, xp: Module) -> Array:
    """Return 2^e A, (…, rows, columns) with an exponent for each draw; A itself where all are 0."""
    if not np.any(e):
        return A
    e = np.asarray(e)
    for k in range(4):  # no factor leaves the dtype's range, and all work in one direction
        with np.errstate(over="ignore", invalid="ignore"):  # infinities are found by the checks that follow
            factor = np.ldexp(1.0, (e + k) // 4)
            A = A * xp.asarray(factor.astype(str(A.dtype).rpartition(".")[2]))[..., None, None]
    return A


def restored(values: Array, e: Any, xp: Module, what: str, doubts: Doubts = AT_ONCE) -> Array:
    """Return 2^e times values in float64, one for each draw.

    Raises
    ------
    OutOfRange
        If one overflows, or falls below the normal numbers; where `doubts` are but noted, it is noted.
    """
    if not np.any(e):
        return values
    if isinstance(doubts, NotedDoubts):
        doubts.powers(values, int(e))
        return values * math.ldexp(1.0, int(e))
    host = to_numpy(values)
    with np.errstate(over="ignore", under="ignore"):
        found = np.ldexp(host, e)
    low = (np.abs(found) < np.finfo(np.float64).tiny) & (host != 0)
    if np.any(bad := np.isfinite(host) & (np.isinf(found) | low)):
        place = tuple(np.argwhere(bad)[0])
        size = decimal(float(host[place]), np.broadcast_to(e, host.shape)[place])
        raise OutOfRange(
            f"{what} is about {size}, and float64 goes from 2.2e-308 to 1.8e+308; give X or the weights in other units"
        )
    return xp.asarray(found)


def decimal(value: float, e: Any) -> str:
    """Return 2^e times value in decimal notation, however large or small."""
    power = np.log10(abs(value)) + float(e) * np.log10(2.0)
    whole = int(np.floor(power))
    return f"{10 ** (power - whole):.1f}e{whole:+03d}"
