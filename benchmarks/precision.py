"""What several last layers for each draw of X and W gain: precision per second of processor time."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd

import rmtsim
from benchmarks.report import Part, Row, Table, Target
from rmtsim.kernels.cost import flops
from rmtsim.model.point import Point

_KINDS = ("diag", "offdiag")
_BOUND = 8.0

#: Point, layers that are asked for, numbers of last layers, draws of one and of several.
_Case = tuple[Point, tuple[str, ...], tuple[int, ...], int, int]
_HIDDEN: list[_Case] = [
    (Point("one_hidden", "ce", 2, 500, 1000, 8), ("hidden",), (32, 128), 400, 60),
    (Point("one_hidden", "ce", 10, 500, 1000, 8), ("hidden",), (32, 128), 400, 60),
    (Point("one_hidden", "ce", 100, 500, 1000, 8), ("hidden",), (16, 32, 64), 400, 150),
]
_OTHERS: list[_Case] = [
    *((Point("one_hidden", "ce", C, 500, 1000, 8), ("hidden", "output"), (4, 16), 150, 60) for C in (2, 10, 100)),
    (Point("one_hidden", "mse", 10, 500, 1000, 8), ("hidden",), (64,), 150, 60),
    (Point("one_hidden", "ce", 10, 64, 128, 8), ("hidden", "output"), (16,), 1000, 300),
    (Point("linear", "ce", 100, 500, 1000), ("linear",), (4,), 60, 40),
]
_QUICK: list[_Case] = [(Point("one_hidden", "ce", 4, 60, 120, 4), ("hidden", "output"), (4,), 64, 32)]

#: Draws in a turn.
_AT_ONCE = 10


def run(quick: bool) -> Part:
    """Compare draws with one and with several last layers in turn."""
    cases = _QUICK if quick else _HIDDEN + _OTHERS
    rows = [row for case in cases for row in _compared(*case)]
    about = (
        "Gain of R last layers over one: the ratio of 1/(variance of a row × processor time of a row). Draws of one "
        "and of R last layers take turns, on one core, in float64; a row's time is that of all layers asked for. "
        "Standard errors by the jackknife over draws. model_gain is what counted flops would give if all of the "
        "variance came from V."
    )
    targets = []
    for point, layers, *_ in [] if quick else _HIDDEN:
        of_point = [row for row in rows if (row["C"], row["model"], row["layers"]) == _name(point, layers)]
        for kind in _KINDS:
            best = max(row["gain"] for row in of_point if row["blocks"] == f"hidden {kind}")
            targets.append(Target(f"gain of the best R at C = {point.n_classes}, hidden {kind}", best, _BOUND, False))
    return Part(about, [Table("Precision per second with R last layers, over that with one", rows)], targets)


def _name(point: Point, layers: tuple[str, ...]) -> tuple[int, str, str]:
    return point.n_classes, f"{point.model} {point.loss}", "+".join(layers)


def _compared(point: Point, layers: tuple[str, ...], several: tuple[int, ...], single: int, many: int) -> list[Row]:
    """Return a row for each R, layer and kind of block."""
    counts = {1: single, **dict.fromkeys(several, many)}
    found: dict[int, list[pd.DataFrame]] = {R: [] for R in counts}
    seconds = dict.fromkeys(counts, 0.0)
    options: dict[str, Any] = {"layers": layers, "threads": 1}
    for R in counts:
        rmtsim.simulate(point, 1, weights_per_draw=R, **options)
    turns = max(-(-count // _AT_ONCE) for count in counts.values())
    for turn in range(turns):
        for R, count in counts.items():
            start, stop = count * turn // turns, count * (turn + 1) // turns
            if stop > start:
                before = time.process_time()
                found[R].append(rmtsim.simulate(point, range(start, stop), weights_per_draw=R, **options))
                seconds[R] += time.process_time() - before
    per_row = {R: seconds[R] / counts[R] for R in counts}
    C, model, names = _name(point, layers)
    rows: list[Row] = []
    for R in several:
        for layer in layers:
            for kind in _KINDS:
                one, mean = (_values(found[r], layer, kind) for r in (1, R))
                if np.ptp(one) == 0:
                    continue
                (ratio, error), faster = _ratio_of_variances(one, mean), per_row[1] / per_row[R]
                model_gain = R * flops(point, layers) / flops(point, layers, weights=R)
                sizes = {"C": C, "d": point.dim, "N": point.n_samples, "m": point.width}
                rows.append(
                    {"model": model, **sizes, "layers": names, "R": R, "blocks": f"{layer} {kind}"}
                    | {"one_ms": 1e3 * per_row[1], "R_ms": 1e3 * per_row[R], "variance_ratio": ratio}
                    | {"gain": ratio * faster, "std_error": error * faster, "model_gain": model_gain}
                )
    return rows


def _values(found: list[pd.DataFrame], layer: str, kind: str) -> np.ndarray:
    rows = pd.concat(found, ignore_index=True)
    return rows.loc[rows["layer"] == layer, f"{kind}_sqfro"].to_numpy(dtype=float)


def _ratio_of_variances(one: np.ndarray, mean: np.ndarray) -> tuple[float, float]:
    """Variance of ``one`` over that of ``mean``, and its standard error by the jackknife over each."""
    ratio = float(np.var(one, ddof=1) / np.var(mean, ddof=1))
    relative = 0.0
    for values in (one, mean):
        n, squares = len(values), (values - values.mean()) ** 2
        without = (squares.sum() - squares * n / (n - 1)) / (n - 2)  # variances without one of the values
        relative += (n - 1) * np.var(without) / np.var(values, ddof=1) ** 2
    return ratio, ratio * float(np.sqrt(relative))
