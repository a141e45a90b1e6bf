"""Figure 10 in numbers: one output and two classes, CE and MSE, and what the factor p(1 − p) does to the blocks."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import numpy as np
import pandas as pd

from rmtsim.paper.trained_networks import over_draws, scheduled
from rmtsim.stats.estimates import mean_estimate, ratio_estimate
from rmtsim.stats.quoted import quoted
from rmtsim.stats.verdict import NEAR, NO_ERROR, bounds, z_score
from rmtsim.text.tables import WIDTH, text_table
from rmtsim.text.words import number_of
from rmtsim.theory import finite

WORDS = {"binary_ce": "CE", "binary_mse": "MSE"}
_RUN = ["case", "loss"]
_PLACE = ["n_samples", "step", "progress"]


def outside_shares(table: pd.DataFrame) -> pd.DataFrame:
    """Share of the hidden layer's squared norm outside its diagonal blocks, through training, of every draw.

    Parameters
    ----------
    table
        That of ``rmtsim.paper.experiments.binary_pictures``.

    Returns
    -------
    DataFrame
        One row per data set (``case``), training ``loss``, checkpoint and ``draw``: ``own`` share, ``other``, that with
        the other loss's second derivative at the same weights; ``factor``, the mean of p(1 − p); ``diag`` and
        ``offdiag``, mean squared norms of blocks over those at initialisation, and ``value``, the loss.
    """
    rows = table[table["purpose"] == "training"]
    index = [*_RUN, *_PLACE, "draw"]
    norms = _norms(rows, [*index, "curvature"])
    own = norms[norms["curvature"] == norms["loss"]].set_index(index)
    other = norms[norms["curvature"] != norms["loss"]].set_index(index)
    scalars = {
        name: rows[rows["quantity"] == quantity].set_index(index)["value"]
        for name, quantity in (("factor", "factor"), ("value", "loss"))
    }
    found = own[["outside"]].rename(columns={"outside": "own"}).assign(other=other["outside"], **scalars)
    for name in ("diag", "offdiag"):
        found[name] = own[f"{name}_sqfro"] / own[f"{name}_sqfro"].groupby([*_RUN, "draw"]).transform("first")
    return found.reset_index()


def initial_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Ratio of mean squared norms of off-diagonal and diagonal hidden blocks on Gaussian data at initialisation.

    Returns
    -------
    DataFrame
        One row per ``n_samples`` and ``curvature``: ``draws``, ``value``, ``std_error``; ``theory``, the ratio of
        expectations with MSE, exact: (8) with C = 1, where E(v_i² v_j²)/E(v_i⁴) = 1/3; and ``z``.
    """
    norms = _norms(table[table["purpose"] == "start"], ["n_samples", "curvature", "draw", "dim", "hidden"])
    lines = []
    for _, group in norms.groupby(["n_samples", "curvature"]):
        one = group.iloc[0]
        N, curvature = int(one["n_samples"]), str(one["curvature"])
        found = ratio_estimate(group["offdiag_sqfro"].to_numpy(), group["diag_sqfro"].to_numpy())
        theory = initial_ratio(int(one["dim"]), N, int(one["hidden"]))
        lines.append({"n_samples": N, "curvature": curvature, "draws": len(group), **found._asdict()})
        lines[-1] |= {"theory": theory, "z": z_score(found.value, theory, found.std_error)}
    return pd.DataFrame(lines)


def initial_ratio(dim: int, n_samples: int, width: int) -> float:
    """E‖H_ij‖²/E‖H_ii‖² of the hidden layer with one output and MSE, on Gaussian data."""
    [hidden] = [one for one in finite("one_hidden", "mse", 1, dim, n_samples, width) if one.layer == "hidden"]
    return hidden.offdiag / hidden.diag


def mean_shares(shares: pd.DataFrame) -> pd.DataFrame:
    """Means and standard errors of ``outside_shares`` over draws; geometric means of what falls by powers of ten."""
    logs = ("diag", "offdiag", "factor")
    return over_draws(shares, [*_RUN, *_PLACE], ["own", "other", "factor", "value", "diag", "offdiag"], logs)


def report_binary(table: pd.DataFrame) -> str:
    """Tell the shares at every checkpoint, the ratios at initialisation and the verdicts, as text."""
    shares = outside_shares(table)
    means = mean_shares(shares)
    head = ["data", "trained with", "steps", "loss", "p(1-p)", "outside", "other", "diagonal", "off-diagonal"]
    grid = [head]
    for row in means.to_dict("records"):
        names = ("value", "factor", "own", "other", "diag", "offdiag")
        place = f"{row['progress']:.0%}" if row["step"] != 1 else "1 step"
        grid.append([row["case"], WORDS[row["loss"]], place, *(quoted(row[x], row[f"std_error_{x}"]) for x in names)])
    starts = [["N", "curvature", "draws", "off-diagonal/diagonal", "theory (MSE)", "z"]]
    for row in initial_ratios(table).to_dict("records"):
        ratio = quoted(row["value"], row["std_error"])
        cells = (row["n_samples"], WORDS[row["curvature"]], row["draws"], ratio, f"{row['theory']:.5f}")
        starts.append([*map(str, cells), f"{row['z']:+.2f}"])
    said = [textwrap.fill(line, WIDTH, initial_indent="- ", subsequent_indent="  ") for line in verdicts(table)]
    return "\n".join([*text_table(grid), "", *text_table(starts), "", *said, "", textwrap.fill(_LEGEND, WIDTH)])


_LEGEND = (
    "outside: share of the hidden layer's squared norm outside its diagonal blocks, a mean over draws; other: the same "
    "with the other loss's second derivative at the same weights, so without the factor p(1 - p) after CE and with it "
    "after MSE; diagonal, off-diagonal: mean squared norms of blocks over those at initialisation; p(1 - p): its mean "
    "over samples; of these geometric means over draws. In brackets: standard errors, in units of the last digit."
)


def headline_binary(table: pd.DataFrame) -> str:
    """Tell the verdicts in Markdown."""
    return "\n".join(f"- {line}" for line in verdicts(table))


def verdicts(table: pd.DataFrame) -> list[str]:
    """Sentences on what the paper says of Collobert's figure: on each loss, and on the factor p(1 − p)."""
    shares = outside_shares(table)
    means, width = mean_shares(shares), int(table["hidden"].iloc[0])
    by_loss = [_on_loss(loss, means[means["loss"] == loss], width) for loss in ("binary_mse", "binary_ce")]
    one = table[table["purpose"] == "training"].iloc[0]
    how = f"{scheduled(one)}, {number_of(shares['draw'].nunique(), 'draw')} of each data set."
    return [
        f"One output, m = {width}, d = {one['dim']}, N = {one['n_samples']}; {how}",
        *by_loss,
        *_on_factor(shares, means),
        _on_start(initial_ratios(table)),
    ]


def _on_loss(loss: str, means: pd.DataFrame, width: int) -> str:
    """Say whether the hidden layer is near-block-diagonal anywhere."""
    least = means.sort_values("own").iloc[0]
    lower, _ = bounds(means["own"], means["std_error_own"], int(means["draws"].min()), len(means))
    never = "at no checkpoint" if (lower > NEAR).all() else "not excluded at every checkpoint"
    ends = [
        f"{quoted(runs.iloc[0]['own'], runs.iloc[0]['std_error_own'])} → "
        f"{quoted(runs.iloc[-1]['own'], runs.iloc[-1]['std_error_own'])} ({case})"
        for case, runs in means.groupby("case", sort=False)
    ]
    return (
        f"{WORDS[loss]}, share of the hidden layer's squared norm outside its diagonal blocks from initialisation to "
        f"the end: {', '.join(ends)}; least {quoted(least['own'], least['std_error_own'])}; equal blocks "
        f"{1 - 1 / width:.3f}. Near-block-diagonal (under {NEAR:g}): "
        f"{NO_ERROR if lower.isna().any() else never}."
    )


def _on_factor(shares: pd.DataFrame, means: pd.DataFrame) -> Iterator[str]:
    """Say how diagonal and off-diagonal blocks fall with p(1 − p), and what the shares are without it."""
    for case, runs in means[means["loss"] == "binary_ce"].groupby("case", sort=False):
        first, last = runs.iloc[0], runs.iloc[-1]
        of_end = shares[(shares["case"] == case) & (shares["loss"] == "binary_ce") & (shares["step"] == last["step"])]
        change = of_end["own"] - of_end["other"]
        yield (
            f"CE, {case}: p(1 - p) falls from {quoted(first['factor'], first['std_error_factor'])} to "
            f"{quoted(last['factor'], last['std_error_factor'])}; squared norms go to "
            f"{quoted(last['diag'], last['std_error_diag'])} (diagonal blocks) and "
            f"{quoted(last['offdiag'], last['std_error_offdiag'])} (off-diagonal) of their start. At the end the "
            f"factor changes the share outside by {quoted(*mean_estimate(change.to_numpy()))}, to "
            f"{quoted(last['own'], last['std_error_own'])}: it {_distinguishes(last, looks=2 * len(runs))}."
        )


def _distinguishes(last: pd.Series, looks: int) -> str:
    """Say whether the factor makes the layer near-block-diagonal where it was not."""
    if np.isnan(last["std_error_own"]):
        return f"has {NO_ERROR}"
    without, _ = bounds(last["other"], last["std_error_other"], int(last["draws"]), looks)
    _, own = bounds(last["own"], last["std_error_own"], int(last["draws"]), looks)
    makes = without > NEAR > own
    return "makes the block-diagonal structure" if makes else "does not make a block-diagonal structure"


def _on_start(ratios: pd.DataFrame) -> str:
    worst = {words: ratios.loc[ratios["curvature"] == name, "z"].abs().max() for name, words in WORDS.items()}
    largest = ratios[ratios["curvature"] == "binary_mse"].sort_values("n_samples").iloc[-1]
    return (
        f"At initialisation on Gaussian data the ratio of off-diagonal to diagonal squared norms at one output, "
        f"{quoted(largest['value'], largest['std_error'])} at N = {largest['n_samples']}, is the closed form's of MSE, "
        f"{largest['theory']:.4f}: largest |z| {worst['MSE']:.2f} with MSE and, with the factor p(1 - p), "
        f"{worst['CE']:.2f} with CE, over {ratios['n_samples'].nunique()} sizes."
    )


def _norms(rows: pd.DataFrame, index: list[str]) -> pd.DataFrame:
    """Norms of diagonal and off-diagonal blocks side by side, and the share outside."""
    of_layer = rows[(rows["layer"] == 1) & rows["quantity"].isin(["diag_sqfro", "offdiag_sqfro"])]
    wide = of_layer.pivot_table(index=index, columns="quantity", values="value", sort=False).reset_index()
    others = (int(rows["hidden"].iloc[0]) - 1) * wide["offdiag_sqfro"]
    return wide.assign(outside=others / (wide["diag_sqfro"] + others))
