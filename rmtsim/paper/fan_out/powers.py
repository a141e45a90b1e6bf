"""Powers of the sizes of a deep network that off-diagonal over diagonal block norms follow, and what predicts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.figures.parts import join_parts
from rmtsim.stats.estimates import mean_estimate, ratio_estimate
from rmtsim.stats.least_squares import least_squares
from rmtsim.stats.straight_lines import slopes
from rmtsim.stats.verdict import z_score
from rmtsim.theory.deep import deep_layers

Values = npt.NDArray[np.float64]

#: Predictors of the ratio of a hidden layer, one number each.
PREDICTORS = {
    "own": "own neurons",
    "fan-in": "fan-in",
    "next": "next layer's neurons",
    "smallest": "fewest of all later layers",
    "harmonic": "1/n summed over later layers",
    "theory": "theory, all sizes",
}

_CASE = ["design", "loss", "depth", "steps", "progress", "layer"]


def all_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Return all numbers of the figure, in the parts of `rmtsim.figures.parts.join_parts`.

    Parameters
    ----------
    table
        That of `rmtsim.paper.fan_out.networks.fan_out`.

    Returns
    -------
    DataFrame
        The parts ``ratios``, of `measured`; ``powers``, of `exponents`; ``own``, of `own_power`; ``joint``, of `joint`;
        ``later_sums``, of `later_sums`; ``predictors``, of `predictors`; and ``deviations``, of `deviations`.
    """
    rows, powers = measured(table), exponents(table)
    return join_parts(
        {
            "ratios": rows,
            "powers": powers,
            "own": own_power(powers),
            "joint": joint(rows),
            "later_sums": later_sums(powers),
            "predictors": predictors(rows),
            "deviations": deviations(rows),
        }
    )


def sized(table: pd.DataFrame) -> pd.DataFrame:
    """Add ``sizes``, the tuple (d, n_1, …, C), to the experiment's table; drop layers with no off-diagonal."""
    hidden = table["hidden"].str.split("-")
    sizes = [
        (int(d), *map(int, widths), int(C))
        for d, widths, C in zip(table["dim"], hidden, table["n_classes"], strict=True)
    ]
    rows = table.assign(ratio=table["offdiag_sqfro"] / table["diag_sqfro"])
    rows["sizes"] = sizes
    return rows[(rows["loss"] != "mse") | (rows["layer"] != rows["depth"])]


def measured(table: pd.DataFrame) -> pd.DataFrame:
    """Return the ratio of mean squared norms, off-diagonal over diagonal, of every network, checkpoint and layer.

    Parameters
    ----------
    table
        That of `rmtsim.paper.fan_out.networks.fan_out`.

    Returns
    -------
    DataFrame
        ``design``, ``varied``, ``loss``, ``depth``, ``sizes``, ``steps``, ``progress``, ``layer``; ``draws``;
        ``ratio``, of means over draws, with ``std_error``; ``theory``, that of `rmtsim.theory.deep` at initialisation,
        NaN later; and ``outside``, the share of the layer's squared norm outside its n diagonal blocks. The last layer
        with MSE, whose off-diagonal blocks are zero, is left out.
    """
    lines = []
    keys = [*_CASE, "varied", "sizes", "n_samples"]
    for key, group in sized(table).groupby(keys, sort=False):
        line: dict[str, Any] = dict(zip(keys, key, strict=True))
        found = ratio_estimate(group["offdiag_sqfro"].to_numpy(), group["diag_sqfro"].to_numpy())
        line |= {"draws": len(group), "ratio": found.value, "std_error": found.std_error}
        outside = 1 / (1 + 1 / ((line["sizes"][line["layer"]] - 1) * found.value))
        lines.append({**line, "theory": _theory(line), "outside": outside})
    return pd.DataFrame(lines)


def series(rows: pd.DataFrame, varied: int) -> pd.DataFrame:
    """Return the networks of the design "one" in which a size is varied, with the base, as ``size`` grows."""
    chosen = rows[(rows["design"] == "one") & rows["varied"].isin([-1, varied])]
    return chosen.assign(size=[sizes[varied] for sizes in chosen["sizes"]]).sort_values("size")


def exponents(table: pd.DataFrame) -> pd.DataFrame:
    """Fit the power of each size, the others fixed.

    Returns
    -------
    DataFrame
        A row per loss, depth, ``steps`` of training, ``learning_rate``, ``progress``, layer and ``varied``, the number
        of the size: its ``role``; ``exponent``, the slope of log ratio against log size, with ``std_error``, the mean
        and its error over draws, and ``z``, their ratio; ``change`` since initialisation, of the same draws, with
        ``std_error_change``; and ``theory``, the slope of the theory's values at the same sizes, NaN after training.
    """
    lines = []
    rows = sized(table[table["design"] == "one"])
    keys = ["loss", "depth", "steps", "learning_rate", "layer"]
    for key, of_layer in rows.groupby(keys, sort=False):
        case: dict[str, Any] = dict(zip(keys, key, strict=True))
        for varied in range(case["depth"] + 1):
            start: Values | None = None
            for progress, at in series(of_layer, varied).groupby("progress"):
                wide = at.pivot_table(values="ratio", index="draw", columns="size")
                x = np.log(wide.columns.to_numpy(float))
                found = slopes(x, np.log(wide.to_numpy()))
                mean, error = mean_estimate(found)
                first = start is None
                start = found if start is None else start
                change = mean_estimate(found - start, fixed=first)  # at the first checkpoint none, by definition
                theory = np.log([_theory(row) for row in at.drop_duplicates("size").to_dict("records")])
                lines.append(
                    {**case, "progress": progress, "varied": varied, "role": role(case["layer"], varied)}
                    | {"draws": len(found), "exponent": mean, "std_error": error, "z": z_score(mean, 0.0, error)}
                    | {"change": change.value, "std_error_change": change.std_error}
                    | {"theory": slopes(x, theory[None])[0]}
                )
    return pd.DataFrame(lines)


def own_power(fits: pd.DataFrame) -> pd.DataFrame:
    """Return the weighted mean of the powers of their own neurons that hidden layers follow at initialisation.

    Parameters
    ----------
    fits
        That of `exponents`.

    Returns
    -------
    DataFrame
        One row: ``layers``, their number; ``exponent`` and ``std_error``.
    """
    start = at_start(fits)
    own = start[(start["layer"] < start["depth"]) & (start["role"] == "own")]
    fit = least_squares([np.ones(len(own))], own["exponent"].to_numpy(), own["std_error"].to_numpy())
    return pd.DataFrame({"layers": [len(own)], "exponent": fit.values, "std_error": fit.std_errors})


def joint(rows: pd.DataFrame) -> pd.DataFrame:
    """Fit the powers of all sizes at once, from the networks whose sizes are all random.

    Parameters
    ----------
    rows
        That of ``measured``.

    Returns
    -------
    DataFrame
        A row per loss, depth, layer and ``varied``: ``role``; ``exponent`` and ``std_error``, by least squares, errors
        from the scatter of the networks about the power law; and the fit's ``r_squared``.
    """
    lines = []
    for key, group in rows[rows["design"] == "all"].groupby(["loss", "depth", "layer"], sort=False):
        case: dict[str, Any] = dict(zip(["loss", "depth", "layer"], key, strict=True))
        sizes = np.log(np.array(group["sizes"].tolist(), dtype=float))
        y = np.log(group["ratio"].to_numpy())
        fit = least_squares([np.ones(len(y)), *sizes.T], y)
        error = np.sqrt(fit.chi2 / (len(y) - len(fit.values))) * fit.std_errors
        for varied in range(case["depth"] + 1):
            lines.append(
                {**case, "varied": varied, "role": role(case["layer"], varied)}
                | {"exponent": fit.values[1 + varied], "std_error": error[1 + varied]}
                | {"r_squared": 1 - fit.chi2 / np.sum((y - y.mean()) ** 2)}
            )
    return pd.DataFrame(lines)


def predictors(rows: pd.DataFrame) -> pd.DataFrame:
    """Return how well single numbers predict the ratios of hidden layers, where all sizes are random.

    Returns
    -------
    DataFrame
        A row per loss and ``predictor`` of ``PREDICTORS``: ``slope`` of log ratio against its logarithm, within each
        depth and layer; ``r_squared``, the share of the variance within them that it explains; and ``scatter``, the
        root mean square of what is left of log ratio; for the theory of log ratio less log theory, with nothing fitted.
    """
    chosen = rows[(rows["design"] == "all") & (rows["layer"] < rows["depth"])]
    values = pd.DataFrame([_predictions(row) for row in chosen.to_dict("records")], index=chosen.index)
    logs = values.assign(ratio=chosen["ratio"]).apply(np.log)
    within = logs - logs.groupby([chosen["loss"], chosen["depth"], chosen["layer"]]).transform("mean")
    lines = []
    for loss, of_loss in within.groupby(chosen["loss"], sort=False):
        y = of_loss["ratio"].to_numpy()
        for name in PREDICTORS:
            fit = least_squares([of_loss[name].to_numpy()], y)
            line = {"loss": loss, "predictor": name, "networks": len(y), "slope": fit.values[0]}
            line |= {"r_squared": 1 - fit.chi2 / (y @ y), "scatter": np.sqrt(fit.chi2 / len(y))}
            if name == "theory":
                here = logs.loc[of_loss.index]
                line["scatter"] = np.sqrt(np.mean((here["ratio"] - here["theory"]) ** 2))
            lines.append(line)
    return pd.DataFrame(lines)


def deviations(rows: pd.DataFrame) -> pd.DataFrame:
    """Return how far log ratio of hidden layers is from log theory, where all sizes are random; nothing is fitted.

    Returns
    -------
    DataFrame
        A row per loss: ``layers`` and ``networks``; ``rms``; ``mean`` with its ``std_error``, over networks; ``least``
        and ``most``; and ``noise``, the root mean square of the measured log ratios' own standard errors.
    """
    chosen = rows[(rows["design"] == "all") & (rows["layer"] < rows["depth"])]
    lines = []
    for loss, of_loss in chosen.assign(left=np.log(chosen["ratio"] / chosen["theory"])).groupby("loss", sort=False):
        left, noise = of_loss["left"], of_loss["std_error"] / of_loss["ratio"]
        sums, counts = (of_loss.groupby("sizes")["left"].agg(how) for how in ("sum", "count"))
        error = np.sqrt(np.sum((sums - left.mean() * counts) ** 2) * len(sums) / (len(sums) - 1)) / len(left)
        line = {"loss": loss, "layers": len(left), "networks": len(sums), "rms": np.sqrt(np.mean(left**2))}
        line |= {"mean": left.mean(), "std_error": error, "least": left.min(), "most": left.max()}
        lines.append(line | {"noise": np.sqrt(np.mean(noise**2))})
    return pd.DataFrame(lines)


def later_sums(fits: pd.DataFrame) -> pd.DataFrame:
    """Sum the exponents of the neurons of all layers after a hidden one, those of `exponents` or of `joint`."""
    keys = [name for name in ("loss", "depth", "steps", "progress", "layer") if name in fits]
    after = fits[fits["role"].isin(["next", "later"])]
    sums = after.assign(std_error=after["std_error"] ** 2).groupby(keys, sort=False)
    columns = [name for name in ("exponent", "std_error", "theory") if name in fits]
    found = sums[columns].sum(min_count=1).reset_index()
    return found.assign(std_error=np.sqrt(found["std_error"]))


def role(layer: int, varied: int) -> str:
    """Return what a size, by its number, is to layer a: "own" for n_a, "next" for n_{a+1}, "later" for those after.

    "fan-in" stands for n_{a−1}, "earlier" for those before.
    """
    return {-1: "fan-in", 0: "own", 1: "next"}.get(varied - layer, "later" if varied > layer else "earlier")


def size_names(depth: int) -> list[str]:
    """Return the names of the sizes of a network: d, n₁, …, C."""
    return ["$d$", *(f"$n_{k}$" for k in range(1, depth)), "$C$"]


def at_start(fits: pd.DataFrame) -> pd.DataFrame:
    """Rows of networks that are not trained."""
    return fits[fits["steps"] == 0]


def trained(fits: pd.DataFrame) -> pd.DataFrame:
    """Rows after the last step."""
    return fits[(fits["steps"] > 0) & (fits["progress"] == 1)]


def _predictions(row: Mapping[Any, Any]) -> dict[str, float]:
    sizes, a = row["sizes"], row["layer"]
    after = np.array(sizes[a + 1 :], dtype=float)
    found = {"own": sizes[a], "fan-in": sizes[a - 1], "next": sizes[a + 1], "theory": row["theory"]}
    return found | {"smallest": after.min(), "harmonic": np.sum(1 / after)}


def _theory(row: Mapping[Any, Any]) -> float:
    """Return the theory's ratio for a row with ``sizes``, NaN after training."""
    if row["progress"] > 0:
        return np.nan
    layers = deep_layers(row["loss"], row["sizes"], row["n_samples"])
    return layers[int(row["layer"]) - 1].ratio
