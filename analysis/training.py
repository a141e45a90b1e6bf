"""Training runs as numbers: a row per run and checkpoint, and means over draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.predictions import plain
from rmtsim.theory import finite

Values = npt.NDArray[np.float64]

#: What tells one set of runs from another; its draws differ in seed and draw.
SETTING = ["loss", "n_classes", "dim", "n_samples", "width", "steps", "learning_rate"]

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

#: What is told relative to its value at initialisation.
RELATIVE = ("cross", "stripe", "residual", "hidden", "output")

#: What spans decades, within a run and between runs.
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
    """
    names = pd.DataFrame([(*part, name) for name, part in _PARTS.items()], columns=["layer", "other", "quantity", "x"])
    rows = table.astype({"hidden": str}).rename(columns={"hidden": "width"})
    rows = rows[rows["width"].str.fullmatch(r"\d+")].astype({"width": np.int64})
    rows = rows.merge(names, on=["layer", "other", "quantity"])
    runs = rows.pivot_table(values="value", index=[*SETTING, "seed", "draw", "progress"], columns="x").reset_index()
    runs = runs.rename_axis(columns=None)[[*SETTING, "seed", "draw", "progress", *_PARTS]].dropna(ignore_index=True)
    runs["cross_share"] = 2 * runs["cross"] / runs["whole"]
    runs["stripe_share"] = runs["stripe"] / runs["cross"]
    runs["column_share"] = runs["columns"] / runs["cross"]
    first = runs.groupby([*SETTING, "seed", "draw"])[list(RELATIVE)].transform("first")
    return runs.assign(**{f"relative_{name}": runs[name] / first[name] for name in RELATIVE})


def over_draws(rows: pd.DataFrame, by: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Return means over draws, with ``std_error_…`` of each and the number of ``draws``.

    Geometric means of the loss, the residual and the ``relative_…`` columns, which span decades; else arithmetic ones.
    """
    logs = [name for name in columns if name in _LOGARITHMIC]
    groups = rows.assign(**{name: np.log(rows[name]) for name in logs}).groupby(list(by), sort=False)[list(columns)]
    means, errors = groups.mean(), groups.sem()
    means[logs] = np.exp(means[logs])
    errors[logs] *= means[logs]
    return means.join(errors.add_prefix("std_error_")).assign(draws=groups.size()).reset_index()


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
        slope = np.sum((x - x.mean()) * (y - y.mean())) / np.sum((x - x.mean()) ** 2)
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
    n = width if layer == "hidden" else n_classes
    off = found.offdiag * (n - 1)
    return off / (found.diag + off)


def settings(runs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the runs of each setting, with its name."""
    for _, of_setting in runs.groupby(SETTING, sort=False):
        one = of_setting.iloc[0]
        yield (
            f"{one.loss.upper()}, C = {one.n_classes}, d = {one.dim}, N = {one.n_samples}, m = {one.width}",
            of_setting,
        )
