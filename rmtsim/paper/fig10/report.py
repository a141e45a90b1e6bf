"""What Figure 10 says, in words: on each loss, on the factor p(1 − p), and on the ratios at initialisation."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import pandas as pd

from rmtsim.figures.parts import part
from rmtsim.paper.trained_networks import scheduled
from rmtsim.stats.quoted import quoted
from rmtsim.stats.verdict import NEAR, NO_ERROR
from rmtsim.text.tables import WIDTH, text_table
from rmtsim.text.words import number_of

#: Names of the losses.
WORDS = {"binary_ce": "CE", "binary_mse": "MSE"}

_LEGEND = (
    "outside: share of the hidden layer's squared norm outside its diagonal blocks, a mean over draws; other: the same "
    "with the other loss's second derivative at the same weights, so without the factor p(1 - p) after CE and with it "
    "after MSE; diagonal, off-diagonal: mean squared norms of blocks over those at initialisation; p(1 - p): its mean "
    "over samples; of these geometric means over draws. In brackets: standard errors, in units of the last digit."
)


def report_binary(numbers: pd.DataFrame) -> str:
    """Return the shares at every checkpoint, the ratios at initialisation and the verdicts, as text."""
    head = ["data", "trained with", "steps", "loss", "p(1-p)", "outside", "other", "diagonal", "off-diagonal"]
    grid = [head]
    for row in part(numbers, "means").to_dict("records"):
        names = ("value", "factor", "own", "other", "diag", "offdiag")
        place = f"{row['progress']:.0%}" if row["step"] != 1 else "1 step"
        grid.append([row["case"], WORDS[row["loss"]], place, *(quoted(row[x], row[f"std_error_{x}"]) for x in names)])
    starts = [["N", "curvature", "draws", "off-diagonal/diagonal", "theory (MSE)", "z"]]
    for row in part(numbers, "start").to_dict("records"):
        ratio = quoted(row["value"], row["std_error"])
        cells = (row["n_samples"], WORDS[row["curvature"]], row["draws"], ratio, f"{row['theory']:.5f}")
        starts.append([*map(str, cells), f"{row['z']:+.2f}"])
    said = [textwrap.fill(line, WIDTH, initial_indent="- ", subsequent_indent="  ") for line in verdicts(numbers)]
    return "\n".join([*text_table(grid), "", *text_table(starts), "", *said, "", textwrap.fill(_LEGEND, WIDTH)])


def headline_binary(numbers: pd.DataFrame) -> str:
    """Return the verdicts in Markdown."""
    return "\n".join(f"- {line}" for line in verdicts(numbers))


def verdicts(numbers: pd.DataFrame) -> list[str]:
    """Return sentences on what the paper says of Collobert's figure: on each loss, and on the factor p(1 − p)."""
    means, structure, factor = (part(numbers, name) for name in ("means", "structure", "factor"))
    one = part(numbers, "setting").iloc[0]
    of_loss = structure.set_index("loss")["verdict"]
    by_loss = [
        _on_loss(loss, means[means["loss"] == loss], of_loss[loss], one["width"])
        for loss in ("binary_mse", "binary_ce")
    ]
    how = f"{scheduled(one)}, {number_of(one['draws'], 'draw')} of each data set."
    return [
        f"One output, m = {one['width']}, d = {one['dim']}, N = {one['n_samples']}; {how}",
        *by_loss,
        *_on_factor(factor, means[means["loss"] == "binary_ce"]),
        _on_start(part(numbers, "start")),
    ]


def _on_loss(loss: str, means: pd.DataFrame, verdict: str, width: int) -> str:
    """Return whether the hidden layer is near-block-diagonal anywhere, in words."""
    least = means.sort_values("own").iloc[0]
    ends = [
        f"{quoted(runs.iloc[0]['own'], runs.iloc[0]['std_error_own'])} → "
        f"{quoted(runs.iloc[-1]['own'], runs.iloc[-1]['std_error_own'])} ({case})"
        for case, runs in means.groupby("case", sort=False)
    ]
    return (
        f"{WORDS[loss]}, share of the hidden layer's squared norm outside its diagonal blocks from initialisation to "
        f"the end: {', '.join(ends)}; least {quoted(least['own'], least['std_error_own'])}; equal blocks "
        f"{1 - 1 / width:.3f}. Near-block-diagonal (under {NEAR:g}): {verdict}."
    )


def _on_factor(factor: pd.DataFrame, means: pd.DataFrame) -> Iterator[str]:
    """Yield how diagonal and off-diagonal blocks fall with p(1 − p), and what the shares are without it."""
    for row in factor.to_dict("records"):
        runs = means[means["case"] == row["case"]]
        first, last = runs.iloc[0], runs.iloc[-1]
        said = f"has {NO_ERROR}" if row["verdict"] == NO_ERROR else row["verdict"]
        yield (
            f"CE, {row['case']}: p(1 - p) falls from {quoted(first['factor'], first['std_error_factor'])} to "
            f"{quoted(last['factor'], last['std_error_factor'])}; squared norms go to "
            f"{quoted(last['diag'], last['std_error_diag'])} (diagonal blocks) and "
            f"{quoted(last['offdiag'], last['std_error_offdiag'])} (off-diagonal) of their start. At the end the "
            f"factor changes the share outside by {quoted(row['change'], row['std_error'])}, to "
            f"{quoted(last['own'], last['std_error_own'])}: it {said}."
        )


def _on_start(ratios: pd.DataFrame) -> str:
    worst = {words: ratios.loc[ratios["curvature"] == name, "z"].abs().max() for name, words in WORDS.items()}
    largest = ratios[ratios["curvature"] == "binary_mse"].sort_values("n_samples").iloc[-1]
    return (
        f"At initialisation on Gaussian data the ratio of off-diagonal to diagonal squared norms at one output, "
        f"{quoted(largest['value'], largest['std_error'])} at N = {largest['n_samples']}, is the closed form's of MSE, "
        f"{largest['theory']:.4f}: largest |z| {worst['MSE']:.2f} with MSE and, with the factor p(1 - p), "
        f"{worst['CE']:.2f} with CE, over {ratios['n_samples'].nunique()} sizes."
    )
