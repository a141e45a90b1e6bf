"""Outside the proportional regime (question of Appendix A): which rates in C hold at small d, any d/N, many neurons."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from rmtsim.errors import InputError
from rmtsim.model.layers import BY_NAME
from rmtsim.stats.claims import SWEEP_COLUMNS
from rmtsim.stats.decay_fit import UNKNOWN, fit_decay
from rmtsim.stats.group_means import QUANTITIES
from rmtsim.stats.predictions import plain, power, predict_layer, value
from rmtsim.stats.summary import on_limit_scale, summarize
from rmtsim.stats.verdict import RATE_MARGIN, agrees, z_score
from rmtsim.theory import finite, large_c
from rmtsim.theory.prediction import Prediction

#: Largest d of these sweeps; the least C that slopes are taken from; and how many such C a sweep must have.
MAX_DIM, LEAST_CLASSES, LEAST_POINTS = 32, 100, 3

#: Numbers of classes where the theory goes on: the ends of its last decade.
FAR = (10**5, 10**6)


def regimes_of(draws: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of sweeps over C at small d; raise InputError if there are none."""
    keys = [key for key in SWEEP_COLUMNS if key in draws]
    rows = draws[(draws["dim"] <= MAX_DIM) & (draws["layer"] != "cross")]
    if len(rows):
        many = rows["n_classes"].where(rows["n_classes"] >= LEAST_CLASSES)
        count = many.groupby([rows[key] for key in keys], dropna=False).transform("nunique")
        rows = rows[count >= LEAST_POINTS]
    if rows.empty:
        raise InputError(
            f"figure regimes: the draws hold no {LEAST_POINTS} numbers of classes of at least {LEAST_CLASSES} at one d "
            f"up to {MAX_DIM}; run the sweeps regime_aspect, regime_dim and regime_width into this store first"
        )
    return rows


def last_power(model: str, loss: str, dim: int, quantity: str, theorem: float) -> float:
    """Power of C as C → ∞ at fixed d and N, up to powers of log C; NaN with a hidden layer and cross-entropy.

    Linear model, CE. Given r = |x|²/d, the logits are N(0, r), and p is that of Derrida's random energy model. Write
    r = s log C. While the tilted classes do not yet carry the softmax (s < 2/3) E p₁² = C^{s−2} and
    E p₁²p₂² = C^{2s−4}; beyond, a class needs a logit of log C + r/2 for p = O(1), which one has with probability
    C^{−(1+s/2)²/2s}. The density of r is C^{−ds/2}. The largest exponent over s is that at s = 0, the theorem's −2 and
    −4, for d ≥ 2 and d ≥ 4 (with powers of log C at d = 2, 4), and else

        diag: −(1 + √(1 + 4d))/2 at s = 2/√(1 + 4d),        offdiag: −1 − √(1 + 2d) at s = 2/√(1 + 2d).

    Both are those of the pairs n = k of the norm's double sum, so of every N: pairs n ≠ k need two large r.

    One hidden layer. MSE: V integrates out, so the theorem's power is exact in C + 2 at every d, N and m. CE: the logit
    variance |σ|²/m is the product of a χ²_d/d and at most a χ²_m/m. It passes y with probability e^{−√(dmy)}, so
    y = 2 log C, where the softmax becomes one-hot, is less rare than any power of C in the end. Hidden off-diagonal
    blocks then fall slower than any power, from log C of some 3dm/2 on, and output blocks only as C^{−1} and C^{−2},
    from log C of some dm/2 on. Theorem 2 escapes that by taking d → ∞ first.
    """
    if loss == "mse":
        return theorem
    if model != "linear":
        return math.nan
    powers = {
        "diag": max(-2.0, -0.5 - 0.5 * math.sqrt(1 + 4 * dim)),
        "offdiag": max(-4.0, -1 - math.sqrt(1 + 2 * dim)),
    }
    return powers.get(quantity, powers["offdiag"] - powers["diag"])


def extended(draws: pd.DataFrame) -> pd.DataFrame:
    """Measured values and the theory at their C, and the theory at ``FAR``, over the theorem's form.

    Parameters
    ----------
    draws
        The store's columns, rows as ``regimes_of`` returns.

    Returns
    -------
    DataFrame
        One row per sweep over C (``SWEEP_COLUMNS`` of `rmtsim.stats.claims`), quantity and C: ``measured``,
        ``std_error`` and ``skewness`` (that of draws over √draws; NaN at ``FAR``), ``draws``, and ``heavy_tail``,
        whether they have too heavy a tail for these to be trusted; ``theory`` at this C, d, N, and ``form``, the
        theorem's constant · C**power for d, N, then C → ∞ at this d/N; ``power``; ``constant_last``, the constant as
        C → ∞ at this d and N (infinite or NaN if there is none), and ``constant``. Norms of d × d blocks are divided
        by d.
    """
    lines: list[dict[str, Any]] = []
    for key, group in on_limit_scale(summarize(draws)).groupby(SWEEP_COLUMNS, dropna=False, sort=False):
        model, loss, layer, width, gamma, dim, n_samples, *ensemble = plain(key)
        theorem, _ = predict_layer(layer, large_c, ensemble, model, loss, gamma, width)
        last, _ = predict_layer(layer, large_c, ensemble, model, loss, gamma, width, dim, n_samples)
        measured = {int(row["n_classes"]): row for row in group.to_dict("records")}
        for C in sorted({*measured, *FAR}):
            at_size, reason = predict_layer(layer, finite, ensemble, model, loss, C, dim, n_samples, width)
            for quantity in QUANTITIES:
                if not value(theorem, quantity):  # exactly zero: no rate
                    continue
                row = measured.get(C, {})
                found = {
                    "draws": row.get("draws", 0),
                    "measured": row.get(quantity, math.nan),
                    "std_error": row.get(f"std_error_{quantity}", math.nan),
                    "skewness": row.get(f"skewness_{quantity}", math.nan) / math.sqrt(row.get("draws", 1)),
                    "heavy_tail": bool(row.get(f"heavy_tail_{quantity}", False)),
                }
                line = dict(zip(SWEEP_COLUMNS, key, strict=True)) | {"quantity": quantity, "n_classes": C} | found
                lines.append(line | _theory(theorem, last, at_size, quantity, C) | {"reason": reason})
    return pd.DataFrame(lines).astype({"width": "Int64"})


def _theory(
    theorem: Prediction | None, last: Prediction | None, at_size: Prediction | None, quantity: str, C: int
) -> dict[str, float]:
    exponent, constant = power(theorem, quantity), value(theorem, quantity)
    return {
        "theory": value(at_size, quantity),
        "power": exponent,
        "constant": constant,
        "form": constant * float(C) ** exponent,
        "constant_last": value(last, quantity),
    }


def judge_rates(table: pd.DataFrame) -> pd.DataFrame:
    """Return a verdict for each sweep over C and quantity (diag, offdiag, ratio) that does not vanish identically.

    Parameters
    ----------
    table
        As ``extended`` returns it.

    Returns
    -------
    DataFrame
        - ``power``, the theorem's; ``exponent`` with ``std_error_exponent``, measured over C ≥ 100;
          ``exponent_theory``, the theory's at the same C with the same weights; ``exponent_far``, between the two C of
          ``FAR``; ``exponent_last``: see ``last_power``; ``z`` = (exponent − exponent_theory)/std_error_exponent;
          ``points_left_out``: the C ≥ 100 whose tail is too heavy for their means to be trusted, which no slope uses;
        - ``largest``, the largest measured C; ``departure`` with ``std_error_departure``, ``departure_theory``: the
          value there over the theorem's form; ``departure_last``, the theory's as C → ∞ at this d and N: with a hidden
          layer and cross-entropy the sum of an asymptotic series in 1/d;
        - ``outside``: share of the layer's squared norm outside its diagonal blocks there; it and the departure are not
          known (NaN) where the tail is too heavy;
        - ``verdict`` on the theory's powers, up to C = 10⁶ and beyond where ``exponent_last`` is known: *holds*, *not
          yet*, *does not hold*, or *differs* where z is beyond the tolerance of `rmtsim.stats.verdict`, so that nothing
          is said of the rate; *not decided* where fewer than ``LEAST_POINTS`` C are left, by their tails; *not tested*
          where the theory has no value.
    """
    keys = [*SWEEP_COLUMNS, "quantity"]
    lines = [
        dict(zip(keys, key, strict=True)) | _judge(group)
        for key, group in table.groupby(keys, dropna=False, sort=False)
    ]
    return pd.DataFrame(lines).astype({"width": "Int64"})


def _judge(group: pd.DataFrame) -> dict[str, Any]:
    first = group.iloc[0]
    measured = group[group["measured"].notna() & (group["n_classes"] >= LEAST_CLASSES)]
    trusted = measured[~measured["heavy_tail"]]
    decided = len(trusted) >= min(LEAST_POINTS, len(measured))
    near = trusted if decided else measured
    rse = near["std_error"] / near["measured"]
    slope = fit_decay(near["n_classes"], near["measured"], near["std_error"]).plain_slope if decided else UNKNOWN
    theory = fit_decay(near["n_classes"], near["theory"], rse * near["theory"]).plain_slope.value
    far = group[group["n_classes"].isin(FAR)]
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.diff(np.log(far["theory"])) / np.diff(np.log(far["n_classes"].to_numpy(float)))
    exponent_far = float(steps[0])
    last = last_power(first["model"], first["loss"], int(first["dim"]), first["quantity"], first["power"])
    top = measured.iloc[-1]
    there = math.nan if top["heavy_tail"] else 1.0  # what has too heavy a tail is not quoted
    z = z_score(slope.value, theory, slope.std_error)
    return {
        "power": first["power"],
        "exponent": slope.value,
        "std_error_exponent": slope.std_error,
        "exponent_theory": theory,
        "exponent_far": exponent_far,
        "exponent_last": last,
        "z": z,
        "largest": int(top["n_classes"]),
        "departure": there * top["measured"] / top["form"],
        "std_error_departure": there * top["std_error"] / top["form"],
        "departure_theory": top["theory"] / top["form"],
        "departure_last": first["constant_last"] / first["constant"],
        "outside": there * _outside(top) if first["quantity"] == "ratio" else math.nan,
        "points_left_out": len(measured) - len(trusted),
        "verdict": _verdict(first["power"], theory, exponent_far, last, z) if decided else "not decided",
    }


def _verdict(power: float, theory: float, far: float, last: float, z: float) -> str:
    if not (math.isfinite(theory) and math.isfinite(far) and math.isfinite(z)):
        return "not tested"
    if not agrees(z):
        return "differs"
    near_gap, far_gap = abs(theory - power), abs(far - power)
    if not math.isnan(last) and abs(last - power) > 1e-9:
        return "does not hold"
    if max(near_gap, far_gap) <= RATE_MARGIN:
        return "holds"
    return "not yet" if far_gap < near_gap else "does not hold"


def _outside(row: pd.Series) -> float:
    """(B − 1) ratio/(1 + (B − 1) ratio) for B blocks a row."""
    blocks = int(row["n_classes"] if BY_NAME[row["layer"]].is_last else row["width"])
    excess = (blocks - 1) * float(row["measured"])
    return excess / (1 + excess)


def short(value: Any) -> str:
    """Write a number, one over a whole number as a fraction."""
    return f"1/{1 / value:g}" if 0 < value < 1 and float(1 / value).is_integer() else f"{value:g}"
