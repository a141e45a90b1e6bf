"""The slides' single-input-multi-output examples over random weights: which entries of the Hessian vanish."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rmtsim.figures.figure import Figure
from rmtsim.figures.parts import join_parts, part
from rmtsim.figures.registry import register
from rmtsim.paper.linked_network import EXAMPLES, LinkedNetwork, full_links
from rmtsim.sampling.simulation import MAX_SEED
from rmtsim.stats.verdict import z_score
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.text.checks import check_size
from rmtsim.text.tables import text_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

#: Weights drawn at once.
_BATCH = 256

#: Numbers of outputs of fully linked networks of ``SERIES_HIDDEN`` units: more outputs, weaker indirect entries.
SERIES_OUTPUTS, SERIES_HIDDEN = (1, 2, 4, 8, 16, 32), 3


@register
class Simo(Figure):
    """The zeros predicted from the links of small linear networks, and the measured sizes of all other entries."""

    name = "simo"
    title = "Single-input multi-output: entries that vanish, and the others"
    source = "slides, “Warm-up: Example 1”, “Example 2”"
    sentence = "This is a most simple block-circulant-block-diagonal matrix … Some Hessian entries are naturally 0"
    place = 18

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment over ``EXAMPLES``, and over fully linked networks with more and more outputs."""
        series = {f"{q} outputs": LinkedNetwork(full_links(q, SERIES_HIDDEN)) for q in SERIES_OUTPUTS}
        draws = 100_000 if full else 4000
        return Experiment(self.name, [_entries_task(*item, draws) for item in (EXAMPLES | series).items()])

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the parts ``ties`` (see `by_tie`), ``ratios`` (`hidden_ratios`), and ``entries``: of the examples."""
        entries = rows[rows["example"].isin(list(EXAMPLES))]
        return join_parts({"ties": by_tie(rows), "ratios": hidden_ratios(rows), "entries": entries})

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw the maps of the examples, predicted and measured, and the ratios over the number of outputs."""
        from rmtsim.paper.simo_drawing import plot_simo

        return plot_simo(part(numbers, "entries"), part(numbers, "ratios"))

    def text(self, numbers: pd.DataFrame) -> str:
        """Return the zeros and sizes of each network, and the ratios of the hidden part."""
        ties, ratios = part(numbers, "ties"), part(numbers, "ratios")
        lines = [["network", "p", "m", "q", "tie", "entries", "E entry^2", "measured", "worst z", "max |entry|"]]
        for row in ties.itertuples():
            sizes = [str(size) for size in (row.n_inputs, row.n_hidden, row.n_outputs)]
            values = [f"{row.expected:.4g}", f"{row.mean_square:.4g}", f"{row.worst_z:.2f}", f"{row.largest:.4g}"]
            lines.append([str(row.example), *sizes, str(row.tie), str(row.entries), *values])
        apart = ties["tie"] == "none"
        zeros, others = ties[apart], ties[~apart]
        remaining = (others["entries"] - others["vanishing"]).sum()
        counts = (
            f"Of {zeros['entries'].sum()} entries without a common output, {zeros['vanishing'].sum()} are exactly 0 in "
            f"every draw; of {others['entries'].sum()} others,\n{remaining} are not."
        )
        decay = [["q", "measured", "1/(q + 2)"]]
        for row in ratios.itertuples():
            decay.append([f"{row.n_outputs}", f"{row.ratio:.4f} ± {row.std_error:.4f}", f"{row.expected:.4f}"])
        head = "Hidden part, off-diagonal over diagonal mean square:"
        return "\n".join([*text_table(lines, "<>>><>"), "", counts, "", head, *text_table(decay, ">")])


def _entries_task(name: str, network: LinkedNetwork, draws: int) -> Task:
    """Return the task of `simo_entries`."""
    parameters = {"links": [list(row) for row in network.links], "n_inputs": network.n_inputs, "draws": draws}
    label = f"simo-{name.replace(' ', '-')}"
    return Task(label, parameters, lambda: simo_entries(name, network, draws), cost=float(len(network.links)) ** 2)


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
    """Summarise the entries of each network by how their two weights are tied.

    Parameters
    ----------
    entries
        Tables of `simo_entries`.

    Returns
    -------
    DataFrame
        One row per example and tie: ``example``, the sizes, ``tie``; ``entries``, their number, and how many of these
        are 0 in every draw, ``vanishing``; ``expected`` and ``mean_square``, means over the entries; ``largest`` and
        ``least_largest``, the largest and smallest over the entries of the largest |entry| over draws; and ``worst_z``,
        the largest |mean_square − expected| in standard errors (0 where both are zero). Entries of one draw depend on
        each other, so the mean over them has no standard error.
    """
    pairs = entries[["mean_square", "expected", "std_error"]].itertuples(index=False)
    z = pd.Series([abs(z_score(*pair)) for pair in pairs], entries.index)
    z = z.mask(z.isna(), (entries["mean_square"] != entries["expected"]).map({False: 0.0, True: np.inf}))
    keys = ["example", "n_inputs", "n_hidden", "n_outputs", "draws", "tie"]
    groups = entries.assign(z=z, is_zero=entries["largest"] == 0).groupby(keys, sort=False)
    return groups.agg(
        entries=("row", "size"),
        vanishing=("is_zero", "sum"),
        expected=("expected", "mean"),
        mean_square=("mean_square", "mean"),
        largest=("largest", "max"),
        least_largest=("largest", "min"),
        worst_z=("z", "max"),
    ).reset_index()


def hidden_ratios(entries: pd.DataFrame) -> pd.DataFrame:
    """Return the off-diagonal over the diagonal mean square of the hidden part of each fully linked network.

    Returns
    -------
    DataFrame
        ``n_outputs``, the ``ratio`` of the mean squares with its ``std_error``, and ``expected`` = 1/(q + 2).
    """
    lines = []
    series = entries[~entries["example"].isin(list(EXAMPLES)) & entries["row"].str.startswith("w")]
    series = series[series["column"].str.startswith("w")]
    for q in sorted(series["n_outputs"].unique().tolist()):
        of_network = series[series["n_outputs"] == q]
        off = of_network[of_network["row"] < of_network["column"]]
        diag = of_network[of_network["row"] == of_network["column"]]
        rse = [np.hypot.reduce(squares["std_error"]) / squares["mean_square"].sum() for squares in (off, diag)]
        ratio = off["mean_square"].mean() / diag["mean_square"].mean()
        lines.append({"n_outputs": q, "ratio": ratio, "std_error": ratio * np.hypot(*rse), "expected": 1 / (q + 2)})
    return pd.DataFrame(lines)
