"""The dynamic force in numbers: Section 3.1's Findings 1 and 2, and what Section 4 says of the cross layer."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from rmtsim.model.fixed_values import fixed_values
from rmtsim.paper.training import GAUSSIAN, RELATIVE, checkpoints, outside_at_start, over_draws, settings, stripe_slopes
from rmtsim.stats.estimates import mean_estimate
from rmtsim.stats.quoted import quoted
from rmtsim.stats.verdict import IN_WORDS, LOST, NEAR, NO_ERROR, bounds, structure
from rmtsim.text.tables import WIDTH, text_table

#: More than half of the squared norm is most of it; a tenth of it is not negligible.
_MOST, _NEGLIGIBLE = 0.5, 0.1

#: The verdicts on Finding 1.
_STRUCTURE = {
    "holds": f"Holds (under {NEAR:g} throughout)",
    "weakened": f"Weakened (above {NEAR:g}, under {LOST:g})",
    "lost": f"Lost (above {LOST:g})",
    "unresolved": "Not resolved: the errors are too large",
    NO_ERROR: NO_ERROR.capitalize(),
}

#: Random labellings that the floor of the loss is a mean over.
_LABELLINGS = 2000

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
    "in (11), (18)) in the cross layer. Outside: share of a layer's squared norm outside its diagonal blocks; Finding "
    f"1 holds where it is under {NEAR:g} at every checkpoint, by {IN_WORDS}; it is weakened where it goes "
    f"above but not over {LOST:g}, lost where it goes over {LOST:g}."
)


def report_dynamic_force(table: pd.DataFrame) -> str:
    """Tell the layers' norms and shares at every checkpoint, and the verdicts, as text.

    Parameters
    ----------
    table
        That of ``rmtsim.paper.experiments.training_experiments.dynamic_force``, or of any runs with one hidden layer.
    """
    parts = []
    for name, runs in settings(checkpoints(table)):
        verdicts = [textwrap.fill(line, WIDTH, initial_indent="- ", subsequent_indent="  ") for line in _verdicts(runs)]
        parts.append("\n".join([name, *_lines(runs), *verdicts]))
    return "\n\n".join([*parts, textwrap.fill(_LEGEND, WIDTH)])


def headline_dynamic_force(table: pd.DataFrame) -> str:
    """Tell the verdicts on every setting in Markdown."""
    return "\n".join(
        line
        for name, runs in settings(checkpoints(table))
        for line in (f"- {name}:", *(f"  - {verdict}" for verdict in _verdicts(runs)))
    )


def _lines(runs: pd.DataFrame) -> list[str]:
    """Lay out the means of one setting, a line per checkpoint."""
    names = list(_COLUMNS)[1:]
    over = {3: "norms", 7: "shares", 9: "outside"}
    grid = [[over.get(k, "") for k in range(len(_COLUMNS))], list(_COLUMNS.values())]
    for row in over_draws(runs, ["progress"], names).to_dict("records"):
        grid.append([f"{row['progress']:.0%}", *(quoted(row[x], row[f"std_error_{x}"]) for x in names)])
    return text_table(grid, ">", gap=1)


def _verdicts(runs: pd.DataFrame) -> list[str]:
    """Sentences on Finding 1, and on Finding 2 (CE) or on the cross layer (MSE), for one setting."""
    columns = ["value", *_SHARES, "column_share", *_RELATIVE]
    of_cross = {f"cross_over_{layer}": runs["cross"] / runs[layer] for layer in ("hidden", "output")}
    one = runs.iloc[0]
    fixed = ["output_outside"] if "ratio" in fixed_values(one["loss"], "output", one["n_classes"]) else []
    means = over_draws(runs.assign(**of_cross), ["progress"], [*columns, *of_cross], fixed=fixed)
    means["looks"] = len(means)
    rest = _findings_on_stripes if one["loss"] == "ce" else _finding_on_the_cross_layer
    return [*_finding_one(runs, means), *rest(runs, means)]


def _finding_one(runs: pd.DataFrame, means: pd.DataFrame) -> Iterator[str]:
    """Yield whether the hidden and the output layer are near-block-diagonal at every checkpoint."""
    loss, C, d, N, m = (_plain(runs[key].iloc[0]) for key in ("loss", "n_classes", "dim", "n_samples", "width"))
    gaussian = (runs["data"] == GAUSSIAN).all()
    for layer, n in (("hidden", m), ("output", C)):
        column = f"{layer}_outside"
        start = f"Finding 1, {layer} layer, squared norm outside the diagonal blocks"
        if fixed_values(loss, layer, C).get("offdiag") == 0:
            yield f"{start}: none at any checkpoint: holds exactly."
            continue
        largest = means.sort_values(column).iloc[-1]
        by_draw = runs.groupby(["seed", "draw"])[column]
        growth = np.log((by_draw.last() / by_draw.first()).to_numpy())
        mean, error = mean_estimate(growth)
        factor = math.exp(mean)
        theory = f"; theory at initialisation {outside_at_start(layer, loss, C, d, N, m):.4f}" if gaussian else ""
        verdict = _STRUCTURE[structure(means[column], means[f"std_error_{column}"], int(means["draws"].iloc[0]))]
        yield (
            f"{start}: {_ends(means, column)}, times {quoted(factor, factor * error)}; at most "
            f"{_at(largest, column)}{theory}; equal blocks {1 - 1 / n:.3f}. {verdict}."
        )


def _findings_on_stripes(runs: pd.DataFrame, means: pd.DataFrame) -> Iterator[str]:
    """Yield whether the cross layer is stripes at initialisation, whether they vanish, and by what."""
    first, last, m = means.iloc[0], means.iloc[-1], _plain(runs["width"].iloc[0])
    striped = _over(means.iloc[[0]], "stripe_share", _MOST)
    own = math.log(last["relative_stripe"]) / (math.log(last["relative_stripe"]) - math.log(last["relative_cross"]))
    [slope] = stripe_slopes(runs).to_dict("records")
    yield (
        f"Finding 2, stripes in the cross layer: {_at(first, 'stripe_share')} of its squared norm at initialisation, "
        f"{_at(first, 'column_share')} in their columns ({1 / m:.3f} without them). "
        f"{striped} (over {_MOST:g})."
    )
    yield (
        f"Finding 2, they vanish: {_at(last, 'stripe_share')} of it at the end, {_at(last, 'column_share')} in their "
        f"columns. {_under(means.iloc[[-1]], 'stripe_share', _MOST)} (under {_MOST:g})."
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
    [slope] = stripe_slopes(runs).to_dict("records")
    yield (
        f"Section 4, cross layer negligible with MSE: share of ‖H‖² {_ends(means, 'cross_share')}. "
        f"{_under(means, 'cross_share', _NEGLIGIBLE)} (under {_NEGLIGIBLE:g} throughout). ‖H_wv‖²/‖H_ww‖² "
        f"{_ends(means, 'cross_over_hidden')}; ‖H_wv‖²/‖H_vv‖² {_ends(means, 'cross_over_output')}. Beside the output "
        f"layer alone: {_under(means, 'cross_over_output', _NEGLIGIBLE)}."
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


def _under(rows: pd.DataFrame, column: str, limit: float) -> str:
    """Say whether all means lie under the limit, with room for their errors."""
    lower, upper = _range(rows, column)
    return _verdict(bool((upper < limit).all()), bool((lower > limit).any()), upper)


def _over(rows: pd.DataFrame, column: str, limit: float) -> str:
    """Say whether all lie over it, likewise."""
    lower, upper = _range(rows, column)
    return _verdict(bool((lower > limit).all()), bool((upper < limit).any()), upper)


def _range(rows: pd.DataFrame, column: str) -> tuple[pd.Series, pd.Series]:
    """Return the bounds of the means of a column, of which every checkpoint of the run is a look."""
    draws, looks = (int(rows[name].iloc[0]) for name in ("draws", "looks"))
    return bounds(rows[column], rows[f"std_error_{column}"], draws, looks)


def _verdict(yes: bool, no: bool, upper: pd.Series) -> str:
    if upper.isna().any():
        return NO_ERROR.capitalize()
    return "Holds" if yes else "Does not hold" if no else "Not resolved"
