"""Waves of draws: those that are made at once, whose norms come back from a GPU together."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from rmtsim.arrays.backend import Module, backend_of, to_numpy
from rmtsim.arrays.threads import ThreadTeam
from rmtsim.kernels.doubts import AT_ONCE, Doubts, NotedDoubts
from rmtsim.kernels.network_norms import Draws, compute
from rmtsim.kernels.precision import PrecisionCheck
from rmtsim.kernels.scaling import ensemble_scaling
from rmtsim.kernels.tiling import Tiling
from rmtsim.model.activation import layers_with_labels
from rmtsim.model.point import Point
from rmtsim.sampling.draws import last_layers, sample

Values = npt.NDArray[np.float64]


class Waves:
    """Norms of a point's draws, wave by wave. A draw's norms have the same bits in any wave.

    A GPU is waited for once in a wave. Draws in doubt are then made again, each alone; from a wave on that has more of
    them than others, all draws are made with care.

    Parameters
    ----------
    point, seed, layers, dtype, xp
        What is drawn, and of which layers the norms are wanted.
    sampled_classes
        From how many classes terms of single classes are taken.
    weights
        Last layers of each draw.
    """

    def __init__(
        self,
        point: Point,
        seed: int,
        layers: tuple[str, ...],
        *,
        dtype: str,
        xp: Module,
        sampled_classes: int,
        weights: int,
    ) -> None:
        self._point, self._seed, self._layers, self._dtype, self._xp = point, seed, layers, dtype, xp
        self._scaling, self._sampled, self._weights = ensemble_scaling(point, dtype), sampled_classes, weights
        self._labels = not set(layers).isdisjoint(layers_with_labels(point.ensemble.activation))
        self._careful = not backend_of(xp).needs_gpu

    def norms(self, draws: range, tiling: Tiling, team: ThreadTeam) -> dict[str, Values]:
        """Return the norms of each layer, (kinds of norms, draws).

        Raises
        ------
        OutOfRange
            If the dtype cannot hold those of some draw.
        """
        if not self._careful:
            found, doubtful = self._made(draws, NotedDoubts(), tiling, team)
            self._careful = 2 * len(doubtful) > len(draws)
        if self._careful:
            return self._made(draws, AT_ONCE, tiling, team)[0]
        for place in doubtful:
            alone, _ = self._made(draws[place : place + 1], AT_ONCE, tiling, team)
            for layer, values in alone.items():
                found[layer][:, place] = values[:, 0]
        return found

    def _made(
        self, draws: range, doubts: Doubts, tiling: Tiling, team: ThreadTeam
    ) -> tuple[dict[str, Values], list[int]]:
        """Return the norms of each layer, and the places of the draws for which they do not hold."""
        point, dtype, xp = self._point, self._dtype, self._xp
        options: dict[str, Any] = {"team": team, "scaling": self._scaling}
        X, V, W, y, active = sample(point, draws, self._seed, dtype=dtype, xp=xp, labels=self._labels, **options)
        options |= {"tiling": tiling, "activation": point.ensemble.activation, "active": active}
        options |= {"check": PrecisionCheck(dtype, point.loss, doubts=doubts)}
        some = Draws(X, last_layers(V, self._weights), W, y, point.loss, self._layers, xp, **options)
        norms = compute(some, sampled_classes=self._sampled)
        values = [value for of_layer in norms.values() for value in of_layer]
        if isinstance(doubts, NotedDoubts):
            rows, doubtful = doubts.fetch(values, xp)
        else:
            rows, doubtful = list(to_numpy(xp.stack(values))), np.zeros(len(draws), dtype=bool)
        host = iter(rows)
        found = {layer: np.stack(list(islice(host, len(of_layer)))) for layer, of_layer in norms.items()}
        return found, list(np.flatnonzero(doubtful))
