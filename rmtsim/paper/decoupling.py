"""What the decoupling experiment says: Δ_N at every size, its rate, and the theory's limit of d Δ_N."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.paper.coupling import PLACES, TIMES, Coupling, decoupling_draws
from rmtsim.stats.least_squares import least_squares
from rmtsim.stats.predictions import plain
from rmtsim.stats.verdict import agrees, z_score
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.text.tables import text_table
from rmtsim.theory.decoupling_limit import LimitingDifference, hidden_weights, limiting_difference, linear_ce_weights

Values = npt.NDArray[np.float64]

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
    """Means over draws.

    Parameters
    ----------
    draws
        The table of ``rmtsim.paper.coupling``, one row per draw, time and place.

    Returns
    -------
    DataFrame
        One row per coupling, size, time and place: ``draws``, the mean of d (s_{H(t)} − s_H̃) in units of 1/scale as
        ``difference_real`` and ``difference_imag`` with standard errors, its absolute value ``difference`` with
        ``std_error``, that of the component along the mean, and the theory's ``limit_real``, ``limit_imag`` with
        ``std_error_limit``, null for the control.
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
            | {"std_error_real": error * np.std(values.real, ddof=1)}
            | {"std_error_imag": error * np.std(values.imag, ddof=1)}
            | {"difference": abs(mean), "std_error": error * np.std(along, ddof=1), "scale": group["scale"].iloc[0]}
        )
    table = pd.DataFrame(lines).astype({"width": "Int64"})
    return table.merge(_limits(table), how="left", on=[*COUPLING, "t", *PLACE])


def fit_decoupling(summary: pd.DataFrame) -> pd.DataFrame:
    """Rates at t = 1.

    Parameters
    ----------
    summary
        As ``summarize_decoupling`` returns.

    Returns
    -------
    DataFrame
        One row per coupling and place: the fields of ``RateFit`` for |Δ_N| over N, ``limit`` being that of d |Δ_N|,
        and the theory's ``limit_theory``; ``verdict`` *agrees* if exponent and limit are within 3.5 standard errors of
        −1 and the theory's, else *differs*. For the control there is no theory, and no verdict.
    """
    lines = []
    whole = summary[summary["t"] == 1]
    for key, group in whole.groupby([*COUPLING, *PLACE], dropna=False, sort=False):
        N, d = group["n_samples"].to_numpy(float), group["dim"].to_numpy(float)
        fit = fit_rate(N, group["difference"].to_numpy() / d, group["std_error"].to_numpy() / d)
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


def render_decoupling(fits: pd.DataFrame) -> str:
    """Lay the fits out as plain text, with a legend."""
    grid = [["coupling", "z", "exponent", "plain slope", "lim d|Δ|", "theory", "verdict"]]
    for row in fits.itertuples():
        is_control = row.model == "radial"
        grid.append(
            [
                name_of(row),
                f"{row.z_real:g}+{row.z_imag:g}i",
                f"{row.exponent:+.3f} ± {row.std_error_exponent:.3f}",
                f"{row.plain_slope:+.3f} ± {row.std_error_plain_slope:.3f}",
                "-" if is_control else f"{row.limit:.4f} ± {row.std_error_limit:.4f}",
                "-" if is_control else f"{row.limit_theory:.4f}",
                str(row.verdict),
            ]
        )
    legend = (
        "|Δ_N| = |E s_H(z) − E s_H̃(z)| in units of 1/scale, z in units of the scale. exponent: of N, with one\n"
        "correction 1/N; plain slope: without. Proof of Lemmas 1 and 2: −1/2 by Hölder's inequality over entries, −1\n"
        "with operator norms; theory: −1, and the limit of d|Δ_N|. The control's weights see d/2 directions: −1/2."
    )
    return "\n".join([*text_table(grid, "<>>>>><"), "", legend])


def report_decoupling(draws: pd.DataFrame) -> str:
    """Tell what ``fit_decoupling`` finds in the table of ``rmtsim.paper.coupling``."""
    return render_decoupling(fit_decoupling(summarize_decoupling(draws)))


def name_of(row: object) -> str:
    """Name of a row's coupling."""
    model, loss, block, C, m = (getattr(row, key) for key in COUPLING)
    if model == "radial":
        return "control: weights of d/2 directions"
    words = {"diag": "diagonal", "offdiag": "off-diagonal"}[block]
    layer = "linear" if model == "linear" else "hidden layer"
    return f"{layer} {loss.upper()}, {words}, C = {C}" + ("" if model == "linear" else f", m = {m}")


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
    """Return the theory's limit in units of 1/scale; it is told and drawn, and takes half a second."""
    weights, scale = _theory(coupling), coupling.scale
    return limiting_difference(lambda U: weights(U) / scale, coupling.n_features(1), gamma, z, times)


def _theory(coupling: Coupling) -> Callable[[Values], Values]:
    """Return the weights as the theory has them: written anew, not those that were simulated."""
    if coupling.model == "linear":
        return linear_ce_weights(coupling.block)
    return hidden_weights(coupling.V, coupling.loss, coupling.block)


#: What is measured: Theorem 1's blocks, the hidden layer's, and the control.
COUPLINGS = (
    Coupling("linear", "ce", "diag", 10),
    Coupling("linear", "ce", "offdiag", 10),
    Coupling("one_hidden", "ce", "diag", 10, 4),
    Coupling("one_hidden", "ce", "offdiag", 10, 4),
    Coupling("radial"),
)

#: N → draws; the control costs most, and needs few.
_DRAWS = {32: 6000, 64: 6000, 128: 3600, 256: 1300, 512: 450, 1024: 120}
_CONTROL_DRAWS = {32: 1600, 64: 600, 128: 250, 256: 80}


def decoupling(seed: int = 0, draws: Mapping[int, int] | None = None) -> Experiment:
    """Experiment over ``COUPLINGS`` at d/N = 1/2; ``draws`` maps N to a number of draws, for all couplings alike."""

    def task(coupling: Coupling, n_samples: int, count: int) -> Task:
        parameters = asdict(coupling) | {"n_samples": n_samples, "draws": count, "seed": seed}
        parameters |= {"places": [[z.real, z.imag] for z in PLACES], "times": TIMES}
        label = f"{coupling.model}-{coupling.loss}-{coupling.block}-n{n_samples:04d}"

        def compute() -> pd.DataFrame:
            return decoupling_draws(coupling, n_samples // 2, n_samples, range(count), seed=seed)

        return Task(label, parameters, compute, cost=count * n_samples**2)

    tasks = [
        task(coupling, n_samples, count)
        for coupling in COUPLINGS
        for n_samples, count in (draws or (_CONTROL_DRAWS if coupling.model == "radial" else _DRAWS)).items()
    ]
    return Experiment("decoupling", tasks)
