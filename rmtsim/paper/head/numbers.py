"""Measurements of heads as one table: norms beside nulls, blocks of each class, and maps of blocks."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rmtsim.errors import InputError
from rmtsim.figures.parts import join_parts
from rmtsim.heads.results import Measurement
from rmtsim.heads.saved import read_measurement
from rmtsim.stats.least_squares import least_squares
from rmtsim.text.checks import is_several
from rmtsim.text.words import abridge

#: What the norms of a measurement stand as, beside those of its nulls.
MEASURED = "measured"

_NORMS = ("diag_sqfro", "offdiag_sqfro", "ratio", "outside")
_ERRORS = ("std_error_diag", "std_error_offdiag", "std_error_ratio", "std_error_outside")

#: Columns of each part, beside name and step.
_COLUMNS = {
    "norms": ["of"],
    "classes": ["class", "frequency", "diag_sqfro", "std_error_diag"],
    "blocks": ["class_i", "class_j", "sqfro", "place_i", "place_j", "relative", "token_i", "token_j"],
}

#: What is the same at all checkpoints of one network.
_SIZES = {"n_classes": "C", "dim": "d", "batch": "N"}

#: A power of the frequency is fitted to at least so many classes.
_FEWEST = 5


@dataclass(frozen=True)
class Named:
    """A measurement with its name, and its step of training where it is a checkpoint."""

    name: str
    measurement: Measurement
    step: float = math.nan


def named(measurements: Any) -> list[Named]:
    """Return what a user gave as measurements with names, checkpoints in the order of their steps.

    Parameters
    ----------
    measurements
        A `Measurement`, or the name of a file of one; several of these; or a mapping of names to them, for models, or
        of steps of training to them, for checkpoints of one network.

    Raises
    ------
    InputError
        If it is none of these, or some checkpoints are not of one network.
    """
    if isinstance(measurements, Mapping):
        steps = [isinstance(key, Real) and not isinstance(key, bool) for key in measurements]
        if any(steps) and not all(steps):
            raise InputError("measurements: it has names and steps; give steps for checkpoints, or names for models")
        if any(steps):
            return checkpoints({_step(key): _measurement(value) for key, value in measurements.items()})
        return _models([(str(key), _measurement(value)) for key, value in measurements.items()])
    several = [measurements] if isinstance(measurements, Measurement | os.PathLike) else measurements
    if not is_several(several):
        several = [several]
    return _models([_with_name(value, place) for place, value in enumerate(several, 1)])


def from_files(paths: Iterable[str], *, by_step: bool) -> list[Named]:
    """Return the measurements in files: models, or with ``by_step`` checkpoints at the steps in the files' names.

    Raises
    ------
    InputError
        If a file holds none, or a checkpoint's name has no number, or that of another.
    """
    names = list(paths)
    if not by_step:
        return _models([(Path(path).stem, read_measurement(path, "--measured")) for path in names])
    steps: dict[float, str] = {}
    for path in names:
        numbers = re.findall(r"\d+", Path(path).stem)
        if not numbers:
            raise InputError(f"--by-step: the name of {path} has no number; name each FILE by its step of training")
        if (step := float(numbers[-1])) in steps:
            raise InputError(f"--by-step: {steps[step]} and {path} are both of step {step:g}; give one FILE a step")
        steps[step] = path
    return checkpoints({step: read_measurement(path, "--measured") for step, path in steps.items()})


def checkpoints(measurements: Mapping[float, Measurement]) -> list[Named]:
    """Return checkpoints of one network, by their steps.

    Raises
    ------
    InputError
        If there is one alone, or their C, d or N differ.
    """
    steps = sorted(measurements)
    if len(steps) < 2:
        raise InputError("measurements: one checkpoint makes no curve; give at least two, or one model without steps")
    first = measurements[steps[0]]
    for step in steps[1:]:
        other = measurements[step]
        for name, letter in _SIZES.items():
            if (here := getattr(first, name)) != (there := getattr(other, name)):
                raise InputError(
                    f"measurements: {letter} is {here} at step {steps[0]:g} and {there} at step {step:g}; checkpoints "
                    "are of one network and one size of a batch, so give these as models, by names"
                )
    return [Named(f"{step:g}", measurements[step], step) for step in steps]


def _step(key: Any) -> float:
    if not 0 <= key <= sys.float_info.max:
        raise InputError(f"measurements: {abridge(key)} is not a step of training; give a number from 0")
    return float(key)


def _models(found: list[tuple[str, Measurement]]) -> list[Named]:
    if not found:
        raise InputError("measurements: there are none; give at least one")
    names = [name for name, _ in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"measurements: two are called {name}; give each a name of its own")
    return [Named(name, measurement) for name, measurement in found]


def _with_name(value: Any, place: int) -> tuple[str, Measurement]:
    if isinstance(value, Measurement):
        return str(place), value
    return (Path(value).stem if isinstance(value, str | os.PathLike) else ""), _measurement(value)


def _measurement(value: Any) -> Measurement:
    if isinstance(value, Measurement):
        return value
    if isinstance(value, str | os.PathLike):
        return read_measurement(value, "measurements")
    raise InputError(
        f"measurements: {abridge(value)} is no measurement; give what rmtsim.measure returned, or the name of a file "
        "that `rmtsim measure --json` printed"
    )


def rows_of(measurements: Iterable[Named]) -> pd.DataFrame:
    """Return measurements as rows, in parts (`rmtsim.figures.parts.part`).

    Returns
    -------
    DataFrame
        Every part has ``name`` and ``step``, NaN for models.

        norms
            The norms of the measurement (``of`` is ``"measured"``) and of each null that has them (``of`` is its
            name): diag_sqfro, offdiag_sqfro, ratio, outside with standard errors; sizes; and of the measurement itself
            ``perplexity`` and ``effective_classes``.
        classes
            The blocks of each class, where the measurement has them: class, frequency, diag_sqfro, std_error_diag.
        blocks
            ``sqfro`` of the blocks between the most frequent classes, where it has them: class_i, class_j, sqfro, with
            ``place_i``, ``place_j`` and the names ``token_i``, ``token_j``; and ``relative``, over the mean of all
            diagonal blocks.
    """
    parts = {name: [pd.DataFrame(columns=["name", "step", *columns])] for name, columns in _COLUMNS.items()}
    for shown in measurements:
        key: dict[str, Any] = {"name": shown.name, "step": shown.step}
        parts["norms"].append(_norms(shown.measurement).assign(**key))
        if shown.measurement.classes is not None:
            parts["classes"].append(shown.measurement.classes[_COLUMNS["classes"]].assign(**key))
        if shown.measurement.blocks is not None:
            parts["blocks"].append(_blocks(shown.measurement).assign(**key))
    return join_parts({name: pd.concat(tables[1:] or tables, ignore_index=True) for name, tables in parts.items()})


def _norms(measurement: Measurement) -> pd.DataFrame:
    sizes = {name: getattr(measurement, name) for name in (*_SIZES, "batches")}
    own = {name: getattr(measurement, name) for name in ("perplexity", "effective_classes")}
    lines = [{"of": MEASURED, **sizes, **_values(measurement.norms), **own}]
    lines += [
        {"of": null.name, **sizes, **_values(null.norms)}
        for null in measurement.null_list
        if not math.isnan(null.norms.ratio)
    ]
    return pd.DataFrame(lines)


def _values(norms: Any) -> dict[str, float]:
    return {name: getattr(norms, name) for name in (*_NORMS, *_ERRORS)}


def _blocks(measurement: Measurement) -> pd.DataFrame:
    table = measurement.blocks
    assert table is not None
    order = {number: place for place, number in enumerate(table["class_i"].unique())}
    found = table[["class_i", "class_j", "sqfro"]].assign(
        place_i=table["class_i"].map(order),
        place_j=table["class_j"].map(order),
        relative=table["sqfro"] / measurement.diag_sqfro if measurement.diag_sqfro else math.nan,
    )
    for which in ("i", "j"):
        tokens = table.get(f"token_{which}")
        found[f"token_{which}"] = table[f"class_{which}"].astype(str) if tokens is None else tokens.astype(str)
    return found


def powers(classes: pd.DataFrame) -> pd.DataFrame:
    """Return the power of the predicted frequency that the norms of diagonal blocks follow, over classes.

    Parameters
    ----------
    classes
        The part of that name of `rows_of`.

    Returns
    -------
    DataFrame
        One row for each name: the slope ``power`` of log diag_sqfro in log frequency over the ``fitted`` classes that
        have both, equally weighted, with ``std_error_power`` from the scatter about the line.
    """
    lines = []
    for name, table in classes.groupby("name", sort=False):
        both = table[(table["frequency"] > 0) & (table["diag_sqfro"] > 0)]
        x, y = (np.log(both[column].to_numpy(float)) for column in ("frequency", "diag_sqfro"))
        line: dict[str, Any] = {"name": name, "fitted": len(x), "power": math.nan, "std_error_power": math.nan}
        if len(x) >= _FEWEST and float(np.ptp(x)) > 0:
            fit = least_squares([np.ones(len(x)), x], y)
            spread = math.sqrt(fit.chi2 / (len(x) - 2))
            line |= {"power": float(fit.values[1]), "std_error_power": spread * float(fit.std_errors[1])}
        lines.append(line)
    return pd.DataFrame(lines, columns=["name", "fitted", "power", "std_error_power"])
