"""What stored specs want at least of which points: as much of a sweep as the engine knows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

from rmtsim.errors import InputError
from rmtsim.model.ensemble import Ensemble
from rmtsim.model.models import get_model
from rmtsim.model.point import Point, check_layers
from rmtsim.sampling.simulation import MAX_SEED
from rmtsim.store.coverage import Coverage, Runs, Series
from rmtsim.text.checks import check_size

#: What raises InputError at the document of a spec that is not one of a sweep.
SpecCheck: TypeAlias = Callable[[Mapping[str, Any]], object]

#: Points of a sweep, at most.
_MOST_POINTS = 100_000


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
    """Return what the document of a spec wants at least; of one without sampling, nothing.

    Raises
    ------
    InputError
        If it has sampling, and is not one of a sweep.
    """
    if "sampling" not in spec:
        return []
    try:
        grid, sampling = spec["grid"], spec["sampling"]
        ensemble = Ensemble(**spec.get("ensemble", {}))
        lists = [grid["dim"], grid["aspect_ratio"], grid.get("width", [None]), grid["n_classes"]]
        if not all(isinstance(values, list) for values in lists) or not 0 < math.prod(map(len, lists)) <= _MOST_POINTS:
            raise InputError(f"grid: it is not lists of values that make 1 to {_MOST_POINTS} points")
        points = [
            Point(spec["model"], spec["loss"], classes, dim, int(dim / Fraction(repr(ratio))), width, ensemble)
            for dim, ratio, width, classes in itertools.product(*lists)
        ]
        layers = check_layers(spec["layers"], get_model(spec["model"]).layer_names)
        seed, least = (
            check_size("seed", sampling["seed"], least=0, most=MAX_SEED),
            check_size("min_draws", sampling["min_draws"]),
        )
    except KeyError as error:
        raise InputError(f"{error.args[0]}: the key is missing") from error
    except (TypeError, AttributeError, ArithmeticError) as error:
        raise InputError("a value has the wrong type") from error
    except ValueError as error:
        raise InputError(str(error).partition("; ")[0]) from error
    return [Wanted(point.id, seed, layers, least) for point in points]


def stored_layers(spec: Mapping[str, Any]) -> set[str]:
    """Return the layers that the document of a spec names; of one that names none, nothing."""
    layers = spec.get("layers")
    return {layer for layer in layers if isinstance(layer, str)} if isinstance(layers, list) else set()
