"""Rates through training: the power of C that off-diagonal over diagonal norms follow at every checkpoint."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.errors import InputError
from rmtsim.figures import Figure, register
from rmtsim.figures.parts import join_parts, part
from rmtsim.model.choices import LOSSES
from rmtsim.model.fixed_values import fixed_values
from rmtsim.paper.schedules import DENSE, PER_CLASS, WIDTH, appendix_b3
from rmtsim.paper.trained_networks import SETTING, checkpoints, scheduled, standard_errors
from rmtsim.stats.estimates import mean_estimate
from rmtsim.stats.predictions import plain
from rmtsim.stats.quoted import quoted
from rmtsim.stats.straight_lines import misfit, slopes
from rmtsim.stats.verdict import IN_WORDS, NO_ERROR, tolerance
from rmtsim.sweeps.experiment import Experiment
from rmtsim.text.tables import WIDTH as LINE
from rmtsim.text.tables import text_table
from rmtsim.text.words import number_of
from rmtsim.theory import finite
from rmtsim.training.problem import Problem
from rmtsim.training.trajectory import trajectory_task

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

Values = npt.NDArray[np.float64]

#: The theorems' powers of C for the ratio.
THEOREM = {"hidden": -1, "output": -2}

#: Fits use these C and more: as the ratio is no pure power of C, the theory's own slope over them stands beside.
MIN_CLASSES = 8

#: Probability below which a test says that a straight line does not fit.
LEVEL = 0.001

#: Columns in which the runs of one figure must not differ.
_COMMON = ["data", "dim", "width", "steps", "learning_rate"]

_KEYS = ["loss", "layer", "rule"]


@register
class TrainingRates(Figure):
    """Ratios of block norms against C through training, and their powers of C."""

    name = "training_rates"
    title = "Off-diagonal over diagonal against C, through training"
    source = "Appendix A, second question"
    sentence = (
        "Interestingly, we numerically find that the block-diagonal Hessian structure remains throughout the training "
        "process (see Figure 2 and 3). … It is possible to extend our theory to the whole training process, but it "
        "requires substantially new mathematical tools and we leave as a future direction."
    )
    place = 27

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment, see `training_rates`."""
        return training_rates(full)

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return ratios, their means and their powers, see `rate_numbers`."""
        return rate_numbers(rows)

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw the ratios against C at several checkpoints, and below their powers at all."""
        from rmtsim.paper.training_rates_figure import plot_rates

        return plot_rates(numbers)

    def text(self, numbers: pd.DataFrame) -> str:
        """Return the exponents at every checkpoint, with verdicts, and those at equal loss, as text."""
        return report_rates(numbers)

    def headline(self, numbers: pd.DataFrame) -> str:
        """Return the exponents at the start and the end in Markdown."""
        lines = (f"{_how(part(numbers, 'ratios'))}.", *_headlines(part(numbers, "exponents")))
        return "\n".join(f"- {line}" for line in lines)


def training_rates(full: bool = False) -> Experiment:
    """Experiment of Appendix A's second question: one hidden layer at fixed d and many C, through training.

    The theorems vary C at fixed d and N; the paper's runs have N = 10 C, so that every class has as many samples. Both
    are done. C to 256 (128 with N = 10 C), d = 64, N = 640, 10 draws; or to 1024 (512), d = 100, N = 1000, 8 draws.
    """
    dim, most, draws, times = (100, 1024, 8, 5) if full else (64, 256, 10, 10)
    schedule = appendix_b3(DENSE, times)
    fixed = PER_CLASS * dim
    classes = [2**k for k in range(2, 11) if 2**k <= most]
    sizes = {(C, fixed) for C in classes} | {(C, PER_CLASS * C) for C in classes if most >= 2 * C}
    tasks = [
        trajectory_task(
            f"{loss}-c{C:04d}-n{N:05d}-draw{draw}",
            Problem(loss, C, dim, N, (WIDTH,), dtype="float32"),
            schedule,
            draw,
        )
        for loss in LOSSES
        for C, N in sorted(sizes)
        for draw in range(draws)
    ]
    return Experiment("training_rates", tasks)


def rate_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Return all numbers of the figure, in the parts of `rmtsim.figures.parts.join_parts`.

    Parameters
    ----------
    table
        That of `training_rates`.

    Returns
    -------
    DataFrame
        The parts ``ratios``, of `ratios`; ``exponents``, of `exponents`; ``equal_loss``, of `at_equal_loss`; and
        ``means``: for each ``loss``, ``layer`` and ``rule``, ``progress`` and ``n_classes``, the geometric mean over
        draws ``ratio``, with ``std_error_log``, the standard error of its logarithm, and ``theory``, the ratio of
        expected norms at initialisation.
    """
    found = ratios(table)
    parts = {"ratios": found, "exponents": exponents(found), "equal_loss": at_equal_loss(found)}
    return join_parts(parts | {"means": mean_ratios(found)})


def mean_ratios(found: pd.DataFrame) -> pd.DataFrame:
    """Return the means over draws of `ratios`, but where off-diagonal blocks are zero by the model."""
    frames = []
    for key, rows in found.groupby(_KEYS, sort=False):
        case: dict[str, Any] = dict(zip(_KEYS, key, strict=True))
        if fixed_values(case["loss"], case["layer"], int(rows["n_classes"].min())).get("ratio") == 0:
            continue
        logs = rows.assign(log=np.log(rows["ratio"].where(rows["ratio"] > 0)))
        groups = logs.groupby(["progress", "n_classes"])["log"]
        known = groups.count() == groups.size()  # there is no geometric mean where a draw has the ratio 0
        means = np.exp(groups.mean().where(known)).rename("ratio").reset_index()
        means["std_error_log"] = standard_errors(groups).to_numpy()
        expected = dict(zip(np.sort(rows["n_classes"].unique()), theory(rows), strict=True))
        frames.append(means.assign(theory=means["n_classes"].map(expected), **case))
    whole: pd.DataFrame = pd.concat(frames, ignore_index=True)
    return whole


def ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Return the ratio of mean squared norms, off-diagonal over diagonal, of every run, checkpoint and layer.

    Parameters
    ----------
    table
        That of `training_rates`.

    Returns
    -------
    DataFrame
        ``loss``, ``layer``, ``rule`` ("N = 640" or "N = 10 C", a run may belong to both), ``n_classes``, ``dim``,
        ``n_samples``, ``width``, ``steps``, ``learning_rate``, ``seed``, ``draw``, ``progress``, ``relative_loss``,
        that over its value at initialisation, and ``ratio``.

    Raises
    ------
    InputError
        If runs differ in more than loss, C, N and draw.
    """
    runs = checkpoints(table)
    for key in _COMMON:
        if len(found := runs[key].unique()) > 1:
            values = ", ".join(map(str, found))
            raise InputError(f"{key}: rates need runs with a single {key}; found {values}; give one")
    runs["relative_loss"] = runs["value"] / runs.groupby([*SETTING, "seed", "draw"])["value"].transform("first")
    fixed = runs["n_samples"].mode().iloc[0]
    per_class = (runs["n_samples"] / runs["n_classes"])[runs["n_samples"] != fixed]
    rules = [(f"N = {fixed}", runs["n_samples"] == fixed)]
    if len(per_class):
        each = round(per_class.iloc[0])
        rules.append((f"N = {each} C", runs["n_samples"] == each * runs["n_classes"]))
    columns = ["loss", "layer", "rule", "n_classes", "dim", "n_samples", "width", "steps", "learning_rate", "seed"]
    columns += ["draw", "progress", "relative_loss"]
    parts = [
        runs[chosen].assign(layer=layer, rule=rule, ratio=runs[f"{layer}_offdiag"] / runs[f"{layer}_diag"])
        for layer in THEOREM
        for rule, chosen in rules
    ]
    whole: pd.DataFrame = pd.concat(parts, ignore_index=True)[[*columns, "ratio"]]
    return whole


def exponents(found: pd.DataFrame) -> pd.DataFrame:
    """Fit the power of C at every checkpoint.

    Parameters
    ----------
    found
        That of ``ratios``.

    Returns
    -------
    DataFrame
        A row per loss, layer, rule and ``progress``: ``exponent``, the slope of log ratio against log C, C ≥
        ``MIN_CLASSES``, with equal weights, for it shall mean the same at all checkpoints; ``upper``, that over the
        upper quarter, C ≥ max C/4; ``change`` and ``change_upper``, these less those at initialisation, of the same
        draws; standard errors from the spread over draws; ``f`` and ``probability`` of ``misfit``, and ``power``,
        whether the line is straight at the level 0.001; ``theory``, the slope of the theory's own values at
        initialisation; ``verdict``:

        zero
            There are no off-diagonal blocks, by the model.
        kept
            The exponent is that at initialisation within the tolerance (`rmtsim.stats.verdict`), which is under half of
            it; and so is ``upper``.
        bent
            The exponent is, but ``upper`` is not.
        unresolved
            Both are, but the tolerance is larger; or some ratios are zero in these draws.
        steeper, flatter
            It differs, and is negative by so much.
        lost
            It is not.
        no verdict without a standard error
            One draw has none, nor have draws that are all equal.
    """
    found = found[found["n_classes"] >= MIN_CLASSES]
    lines = []
    for key, of_case in found.groupby(_KEYS, sort=False):
        start: dict[str, Values] | None = None
        looks = 2 * of_case["progress"].nunique()  # two changes at every checkpoint
        for progress, at in of_case.groupby("progress"):
            line: dict[str, Any] = {
                **dict(zip(_KEYS, key, strict=True)),
                "progress": progress,
                "draws": at["draw"].nunique(),
            }
            if fixed_values(line["loss"], line["layer"], int(at["n_classes"].min())).get("ratio") == 0:
                lines.append({**line, "verdict": "zero"})
                continue
            if (at["ratio"] == 0).any():  # in these draws only: there is no logarithm, and no more is known
                lines.append({**line, "verdict": "unresolved"})
                continue
            ratio = at.pivot_table(values="ratio", index="draw", columns="n_classes")
            C, logs = ratio.columns.to_numpy(float), np.log(ratio.to_numpy())
            most = C.max() / 4 <= C
            powers = {"exponent": slopes(np.log(C), logs), "upper": slopes(np.log(C[most]), logs[:, most])}
            start = powers if start is None else start
            changes = {
                "change": powers["exponent"] - start["exponent"],
                "change_upper": powers["upper"] - start["upper"],
            }
            for name, values in (powers | changes).items():
                fixed = name in changes and progress == 0  # from the start to the start
                line[name], line[f"std_error_{name}"] = mean_estimate(values, fixed=fixed)
            line |= _misfit(C, logs)
            if progress == 0:
                line["theory"] = slopes(np.log(C), np.log(theory(at))[None])[0]
            lines.append({**line, "verdict": _verdict(line, float(np.mean(start["exponent"])), looks)})
    return pd.DataFrame(lines)


def at_equal_loss(found: pd.DataFrame, targets: Sequence[float] | None = None) -> pd.DataFrame:
    """Fit the power of C where every run has lost the same part of its initial loss, instead of as many steps.

    With cross-entropy only: squared loss begins at about C/2 and ends near 1 whatever C is, so that one part of it
    means another stage of training at every C. log ratio is interpolated in the loss, between checkpoints.

    Returns
    -------
    DataFrame
        A row per layer, rule and ``relative_loss``: ``exponent`` and ``std_error_exponent``. Without ``targets``,
        those of 0.9, 0.8, … that all runs of a rule reach.
    """
    found = found[(found["n_classes"] >= MIN_CLASSES) & (found["loss"] == "ce")]
    lines = []
    for key, of_case in found.groupby(_KEYS, sort=False):
        runs = dict(iter(of_case.groupby(["n_classes", "draw"])))
        least = max(run["relative_loss"].min() for run in runs.values())
        for target in targets or np.arange(0.9, least, -0.1):
            at = {where: _interpolated(run, target) for where, run in runs.items()}
            logs = pd.Series(at).unstack()  # classes × draws
            powers = slopes(np.log(logs.index.to_numpy(float)), logs.to_numpy().T)
            line = dict(zip(_KEYS, key, strict=True)) | {"relative_loss": round(float(target), 3)}
            exponent, error = mean_estimate(powers)
            lines.append(line | {"exponent": exponent, "std_error_exponent": error})
    return pd.DataFrame(lines)


def theory(at: pd.DataFrame) -> Values:
    """Return the theory's ratio at initialisation for each C of rows of ``ratios`` of one loss, layer and rule."""
    sizes = at.drop_duplicates("n_classes").sort_values("n_classes")
    one = sizes.iloc[0]
    return np.array(
        [
            finite(
                "one_hidden", one["loss"], int(C), int(one["dim"]), int(N), int(one["width"]), layers=(one["layer"],)
            )[0].ratio
            for C, N in zip(sizes["n_classes"], sizes["n_samples"], strict=True)
        ]
    )


def report_rates(numbers: pd.DataFrame) -> str:
    """Return the exponents at every checkpoint, with verdicts, and those at equal loss, as text."""
    fits, equal = part(numbers, "exponents"), part(numbers, "equal_loss")
    lines = [_how(part(numbers, "ratios")), ""]
    for key, of_case in fits.groupby(_KEYS, sort=False):
        loss, layer, rule = plain(key)
        first = of_case.iloc[0]
        lines.append(f"{loss.upper()}, {layer} layer, {rule}: theorem {THEOREM[layer]}" + _start(first))
        if first["verdict"] == "zero":
            lines.append("")
            continue
        grid = [["steps", "exponent", "upper", "change", "F", "verdict"]]
        for row in of_case.to_dict("records"):
            values = [quoted(row[x], row[f"std_error_{x}"]) for x in ("exponent", "upper", "change")]
            said = _in_words(row["verdict"], row["power"])
            grid.append([f"{row['progress']:.0%}", *values, f"{row['f']:.1f}", said])
        lines += [*text_table(grid, ">>>>><", indent=2), ""]
    lines.append("CE, where the loss is a part of that at initialisation:")
    for row in equal.to_dict("records"):
        exponent = quoted(row["exponent"], row["std_error_exponent"])
        lines.append(f"  {row['layer']} layer, {row['rule']}, loss × {row['relative_loss']:g}: {exponent}")
    legend = (
        "exponent: of C, in the ratio of mean squared norms, off-diagonal over diagonal: slope in log–log over C ≥ "
        f"{MIN_CLASSES}, upper: over the upper factor 4; in brackets standard errors over draws. change: from "
        "initialisation, same draws. F: of a straight line (Welch-James). kept: as at initialisation, to "
        f"{IN_WORDS}; bent: that too, but not the upper one; unresolved: these exceed half of it; "
        "steeper, flatter: not, but negative by as many; lost: not even that. no power law: so large an F has a "
        f"probability under {LEVEL:g}. Squared loss has no equal stage at all C: it begins at about C/2, ends near 1."
    )
    return "\n".join([*lines, "", textwrap.fill(legend, LINE)])


def _how(found: pd.DataFrame) -> str:
    """Return how the runs were made, in words."""
    one, draws = found.iloc[0], found[["seed", "draw"]].drop_duplicates()
    return f"One hidden layer, m = {one['width']}, d = {one['dim']}; {scheduled(one)}, {number_of(len(draws), 'draw')}"


def _headlines(fits: pd.DataFrame) -> Iterator[str]:
    for key, of_case in fits.groupby(_KEYS, sort=False):
        loss, layer, rule = plain(key)
        first, last = of_case.iloc[0], of_case.iloc[-1]
        where = f"{loss.upper()}, {layer} layer, {rule}"
        if first["verdict"] == "zero":
            yield f"{where}: off-diagonal blocks are zero throughout"
            continue
        yield (
            f"{where}: off-diagonal/diagonal follows C^p over C ≥ {MIN_CLASSES}, p = {_exponent(first)} at "
            f"initialisation (theory {first['theory']:.3f}, theorem {THEOREM[layer]} as C → ∞), {_exponent(last)} at "
            f"the end, {quoted(last['upper'], last['std_error_upper'])} over the upper factor 4: "
            f"{_in_words(last['verdict'], last['power'])}"
        )


def _in_words(verdict: str, power: bool) -> str:
    return verdict if power else f"{verdict}, no power law"


def _exponent(row: pd.Series) -> str:
    return quoted(row["exponent"], row["std_error_exponent"])


def _start(first: pd.Series) -> str:
    if first["verdict"] == "zero":
        return "; off-diagonal blocks are zero in every run, at every checkpoint"
    return f" as C → ∞, theory at these C {first['theory']:.3f} at initialisation"


def _interpolated(run: pd.DataFrame, target: float) -> float:
    """Return log ratio where the running minimum of the relative loss first is at the target."""
    loss = np.minimum.accumulate(run["relative_loss"].to_numpy())
    logs = np.log(run["ratio"].to_numpy())
    return float(np.interp(-target, -loss, logs))


def _misfit(n_classes: Values, logs: Values) -> dict[str, float | bool]:
    """Return what ``misfit`` does, and whether the line is straight; it is through two points, or with one draw."""
    f, probability = misfit(np.log(n_classes), logs) if len(n_classes) > 2 and len(logs) > 1 else (np.nan, np.nan)
    return {"f": f, "probability": probability, "power": not probability < LEVEL}


def _verdict(line: dict[str, Any], start: float, looks: int) -> str:
    if np.isnan(line["std_error_change"]):
        return NO_ERROR
    allowed = tolerance(line["draws"], looks)
    room = allowed * line["std_error_change"]
    if abs(line["change"]) <= room:
        if abs(line["change_upper"]) > allowed * line["std_error_change_upper"]:
            return "bent"
        return "kept" if room <= abs(start) / 2 else "unresolved"
    if line["exponent"] >= -allowed * line["std_error_exponent"]:
        return "lost"
    return "steeper" if line["change"] < 0 else "flatter"
