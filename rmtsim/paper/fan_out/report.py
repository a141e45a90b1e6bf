"""The powers of the sizes that deep networks' block structure follows, as text, and the verdict on the conjecture."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from rmtsim.figures.parts import part
from rmtsim.paper.fan_out.powers import PREDICTORS, at_start, trained
from rmtsim.stats.quoted import quoted
from rmtsim.text.tables import WIDTH, text_table

_LEGEND = (
    "exponent: of a size in off-diagonal over diagonal, mean squared norms of a layer's own blocks, the other sizes "
    "fixed; in brackets standard errors over draws. theory: leading order in 1/width at the same sizes. joint: from "
    "networks whose sizes are all random; errors from their scatter about a power law. own: neurons of the layer; "
    "fan-in: its inputs; next: the neurons that its own feed (C for the last hidden layer)."
)


_DEVIATIONS = "Log ratio less log theory, hidden layers, all sizes random"


def report_fan_out(numbers: pd.DataFrame) -> str:
    """Return all exponents at initialisation and after training, their sums and the predictors, as text."""
    fits, together = part(numbers, "powers"), part(numbers, "joint")
    start, end = at_start(fits), trained(fits)
    lines: list[str] = []
    for _, group in start.groupby(["loss", "depth"], sort=False):
        lines += [*_at_initialisation(group, together), ""]
    for _, group in end.groupby("loss", sort=False):
        lines += [*_after_training(group), ""]
    lines.append("Sum of the exponents of all later layers, C among them, of hidden layers")
    for row in at_start(part(numbers, "later_sums")).to_dict("records"):
        value = quoted(row["exponent"], row["std_error"])
        where = f"{row['loss'].upper()}, {row['depth']} layers, layer {row['layer']}"
        lines.append(f"  {where}: {value}, theory {row['theory']:z.3f}")
    lines += ["", *_equal_sizes(part(numbers, "ratios")), "", *_predictors(part(numbers, "predictors"))]
    lines += ["", _DEVIATIONS, *_deviations(part(numbers, "deviations"))]
    lines += ["", textwrap.fill(_LEGEND, WIDTH)]
    return "\n".join(lines)


def headline_fan_out(numbers: pd.DataFrame) -> str:
    """Return the verdict in a few lines of Markdown: at initialisation, and after training."""
    fits, all_sums = part(numbers, "powers"), part(numbers, "later_sums")
    start, end = at_start(fits), trained(fits)
    hidden, after = start[start["layer"] < start["depth"]], end[end["layer"] < end["depth"]]
    deep = hidden[hidden["layer"] < hidden["depth"] - 1]
    own, [mean] = hidden[hidden["role"] == "own"], part(numbers, "own").to_dict("records")
    sums, found = at_start(all_sums), part(numbers, "predictors").groupby("predictor")["r_squared"].min()
    last = start.loc[(start["layer"] == start["depth"]) & (start["role"] == "own"), "exponent"]
    fell = [_fell(group, trained(all_sums)) for _, group in after.groupby("loss", sort=False)]
    training = f"{after['depth'].iloc[0]} weight layers {_trained(after)}"
    return (
        f"- At initialisation, powers of the sizes in off-diagonal/diagonal of hidden layers: own neurons "
        f"{quoted(mean['exponent'], mean['std_error'])} on average over {mean['layers']} layers, largest |z| "
        f"{own['z'].abs().max():.1f}; the next layer's "
        f"{_range(deep, 'next')} where more layers follow (theory {_range(deep, 'next', 'theory')}); all later layers' "
        f"together {_span(sums['exponent'])} (theory {_span(sums['theory'])}); of the output layer with CE, its own C: "
        f"{_span(last)}. With all sizes random, 1/n summed over all later layers explains "
        f"{_percent(found['harmonic'])} of the variance of the logarithm, the next layer's neurons "
        f"{_percent(found['next'])}, own neurons {_percent(found['own'])}.\n"
        f"- {_DEVIATIONS}: {'; '.join(_deviations(part(numbers, 'deviations')))}\n"
        f"- {training}, powers in layers 1, 2, …: {'; '.join(fell)}"
    )


def _fell(fits: pd.DataFrame, all_sums: pd.DataFrame) -> str:
    """Return the powers of a loss's hidden layers after training, with their errors over draws, layer by layer."""
    own, sums = fits[fits["role"] == "own"], all_sums[all_sums["loss"] == fits["loss"].iloc[0]]
    values = (", ".join(quoted(*pair) for pair in zip(t["exponent"], t["std_error"], strict=True)) for t in (own, sums))
    return "{loss}, own neurons {} (|z| at least {least:.1f}), all later layers together {}".format(
        *values, loss=fits["loss"].iloc[0].upper(), least=own["z"].abs().min()
    )


def _trained(fits: pd.DataFrame) -> str:
    first = fits.iloc[0]
    return f"after {first['steps']} steps of Adam from rate {first['learning_rate']:g}, {first['draws']} draws"


def _deviations(found: pd.DataFrame) -> Iterator[str]:
    for row in found.to_dict("records"):
        yield (
            f"{row['loss'].upper()}, {row['layers']} layers of {row['networks']} networks: root mean square "
            f"{row['rms']:.3f}, mean {quoted(row['mean'], row['std_error'])}, from {row['least']:+.2f} to "
            f"{row['most']:+.2f}, where the draws' own errors are {row['noise']:.3f}"
        )


def _equal_sizes(rows: pd.DataFrame) -> Iterator[str]:
    """Return ratios where all sizes are equal, and the share of a layer's squared norm outside its diagonal blocks."""
    equal = rows[(rows["design"] == "one") & (rows["varied"] == -1) & (rows["steps"] == 0)]
    size = equal["sizes"].iloc[0][0]
    yield f"All sizes {size}: off-diagonal over diagonal, and the share of a layer's norm outside its diagonal blocks"
    for row in equal.to_dict("records"):
        where = f"{row['loss'].upper()}, {row['depth']} layers, layer {row['layer']}"
        value = quoted(row["ratio"], row["std_error"])
        yield f"  {where}: {value}, theory {row['theory']:.3g}; {row['outside']:.0%} outside"


def _at_initialisation(fits: pd.DataFrame, together: pd.DataFrame) -> Iterator[str]:
    places = ["loss", "depth", "layer", "varied"]
    both = fits.merge(together[[*places, "exponent", "std_error"]], "left", places, suffixes=("", "_joint"))
    yield f"{_heading(fits)}, at initialisation"
    grid = [["layer", "size", "exponent", "theory", "joint"]]
    for row in both.to_dict("records"):
        joined = quoted(row["exponent_joint"], row["std_error_joint"]) if row["std_error_joint"] > 0 else "-"
        value = quoted(row["exponent"], row["std_error"])
        grid.append([str(row["layer"]), _size(row), value, f"{row['theory']:z.3f}", joined])
    yield from text_table(grid, "><>", indent=2)


def _after_training(fits: pd.DataFrame) -> Iterator[str]:
    yield f"{_heading(fits)}, {_trained(fits)}"
    grid = [["layer", "size", "exponent", "change"]]
    for row in fits.to_dict("records"):
        value = quoted(row["exponent"], row["std_error"])
        change = quoted(row["change"], row["std_error_change"])
        grid.append([str(row["layer"]), _size(row), value, change])
    yield from text_table(grid, "><>", indent=2)


def _predictors(found: pd.DataFrame) -> Iterator[str]:
    yield "Hidden layers, all sizes random: what one number predicts of log ratio, within each depth and layer"
    grid = [["", "loss", "power", "explained", "scatter"]]
    for row in found.to_dict("records"):
        fit = (f"{row['slope']:.2f}", f"{row['r_squared']:.1%}", f"{row['scatter']:.3f}")
        grid.append([PREDICTORS[row["predictor"]], row["loss"].upper(), *fit])
    yield from text_table(grid, "<>", indent=2)


def _heading(fits: pd.DataFrame) -> str:
    return f"{fits['loss'].iloc[0].upper()}, {fits['depth'].iloc[0]} weight layers"


def _size(row: Mapping[Any, Any]) -> str:
    """Return the name of a row's size, and its role for the layer."""
    varied = row["varied"]
    return f"{'d' if varied == 0 else 'C' if varied == row['depth'] else f'n{varied}'} {row['role']}"


def _range(fits: pd.DataFrame, role: str, column: str = "exponent") -> str:
    return _span(fits.loc[fits["role"] == role, column])


def _span(values: pd.Series) -> str:
    low, high = np.round([values.min(), values.max()], 2) + 0.0
    return f"{low:.2f} to {high:.2f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
