"""How the spread of draws falls with the size of a point: the powers by which plans go from small draws to large."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.report import Part, Row, Table
from rmtsim.model.choices import LayerName
from rmtsim.model.fixed_values import fixed_values
from rmtsim.model.point import Point
from rmtsim.sampling.simulation import simulate_arrays
from rmtsim.sweeps.pilot import _FALL
from rmtsim.sweeps.tallies import Tallies

#: Dimensions, each twice the one before, and d/N.
_DIMS, _RATIOS = (32, 64, 128, 256), (0.5, 1.0, 2.0)
_QUICK_DIMS, _QUICK_RATIOS = (8, 16), (1.0,)

#: Layers, with the classes and neurons of their points.
_LAYERS: tuple[tuple[LayerName, int, int | None], ...] = (
    *(("linear", classes, None) for classes in (10, 100)),
    *((layer, *sizes) for layer in ("hidden", "output", "cross") for sizes in ((10, 4), (10, 8), (100, 8))),
)


def run(quick: bool) -> Part:
    """Measure the power of d with which the relative variance of a draw falls, from d to 2d."""
    dims, ratios, draws = (_QUICK_DIMS, _QUICK_RATIOS, 64) if quick else (_DIMS, _RATIOS, 768)
    rows, summary = [], []
    for layer, n_classes, width in _LAYERS:
        of_layer = [row for ratio in ratios for row in _powers(layer, n_classes, width, ratio, dims, draws)]
        powers = [float(row["power"]) for row in of_layer]
        found: Row = {
            "layer": layer,
            "C": n_classes,
            "m": width,
            "plans take": _FALL[layer],
            "mean": float(np.mean(powers)),
        }
        summary.append(found | {"least": min(powers), "greatest": max(powers)})
        rows += of_layer
    about = (
        f"The relative variance of a draw, the largest over the layer's means and their ratio, of {draws} draws with "
        "cross-entropy. From d to 2d, with N growing as d does, it falls as a power of d. The standard error of a "
        "power is that of normal draws; heavier tails make it larger. Plans take one power for any C and m."
    )
    return Part(about, [Table("Powers", rows), Table("In all", summary)], [])


def _powers(
    layer: LayerName, n_classes: int, width: int | None, ratio: float, dims: tuple[int, ...], draws: int
) -> list[Row]:
    variances = [_relative_variance(layer, n_classes, width, dim, round(dim / ratio), draws) for dim in dims]
    error = 2 / math.sqrt(draws) / math.log(2)  # of the logarithm to base 2 of a quotient of variances, 2/n each
    return [
        {
            "layer": layer,
            "C": n_classes,
            "m": width,
            "d/N": ratio,
            "d": dim,
            "power": math.log2(small / large),
            "std_error": error,
        }
        for dim, small, large in zip(dims, variances, variances[1:], strict=False)
    ]


def _relative_variance(
    layer: LayerName, n_classes: int, width: int | None, dim: int, n_samples: int, draws: int
) -> float:
    point = Point("one_hidden" if width else "linear", "ce", n_classes, dim, n_samples, width)
    made = simulate_arrays(point, draws, layers=(layer,))
    tallies = Tallies((layer,), [{layer: fixed_values(point.loss, layer, n_classes)}])
    tallies.add(np.array([0]), made.values[None, :, :, :2])
    return float(draws * tallies.worst(0)[0] ** 2)
