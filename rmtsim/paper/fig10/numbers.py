"""The numbers of Figure 10: shares outside the blocks, with and without the factor p(1 − p), and initial ratios."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from rmtsim.figures.parts import join_parts
from rmtsim.paper.trained_networks import over_draws
from rmtsim.stats.estimates import mean_estimate, ratio_estimate
from rmtsim.stats.verdict import NEAR, NO_ERROR, bounds, z_score
from rmtsim.theory import finite

_RUN = ["case", "loss"]
_PLACE = ["n_samples", "step", "progress"]

#: Quantities of the maps.
_MAPS = ("edge", "mean", "largest")

#: Points of the curve of the closed form over N.
_CURVE_POINTS = 30


def all_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Return all numbers of the figure, in the parts of `rmtsim.figures.parts.join_parts`.

    Parameters
    ----------
    table
        That of `rmtsim.paper.fig10.networks.binary`.

    Returns
    -------
    DataFrame
        setting
            One row: ``width``, ``dim``, ``n_samples``, ``steps``, ``learning_rate`` and ``draws`` of the training, and
            ``outside_theory``, the share outside the diagonal blocks of expected norms at initialisation with MSE.
        maps
            The rows of the table that hold maps.
        means
            The rows of `mean_shares`.
        structure
            A row per ``loss``: ``verdict`` on whether the hidden layer is near-block-diagonal: ``"at no checkpoint"``,
            ``"at a checkpoint"``, or ``"not excluded at every checkpoint"`` where errors leave it open.
        factor
            A row per data set, ``case``: ``change``, of the share outside by the factor p(1 − p) after training with
            CE, with ``std_error``; and ``verdict`` on whether the factor makes the block-diagonal structure.
        start
            The rows of `initial_ratios`.
        curve
            ``n_samples`` and ``theory``, the closed form of `initial_ratio`.
    """
    training = table[table["purpose"] == "training"]
    shares, start = outside_shares(table), initial_ratios(table)
    means, one = mean_shares(shares), training.iloc[0]
    width, dim, n_samples = (int(one[name]) for name in ("hidden", "dim", "n_samples"))
    others = (width - 1) * initial_ratio(dim, n_samples, width)
    setting = {"width": width, "dim": dim, "n_samples": n_samples, "steps": one["steps"]}
    setting |= {"learning_rate": one["learning_rate"], "draws": shares["draw"].nunique()}
    ends = start["n_samples"].min(), start["n_samples"].max()
    sizes = np.unique(np.geomspace(*ends, _CURVE_POINTS).round().astype(int))
    return join_parts(
        {
            "setting": pd.DataFrame([setting | {"outside_theory": others / (1 + others)}]),
            "maps": training[training["quantity"].isin(_MAPS)],
            "means": means,
            "structure": pd.DataFrame([_structure(loss, rows) for loss, rows in means.groupby("loss")]),
            "factor": pd.DataFrame(_factor(shares, means)),
            "start": start,
            "curve": pd.DataFrame({"n_samples": sizes, "theory": [initial_ratio(dim, int(N), width) for N in sizes]}),
        }
    )


def outside_shares(table: pd.DataFrame) -> pd.DataFrame:
    """Return the share of the hidden layer's squared norm outside its diagonal blocks, through training, by draw.

    Parameters
    ----------
    table
        That of `rmtsim.paper.fig10.networks.binary`.

    Returns
    -------
    DataFrame
        One row per data set (``case``), training ``loss``, checkpoint and ``draw``: ``own`` share, ``other``, that with
        the other loss's second derivative at the same weights; ``factor``, the mean of p(1 − p); ``diag`` and
        ``offdiag``, mean squared norms of blocks over those at initialisation, and ``value``, the loss.
    """
    rows = table[table["purpose"] == "training"]
    index = [*_RUN, *_PLACE, "draw"]
    norms = _norms(rows, [*index, "curvature"])
    own = norms[norms["curvature"] == norms["loss"]].set_index(index)
    other = norms[norms["curvature"] != norms["loss"]].set_index(index)
    scalars = {
        name: rows[rows["quantity"] == quantity].set_index(index)["value"]
        for name, quantity in (("factor", "factor"), ("value", "loss"))
    }
    found = own[["outside"]].rename(columns={"outside": "own"}).assign(other=other["outside"], **scalars)
    for name in ("diag", "offdiag"):
        found[name] = own[f"{name}_sqfro"] / own[f"{name}_sqfro"].groupby([*_RUN, "draw"]).transform("first")
    return found.reset_index()


def initial_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Return the ratio of mean squared norms of off-diagonal and diagonal hidden blocks at initialisation.

    Returns
    -------
    DataFrame
        On Gaussian data, one row per ``n_samples`` and ``curvature``: ``draws``, ``value``, ``std_error``; ``theory``,
        the ratio of expectations with MSE, exact: (8) with C = 1, where E(v_i² v_j²)/E(v_i⁴) = 1/3; and ``z``.
    """
    norms = _norms(table[table["purpose"] == "start"], ["n_samples", "curvature", "draw", "dim", "hidden"])
    lines = []
    for _, group in norms.groupby(["n_samples", "curvature"]):
        one = group.iloc[0]
        N, curvature = int(one["n_samples"]), str(one["curvature"])
        found = ratio_estimate(group["offdiag_sqfro"].to_numpy(), group["diag_sqfro"].to_numpy())
        theory = initial_ratio(int(one["dim"]), N, int(one["hidden"]))
        lines.append({"n_samples": N, "curvature": curvature, "draws": len(group), **found._asdict()})
        lines[-1] |= {"theory": theory, "z": z_score(found.value, theory, found.std_error)}
    return pd.DataFrame(lines)


def initial_ratio(dim: int, n_samples: int, width: int) -> float:
    """Return E‖H_ij‖²/E‖H_ii‖² of the hidden layer with one output and MSE, on Gaussian data."""
    [hidden] = [one for one in finite("one_hidden", "mse", 1, dim, n_samples, width) if one.layer == "hidden"]
    return hidden.offdiag / hidden.diag


def mean_shares(shares: pd.DataFrame) -> pd.DataFrame:
    """Return means of `outside_shares` over draws with standard errors; geometric ones of what falls by decades."""
    logs = ("diag", "offdiag", "factor")
    return over_draws(shares, [*_RUN, *_PLACE], ["own", "other", "factor", "value", "diag", "offdiag"], logs)


def _structure(loss: Any, means: pd.DataFrame) -> dict[str, Any]:
    """Judge whether the hidden layer is near-block-diagonal anywhere, with one loss; every mean is a look."""
    lower, upper = bounds(means["own"], means["std_error_own"], int(means["draws"].min()), len(means))
    if lower.isna().any():
        return {"loss": loss, "verdict": NO_ERROR}
    if (upper < NEAR).any():
        return {"loss": loss, "verdict": "at a checkpoint"}
    return {"loss": loss, "verdict": "at no checkpoint" if (lower > NEAR).all() else "not excluded at every checkpoint"}


def _factor(shares: pd.DataFrame, means: pd.DataFrame) -> list[dict[str, Any]]:
    """Judge what the factor p(1 − p) does to the shares after training with CE, a data set at a time."""
    lines = []
    for case, runs in means[means["loss"] == "binary_ce"].groupby("case", sort=False):
        last = runs.iloc[-1]
        of_end = shares[(shares["case"] == case) & (shares["loss"] == "binary_ce") & (shares["step"] == last["step"])]
        change = mean_estimate((of_end["own"] - of_end["other"]).to_numpy())
        line: dict[str, Any] = {"case": case, "change": change.value, "std_error": change.std_error}
        lines.append(line | {"verdict": _on_factor(last, looks=2 * len(runs))})
    return lines


def _on_factor(last: pd.Series, looks: int) -> str:
    """Judge whether the factor makes the layer near-block-diagonal where it was not."""
    if np.isnan(last["std_error_own"]):
        return NO_ERROR
    without, _ = bounds(last["other"], last["std_error_other"], int(last["draws"]), looks)
    _, own = bounds(last["own"], last["std_error_own"], int(last["draws"]), looks)
    makes = without > NEAR > own
    return "makes the block-diagonal structure" if makes else "does not make a block-diagonal structure"


def _norms(rows: pd.DataFrame, index: list[str]) -> pd.DataFrame:
    """Return norms of diagonal and off-diagonal blocks side by side, and the share outside."""
    of_layer = rows[(rows["layer"] == 1) & rows["quantity"].isin(["diag_sqfro", "offdiag_sqfro"])]
    wide = of_layer.pivot_table(index=index, columns="quantity", values="value", sort=False).reset_index()
    others = (int(rows["hidden"].iloc[0]) - 1) * wide["offdiag_sqfro"]
    return wide.assign(outside=others / (wide["diag_sqfro"] + others))
