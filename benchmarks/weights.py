"""Whether the rule for the number of last layers ever loses: variances between and within pairs (X, W), and times."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

import rmtsim
from benchmarks.report import Part, Row, Table, Target
from rmtsim.kernels.cost import cost
from rmtsim.model.choices import ACTIVATIONS, WEIGHTS
from rmtsim.model.ensemble import LECUN, Ensemble
from rmtsim.model.point import Point
from rmtsim.sampling.draws import last_layers, sample
from rmtsim.sampling.weights import gain, variance_ratio, weights_of
from rmtsim.sweeps.spec import builtin_specs, load

Values = npt.NDArray[np.float64]

#: Last layers by which variances are parted, draws held at once, and the seed.
_LAYERS, _BATCH, _SEED = 4, 16, 11

#: Relative spread below which a quantity is the same in all draws.
_ROUNDING = 1e-10

#: Work of the draws at a point, see `rmtsim.kernels.cost.cost`, and their number at most.
_WORK, _MOST = 3e10, 400

#: Classes at the size of Figure 9's hidden layer, and draws there with one last layer and with those of the rule.
_CLASSES, _DRAWS = (2, 10, 100), (3000, 1000)

#: Laws of data other than the normal: correlated ones, heavy tails, one length.
_DATA = ("spectrum:1", "spiked:3:10", "ar1:0.9", "student_t:6", "sphere")

#: Points at which the bounds of the rule were found.
_POINTS = [
    *(Point("linear", "ce", C, d, N) for C, d, N in [(2, 16, 32), (2, 40, 20), (2, 40, 400), (2, 200, 400)]),
    *(Point("linear", "ce", C, d, N) for C, d, N in [(3, 48, 96), (5, 48, 96), (10, 16, 32), (10, 64, 32)]),
    *(Point("linear", "ce", C, d, N) for C, d, N in [(10, 200, 400), (40, 48, 96)]),
    *(Point("one_hidden", "ce", C, d, N, 4) for C, d, N in [(2, 16, 32), (2, 64, 128), (10, 16, 32), (40, 64, 128)]),
    *(Point("one_hidden", "ce", 10, d, N, m) for d, N, m in [(64, 128, 2), (64, 128, 8), (16, 2, 16), (16, 128, 64)]),
    *(Point("one_hidden", "ce", C, d, N, 8) for C, d, N in [(300, 64, 128), (1000, 64, 128), (1000, 16, 32)]),
    *(Point("one_hidden", "mse", C, d, 2 * d, 8) for C, d in [(2, 40), (10, 40), (100, 40), (1000, 16)]),
]

#: Points with other laws and activations at which they were found.
_OTHERS = [
    *(Point("one_hidden", "ce", 10, 32, 64, 8, Ensemble(activation=name)) for name in ACTIVATIONS),
    *(Point("one_hidden", "ce", 2, 16, 32, 4, Ensemble(activation=name)) for name in ACTIVATIONS),
    *(Point("one_hidden", "mse", 10, 40, 80, 8, Ensemble(activation=name)) for name in ACTIVATIONS),
    *(Point("one_hidden", "ce", 10, 32, 64, 8, Ensemble(data=law)) for law in _DATA),
    *(Point("one_hidden", "ce", 10, 32, 64, 8, Ensemble(weights=law)) for law in WEIGHTS[1:]),
    *(Point("linear", "ce", 2, 40, 80, ensemble=Ensemble(data=law)) for law in _DATA),
]


def run(quick: bool) -> Part:
    """Measure variance ratios and times, and hold the rule against both."""
    points = [*_POINTS[::6], *_OTHERS[::9]] if quick else [*_POINTS, *_OTHERS]
    ratios = [row for point in points for row in _ratios(point, 40 if quick else 300)]
    rule = _rule_at_points(quick)
    hidden = [row for C in _CLASSES for row in against_one(C, *((24, 16) if quick else _DRAWS))]
    about = (
        "A draw is (X, W, V₁ … V_R), and its row the means over R. B is the variance between the pairs (X, W), W that "
        f"within them; both by analysis of variance over {_LAYERS} last layers, with standard errors over draws. The "
        "rule takes the bound of B/W of the worst quantity of all layers of a spec. The gain is the precision per "
        "second over that of R = 1: the ratio of the variances of a row, by B and W, times that of the times, by the "
        "cost model and as measured (processor time of one thread, both R in turn). At the size of Figure 9's hidden "
        "layer it is measured by the variances of rows of both R themselves."
    )
    targets = [
        Target("least gain of the rule by the cost model", _least(rule, "gain_by_model"), 1.0, at_most=False),
        Target("least gain of the rule as measured", _least(rule, "gain_measured"), 1.0, at_most=False),
        Target("least gain at the size of Figure 9's hidden layer", _least(hidden, "gain"), 8.0, at_most=False),
    ]
    tables = [
        Table("B/W by layer, worst quantity, and the rule's bound", ratios),
        Table("Points of the specs at which the rule takes several last layers, worst quantity of all layers", rule),
        Table("Precision per second over that of one last layer: hidden layer, d = 500, N = 1000, m = 8", hidden),
    ]
    return Part(about, tables, [] if quick else targets)


def _least(rows: list[Row], column: str) -> float:
    return min((float(row[column]) for row in rows), default=1.0)


def _sizes(point: Point) -> Row:
    sizes = {"loss": point.loss, "C": point.n_classes, "d": point.dim, "N": point.n_samples, "m": point.width}
    return sizes | {"laws": str(point.ensemble).removeprefix(f"{LECUN.init}, ")}


def _ratios(point: Point, draws: int) -> list[Row]:
    """Return the measured B/W of each layer's worst quantity beside the bound of the rule."""
    found = components(point, point.layers, draws)
    rows = []
    for layer in point.layers:
        of_layer = {name: value for (one, name), value in found.items() if one == layer}
        if of_layer:
            name, (ratio, error) = max(of_layer.items(), key=lambda item: item[1][0])
            measured = {"layer": layer, "worst": name, "B_over_W": ratio, "std_error": error}
            rows.append(_sizes(point) | measured | {"bound": variance_ratio(point, layer)})
    return rows


def components(point: Point, layers: tuple[str, ...], draws: int) -> dict[tuple[str, str], tuple[float, float]]:
    """Return B/W of each quantity of each layer, with its standard error; those that V does not move are left out."""
    parts: dict[str, list[Values]] = {layer: [] for layer in layers}
    for start in range(0, draws, _BATCH):
        some = range(start, min(start + _BATCH, draws))
        X, V, W, y, _ = sample(point, some, _SEED, dtype="float64", xp=np, labels=True)
        options: dict[str, Any] = {"loss": point.loss, "activation": point.ensemble.activation, "layers": layers}
        options |= {"threads": 1, "progress": False}
        norms = [rmtsim.block_norms(X, one.all(), W=W, y=y, **options) for one in last_layers(V, _LAYERS)]
        for layer in layers:
            parts[layer].append(np.array([of_one[layer][:2] for of_one in norms]))
    found = {}
    for layer, arrays in parts.items():
        diag, offdiag = np.moveaxis(np.concatenate(arrays, axis=2), 1, 0)
        quantities = {"diag": diag, "offdiag": offdiag}
        relative = {name: x / x.mean() for name, x in quantities.items() if np.all(np.isfinite(x)) and x.mean() > 0}
        if len(relative) == 2:
            relative["ratio"] = relative["offdiag"] - relative["diag"]
        for name, x in relative.items():
            within = x.var(axis=0, ddof=1)
            if within.mean() > _ROUNDING**2:
                squares = (x.mean(axis=0) - x.mean()) ** 2 * draws / (draws - 1) - within / _LAYERS
                ratio = squares.mean() / within.mean()
                error = np.std(squares - ratio * within, ddof=1) / within.mean() / draws**0.5
                found[layer, name] = float(ratio), float(error)
    return found


def _rule_at_points(quick: bool) -> list[Row]:
    """Hold the rule against measured variances and times at the points of the specs where it takes several."""
    rows, seen = [], set()
    for name in builtin_specs():
        spec = load(name)
        for point in spec.points():
            R = weights_of("auto", point, spec.layers, spec.sampling.diagonal)
            each = cost(point, spec.layers, spec.sampling.diagonal, _LAYERS)
            if R == 1 or (point, spec.layers) in seen or (quick and (each > 2e8 or rows)):
                continue
            seen.add((point, spec.layers))
            draws = 24 if quick else int(min(_MOST, max(32, _WORK / each)))
            found = components(point, spec.layers, draws).values()
            worst = max(0.0, *(ratio for ratio, _ in found))  # an estimate may fall below 0
            variances = (1 + worst) / (worst + 1 / R)
            one, several = times(point, spec.layers, R, spec.sampling.dtype, 8 if quick else max(4, draws // 8))
            rows.append(
                _sizes(point)
                | {
                    "layers": ", ".join(spec.layers),
                    "R": R,
                    "B_over_W": worst,
                    "gain_by_model": gain(point, spec.layers, spec.sampling.diagonal, R, worst),
                    "ms_1": 1e3 * one,
                    "ms_R": 1e3 * several,
                    "gain_measured": variances * one / several,
                }
            )
    return rows


def against_one(n_classes: int, draws: int, draws_of_rule: int) -> list[Row]:
    """Return the gain of the rule over one last layer for each quantity, by variances of rows and times."""
    point = Point("one_hidden", "ce", n_classes, 500, 1000, 8)
    R = weights_of("auto", point, point.layers[:1])
    options: dict[str, Any] = {"layers": "hidden", "dtype": "float32", "seed": _SEED, "threads": 1, "progress": False}
    one, several = (
        _relative(rmtsim.simulate(point, count, weights_per_draw=weights, **options))
        for weights, count in ((1, draws), (R, draws_of_rule))
    )
    ms_1, ms_R = (1e3 * seconds for seconds in times(point, point.layers[:1], R, "float32", 6))
    rows = []
    for name in one:
        less, rse = 1.0, 0.0
        for power, x in ((1, one[name]), (-1, several[name])):
            squares = (x - x.mean()) ** 2
            less *= float(squares.mean()) ** power
            rse += float(np.var(squares) / len(x) / squares.mean() ** 2)
        gain_found = less * ms_1 / ms_R
        found = {"variance_1": one[name].var(), "variance_over": less, "ms_1": ms_1, "ms_R": ms_R}
        rows.append({"C": n_classes, "R": R, "quantity": name} | found | {"gain": gain_found, "rse": rse**0.5})
    return rows


def _relative(rows: pd.DataFrame) -> dict[str, Values]:
    """Return diag, offdiag and ratio of draws over their means; the last by its linearisation."""
    diag, offdiag = (rows[f"{name}_sqfro"].to_numpy() / rows[f"{name}_sqfro"].mean() for name in ("diag", "offdiag"))
    return {"diag": diag, "offdiag": offdiag, "ratio": offdiag - diag}


def times(point: Point, layers: tuple[str, ...], R: int, dtype: str, draws: int) -> tuple[float, float]:
    """Return the processor time of a draw with one last layer and with R: medians of five rounds, in turn."""
    spent: dict[int, list[float]] = {1: [], R: []}
    for _ in range(5):
        for weights, found in spent.items():
            start = time.process_time()
            rmtsim.simulate(point, draws, layers=layers, dtype=dtype, weights_per_draw=weights, threads=1)  # type: ignore[arg-type]
            found.append((time.process_time() - start) / draws)
    return float(np.median(spent[1])), float(np.median(spent[R]))
