"""What stored specs want at least of which points: as much of a sweep as the engine knows."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from rmtsim.ensemble import Ensemble
from rmtsim.point import Point
from rmtsim.store.coverage import Coverage, Runs, Series


class Wanted(NamedTuple):
    """Draws 0 to ``min_draws`` − 1 of a point, all layers."""

    point_id: str
    seed: int
    layers: tuple[str, ...]
    min_draws: int

    def there(self, coverage: Coverage) -> bool:
        """Whether none of them is missing."""
        first = range(self.min_draws)
        series = (Series(self.point_id, self.seed, layer) for layer in self.layers)
        return not any(coverage.get(one, Runs()).gaps(first) for one in series)


def wanted(spec: Mapping[str, Any]) -> list[Wanted]:
    """Return what the document of a spec wants at least; of one that is no sweep, nothing."""
    try:
        grid, sampling = spec["grid"], spec["sampling"]
        ensemble = Ensemble(**spec.get("ensemble", {}))
        sizes = itertools.product(grid["dim"], grid["aspect_ratio"], grid.get("width", [None]), grid["n_classes"])
        points = [
            Point(spec["model"], spec["loss"], classes, dim, int(dim / Fraction(repr(ratio))), width, ensemble)
            for dim, ratio, width, classes in sizes
        ]
        layers, seed, least = tuple(spec["layers"]), int(sampling["seed"]), int(sampling["min_draws"])
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError):
        return []
    return [Wanted(point.id, seed, layers, least) for point in points]
