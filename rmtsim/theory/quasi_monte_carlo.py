"""Randomised quasi-Monte Carlo with control variates, and standard errors from the randomisations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rmtsim.errors import InputError

Array = NDArray[np.float64]

#: Points of the unit cube, (points, coordinates), and the indices of the requested values → means over the points,
#: (values requested, 1 + controls): of each value, and of control variates of expectation 0.
Integrand = Callable[[Array, NDArray[np.intp]], Array]

TARGET_RSE = 1e-3
_SEED = 20250504  # fixed: the same question has the same answer
_RANDOMISATIONS = 32
_LEAST_POINTS, _MOST_POINTS = 2**9, 2**15  # of each randomisation
_MOST_COORDINATES = 8192
_MOST_NUMBERS = 2**23  # of a randomisation's points, and of the pilot set: 64 MiB, and minutes for all
_MOST_PULL = 5.0  # standard errors of a control variate's mean
_ROUNDING = 1e-9  # of a control variate's spread over that of another


@dataclass(frozen=True)
class Expectations:
    """Estimated expectations, and the covariance matrix of their errors."""

    mean: Array
    covariance: Array


def integrate(
    make: Callable[[Array], Integrand], n_values: int, n_coordinates: int, key: Sequence[int], target_rse: float
) -> Expectations:
    """Integrate over the unit cube, doubling the points of each value until its relative error is ``target_rse``.

    Every randomisation (Owen's scrambling of Sobol' points) is an unbiased estimate of its own, so the standard error
    is that of their mean. At most 2²⁰ points are used, and fewer in cubes of more than 256 coordinates, where the
    integrands of wide layers vary less.

    Parameters
    ----------
    make
        Makes the integrand from a pilot set, the first points of all randomisations, as far as they are not too many.
    n_values, n_coordinates, key
        Number of integrals, dimension of the cube; numbers that fix the randomisations.

    Raises
    ------
    InputError
        If the cube has more than 8192 coordinates.
    """
    from scipy.stats import qmc  # it takes half a second to load, and few need it

    check_coordinates(n_coordinates)
    streams = np.random.SeedSequence([_SEED, *key]).spawn(_RANDOMISATIONS)
    cubes = [qmc.Sobol(n_coordinates, rng=np.random.default_rng(stream)) for stream in streams]
    pilot = [cube.random(_LEAST_POINTS) for cube in cubes]
    integrand = make(np.concatenate([points[: _MOST_NUMBERS // n_coordinates // len(cubes)] for points in pilot]))
    unfinished = np.arange(n_values)
    most_points = max(_LEAST_POINTS, min(_MOST_POINTS, _MOST_NUMBERS // n_coordinates))
    means = np.stack([integrand(points, unfinished) for points in pilot])
    n_points = _LEAST_POINTS
    while True:
        found = _regress(means)
        with np.errstate(invalid="ignore"):
            rse = np.sqrt(np.diag(found.covariance)) / np.abs(found.mean)
        unfinished = unfinished[rse[unfinished] > target_rse]
        if n_points >= most_points or len(unfinished) == 0:
            return found
        # The values that are done keep the means over their first points: randomisations stay independent.
        more = np.stack([integrand(cube.random(n_points), unfinished) for cube in cubes])
        means[:, unfinished] = (means[:, unfinished] + more) / 2
        n_points *= 2


def check_coordinates(n_coordinates: int) -> None:
    """Raise InputError if a cube has too many coordinates."""
    if n_coordinates > _MOST_COORDINATES:
        raise InputError(
            f"width: a pair of samples has {n_coordinates} coordinates, more than the {_MOST_COORDINATES} that this "
            "theory of cross-entropy at finite C can take; give a smaller width"
        )


def _regress(means: Array) -> Expectations:
    """Mean over randomisations of each value less its linear regression on its control variates."""
    n, n_values, n_columns = means.shape
    residuals = np.empty((n, n_values))
    for k in range(n_values):
        value, controls = means[:, k, 0], means[:, k, 1:]
        scale = controls.std(axis=0)
        # One whose mean is not 0 within its error has tails that the points do not see; or it is mere rounding.
        sound = np.abs(controls.mean(axis=0)) < _MOST_PULL * scale / n**0.5
        controls = np.where(sound & (scale > _ROUNDING * scale.max(initial=0.0)), controls, 0.0)
        controls = controls / np.where(scale > 0, scale, 1)
        design = controls - controls.mean(axis=0)
        slope = np.linalg.lstsq(design, value - value.mean(), rcond=1e-8)[0]
        residuals[:, k] = value - controls @ slope
    centred = residuals - residuals.mean(axis=0)
    return Expectations(residuals.mean(axis=0), centred.T @ centred / ((n - n_columns) * n))
