"""Δ_N at every size, its rate of decay in N, and the theory's limit of d Δ_N."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.model.models import get_model
from rmtsim.paper.coupling import Coupling
from rmtsim.stats.least_squares import least_squares
from rmtsim.stats.predictions import plain
from rmtsim.stats.verdict import agrees, z_score
from rmtsim.theory.decoupling_limit import LimitingDifference, hidden_weights, limiting_difference, linear_ce_weights

Values = npt.NDArray[np.float64]

#: Columns that identify a coupling, and a place z.
COUPLING = ["model", "loss", "block", "n_classes", "width"]
PLACE = ["z_real", "z_imag"]

#: Powers of N in |Δ_N|: what Hölder's inequality over entries leaves of the proof, and what holds.
BOUND, RATE = -0.5, -1.0


class RateFit(NamedTuple):
    """Weighted least squares of log y = constant + exponent log x + correction/x, and of the same without correction.

    ``limit`` is that of x y with the exponent held at −1. Each value has its standard error.
    """

    exponent: float
    std_error_exponent: float
    plain_slope: float
    std_error_plain_slope: float
    limit: float
    std_error_limit: float


def summarize_decoupling(draws: pd.DataFrame) -> pd.DataFrame:
    """Average over draws.

    Parameters
    ----------
    draws
        Tables of `rmtsim.paper.coupling.decoupling_draws`, one row per draw, time and place.

    Returns
    -------
    DataFrame
        One row per coupling, size, time and place: ``draws``, the mean of d (s_{H(t)} − s_H̃) in units of 1/scale as
        ``difference_real`` and ``difference_imag`` with standard errors, its absolute value ``difference`` with
        ``std_error_difference``, that of the component along the mean, and the theory's ``limit_real``, ``limit_imag``
        with ``std_error_limit``, null for the control.
    """
    lines = []
    keys = [*COUPLING, "dim", "n_samples", "t", *PLACE]
    for key, group in draws.groupby(keys, dropna=False, sort=False):
        dim, n = group["dim"].iloc[0], len(group)
        values = dim * (group["difference_real"].to_numpy() + 1j * group["difference_imag"].to_numpy())
        mean, error = complex(np.mean(values)), 1 / math.sqrt(n)
        along = np.real(values * np.conj(mean)) / abs(mean)
        lines.append(
            dict(zip(keys, key, strict=True))
            | {"draws": n, "difference_real": mean.real, "difference_imag": mean.imag}
            | {"std_error_difference_real": error * np.std(values.real, ddof=1)}
            | {"std_error_difference_imag": error * np.std(values.imag, ddof=1)}
            | {"difference": abs(mean), "std_error_difference": error * np.std(along, ddof=1)}
            | {"scale": group["scale"].iloc[0]}
        )
    table = pd.DataFrame(lines).astype({"width": "Int64"})
    return table.merge(_limits(table), how="left", on=[*COUPLING, "t", *PLACE])


def fit_decoupling(summary: pd.DataFrame) -> pd.DataFrame:
    """Fit the decay in N at t = 1.

    Parameters
    ----------
    summary
        The table of `summarize_decoupling`.

    Returns
    -------
    DataFrame
        One row per coupling and place: the fields of `RateFit` for |Δ_N| over N, where ``limit`` is the limit of
        d |Δ_N|; the theory's ``limit_theory``; and the ``verdict``, *agrees* if the exponent agrees with −1 and the
        limit with the theory's (`rmtsim.stats.verdict`), else *differs*. The control has no theory, and no verdict.
    """
    lines = []
    whole = summary[summary["t"] == 1]
    for key, group in whole.groupby([*COUPLING, *PLACE], dropna=False, sort=False):
        N, d = group["n_samples"].to_numpy(float), group["dim"].to_numpy(float)
        fit = fit_rate(N, group["difference"].to_numpy() / d, group["std_error_difference"].to_numpy() / d)
        gamma = d[0] / N[0]
        fit = fit._replace(limit=gamma * fit.limit, std_error_limit=gamma * fit.std_error_limit)
        theory = math.hypot(group["limit_real"].iloc[0], group["limit_imag"].iloc[0])
        z = (
            z_score(fit.exponent, RATE, fit.std_error_exponent),
            z_score(fit.limit, theory, fit.std_error_limit, group["std_error_limit"].iloc[0]),
        )
        verdict = "" if math.isnan(theory) else "agrees" if all(map(agrees, z)) else "differs"
        key_of = dict(zip([*COUPLING, *PLACE], key, strict=True))
        lines.append(key_of | fit._asdict() | {"limit_theory": theory, "verdict": verdict})
    return pd.DataFrame(lines).astype({"width": "Int64"})


def fit_rate(x: Values, y: Values, std_error: Values) -> RateFit:
    """Fit a power law with one correction to scaling to three or more points (n,)."""
    rse = std_error / y
    one, log_x = np.ones_like(x), np.log(x)
    free = least_squares([one, log_x, 1 / x], np.log(y), rse)
    plain = least_squares([one, log_x], np.log(y), rse)
    pinned = least_squares([one, 1 / x], np.log(y) - RATE * log_x, rse)
    limit = math.exp(pinned.values[0])
    return RateFit(
        exponent=float(free.values[1]),
        std_error_exponent=float(free.std_errors[1]),
        plain_slope=float(plain.values[1]),
        std_error_plain_slope=float(plain.std_errors[1]),
        limit=limit,
        std_error_limit=limit * float(pinned.std_errors[0]),
    )


def _limits(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the theory's limit for every coupling, time and place."""
    parts = []
    for key, group in summary.groupby(COUPLING, dropna=False, sort=False):
        coupling = Coupling(*plain(key))
        if coupling.model == "radial":
            continue
        gamma = group["dim"].iloc[0] / group["n_samples"].iloc[0]
        times, places = np.unique(group["t"]), group[PLACE].drop_duplicates()
        z = places["z_real"].to_numpy() + 1j * places["z_imag"].to_numpy()
        found = _limit(coupling, float(gamma), tuple(z.tolist()), tuple(times.tolist()))
        part = pd.DataFrame({"t": times}).merge(places, how="cross")
        part["limit_real"], part["limit_imag"] = found.value.real.ravel(), found.value.imag.ravel()
        part["std_error_limit"] = found.std_error.ravel()
        parts.append(part.assign(**group[COUPLING].iloc[0]))
    columns = [*COUPLING, "t", *PLACE, "limit_real", "limit_imag", "std_error_limit"]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    types = {"width": "Int64", "n_classes": summary["n_classes"].dtype, "t": float, "z_real": float, "z_imag": float}
    return table.astype({**types, **dict.fromkeys(columns[-3:], float)})


@cache
def _limit(coupling: Coupling, gamma: float, z: tuple[complex, ...], times: tuple[float, ...]) -> LimitingDifference:
    """Return the theory's limit in units of 1/scale; it takes half a second."""
    weights, scale = _theory(coupling), coupling.scale
    return limiting_difference(lambda U: weights(U) / scale, coupling.n_features(1), gamma, z, times)


def _theory(coupling: Coupling) -> Callable[[Values], Values]:
    """Return the weights of the theory, whose code is not that of the simulation."""
    if not get_model(coupling.model).has_width:
        return linear_ce_weights(coupling.block)
    return hidden_weights(coupling.V, coupling.loss, coupling.block)


def coupling_name(row: object) -> str:
    """Return the name of a row's coupling."""
    model, loss, block, C, m = (getattr(row, key) for key in COUPLING)
    if model == "radial":
        return "control: weights of d/2 directions"
    words = {"diag": "diagonal", "offdiag": "off-diagonal"}[block]
    sizes = f"{loss.upper()}, {words}, C = {C}"
    return f"hidden layer {sizes}, m = {m}" if get_model(model).has_width else f"linear {sizes}"
