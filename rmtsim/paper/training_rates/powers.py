"""Rates through training: the power of C that off-diagonal over diagonal norms follow at every checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.errors import InputError
from rmtsim.figures.parts import join_parts
from rmtsim.model.fixed_values import fixed_values
from rmtsim.paper.trained_networks import SETTING, checkpoints, standard_errors
from rmtsim.stats.estimates import mean_estimate
from rmtsim.stats.straight_lines import misfit, slopes
from rmtsim.stats.verdict import LEVEL, NO_ERROR, tolerance
from rmtsim.theory import finite

Values = npt.NDArray[np.float64]

#: The theorems' powers of C for the ratio.
THEOREM = {"hidden": -1, "output": -2}

#: Fits use these C and more: as the ratio is no pure power of C, the theory's own slope over them stands beside.
MIN_CLASSES = 8

#: Columns in which the runs of one figure must not differ.
_COMMON = ["data", "dim", "width", "steps", "learning_rate"]

#: Columns that identify a series over C.
KEYS = ["loss", "layer", "rule"]


def all_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Return all numbers of the figure, in the parts of `rmtsim.figures.parts.join_parts`.

    Parameters
    ----------
    table
        That of `rmtsim.paper.training_rates.networks.training_rates`.

    Returns
    -------
    DataFrame
        The parts ``ratios``, of `ratios`; ``exponents``, of `exponents`; ``equal_loss``, of `at_equal_loss`; and
        ``means``: for each ``loss``, ``layer`` and ``rule``, ``progress`` and ``n_classes``, the geometric mean over
        draws ``ratio``, with ``std_error_log``, the standard error of its logarithm, and ``theory``, the ratio of
        expected norms at initialisation.
    """
    found = ratios(table)
    parts = {"ratios": found, "exponents": exponents(found), "equal_loss": at_equal_loss(found)}
    return join_parts(parts | {"means": mean_ratios(found)})


def mean_ratios(found: pd.DataFrame) -> pd.DataFrame:
    """Return the means over draws of `ratios`, but where off-diagonal blocks are zero by the model."""
    frames = []
    for key, rows in found.groupby(KEYS, sort=False):
        case: dict[str, Any] = dict(zip(KEYS, key, strict=True))
        if fixed_values(case["loss"], case["layer"], int(rows["n_classes"].min())).get("ratio") == 0:
            continue
        logs = rows.assign(log=np.log(rows["ratio"].where(rows["ratio"] > 0)))
        groups = logs.groupby(["progress", "n_classes"])["log"]
        known = groups.count() == groups.size()  # there is no geometric mean where a draw has the ratio 0
        means = np.exp(groups.mean().where(known)).rename("ratio").reset_index()
        means["std_error_log"] = standard_errors(groups).to_numpy()
        expected = dict(zip(np.sort(rows["n_classes"].unique()), theory(rows), strict=True))
        frames.append(means.assign(theory=means["n_classes"].map(expected), **case))
    whole: pd.DataFrame = pd.concat(frames, ignore_index=True)
    return whole


def ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Return the ratio of mean squared norms, off-diagonal over diagonal, of every run, checkpoint and layer.

    Parameters
    ----------
    table
        That of `rmtsim.paper.training_rates.networks.training_rates`.

    Returns
    -------
    DataFrame
        ``loss``, ``layer``, ``rule`` ("N = 640" or "N = 10 C", a run may belong to both), ``n_classes``, ``dim``,
        ``n_samples``, ``width``, ``steps``, ``learning_rate``, ``seed``, ``draw``, ``progress``, ``relative_loss``,
        that over its value at initialisation, and ``ratio``.

    Raises
    ------
    InputError
        If runs differ in more than loss, C, N and draw.
    """
    runs = checkpoints(table)
    for key in _COMMON:
        if len(found := runs[key].unique()) > 1:
            values = ", ".join(map(str, found))
            raise InputError(f"{key}: rates need runs with a single {key}; found {values}; give one")
    runs["relative_loss"] = runs["value"] / runs.groupby([*SETTING, "seed", "draw"])["value"].transform("first")
    fixed = runs["n_samples"].mode().iloc[0]
    per_class = (runs["n_samples"] / runs["n_classes"])[runs["n_samples"] != fixed]
    rules = [(f"N = {fixed}", runs["n_samples"] == fixed)]
    if len(per_class):
        each = round(per_class.iloc[0])
        rules.append((f"N = {each} C", runs["n_samples"] == each * runs["n_classes"]))
    columns = ["loss", "layer", "rule", "n_classes", "dim", "n_samples", "width", "steps", "learning_rate", "seed"]
    columns += ["draw", "progress", "relative_loss"]
    parts = [
        runs[chosen].assign(layer=layer, rule=rule, ratio=runs[f"{layer}_offdiag"] / runs[f"{layer}_diag"])
        for layer in THEOREM
        for rule, chosen in rules
    ]
    whole: pd.DataFrame = pd.concat(parts, ignore_index=True)[[*columns, "ratio"]]
    return whole


def exponents(found: pd.DataFrame) -> pd.DataFrame:
    """Fit the power of C at every checkpoint.

    Parameters
    ----------
    found
        That of ``ratios``.

    Returns
    -------
    DataFrame
        A row per loss, layer, rule and ``progress``: ``exponent``, the slope of log ratio against log C, C ≥
        ``MIN_CLASSES``, with equal weights, for it shall mean the same at all checkpoints; ``upper``, that over the
        upper quarter, C ≥ max C/4; ``change`` and ``change_upper``, these less those at initialisation, of the same
        draws; standard errors from the spread over draws; ``f`` and ``probability`` of ``misfit``, and ``power``,
        whether the line is straight at the level `rmtsim.stats.verdict.LEVEL`; ``theory``, the slope of the theory's
        own values at initialisation; ``verdict``:

        zero
            There are no off-diagonal blocks, by the model.
        kept
            The exponent is that at initialisation within the tolerance (`rmtsim.stats.verdict`), which is under half of
            it; and so is ``upper``.
        bent
            The exponent is, but ``upper`` is not.
        unresolved
            Both are, but the tolerance is larger; or some ratios are zero in these draws.
        steeper, flatter
            It differs, and is negative by so much.
        lost
            It is not.
        no verdict without a standard error
            One draw has none, nor have draws that are all equal.
    """
    found = found[found["n_classes"] >= MIN_CLASSES]
    lines = []
    for key, of_case in found.groupby(KEYS, sort=False):
        start: dict[str, Values] | None = None
        looks = 2 * (of_case["progress"].nunique() - 1)  # two changes at every checkpoint but the first
        for progress, at in of_case.groupby("progress"):
            line: dict[str, Any] = {
                **dict(zip(KEYS, key, strict=True)),
                "progress": progress,
                "draws": at["draw"].nunique(),
            }
            if fixed_values(line["loss"], line["layer"], int(at["n_classes"].min())).get("ratio") == 0:
                lines.append({**line, "verdict": "zero"})
                continue
            if (at["ratio"] == 0).any():  # in these draws only: there is no logarithm, and no more is known
                lines.append({**line, "verdict": "unresolved"})
                continue
            ratio = at.pivot_table(values="ratio", index="draw", columns="n_classes")
            C, logs = ratio.columns.to_numpy(float), np.log(ratio.to_numpy())
            most = C.max() / 4 <= C
            powers = {"exponent": slopes(np.log(C), logs), "upper": slopes(np.log(C[most]), logs[:, most])}
            start = powers if start is None else start
            changes = {
                "change": powers["exponent"] - start["exponent"],
                "change_upper": powers["upper"] - start["upper"],
            }
            for name, values in (powers | changes).items():
                fixed = name in changes and progress == 0  # from the start to the start
                line[name], line[f"std_error_{name}"] = mean_estimate(values, fixed=fixed)
            line |= _misfit(C, logs)
            if progress == 0:
                line["theory"] = slopes(np.log(C), np.log(theory(at))[None])[0]
            lines.append({**line, "verdict": _verdict(line, float(np.mean(start["exponent"])), looks)})
    return pd.DataFrame(lines)


def at_equal_loss(found: pd.DataFrame, targets: Sequence[float] | None = None) -> pd.DataFrame:
    """Fit the power of C where every run has lost the same part of its initial loss, instead of as many steps.

    With cross-entropy only: squared loss begins at about C/2 and ends near 1 whatever C is, so that one part of it
    means another stage of training at every C. log ratio is interpolated in the loss, between checkpoints.

    Returns
    -------
    DataFrame
        A row per layer, rule and ``relative_loss``: ``exponent`` and ``std_error_exponent``. Without ``targets``,
        those of 0.9, 0.8, … that all runs of a rule reach.
    """
    found = found[(found["n_classes"] >= MIN_CLASSES) & (found["loss"] == "ce")]
    lines = []
    for key, of_case in found.groupby(KEYS, sort=False):
        runs = dict(iter(of_case.groupby(["n_classes", "draw"])))
        least = max(run["relative_loss"].min() for run in runs.values())
        for target in targets or np.arange(0.9, least, -0.1):
            at = {where: _interpolated(run, target) for where, run in runs.items()}
            logs = pd.Series(at).unstack()  # classes × draws
            powers = slopes(np.log(logs.index.to_numpy(float)), logs.to_numpy().T)
            line = dict(zip(KEYS, key, strict=True)) | {"relative_loss": round(float(target), 3)}
            exponent, error = mean_estimate(powers)
            lines.append(line | {"exponent": exponent, "std_error_exponent": error})
    return pd.DataFrame(lines)


def theory(at: pd.DataFrame) -> Values:
    """Return the theory's ratio at initialisation for each C of rows of ``ratios`` of one loss, layer and rule."""
    sizes = at.drop_duplicates("n_classes").sort_values("n_classes")
    one = sizes.iloc[0]
    return np.array(
        [
            finite(
                "one_hidden", one["loss"], int(C), int(one["dim"]), int(N), int(one["width"]), layers=(one["layer"],)
            )[0].ratio
            for C, N in zip(sizes["n_classes"], sizes["n_samples"], strict=True)
        ]
    )


def _interpolated(run: pd.DataFrame, target: float) -> float:
    """Return log ratio where the running minimum of the relative loss first is at the target."""
    loss = np.minimum.accumulate(run["relative_loss"].to_numpy())
    logs = np.log(run["ratio"].to_numpy())
    return float(np.interp(-target, -loss, logs))


def _misfit(n_classes: Values, logs: Values) -> dict[str, float | bool]:
    """Return what ``misfit`` does, and whether the line is straight; it is through two points, or with one draw."""
    f, probability = misfit(np.log(n_classes), logs) if len(n_classes) > 2 and len(logs) > 1 else (np.nan, np.nan)
    return {"f": f, "probability": probability, "power": not probability < LEVEL}


def _verdict(line: dict[str, Any], start: float, looks: int) -> str:
    if np.isnan(line["std_error_change"]):
        return NO_ERROR
    allowed = tolerance(line["draws"], looks)
    room = allowed * line["std_error_change"]
    if abs(line["change"]) <= room:
        if abs(line["change_upper"]) > allowed * line["std_error_change_upper"]:
            return "bent"
        return "kept" if room <= abs(start) / 2 else "unresolved"
    if line["exponent"] >= -allowed * line["std_error_exponent"]:
        return "lost"
    return "steeper" if line["change"] < 0 else "flatter"
