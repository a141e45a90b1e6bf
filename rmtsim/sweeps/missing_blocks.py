"""Points that have no off-diagonal blocks: what is to be said of them before they are made."""

from __future__ import annotations

from collections.abc import Sequence

from rmtsim.model.layers import BY_NAME
from rmtsim.model.point import Point
from rmtsim.text.words import number_of


def without_off_diagonal(points: Sequence[Point], layers: Sequence[str]) -> list[str]:
    """Return a sentence for each layer that has no off-diagonal blocks at some of the points.

    Their norms and ratios are null in every row, and the points are done all the same: without a word, one would look
    for them in vain.

    Examples
    --------
    >>> points = [Point("linear", "ce", C, dim=4, n_samples=8) for C in (1, 10)]
    >>> without_off_diagonal(points, ("linear",))[0].partition(":")[0]
    'no off-diagonal blocks, and so no ratio, in the linear layer of 1 of 2 points'
    """
    found = []
    for layer in map(BY_NAME.__getitem__, layers):
        count = sum(not layer.has_off_diagonal(point.n_classes, point.width) for point in points)
        if count:
            whose = "class" if layer.is_last else "neuron"
            found.append(
                f"no off-diagonal blocks, and so no ratio, in the {layer.name} layer of {count} of "
                f"{number_of(len(points), 'point')}: one {whose} has one block, on the diagonal"
            )
    return found
