"""From rows of draws to one line per point and layer: means, ratio and their standard errors."""

from __future__ import annotations

import os
from dataclasses import asdict

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype, is_bool_dtype, is_complex_dtype, is_integer_dtype, is_numeric_dtype

from rmtsim.errors import InputError
from rmtsim.model.choices import LAYERS, LOSSES, MODELS
from rmtsim.model.ensemble import LEAST, LECUN, MOST, norms_have_variance
from rmtsim.model.fixed_values import fixed_values
from rmtsim.model.layers import D_BY_D
from rmtsim.model.models import get_model
from rmtsim.sampling.schema import ENSEMBLE, ENSEMBLE_NAMES, ENSEMBLE_NUMBERS
from rmtsim.sampling.simulation import MAX_SEED
from rmtsim.sampling.weights import MAX_WEIGHTS
from rmtsim.stats.group_means import QUANTITIES, Groups, group_means
from rmtsim.store import Store, open_store
from rmtsim.store.whole_points import whole_points
from rmtsim.text.checks import MAX_SIZE, check_choice

#: What identifies a line of a summary: the point, the layer, and what follows from the two.
POINT_COLUMNS = [
    "point_id",
    "model",
    "loss",
    "layer",
    "n_classes",
    "dim",
    "n_samples",
    "width",
    "aspect_ratio",
    *ENSEMBLE,
    "block_rows",
    "block_cols",
]

_DRAW = ["point_id", "seed", "draw", "layer"]
_VALUES = ["diag_sqfro", "offdiag_sqfro"]
_ERRORS = ["std_error_diag", "std_error_offdiag"]

#: Columns of numbers.
_NUMBERS = ["n_classes", "dim", "n_samples", "width", "aspect_ratio", *ENSEMBLE_NUMBERS, "block_rows", "block_cols"]
_NUMBERS += ["seed", "draw", "weights_per_draw", *_VALUES, *_ERRORS]

#: Those of them that count something, with the least and the most that they can hold.
_COUNTS = {
    **dict.fromkeys(["n_classes", "dim", "n_samples", "width", "block_rows", "block_cols"], (1, MAX_SIZE)),
    "weights_per_draw": (1, MAX_WEIGHTS),
    **dict.fromkeys(["seed", "draw"], (0, MAX_SEED)),
}

#: The largest norm or standard error; squares of these are added up.
_MOST = 1e150

#: Relative deviation that an aspect ratio may have from dim / n_samples, as in a table that was written as text.
_ROUNDING = 1e-6

#: Those of them in which a null has a meaning.
_NULLABLE = ["width", *_VALUES, *_ERRORS]

#: Columns of texts.
_TEXTS = ["point_id", "model", "loss", "layer", *ENSEMBLE_NAMES]

#: Columns of names, and the names that the theory knows.
_NAMES = {"model": MODELS, "loss": LOSSES, "layer": LAYERS}

#: The columns of the values and of their standard errors, here and in the table of `rmtsim.predict`.
ESTIMATES = ["diag_sqfro", "std_error_diag", "offdiag_sqfro", "std_error_offdiag", "ratio", "std_error_ratio"]

#: What is told of the draws of each quantity, beside their mean.
_SHAPES = [f"{name}_{quantity}" for name in ("skewness", "heavy_tail") for quantity in QUANTITIES]


def summarize(draws: pd.DataFrame | Store | str | os.PathLike[str]) -> pd.DataFrame:
    """Average draws: means and their standard errors, one row per point and layer.

    Parameters
    ----------
    draws
        A table with the store's columns, one row per (point, seed, draw, layer), or a store or its location, for all
        its draws. Seeds of one point are pooled. Rows that lack columns of the ensemble (of a store of an earlier
        format) have the paper's, and those without weights_per_draw have 1. Draws with different numbers of last
        layers are weighed by what each is worth, without bias (docs/explanation/several-last-layers.md).

    Returns
    -------
    DataFrame
        The columns of the point and layer (``point_id``, ``model``, ``loss``, ``layer``, ``n_classes``, ``dim``,
        ``n_samples``, ``width``, ``aspect_ratio``, the ensemble, the shape of a block), then

        - ``draws``: their number; ``effective_draws``: the number of exact draws that would be as precise, which is
          smaller only where terms of single classes were sampled;
        - ``diag_sqfro``, ``offdiag_sqfro``: means over draws of the mean squared Frobenius norm of a diagonal
          (off-diagonal) block, not divided by d, with their standard errors ``std_error_diag``, ``std_error_offdiag``;
        - ``ratio``: offdiag_sqfro/diag_sqfro of the means, less its jackknife bias (null with one draw), with
          ``std_error_ratio``;
        - ``rse_diag``, ``rse_offdiag``, ``rse_ratio``: standard error over value, null where the value is 0 and the
          standard error is not;
        - ``skewness_diag``, ``skewness_offdiag``, ``skewness_ratio``: sample skewness of the draws, for the ratio that
          of its linearisation; over √draws it is the skewness of value, by which an interval reaches farther up than
          down (docs/explanation/stopping.md). Null where the standard error is;
        - ``heavy_tail_diag``, ``heavy_tail_offdiag``, ``heavy_tail_ratio``: whether the draws have too heavy a tail for
          value and standard error to be trusted: they spread widely, and a few of them carry the spread, or they have
          no variance by the law of the data (docs/explanation/stopping.md).

        `rmtsim.predict` returns the same columns, with the theory in place of draws.

        Standard errors are null with one draw, and where all draws are equal, zeros above all: their
        spread is not known then. They are 0 only for what the model makes the same in every draw, as the off-diagonal
        blocks of the last layer with MSE, and then ``rse_…`` is 0 too. What has no blocks is null: ``offdiag_sqfro``
        where there is one class or one neuron, ``diag_sqfro`` of the cross layer, and then the ratio.

    Raises
    ------
    InputError
        If there is no store, it is no table, columns are missing or hold what no store has, there are no rows, a
        (point, seed, draw, layer) occurs twice, or some draws of a point have values where others have nulls.

    Examples
    --------
    >>> import rmtsim
    >>> point = rmtsim.Point("linear", "ce", n_classes=10, dim=50, n_samples=100)
    >>> [mean] = rmtsim.summarize(rmtsim.simulate(point, draws=16)).itertuples()
    >>> mean.draws, bool(0 < mean.std_error_diag < 0.1 * mean.diag_sqfro)
    (16, True)
    """
    if isinstance(draws, (Store, str, os.PathLike)):
        store = open_store(draws)
        store.check_there()
        parts = [summarize(part) for part in whole_points(store)]
        if not parts:
            raise _no_rows()
        return in_order(pd.concat(parts, ignore_index=True))
    summary = _means(_checked(draws))
    for quantity, column in zip(QUANTITIES, (*_VALUES, "ratio"), strict=True):
        value, std_error = summary[column], summary[f"std_error_{quantity}"]
        relative = std_error / value.abs().mask(value == 0)
        summary[f"rse_{quantity}"] = relative.mask((value == 0) & (std_error == 0), 0.0)
    summary = summary[[*(name for name in summary.columns if name not in _SHAPES), *_SHAPES]]
    return in_order(summary)


def in_order(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a summary in their order, such as where parts of it were put together."""
    order = ["model", "loss", "layer", *ENSEMBLE, "width", "aspect_ratio", "dim", "n_classes"]
    return summary.sort_values(order, kind="stable", ignore_index=True)


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of the point and layer of each group of rows, in the order of the groups, and their means."""
    number = rows.groupby(POINT_COLUMNS, dropna=False, sort=False).ngroup().to_numpy()
    pooled = rows["weights_per_draw"].groupby(number).transform("nunique").to_numpy() > 1
    # By seed and draw where draws have weights, so that these do not depend on the order of rows.
    draw, seed = (np.where(pooled, rows[name].to_numpy(np.int64), 0) for name in ("draw", "seed"))
    order = np.lexsort((draw, seed, number))
    rows, number = rows.iloc[order], number[order]
    starts = np.flatnonzero(np.diff(number, prepend=-1, append=number[-1] + 1))
    table = rows.iloc[starts[:-1]][POINT_COLUMNS].reset_index(drop=True)
    table = table.astype({name: _type_of(name, column) for name, column in table.items()})
    kinds = zip(*(table[name] for name in ("loss", "layer", "n_classes")), strict=True)
    laws = [*zip(*(table[name].astype(str) for name in ("data", "loss", "activation")), strict=True)]
    diag, offdiag, *errors = (rows[column].to_numpy() for column in (*_VALUES, *_ERRORS))
    weights = rows["weights_per_draw"].to_numpy(np.int64)
    fixed = [fixed_values(*kind) for kind in kinds]
    found = group_means(Groups(starts, diag, offdiag, errors[0], errors[1], weights, fixed))
    has_variance = {law: norms_have_variance(*law) for law in set(laws)}
    by_law = np.array([not has_variance[law] for law in laws])[:, None] & (found.std_error > 0)
    estimates = np.stack([found.value, found.std_error], axis=2).reshape(len(table), -1)
    return table.assign(
        draws=np.diff(starts),
        effective_draws=found.effective_draws,
        **dict(zip(ESTIMATES, estimates.T, strict=True)),
        **dict(zip(_SHAPES, [*found.skewness.T, *(found.heavy_tail | by_law).T], strict=True)),
    )


def _type_of(name: object, column: pd.Series) -> str:
    """Return the type that a column of a summary has: of several that hold the same, always the same one."""
    if name in _TEXTS:
        return "str"
    return "Int64" if name == "width" else "int64" if is_integer_dtype(column) else "float64"


def on_limit_scale(summary: pd.DataFrame) -> pd.DataFrame:
    """Return a summary with columns ``diag``, ``offdiag`` on the scale on which the theory has limits as d, N → ∞.

    Squared norms of the d × d blocks (layers linear and hidden) and their standard errors are divided by d; those of
    other blocks are as they were.
    """
    scale = np.where(summary["layer"].isin(D_BY_D), summary["block_rows"], 1).astype(float)
    scaled = {name: summary[f"{name}_sqfro"] / scale for name in ("diag", "offdiag")}
    errors = {name: summary[name] / scale for name in _ERRORS}
    return summary.drop(columns=_VALUES).assign(**scaled, **errors)


def _instead(table: pd.DataFrame) -> str:
    """Return what a table seems to be in place of draws, for a message."""
    if {"draws", "std_error_ratio"} <= {*table}:
        return ", and seems to be the means that summarize returns"
    return ", and seems to be what predict returns" if {"regime", "note"} <= {*table} else ""


def _no_rows() -> InputError:
    return InputError("draws: the table has no rows; run a sweep into this store first")


def _checked(draws: pd.DataFrame) -> pd.DataFrame:
    """Check the table; nulls of the values as NaN, widths as nullable integers."""
    if not isinstance(draws, pd.DataFrame):
        kind = type(draws).__name__
        raise InputError(
            f"draws: {kind} is no DataFrame; give a store, its location, or a table with its columns, as "
            "open_store(…).draws()"
        )
    earlier = {**asdict(LECUN), "weights_per_draw": 1}  # in rows that lack the columns
    draws = draws.assign(**{name: draws.get(name, value) for name, value in earlier.items()}).fillna(earlier)
    needed = [*POINT_COLUMNS, "seed", "draw", "weights_per_draw", *_VALUES]
    missing = [column for column in needed if column not in draws.columns]
    if missing:
        noun = "column" if len(missing) == 1 else "columns"
        raise InputError(
            f"draws: it has no {noun} {', '.join(missing)}{_instead(draws)}; give a store, or the draws themselves, "
            "one row for each draw and layer, as open_store(…).draws() and simulate return them"
        )
    if draws.empty:
        raise _no_rows()
    named_twice = draws.columns[draws.columns.duplicated()]
    if len(named_twice):
        raise InputError(f"draws: two columns are named {named_twice[0]}; keep one of them")
    errors = {name: draws.get(name, 0.0) for name in _ERRORS}  # tables of exact draws may leave them out
    rows = draws[needed].assign(**errors)
    for name in _NUMBERS:
        try:
            if not is_numeric_dtype(rows[name]):  # dates, too, could be made numbers
                rows[name] = pd.to_numeric(rows[name].astype(object))
            if is_complex_dtype(rows[name]) or is_bool_dtype(rows[name]):
                raise TypeError
        except (TypeError, ValueError):
            raise InputError(f"draws: column {name} holds what is no number; give it as the store has it") from None
    _check_ranges(rows)
    for name in _TEXTS:
        if infer_dtype(rows[name], skipna=False) not in ("string", "categorical"):
            raise InputError(f"draws: column {name} holds what is no text; give it as the store has it")
    rows = rows.astype(dict.fromkeys([*_VALUES, *_ERRORS], "float64") | {"width": "Int64"})
    for name, choices in _NAMES.items():
        for value in rows[name].unique():
            check_choice(f"draws: {name}", value, choices)
    _check_models(rows)
    repeated = rows.duplicated(_DRAW)
    if repeated.any():
        first = rows.loc[repeated, _DRAW].iloc[0]
        raise InputError(
            f"draws: point {first.point_id}, seed {first.seed}, draw {first.draw}, layer {first.layer} occurs more "
            "than once; keep one row per (point, seed, draw, layer)"
        )
    values = rows.groupby(POINT_COLUMNS, dropna=False)[_VALUES]
    partly_null = (values.count().rsub(values.size(), axis=0) > 0) & (values.count() > 0)
    if partly_null.to_numpy().any():
        point, layer = partly_null.index[partly_null.any(axis=1)][0][0:4:3]
        raise InputError(
            f"draws: point {point}, layer {layer} has values in some draws and nulls in others; remove those draws and "
            "run the sweep again"
        )
    return rows


def _check_models(rows: pd.DataFrame) -> None:
    """Check that every row has a layer of its model, and a width where the model has one."""
    for name, of_model in rows.groupby("model", sort=False):
        model, widths = get_model(name), of_model["width"].dropna()
        for layer in of_model["layer"].unique():
            check_choice("draws: layer", layer, model.layer_names)
        if model.has_width and len(widths) < len(of_model):
            raise InputError(
                f"draws: column width has no number for the model {name}; give the number of its hidden neurons"
            )
        if not model.has_width and len(widths):
            raise InputError(
                f"draws: column width holds {widths.iloc[0]} for the model {name}, which has no width; leave it null"
            )


def _check_ranges(rows: pd.DataFrame) -> None:
    """Check that every column of numbers holds what a store may; a null passes where it has a meaning."""
    for name in _NUMBERS:
        numbers = (rows[name].dropna() if name in _NULLABLE else rows[name]).astype(float)
        if name in _COUNTS:
            least, most = _COUNTS[name]
            right, advice = (numbers >= least) & (numbers <= most) & (numbers % 1 == 0), f"whole numbers from {least}"
            advice += f" to {most}"
        elif name in ENSEMBLE:
            right, advice = (numbers >= LEAST) & (numbers <= MOST), f"numbers from {LEAST:g} to {MOST:g}"
        elif name == "aspect_ratio":
            right, advice = (numbers > 0) & (numbers < np.inf), "positive numbers d/N"
        else:
            right, advice = (
                (numbers >= 0) & (numbers <= _MOST),
                f"numbers from 0 to {_MOST:g}, or nulls where there are none",
            )
        if len(wrong := numbers[~right]):
            raise InputError(f"draws: column {name} holds {wrong.iloc[0]:g}; give {advice}")
    quotient = rows["dim"].astype(float) / rows["n_samples"].astype(float)
    if len(wrong := rows.loc[(rows["aspect_ratio"] / quotient - 1).abs() > _ROUNDING, "aspect_ratio"]):
        first = quotient[wrong.index[:1]].iloc[0]
        raise InputError(
            f"draws: column aspect_ratio holds {wrong.iloc[0]:g} where dim / n_samples is {first:g}; give that"
        )
