"""Figure 1: the Hessian of one hidden layer on images, or on a user's own data."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from rmtsim.paper.hessian_figure import plot_pictures
from rmtsim.paper.norm_shares import shares
from rmtsim.paper.picture_report import percent

_TITLES = {"cifar100": "{N} random images of CIFAR-100", "arrays": "{N} samples of the user's own data"}
_SHARES = {"hidden": "of the hidden layer", "output": "of the output layer", "whole": "of all"}


def plot_data(table: pd.DataFrame) -> Figure:
    """Draw the maps and block norms side by side.

    Parameters
    ----------
    table
        That of ``rmtsim.paper.fig1.fig1``.
    """
    one = table.iloc[0]
    kind = "arrays" if ".npz@" in one["data"] else one["data"].partition(":")[0]
    data = _TITLES.get(kind, "{N} samples, data: " + str(one["case"])).format(N=one["n_samples"])
    where = f"$d = {one['dim']}$, $C = {one['n_classes']}$, $m = {one['hidden']}$"
    return plot_pictures(table, f"{data}, one hidden layer at initialisation, cross-entropy: {where}")


def headline_data(table: pd.DataFrame) -> str:
    """Say in a line what lies outside the diagonal blocks, and between layers."""
    found = shares(table)
    said = {row["share"]: percent(row["value"], row["std_error"]) for row in found.to_dict("records")}
    outside = ", ".join(f"{words} {said[share]}" for share, words in _SHARES.items())
    draws = found["draws"].iloc[0]
    return (
        f"squared norm outside the diagonal blocks, {outside}; between layers {said['cross']} "
        f"({draws} draws of {table['n_samples'].iloc[0]} samples and of the weights, {found['case'].iloc[0]})"
    )
