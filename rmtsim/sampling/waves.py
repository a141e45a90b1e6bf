"""Waves of draws: those that are made at once, whose norms come back from a GPU together."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from rmtsim.arrays.backend import Module, backend_of, to_numpy
from rmtsim.arrays.threads import ThreadTeam
from rmtsim.kernels.doubts import AT_ONCE, CarefulDoubts, Doubts, NotedDoubts
from rmtsim.kernels.network_norms import Networks, compute
from rmtsim.kernels.precision import PrecisionCheck
from rmtsim.kernels.scaling import ensemble_scaling
from rmtsim.kernels.tiling import Tiling
from rmtsim.model.activation import layers_with_labels
from rmtsim.model.point import Point
from rmtsim.sampling.draws import last_layers, sample

Values = npt.NDArray[np.float64]

#: Draws in doubt are few up to one in so many: a draw alone takes as many launches as a wave.
_FEW = 8


class Waves:
    """Norms of a point's draws, wave by wave. A draw's norms have the same bits in any wave.

    A GPU is waited for once in a wave. Draws in doubt are then made again with care: each alone where they are few,
    else the whole wave; and once they are not few among all, the waves that follow are made with care at once.

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
        self._waits, self._careful = not backend_of(xp).needs_gpu, False
        self._seen = self._in_doubt = 0

    def norms(self, draws: range, tiling: Tiling, team: ThreadTeam) -> dict[str, Values]:
        """Return the norms of each layer, (kinds of norms, draws).

        Raises
        ------
        OutOfRange
            If the dtype cannot hold those of some draw.
        """
        if self._waits:
            return self._made(draws, AT_ONCE, tiling, team)[0]
        found, doubtful = self._made(draws, CarefulDoubts() if self._careful else NotedDoubts(), tiling, team)
        if not self._careful:
            self._seen, self._in_doubt = self._seen + len(draws), self._in_doubt + len(doubtful)
            self._careful = self._in_doubt > 1 and _FEW * self._in_doubt > self._seen
            if _FEW * len(doubtful) > len(draws):
                found, doubtful = self._made(draws, CarefulDoubts(), tiling, team)
            else:
                doubtful = [k for k in doubtful if self._make_again(found, draws, k, CarefulDoubts(), tiling, team)]
        for place in doubtful:  # for which care is of no use
            self._make_again(found, draws, place, AT_ONCE, tiling, team)
        return found

    def _make_again(
        self,
        found: dict[str, Values],
        draws: range,
        place: int,
        doubts: Doubts,
        tiling: Tiling,
        team: ThreadTeam,
    ) -> bool:
        """Make one of the draws again, alone, and put it in its place; return whether it is still in doubt."""
        alone, doubtful = self._made(draws[place : place + 1], doubts, tiling, team)
        for layer, values in alone.items():
            found[layer][:, place] = values[:, 0]
        return bool(doubtful)

    def _made(
        self, draws: range, doubts: Doubts, tiling: Tiling, team: ThreadTeam
    ) -> tuple[dict[str, Values], list[int]]:
        """Return the norms of each layer, and the places of the draws for which they do not hold."""
        point, dtype, xp = self._point, self._dtype, self._xp
        options: dict[str, Any] = {"team": team, "scaling": self._scaling}
        X, V, W, y, active = sample(point, draws, self._seed, dtype=dtype, xp=xp, labels=self._labels, **options)
        options |= {"tiling": tiling, "activation": point.ensemble.activation, "active": active}
        options |= {"check": PrecisionCheck(dtype, point.loss, doubts=doubts)}
        some = Networks(X, last_layers(V, self._weights), W, y, point.loss, self._layers, xp, **options)
        norms = compute(some, sampled_classes=self._sampled)
        values = [value for of_layer in norms.values() for value in of_layer]
        if isinstance(doubts, NotedDoubts):
            rows, doubtful = doubts.fetch(values, xp)
        else:
            rows, doubtful = list(to_numpy(xp.stack(values))), np.zeros(len(draws), dtype=bool)
        host = iter(rows)
        found = {layer: np.stack(list(islice(host, len(of_layer)))) for layer, of_layer in norms.items()}
        return found, list(np.flatnonzero(doubtful))
