"""The dynamic force in numbers: Section 3.1's Findings 1 and 2, and what Section 4 says of the cross layer."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analysis.quoted import quoted
from analysis.render import WIDTH
from analysis.training import RELATIVE, checkpoints, outside_at_start, over_draws, settings, stripe_slopes
from rmtsim.estimates import mean_estimate

#: More than half of the squared norm is most of it; a tenth of it is not negligible.
_MOST, _NEGLIGIBLE = 0.5, 0.1

#: Random labellings that the floor of the loss is a mean over.
_LABELLINGS = 2000

#: Standard errors that a verdict leaves room for.
_ROOM = 3

_RELATIVE = [f"relative_{name}" for name in RELATIVE]
_SHARES = ["cross_share", "stripe_share", "hidden_outside", "output_outside"]
_COLUMNS = {
    "progress": "progress",
    "value": "loss",
    "residual": "residual",
    "relative_stripe": "stripes",
    "relative_cross": "cross",
    "relative_hidden": "hidden",
    "relative_output": "output",
    "cross_share": "cross",
    "stripe_share": "stripes",
    "hidden_outside": "hidden",
    "output_outside": "output",
}
_LEGEND = (
    "In brackets: standard error over draws, in units of the last digit. Norms: squared, over those at "
    "initialisation, geometric means. Shares: of the cross layer in ‖H‖², of the stripes (the term with the residual "
    "in (11), (18)) in the cross layer. Outside: share of a layer's squared norm outside its diagonal blocks."
)


def report_dynamic_force(table: pd.DataFrame) -> str:
    """Tell the layers' norms and shares at every checkpoint, and the verdicts, as text.

    Parameters
    ----------
    table
        That of ``rmtsim.experiments.training_experiments.dynamic_force``, or of any runs with one hidden layer.
    """
    parts = []
    for name, runs in settings(checkpoints(table)):
        one, draws = runs.iloc[0], len(runs[["seed", "draw"]].drop_duplicates())
        how = f"{name}: {one.steps} steps of Adam, learning rate from {one.learning_rate:g}, {draws} draws"
        verdicts = [textwrap.fill(line, WIDTH, initial_indent="- ", subsequent_indent="  ") for line in _verdicts(runs)]
        parts.append("\n".join([how, *_lines(runs), *verdicts]))
    return "\n\n".join([*parts, textwrap.fill(_LEGEND, WIDTH)])


def headline_dynamic_force(table: pd.DataFrame) -> str:
    """Tell the verdicts in Markdown, for the setting of Section 3.1: that with most samples a class."""
    runs = checkpoints(table)
    runs = runs[runs["n_samples"] == runs["n_samples"].max()]
    return "\n".join(f"- {name}. {line}" for name, of_setting in settings(runs) for line in _verdicts(of_setting))


def _lines(runs: pd.DataFrame) -> list[str]:
    """Lay out the means of one setting, a line per checkpoint."""
    names = list(_COLUMNS)[1:]
    grid = [list(_COLUMNS.values())]
    for row in over_draws(runs, ["progress"], names).to_dict("records"):
        grid.append([f"{row['progress']:.0%}", *(quoted(row[x], row[f"std_error_{x}"]) for x in names)])
    widths = [max(len(line[k]) for line in grid) for k in range(len(_COLUMNS))]
    starts = np.cumsum([0, *(width + 1 for width in widths)])
    groups = {3: "norms", 7: "shares", 9: "outside"}
    top = ""
    for k, words in groups.items():
        top = top.ljust(starts[k] + 1) + words
    return [top, *(" ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in grid)]


def _verdicts(runs: pd.DataFrame) -> list[str]:
    """Sentences on Finding 1, and on Finding 2 (CE) or on the cross layer (MSE), for one setting."""
    columns = ["value", *_SHARES, "column_share", *_RELATIVE]
    of_cross = {f"cross_over_{layer}": runs["cross"] / runs[layer] for layer in ("hidden", "output")}
    means = over_draws(runs.assign(**of_cross), ["progress"], [*columns, *of_cross])
    rest = _findings_on_stripes if runs["loss"].iloc[0] == "ce" else _finding_on_the_cross_layer
    return [*_finding_one(runs, means), *rest(runs, means)]


def _finding_one(runs: pd.DataFrame, means: pd.DataFrame) -> Iterator[str]:
    """Yield whether the hidden and the output layer are block-diagonal, and stay it."""
    loss, C, d, N, m = (_plain(runs[key].iloc[0]) for key in ("loss", "n_classes", "dim", "n_samples", "width"))
    for layer, n in (("hidden", m), ("output", C)):
        column = f"{layer}_outside"
        start = f"Finding 1, {layer} layer, squared norm outside the diagonal blocks"
        if means[column].abs().max() < 1e-12:
            yield f"{start}: none at any checkpoint: holds exactly."
            continue
        largest = means.sort_values(column).iloc[-1]
        by_draw = runs.groupby(["seed", "draw"])[column]
        growth = np.log((by_draw.last() / by_draw.first()).to_numpy())
        mean, error = mean_estimate(growth)
        factor = math.exp(mean)
        yield (
            f"{start}: {_ends(means, column)}, times {quoted(factor, factor * error)}; at most "
            f"{_at(largest, column)}; theory at initialisation {outside_at_start(layer, loss, C, d, N, m):.4f}; "
            f"equal blocks {1 - 1 / n:.3f}. {_holds(_below(largest, column, _MOST))} (under {_MOST:g} throughout)."
        )


def _findings_on_stripes(runs: pd.DataFrame, means: pd.DataFrame) -> Iterator[str]:
    """Yield whether the cross layer is stripes at initialisation, whether they vanish, and by what."""
    first, last, m = means.iloc[0], means.iloc[-1], _plain(runs["width"].iloc[0])
    striped = _above(first, "stripe_share", _MOST)
    own = math.log(last["relative_stripe"]) / (math.log(last["relative_stripe"]) - math.log(last["relative_cross"]))
    [slope] = stripe_slopes(runs).to_dict("records")
    yield (
        f"Finding 2, stripes in the cross layer: {_at(first, 'stripe_share')} of its squared norm at initialisation, "
        f"{_at(first, 'column_share')} in their columns ({1 / m:.3f} without them). "
        f"{_holds(striped)} (over {_MOST:g})."
    )
    yield (
        f"Finding 2, they vanish: {_at(last, 'stripe_share')} of it at the end, {_at(last, 'column_share')} in their "
        f"columns. {_holds(_below(last, 'stripe_share', _MOST))} (under {_MOST:g})."
    )
    yield (
        f"Dynamic force: the stripes' squared norm goes to {_at(last, 'relative_stripe')} of its start, the residual's "
        f"to {_at(last, 'relative_residual')}, with the power {quoted(slope['slope'], slope['std_error_slope'])} of it "
        f"(1 by (18) at fixed direction); the whole cross layer's to {_at(last, 'relative_cross')}, the hidden's to "
        f"{_at(last, 'relative_hidden')}, the output's to {_at(last, 'relative_output')}. "
        + (f"Their own fall is {own:.0%} of the fall of log(stripes/cross layer). " if own < 1 else "")
        + f"Cross layer in ‖H‖²: {_ends(means, 'cross_share')}."
    )


def _finding_on_the_cross_layer(runs: pd.DataFrame, means: pd.DataFrame) -> Iterator[str]:
    """Yield whether the cross layer is negligible with MSE, as Section 4, Case 3 says."""
    largest = means.sort_values("cross_share").iloc[-1]
    beside_output = means["cross_over_output"] - _ROOM * means["std_error_cross_over_output"] < _NEGLIGIBLE
    [slope] = stripe_slopes(runs).to_dict("records")
    yield (
        f"Section 4, cross layer negligible with MSE: share of ‖H‖² {_ends(means, 'cross_share')}. "
        f"{_holds(_below(largest, 'cross_share', _NEGLIGIBLE))} (under {_NEGLIGIBLE:g} throughout). ‖H_wv‖²/‖H_ww‖² "
        f"{_ends(means, 'cross_over_hidden')}; ‖H_wv‖²/‖H_vv‖² {_ends(means, 'cross_over_output')}: beside the output "
        f"layer alone it {'holds' if beside_output.all() else 'does not hold'}."
    )
    last, sizes = means.iloc[-1], [_plain(runs[key].iloc[0]) for key in ("n_classes", "n_samples", "width")]
    yield (
        f"Section 4, the first term of (11) approaches 0: its squared norm goes to {_at(last, 'relative_stripe')} of "
        f"its start, the residual's to {_at(last, 'relative_residual')}, with the power "
        f"{quoted(slope['slope'], slope['std_error_slope'])} of it. It cannot reach 0: m neurons do not fit the labels "
        f"of C classes, so the loss stays above {loss_floor(*sizes):.3f}; it ends at {_at(last, 'value')}."
    )


def loss_floor(n_classes: int, n_samples: int, width: int) -> float:
    """Return the mean over random labels of what MSE cannot fall below: f has rank m, and the one-hot labels rank C.

    By Eckart and Young, Σ_n ‖f(x_n) − y_n‖² is at least the sum of the squared singular values of the labels, which are
    the numbers of samples of the classes, without the m largest.
    """
    counts = np.random.default_rng(0).multinomial(n_samples, np.full(n_classes, 1 / n_classes), size=_LABELLINGS)
    return float(np.sort(counts, axis=1)[:, : max(0, n_classes - width)].sum(axis=1).mean() / n_samples)


def _plain(value: Any) -> Any:
    return getattr(value, "item", lambda: value)()


def _at(row: pd.Series, column: str) -> str:
    return quoted(row[column], row[f"std_error_{column}"])


def _ends(means: pd.DataFrame, column: str) -> str:
    return f"{_at(means.iloc[0], column)} → {_at(means.iloc[-1], column)}"


def _below(row: pd.Series, column: str, limit: float) -> bool | None:
    """Whether a mean lies below the limit with room for its error; None where one draw gives no error."""
    value, error = row[column], row[f"std_error_{column}"]
    return None if math.isnan(error) else bool(value + _ROOM * error < limit)


def _above(row: pd.Series, column: str, limit: float) -> bool | None:
    """Whether it lies above, likewise."""
    value, error = row[column], row[f"std_error_{column}"]
    return None if math.isnan(error) else bool(value - _ROOM * error > limit)


def _holds(yes: bool | None) -> str:
    return "No verdict from one draw" if yes is None else "Holds" if yes else "Does not hold"
