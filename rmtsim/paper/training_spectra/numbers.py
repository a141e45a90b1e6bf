"""The numbers of the spectra through training: means over draws, densities of the eigenvalues, laws, and verdicts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.figures.parts import join_parts
from rmtsim.paper.trained_networks import standard_errors
from rmtsim.paper.training_spectra.law_distances import (
    Case,
    cases,
    law,
    laws_of,
    output_mse_eigenvalues,
    spectra_numbers,
)
from rmtsim.stats.verdict import NO_ERROR, sign

Values = npt.NDArray[np.float64]

#: Bins of a histogram, and points of a law's curve.
_BINS, _CURVE_POINTS = 40, 400

#: Share of the eigenvalues that may lie beyond either end of a histogram.
_TAIL = 0.002

#: Numbers of the last checkpoint that could make a verdict: the shape, the excess, and the two edges.
_JUDGED = ("shape", "excess", "edge", "outlier")


def all_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Return all numbers of the figure, in the parts of `rmtsim.figures.parts.join_parts`.

    Parameters
    ----------
    table
        That of `rmtsim.paper.training_spectra.eigenvalues.training_spectra`.

    Returns
    -------
    DataFrame
        Every part has the columns ``case``, the number of a layer of a setting, and those of
        `rmtsim.paper.training_spectra.law_distances.Case`.

        means
            The rows of `mean_numbers`.
        verdicts
            A row per case: ``name``, in words; ``shape_verdict``, ``"changes"`` or ``"stays"``; and
            ``decoupling_verdict``; ``law_mean``, ``law_spread`` and ``law_top``, moments and the largest over the
            smallest eigenvalue of the law of initialisation, where it is known without V.
        densities
            The rows of `densities`.
    """
    parts: dict[str, list[pd.DataFrame]] = {"means": [], "verdicts": [], "densities": []}
    for number, (case, rows) in enumerate(cases(table)):
        means = mean_numbers(case, rows)
        last = means.iloc[-1]
        verdict = {"name": case.name, "shape_verdict": _shape(last), "decoupling_verdict": _decoupling(last)}
        found = {"means": means, "verdicts": pd.DataFrame([verdict | _law_moments(case)])}
        found["densities"] = pd.concat(densities(case, rows), ignore_index=True)
        for name, frame in found.items():
            parts[name].append(frame.assign(case=number, **case._asdict()))
    return join_parts({name: pd.concat(frames, ignore_index=True) for name, frames in parts.items()})


def mean_numbers(case: Case, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the means over draws of `spectra_numbers` of a layer at each ``progress``, with ``std_error_…``.

    And of ``excess``, ``decoupled`` less ``floor``, and of ``change_shape``, ``change_excess``, ``change_edge`` and
    ``change_outlier``: less those of the same draw at the first checkpoint. ``looks``: numbers that could make a
    verdict, see `rmtsim.stats.verdict`.
    """
    numbers = spectra_numbers(case, rows).sort_values(["draw", "progress"])
    numbers["excess"] = numbers["decoupled"] - numbers["floor"]
    of_draw = numbers.groupby("draw")
    for name in _JUDGED:
        numbers[f"change_{name}"] = numbers[name] - of_draw[name].transform("first")
    groups = numbers.drop(columns="draw").groupby("progress")
    errors = standard_errors(groups).add_prefix("std_error_")
    means: pd.DataFrame = groups.mean().join(errors).assign(draws=groups.size()).reset_index()
    return means.assign(looks=len(_JUDGED))


def densities(case: Case, rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield densities of the logarithm of the eigenvalues of a layer, over the draws.

    Yields
    ------
    DataFrame
        ``kind``: ``"measured"``, a histogram at each ``progress``, whose bins are from ``x`` to ``x_end``;
        ``"decoupled"``, that of decoupled blocks at the last checkpoint, ``x`` the middle of a bin; ``"law"``, the
        limiting law of initialisation, a mean over the laws of several V in the hidden layer; ``"place"``, an
        eigenvalue of the law with MSE in the output layer, which has no ``density``.
    """
    eigenvalues = rows[(rows["quantity"] == "eigenvalue") & (rows["value"] > 0)]
    logs = np.log(eigenvalues["value"].to_numpy())
    # spectra that move by decades have more bins
    low, high = np.quantile(logs, [_TAIL, 1 - _TAIL]).tolist()
    edges = np.linspace(low, high, _BINS * int(np.clip((high - low) / 4, 1, 3)) + 1)
    x = np.exp(edges)
    progress = np.sort(eigenvalues["progress"].unique())
    for at in progress:
        values = np.log(eigenvalues.loc[eigenvalues["progress"] == at, "value"].to_numpy())
        line = {"kind": "measured", "progress": at, "x": x[:-1], "x_end": x[1:], "density": _density(values, edges)}
        yield pd.DataFrame(line)
    copies = rows[(rows["quantity"] == "decoupled") & (rows["progress"] == progress[-1]) & (rows["value"] > 0)]
    if len(copies):
        density = _density(np.log(copies["value"].to_numpy()), edges)
        yield pd.DataFrame({"kind": "decoupled", "x": np.exp((edges[1:] + edges[:-1]) / 2), "density": density})
    if laws := laws_of(case, rows):
        x = np.exp(np.linspace(edges[0], edges[-1], _CURVE_POINTS))
        yield pd.DataFrame({"kind": "law", "x": x, "density": x * np.mean([law.density(x) for law in laws], axis=0)})
    elif case.loss == "mse" and case.width is not None:
        yield pd.DataFrame({"kind": "place", "x": output_mse_eigenvalues(case.width)})


def _density(values: Values, edges: Values) -> Values:
    """Return a histogram whose integral is the share of the values between the edges."""
    counts, _ = np.histogram(values, bins=edges)
    return np.asarray(counts / (max(len(values), 1) * np.diff(edges)))


def _law_moments(case: Case) -> dict[str, float]:
    """Return moments that are known at initialisation without V; of the output layer for MSE, N → ∞, then d → ∞."""
    if case.layer == "linear":
        m1, m2 = law(case, None, 0).free_moments(2)
        return {"law_mean": float(m1), "law_spread": float(m2 / m1**2), "law_top": np.nan}
    if case.layer == "output" and case.loss == "mse" and case.width is not None:
        top, rest = output_mse_eigenvalues(case.width)
        values = np.array([top, *[rest] * (case.width - 1)])
        spread = np.mean(values**2) / np.mean(values) ** 2
        return {"law_mean": float(values.mean()), "law_spread": float(spread), "law_top": top / rest}
    return dict.fromkeys(("law_mean", "law_spread", "law_top"), np.nan)


def _shape(last: pd.Series) -> str:
    """Judge the shape at the end against that at initialisation."""
    if np.isnan(last["std_error_change_shape"]):
        return NO_ERROR
    return "changes" if _sign(last, "change_shape") > 0 else "stays"


def _decoupling(last: pd.Series) -> str:
    """Judge the distance over its floor, and the edges, at the end and against initialisation."""
    if last[["std_error_excess", "std_error_edge", "std_error_outlier"]].isna().any():
        return NO_ERROR
    if _left(last, "excess") > 0:
        return "is lost"
    edges = [words for name, words in (("edge", "lower"), ("outlier", "upper")) if _left(last, name)]
    return f"is lost at the {' and the '.join(edges)} edge" if edges else "survives, within these errors"


def _left(last: pd.Series, name: str) -> int:
    """Return the sign of what is zero for decoupled blocks; 0 within the errors, or unless it changed to that side."""
    side = _sign(last, name)
    return side if side == _sign(last, f"change_{name}") else 0


def _sign(last: pd.Series, name: str) -> int:
    return sign(last[name], last[f"std_error_{name}"], int(last["draws"]), int(last["looks"]))
