"""How the time of one draw grows with each of its sizes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

import rmtsim
from benchmarks.report import Part, Row, Table, Target
from benchmarks.timing import SPREAD, timed
from rmtsim.model.point import Point

_OUTPUT = ("hidden", "output")


def _steps(low: float, high: float, per_decade: int) -> list[int]:
    """Sizes at even distances in the logarithm, both ends included."""
    count = round(np.log10(high / low) * per_decade) + 1
    return [int(size) for size in np.rint(np.geomspace(low, high, count))]


#: Axis, where it starts, its sizes, from which of them on the exponent is fitted, and what it may be (None: no bound).
_AXES: list[tuple[str, Point, list[int], int, float | None]] = [
    ("n_classes", Point("linear", "ce", 100, 64, 128), _steps(100, 10**6, 4), 10**5, 1.0),
    ("n_classes", Point("linear", "ce", 100, 512, 512), _steps(100, 10**5, 4), 10**4, 1.0),
    ("n_samples", Point("linear", "ce", 200, 256, 256), [256, 512, 1024, 2048, 4096, 8192, 16384], 2048, 2.0),
    ("dim", Point("linear", "ce", 1000, 64, 512), _steps(64, 8192, 4), 800, None),
    ("width", Point("one_hidden", "ce", 1000, 64, 512, 2), [2, 4, 8, 16, 32, 64], 8, None),
]


def run(quick: bool) -> Part:
    """Time draws along each axis and fit exponents."""
    rows, fits, targets = [], [], []
    for axis, start, sizes, fit_from, bound in _AXES:
        sizes = sizes[:3] if quick else sizes
        found = [_row(axis, replace(start, **{axis: size}), 0.05 if quick else 0.5) for size in sizes]
        rows += found
        fitted = [row for row in found if quick or row[axis] >= fit_from]
        slope, error = _slope([row[axis] for row in fitted], [row["ms"] for row in fitted])
        others = {name: size for name, size in _sizes(start).items() if name != axis}
        fit = {"along": axis, "from": fitted[0][axis], "to": fitted[-1][axis], "points": len(fitted)}
        fits.append({**fit, **others, "exponent": slope, "std_error": error})
        if bound is not None:
            what = f"exponent of {axis}, less two standard errors, at {_words(others)}"
            targets.append(Target(what, slope - 2 * error, bound))
    about = (
        f"Seconds of one exact draw in float64, one core; linear CE, and one_hidden CE with its layers "
        f"{' and '.join(_OUTPUT)} where there is a width. {SPREAD} Exponents are slopes of log time over log size "
        "by least squares, with their standard errors."
    )
    tables = [Table("Exponents over the upper sizes", fits), Table("Times of one draw", rows)]
    return Part(about, tables, [] if quick else targets)


def _row(axis: str, point: Point, enough: float) -> Row:
    layers = _OUTPUT if point.width else point.layers
    draws = 32 if point.n_classes * point.n_samples * (point.width or point.dim) < 10**7 else 1
    timing = timed(lambda: rmtsim.simulate(point, draws, layers=layers, threads=1), enough=enough)
    columns = timing.columns("ms")
    return {"along": axis, **_sizes(point), **columns, "ms": columns["ms"] / draws}


def _slope(sizes: Iterable[float], times: Iterable[float]) -> tuple[float, float]:
    """Slope of a straight line through the logarithms, and its standard error."""
    x, y = np.log(list(sizes)), np.log(list(times))
    x = x - x.mean()
    slope = x @ y / (x @ x)
    residual = y - y.mean() - slope * x
    return float(slope), float(np.sqrt(residual @ residual / max(1, len(x) - 2) / (x @ x)))


def _sizes(point: Point) -> dict[str, int | None]:
    return {name: getattr(point, name) for name in ("n_classes", "dim", "n_samples", "width")}


def _words(sizes: dict[str, int | None]) -> str:
    return ", ".join(f"{name} = {size}" for name, size in sizes.items() if size)
