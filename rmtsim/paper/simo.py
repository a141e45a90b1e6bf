"""The single-input-multi-output examples of the slides over random weights: which entries of the Hessian vanish."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rmtsim.paper.linked_network import LinkedNetwork, full_links
from rmtsim.sampling.simulation import MAX_SEED
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.text.checks import check_size
from rmtsim.text.tables import text_table

#: Weights drawn at once.
_BATCH = 256

#: The slides' two examples, and one with several inputs whose first half of outputs sees the first half of units.
EXAMPLES = {
    "example 1": LinkedNetwork(((1, 0), (0, 1))),
    "example 2": LinkedNetwork(((1, 1), (1, 1))),
    "two parts": LinkedNetwork(((1, 1, 0, 0), (1, 1, 0, 0), (1, 1, 0, 0), (0, 0, 1, 1), (0, 0, 1, 1)), 2),
}

#: Numbers of outputs of fully linked networks of ``SERIES_HIDDEN`` units: more outputs, weaker indirect entries.
SERIES_OUTPUTS, SERIES_HIDDEN = (1, 2, 4, 8, 16, 32), 3


def simo(full: bool = False) -> Experiment:
    """Experiment: ``EXAMPLES``, and fully linked networks of more and more outputs, over random weights."""
    draws = 100_000 if full else 4000

    def task(name: str, network: LinkedNetwork) -> Task:
        parameters = {"links": [list(row) for row in network.links], "n_inputs": network.n_inputs, "draws": draws}
        label = f"simo-{name.replace(' ', '-')}"
        return Task(label, parameters, lambda: simo_entries(name, network, draws), cost=float(len(network.links)) ** 2)

    series = {f"{q} outputs": LinkedNetwork(full_links(q, SERIES_HIDDEN)) for q in SERIES_OUTPUTS}
    return Experiment("simo", [task(*item) for item in (EXAMPLES | series).items()])


def simo_entries(name: str, network: LinkedNetwork, draws: int, *, seed: int = 0) -> pd.DataFrame:
    """Entries of the Hessian over random weights, label 0 and x = 1.

    Returns
    -------
    DataFrame
        One row per pair of weights: ``example``, ``n_inputs``, ``n_hidden``, ``n_outputs``, ``draws``, ``row``,
        ``column`` (names of the weights), ``tie`` (of ``TIES``), ``expected`` = E[entry²], ``mean_square`` with its
        ``std_error``, and ``largest``, the largest |entry| over all draws: 0 if, and only if, it was 0 in each.

    Raises
    ------
    InputError
        If there are fewer than two draws, or the seed is not valid.
    """
    check_size("draws", draws, least=2)
    check_size("seed", seed, least=0, most=MAX_SEED)
    rng = np.random.default_rng([seed, *np.shape(network.links), network.n_inputs])
    squares, fourths, largest = (np.zeros_like(network.mean_square()) for _ in range(3))
    for start in range(0, draws, _BATCH):
        square = network.hessian(*network.draw(min(_BATCH, draws - start), rng)) ** 2
        squares += square.sum(axis=0)
        fourths += (square**2).sum(axis=0)
        largest = np.maximum(largest, np.sqrt(square.max(axis=0)))
    mean = squares / draws
    names = np.array(network.weight_names)
    row, column = np.divmod(np.arange(mean.size), len(names))
    return pd.DataFrame(
        {
            "example": name,
            "n_inputs": network.n_inputs,
            "n_hidden": network.mask.shape[1],
            "n_outputs": network.mask.shape[0],
            "draws": draws,
            "row": names[row],
            "column": names[column],
            "tie": network.ties().ravel(),
            "expected": network.mean_square().ravel(),
            "mean_square": mean.ravel(),
            "std_error": np.sqrt(np.maximum(fourths / draws - mean**2, 0) / (draws - 1)).ravel(),
            "largest": largest.ravel(),
        }
    )


def by_tie(entries: pd.DataFrame) -> pd.DataFrame:
    """One line per example and tie.

    Parameters
    ----------
    entries
        The table of ``rmtsim.paper.linked_network``.

    Returns
    -------
    DataFrame
        ``example``, sizes, ``tie``, ``entries`` (their number), ``expected`` and ``mean_square``, means over entries,
        ``largest`` and ``least_largest``, the largest and smallest over entries of the largest |entry| over draws, and
        ``worst``, the largest |mean_square − expected| in standard errors (0 where both are zero).
    """
    error = entries["std_error"].where(entries["std_error"] > 0, np.inf)
    pulls = (entries["mean_square"] - entries["expected"]).abs() / error
    pulls = pulls.mask((entries["std_error"] == 0) & (entries["mean_square"] != entries["expected"]), np.inf)
    keys = ["example", "n_inputs", "n_hidden", "n_outputs", "draws", "tie"]
    groups = entries.assign(pull=pulls).groupby(keys, sort=False)
    lines = groups.agg(
        entries=("row", "size"),
        expected=("expected", "mean"),
        mean_square=("mean_square", "mean"),
        largest=("largest", "max"),
        least_largest=("largest", "min"),
        worst=("pull", "max"),
    )
    return lines.reset_index()


def hidden_ratios(entries: pd.DataFrame) -> pd.DataFrame:
    """Off-diagonal over diagonal mean squares of the hidden part, per fully linked network of one input.

    Returns
    -------
    DataFrame
        ``n_outputs``, ``ratio`` of the mean squares with its ``std_error``, and ``expected`` = 1/(q + 2).
    """
    lines = []
    series = entries[~entries["example"].isin(list(EXAMPLES)) & entries["row"].str.startswith("w")]
    series = series[series["column"].str.startswith("w")]
    for q in sorted(series["n_outputs"].unique().tolist()):
        part = series[series["n_outputs"] == q]
        off, diag = part[part["row"] < part["column"]], part[part["row"] == part["column"]]
        rse = [np.hypot.reduce(p["std_error"]) / p["mean_square"].sum() for p in (off, diag)]
        ratio = off["mean_square"].mean() / diag["mean_square"].mean()
        lines.append({"n_outputs": q, "ratio": ratio, "std_error": ratio * np.hypot(*rse), "expected": 1 / (q + 2)})
    return pd.DataFrame(lines)


def report_simo(entries: pd.DataFrame) -> str:
    """Lay out the zero patterns and sizes as plain text."""
    grid = [["network", "p", "m", "q", "tie", "entries", "E entry^2", "measured", "worst z", "max |entry|"]]
    for row in by_tie(entries).to_dict("records"):
        case = [str(row[name]) for name in ("example", "n_inputs", "n_hidden", "n_outputs", "tie", "entries")]
        squares = (f"{row['expected']:.4g}", f"{row['mean_square']:.4g}")
        grid.append([*case, *squares, f"{row['worst']:.2f}", f"{row['largest']:.4g}"])
    zeros = entries[entries["tie"] == "none"]
    others = entries[entries["tie"] != "none"]
    told = (
        f"Of {len(zeros)} entries without a common output, {(zeros['largest'] == 0).sum()} are exactly 0 in every "
        f"draw; of {len(others)} others,\n{(others['largest'] > 0).sum()} are not."
    )
    ratios = [["q", "measured", "1/(q + 2)"]]
    for row in hidden_ratios(entries).to_dict("records"):
        measured = f"{row['ratio']:.4f} ± {row['std_error']:.4f}"
        ratios.append([f"{row['n_outputs']:.0f}", measured, f"{row['expected']:.4f}"])
    head = "Hidden part, off-diagonal over diagonal mean square:"
    return "\n".join([*text_table(grid, "<>>><>"), "", told, "", head, *text_table(ratios, ">")])
