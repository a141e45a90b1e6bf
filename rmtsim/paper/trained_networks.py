"""Training runs as numbers: a row per run and checkpoint, and means over draws."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.errors import InputError
from rmtsim.model.layers import BY_NAME
from rmtsim.stats.estimates import mean_estimate
from rmtsim.stats.predictions import plain
from rmtsim.stats.straight_lines import slopes
from rmtsim.text.words import number_of
from rmtsim.theory import finite

Values = npt.NDArray[np.float64]

#: Columns that identify a set of runs, whose draws differ in seed and draw.
SETTING = ["loss", "data", "n_classes", "dim", "n_samples", "width", "steps", "learning_rate"]

#: The data that the theory describes, as the column ``data`` names them.
GAUSSIAN = "gaussian"

#: Columns of ``checkpoints``, and where they stand in the table of `rmtsim.full_hessian.description`.
_PARTS = {
    "value": (0, 0, "loss"),
    "residual": (0, 0, "residual_sqnorm"),
    "whole": (0, 0, "total_sqfro"),
    "hidden": (1, 1, "total_sqfro"),
    "output": (2, 2, "total_sqfro"),
    "cross": (1, 2, "total_sqfro"),
    "stripe": (1, 2, "stripe_sqfro"),
    "columns": (1, 2, "column_sqfro"),
    "hidden_outside": (1, 1, "outside"),
    "output_outside": (2, 2, "outside"),
    "hidden_diag": (1, 1, "diag_sqfro"),
    "hidden_offdiag": (1, 1, "offdiag_sqfro"),
    "output_diag": (2, 2, "diag_sqfro"),
    "output_offdiag": (2, 2, "offdiag_sqfro"),
}

#: Columns that are also given relative to their value at initialisation.
RELATIVE = ("cross", "stripe", "residual", "hidden", "output")

#: Columns that span decades, within a run and between runs.
_LOGARITHMIC = ("value", "residual", *(f"relative_{name}" for name in RELATIVE))


def checkpoints(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out the runs of networks with one hidden layer, one row per run and checkpoint.

    Parameters
    ----------
    table
        Tables of ``rmtsim.training.trajectory.trajectory_task``; runs that differ in the columns that it adds may be
        mixed.

    Returns
    -------
    DataFrame
        ``SETTING``, ``seed``, ``draw``, ``progress`` from 0 to 1, and

        value, residual
            The loss, and (1/N) Σ_n ‖r_n‖².
        whole, hidden, output, cross
            Squared norms ‖H‖², of H_ww, of H_vv, and of H_wv: one of the two triangles of H that hold it.
        stripe, columns
            Squared norms, in H_wv, of the residual's term in (11) and (18); and of the columns in which it stands.
        hidden_outside, output_outside
            Share of the squared norm of H_ww and H_vv outside the diagonal blocks.
        hidden_diag, hidden_offdiag, output_diag, output_offdiag
            Mean squared norms of diagonal and off-diagonal blocks.
        cross_share, stripe_share, column_share
            2 cross / whole, stripe / cross, columns / cross; without stripes the last would be 1/m.
        relative_cross, …
            Those of ``RELATIVE`` over their value at initialisation.

    Raises
    ------
    InputError
        If there are no such runs, a layer has one block only, or a run has no checkpoint at initialisation.
    """
    names = pd.DataFrame([(*part, name) for name, part in _PARTS.items()], columns=["layer", "other", "quantity", "x"])
    rows = table.astype({"hidden": str}).rename(columns={"hidden": "width"})
    rows = rows[rows["width"].str.fullmatch(r"\d+")].astype({"width": np.int64})
    _check(rows)
    rows = rows.merge(names, on=["layer", "other", "quantity"])
    runs = rows.pivot_table(values="value", index=[*SETTING, "seed", "draw", "progress"], columns="x").reset_index()
    runs = runs.rename_axis(columns=None)[[*SETTING, "seed", "draw", "progress", *_PARTS]].dropna(ignore_index=True)
    runs["cross_share"] = 2 * runs["cross"] / runs["whole"]
    runs["stripe_share"] = runs["stripe"] / runs["cross"]
    runs["column_share"] = runs["columns"] / runs["cross"]
    first = runs.groupby([*SETTING, "seed", "draw"])[list(RELATIVE)].transform("first")
    return runs.assign(**{f"relative_{name}": runs[name] / first[name] for name in RELATIVE})


def _check(rows: pd.DataFrame) -> None:
    """Raise InputError unless there are runs, of several blocks a layer, from initialisation on."""
    if rows.empty:
        raise InputError("training: the table holds no networks with one hidden layer; give runs with hidden = [[8]]")
    if (rows["width"] < 2).any():
        raise InputError("hidden: one neuron makes one block, and nothing lies outside it; give at least 2")
    if not rows["loss"].isin(["ce", "mse"]).all():
        other = rows.loc[~rows["loss"].isin(["ce", "mse"]), "loss"].iloc[0]
        raise InputError(f"loss: {other!r} has one output, and nothing lies outside its block; give 'ce' or 'mse'")
    if (rows["n_classes"] < 2).any():
        raise InputError("n_classes: one class makes one output block, and nothing lies outside it; give at least 2")
    if (rows.groupby([*SETTING, "seed", "draw"])["step"].min() > 0).any():
        raise InputError("checkpoints: a run has none at initialisation, to which norms are relative; give 0 too")


def over_draws(
    rows: pd.DataFrame,
    by: Sequence[str],
    columns: Sequence[str],
    logarithmic: Sequence[str] = _LOGARITHMIC,
    fixed: Collection[str] = (),
) -> pd.DataFrame:
    """Return means over draws, with ``std_error_…`` of each and the number of ``draws``.

    Geometric means of the ``logarithmic`` columns, by default the loss, the residual and the ``relative_…`` ones, which
    span decades; else arithmetic ones. The ``fixed`` columns are those whose value the model makes the same in every
    draw.
    """
    logs = [name for name in columns if name in logarithmic]
    groups = rows.assign(**{name: np.log(rows[name]) for name in logs}).groupby(list(by), sort=False)[list(columns)]
    means, errors = groups.mean(), standard_errors(groups, fixed)
    means[logs] = np.exp(means[logs])
    errors[logs] *= means[logs]
    return means.join(errors.add_prefix("std_error_")).assign(draws=groups.size()).reset_index()


def standard_errors(groups: Any, fixed: Collection[str] = ()) -> Any:
    """Return the standard errors of means over the draws of each group, as ``groups.sem()`` would.

    But NaN where the draws are all equal, since their spread is then not known, see
    `rmtsim.stats.estimates.known_error`; 0 in the ``fixed`` columns, whose value the model makes the same in every
    draw.

    Parameters
    ----------
    groups
        Columns of a table, or one, grouped by pandas. Missing values are left out.
    """
    return groups.agg(lambda x: mean_estimate(x.dropna().to_numpy(float), fixed=x.name in fixed).std_error)


def stripe_slopes(runs: pd.DataFrame) -> pd.DataFrame:
    """Fit the power of the residual that the stripes follow.

    They are linear in the residual (18), so with one of unchanged direction ‖stripes‖² would follow (1/N) Σ‖r_n‖² with
    power 1; with a residual independent of the inputs, as a multiple m γ/2 of it.

    Returns
    -------
    DataFrame
        One row per setting: ``slope``, the mean over draws of the least-squares slope in log–log over the checkpoints;
        ``multiple_first``, ``multiple_last``, stripes over residual at the first and last checkpoint; standard errors
        of these; and ``multiple_theory``, m γ/2.
    """
    lines = []
    for key, of_run in runs.groupby([*SETTING, "seed", "draw"], sort=False):
        x, y = np.log(of_run["residual"].to_numpy()), np.log(of_run["stripe"].to_numpy())
        [slope] = slopes(x, y[None])
        multiples = np.exp(y - x)
        of_line = dict(zip([*SETTING, "seed", "draw"], plain(key), strict=True))
        lines.append({**of_line, "slope": slope, "multiple_first": multiples[0], "multiple_last": multiples[-1]})
    found = over_draws(pd.DataFrame(lines), SETTING, ["slope", "multiple_first", "multiple_last"])
    return found.assign(multiple_theory=found["width"] * found["dim"] / found["n_samples"] / 2)


@cache
def outside_at_start(layer: str, loss: str, n_classes: int, dim: int, n_samples: int, width: int) -> float:
    """Return the theory's share of the squared norm outside the n diagonal blocks, of expected norms, at C, d, N.

    E off · n(n − 1) / (E diag · n + E off · n(n − 1)), with n = m blocks in the hidden layer, C in the output layer.
    """
    [found] = finite("one_hidden", loss, n_classes, dim, n_samples, width, layers=(layer,))
    n = n_classes if BY_NAME[layer].is_last else width
    off = found.offdiag * (n - 1)
    return off / (found.diag + off)


def scheduled(one: pd.Series) -> str:
    """Tell the steps and the learning rate of a run, in words."""
    return f"{one['steps']} steps of Adam from {one['learning_rate']:g}"


def settings(runs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the runs of each setting, with its name: loss, sizes, data where not Gaussian, schedule and draws."""
    for _, of_setting in runs.groupby(SETTING, sort=False):
        one = of_setting.iloc[0]
        data = "" if one.data == GAUSSIAN else f", {one.data}"
        draws = number_of(len(of_setting[["seed", "draw"]].drop_duplicates()), "draw")
        sizes = f"C = {one.n_classes}, d = {one.dim}, N = {one.n_samples}, m = {one.width}"
        yield f"{one.loss.upper()}, {sizes}{data}; {scheduled(one)}, {draws}", of_setting
