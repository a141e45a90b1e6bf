"""The dynamic force: Section 3.1's Findings 1 and 2, and what Section 4 says of the cross layer."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rmtsim.figures import Figure, register
from rmtsim.figures.parts import join_parts, part
from rmtsim.model.choices import LOSSES
from rmtsim.model.fixed_values import fixed_values
from rmtsim.paper.schedules import DENSE, PER_CLASS, WIDTH, appendix_b3
from rmtsim.paper.trained_networks import (
    GAUSSIAN,
    RELATIVE,
    SETTING,
    checkpoints,
    outside_at_start,
    over_draws,
    settings,
    stripe_slopes,
)
from rmtsim.stats.estimates import mean_estimate
from rmtsim.stats.quoted import quoted
from rmtsim.stats.verdict import IN_WORDS, LOST, MOST, NEAR, NEGLIGIBLE, NO_ERROR, bounds, structure
from rmtsim.sweeps.experiment import Experiment
from rmtsim.text.tables import WIDTH as LINE
from rmtsim.text.tables import text_table
from rmtsim.training.problem import Problem
from rmtsim.training.trajectory import trajectory_task

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

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


@register
class DynamicForce(Figure):
    """Norms of the layers' Hessians and the loss through training."""

    name = "dynamic_force"
    title = "The dynamic force: norms of the layers' Hessians and the loss through training"
    source = "Section 4, Case 4; slides, “dynamic force”"
    sentence = (
        r"As the training goes, $p_n \to y_n$ and the block-circulant structure disappears. This shows the “dynamic "
        "force” arisen from training."
    )
    place = 16

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment, see `dynamic_force`."""
        return dynamic_force(full)

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return norms, shares and findings, see `force_numbers`."""
        return force_numbers(rows)

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw norms, shares and what lies outside the diagonal blocks against progress, a row of panels per loss."""
        from rmtsim.paper.dynamic_force_drawing import plot_dynamic_force

        return plot_dynamic_force(numbers)

    def text(self, numbers: pd.DataFrame) -> str:
        """Return the layers' norms and shares at every checkpoint, and the verdicts, as text."""
        parts = []
        for name, *tables in _settings(numbers):
            said = [
                textwrap.fill(line, LINE, initial_indent="- ", subsequent_indent="  ") for line in _verdicts(*tables)
            ]
            parts.append("\n".join([name, *_lines(tables[0]), *said]))
        return "\n\n".join([*parts, textwrap.fill(_LEGEND, LINE)])

    def headline(self, numbers: pd.DataFrame) -> str:
        """Return the verdicts on every setting in Markdown."""
        return "\n".join(
            line
            for name, *tables in _settings(numbers)
            for line in (f"- {name}:", *(f"  - {verdict}" for verdict in _verdicts(*tables)))
        )


def dynamic_force(full: bool = False) -> Experiment:
    """Experiment of Section 3.1, Finding 2: one hidden layer, d = C, N = 10 C, random labels, CE and MSE.

    And with one sample a class, as in Section 8, where 8 neurons can learn all labels by heart, so that the residual
    vanishes. d = C = 64 with 10 draws, or 500 with 3.
    """
    size, draws, times = (500, 3, 1) if full else (64, 10, 10)
    schedule = appendix_b3(DENSE, times)
    tasks = [
        trajectory_task(f"{loss}-n{per_class * size:04d}-draw{draw}", problem, schedule, draw)
        for loss in LOSSES
        for per_class in (PER_CLASS, 1)
        for problem in [Problem(loss, size, size, per_class * size, (WIDTH,), dtype="float32")]
        for draw in range(draws)
    ]
    return Experiment("dynamic_force", tasks)


def force_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Return all numbers of the figure, in the parts of `rmtsim.figures.parts.join_parts`.

    Parameters
    ----------
    table
        That of `dynamic_force`, or of any runs with one hidden layer.

    Returns
    -------
    DataFrame
        Every part has the columns ``SETTING`` and ``setting``, their name.

        runs
            The rows of `rmtsim.paper.trained_networks.checkpoints`.
        means
            Their means over draws at each ``progress``, with standard errors, and those of ``cross_over_hidden`` and
            ``cross_over_output``, ‖H_wv‖² over ‖H_ww‖² and ‖H_vv‖². ``looks`` is the number of checkpoints.
        structure
            For each ``layer`` of ``blocks`` diagonal blocks: ``factor``, by which the share outside them grows through
            training, a geometric mean over draws, with ``std_error``; ``theory``, that share of expected norms at
            initialisation on Gaussian data; and ``verdict``, that of `rmtsim.stats.verdict.structure`, or ``"exact"``
            where there are no off-diagonal blocks, by the model.
        stripes
            The rows of `rmtsim.paper.trained_networks.stripe_slopes`; ``own_share``, what the stripes' own fall is of
            the fall of log(stripes/cross layer); with MSE ``loss_floor``; and verdicts: with CE ``stripes_verdict`` and
            ``vanishing_verdict`` on Finding 2, with MSE ``cross_verdict`` on the cross layer in the whole, and
            ``cross_over_output_verdict`` on it beside the output layer.
    """
    parts: dict[str, list[pd.DataFrame]] = {"runs": [], "means": [], "structure": [], "stripes": []}
    for name, runs in settings(checkpoints(table)):
        one = {key: _plain(runs[key].iloc[0]) for key in SETTING}
        means = _means(runs)
        last = {key: math.log(means[f"relative_{key}"].iloc[-1]) for key in ("stripe", "cross")}
        stripes = stripe_slopes(runs).assign(own_share=last["stripe"] / (last["stripe"] - last["cross"]))
        if one["loss"] == "mse":
            stripes["loss_floor"] = loss_floor(one["n_classes"], one["n_samples"], one["width"])
        stripes = stripes.assign(**_verdicts_on_stripes(one["loss"], means))
        found = {"runs": runs, "means": means.assign(**one), "stripes": stripes}
        found["structure"] = _structure(runs, means).assign(**one)
        for key, rows in found.items():
            parts[key].append(rows.assign(setting=name))
    return join_parts({key: pd.concat(rows, ignore_index=True) for key, rows in parts.items()})


def _means(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the means over the draws of one setting, a row per checkpoint."""
    of_cross = {f"cross_over_{layer}": runs["cross"] / runs[layer] for layer in ("hidden", "output")}
    columns = ["value", "residual", *_SHARES, "column_share", *_RELATIVE, *of_cross]
    one = runs.iloc[0]
    fixed = ["output_outside"] if "ratio" in fixed_values(one["loss"], "output", one["n_classes"]) else []
    means = over_draws(runs.assign(**of_cross), ["progress"], list(dict.fromkeys(columns)), fixed=fixed)
    return means.assign(looks=len(means))


def _structure(runs: pd.DataFrame, means: pd.DataFrame) -> pd.DataFrame:
    """Return whether the hidden and the output layer are near-block-diagonal at every checkpoint, of one setting."""
    loss, C, d, N, m = (_plain(runs[key].iloc[0]) for key in ("loss", "n_classes", "dim", "n_samples", "width"))
    gaussian = (runs["data"] == GAUSSIAN).all()
    lines = []
    for layer, n in (("hidden", m), ("output", C)):
        column = f"{layer}_outside"
        theory = outside_at_start(layer, loss, C, d, N, m) if gaussian else math.nan
        line = {"layer": layer, "blocks": n, "factor": math.nan, "std_error": math.nan, "theory": theory}
        if fixed_values(loss, layer, C).get("offdiag") == 0:
            lines.append(line | {"verdict": "exact"})
            continue
        by_draw = runs.groupby(["seed", "draw"])[column]
        mean, error = mean_estimate(np.log((by_draw.last() / by_draw.first()).to_numpy()))
        verdict = structure(means[column], means[f"std_error_{column}"], int(means["draws"].iloc[0]))
        factor = math.exp(mean)
        lines.append(line | {"factor": factor, "std_error": factor * error, "verdict": verdict})
    return pd.DataFrame(lines)


def _verdicts_on_stripes(loss: str, means: pd.DataFrame) -> dict[str, str]:
    """Return the verdicts on Finding 2 (CE), or on what Section 4 says of the cross layer (MSE)."""
    if loss == "ce":
        return {
            "stripes_verdict": _over(means.iloc[[0]], "stripe_share", MOST),
            "vanishing_verdict": _under(means.iloc[[-1]], "stripe_share", MOST),
        }
    columns = {"cross": "cross_share", "cross_over_output": "cross_over_output"}
    return {f"{name}_verdict": _under(means, column, NEGLIGIBLE) for name, column in columns.items()}


def _settings(numbers: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame, pd.DataFrame]]:
    """Yield the name of each setting, with its means, its structure and its stripes."""
    tables = [part(numbers, key) for key in ("means", "structure", "stripes")]
    for name in dict.fromkeys(tables[0]["setting"]):
        means, layers, stripes = (table[table["setting"] == name] for table in tables)
        yield name, means, layers, stripes


def _lines(means: pd.DataFrame) -> list[str]:
    """Lay out the means of one setting, a line per checkpoint."""
    names = list(_COLUMNS)[1:]
    over = {3: "norms", 7: "shares", 9: "outside"}
    grid = [[over.get(k, "") for k in range(len(_COLUMNS))], list(_COLUMNS.values())]
    for row in means.to_dict("records"):
        grid.append([f"{row['progress']:.0%}", *(quoted(row[x], row[f"std_error_{x}"]) for x in names)])
    return text_table(grid, ">", gap=1)


def _verdicts(means: pd.DataFrame, layers: pd.DataFrame, stripes: pd.DataFrame) -> list[str]:
    """Return sentences on Finding 1, and on Finding 2 (CE) or on the cross layer (MSE), for one setting."""
    rest = _findings_on_stripes if means["loss"].iloc[0] == "ce" else _finding_on_the_cross_layer
    return [*_finding_one(means, layers), *rest(means, stripes.iloc[0])]


def _finding_one(means: pd.DataFrame, layers: pd.DataFrame) -> Iterator[str]:
    """Yield whether the hidden and the output layer are near-block-diagonal at every checkpoint."""
    for row in layers.to_dict("records"):
        column = f"{row['layer']}_outside"
        start = f"Finding 1, {row['layer']} layer, squared norm outside the diagonal blocks"
        if row["verdict"] == "exact":
            yield f"{start}: none at any checkpoint: holds exactly."
            continue
        largest = means.sort_values(column).iloc[-1]
        theory = "" if math.isnan(row["theory"]) else f"; theory at initialisation {row['theory']:.4f}"
        yield (
            f"{start}: {_ends(means, column)}, times {quoted(row['factor'], row['std_error'])}; at most "
            f"{_at(largest, column)}{theory}; equal blocks {1 - 1 / row['blocks']:.3f}. {_STRUCTURE[row['verdict']]}."
        )


def _findings_on_stripes(means: pd.DataFrame, stripes: pd.Series) -> Iterator[str]:
    """Yield whether the cross layer is stripes at initialisation, whether they vanish, and by what."""
    first, last, own = means.iloc[0], means.iloc[-1], stripes["own_share"]
    yield (
        f"Finding 2, stripes in the cross layer: {_at(first, 'stripe_share')} of its squared norm at initialisation, "
        f"{_at(first, 'column_share')} in their columns ({1 / first['width']:.3f} without them). "
        f"{stripes['stripes_verdict'].capitalize()} (over {MOST:g})."
    )
    yield (
        f"Finding 2, they vanish: {_at(last, 'stripe_share')} of it at the end, {_at(last, 'column_share')} in their "
        f"columns. {stripes['vanishing_verdict'].capitalize()} (under {MOST:g})."
    )
    yield (
        f"Dynamic force: the stripes' squared norm goes to {_at(last, 'relative_stripe')} of its start, the residual's "
        f"to {_at(last, 'relative_residual')}, with the power {_at(stripes, 'slope')} of it "
        f"(1 by (18) at fixed direction); the whole cross layer's to {_at(last, 'relative_cross')}, the hidden's to "
        f"{_at(last, 'relative_hidden')}, the output's to {_at(last, 'relative_output')}. "
        + (f"Their own fall is {own:.0%} of the fall of log(stripes/cross layer). " if own < 1 else "")
        + f"Cross layer in ‖H‖²: {_ends(means, 'cross_share')}."
    )


def _finding_on_the_cross_layer(means: pd.DataFrame, stripes: pd.Series) -> Iterator[str]:
    """Yield whether the cross layer is negligible with MSE, as Section 4, Case 3 says."""
    last = means.iloc[-1]
    yield (
        f"Section 4, cross layer negligible with MSE: share of ‖H‖² {_ends(means, 'cross_share')}. "
        f"{stripes['cross_verdict'].capitalize()} (under {NEGLIGIBLE:g} throughout). ‖H_wv‖²/‖H_ww‖² "
        f"{_ends(means, 'cross_over_hidden')}; ‖H_wv‖²/‖H_vv‖² {_ends(means, 'cross_over_output')}. Beside the output "
        f"layer alone: {stripes['cross_over_output_verdict'].capitalize()}."
    )
    yield (
        f"Section 4, the first term of (11) approaches 0: its squared norm goes to {_at(last, 'relative_stripe')} of "
        f"its start, the residual's to {_at(last, 'relative_residual')}, with the power "
        f"{_at(stripes, 'slope')} of it. It cannot reach 0: m neurons do not fit the labels "
        f"of C classes, so the loss stays above {stripes['loss_floor']:.3f}; it ends at {_at(last, 'value')}."
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
    """Return whether all means lie under the limit, with room for their errors."""
    lower, upper = _range(rows, column)
    return _verdict(bool((upper < limit).all()), bool((lower > limit).any()), upper)


def _over(rows: pd.DataFrame, column: str, limit: float) -> str:
    """Return whether all lie over it, likewise."""
    lower, upper = _range(rows, column)
    return _verdict(bool((lower > limit).all()), bool((upper < limit).any()), upper)


def _range(rows: pd.DataFrame, column: str) -> tuple[pd.Series, pd.Series]:
    """Return the bounds of the means of a column; every checkpoint of the run counts as a look."""
    draws, looks = (int(rows[name].iloc[0]) for name in ("draws", "looks"))
    return bounds(rows[column], rows[f"std_error_{column}"], draws, looks)


def _verdict(yes: bool, no: bool, upper: pd.Series) -> str:
    if upper.isna().any():
        return NO_ERROR
    return "holds" if yes else "does not hold" if no else "not resolved"
