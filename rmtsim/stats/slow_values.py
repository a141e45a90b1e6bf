"""Values of the theory that take long, cross-entropy's at finite C: which of them a table or a figure asks for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd

from rmtsim.model.choices import LOSSES
from rmtsim.model.layers import CROSS
from rmtsim.model.loss import get_loss
from rmtsim.sampling.schema import ENSEMBLE
from rmtsim.stats.predictions import curve_classes, plain, predict_layer
from rmtsim.theory import finite, limit

#: A sweep over C has one value each of these.
_SERIES = ("model", "loss", "layer", "width", "dim", "n_samples", *ENSEMBLE)

#: The columns that tell what is asked for.
ASKING = (*_SERIES, "n_classes")


class SlowValue(NamedTuple):
    """An integral of the theory at one C, which all N share, and the hidden and the output layer.

    Attributes
    ----------
    model, loss, n_classes, width, ensemble
        What it is of; the last holds the entries of the columns ``ENSEMBLE``.
    dim
        The dimension; None for d, N → ∞.
    is_cross
        Whether it is that of the cross layer.
    """

    model: str
    loss: str
    n_classes: int
    width: int | None
    ensemble: tuple[Any, ...]
    dim: int | None
    is_cross: bool = False

    @property
    def of_one_table(self) -> tuple[Any, ...]:
        """What values that are made from the same tables have in common."""
        return self.model, self.loss, self.n_classes, self.width, self.ensemble

    def find(self, layers: Iterable[str]) -> None:
        """Find the value, and what else the theory of these layers takes; whoever asks for it later has it then."""
        for layer in layers:
            sizes = (self.model, self.loss, self.n_classes)
            if self.dim is None:
                predict_layer(layer, limit, self.ensemble, *sizes, 1.0, self.width)
            else:
                predict_layer(layer, finite, self.ensemble, *sizes, self.dim, 1, self.width)


#: Values, and the layers of each.
SlowValues = dict[SlowValue, set[str]]


def slow_values(rows: pd.DataFrame, *, with_limits: bool = True, curve_points: int = 0) -> SlowValues:
    """Return the slow values at the sizes of draws, or of a summary of them.

    Parameters
    ----------
    rows
        With the columns of the store, or at least those of ``ASKING``.
    with_limits
        Whether the limits d, N → ∞ are asked for, too.
    curve_points
        About how many values of C there are in all where a curve is drawn over C (`curve_classes`).
    """
    found: SlowValues = {}
    softmax = [name for name in LOSSES if get_loss(name).softmax]
    sizes = rows.loc[rows["loss"].isin(softmax), list(ASKING)].drop_duplicates()
    for key, series in sizes.groupby(list(_SERIES), dropna=False, sort=False):
        model, loss, layer, width, dim, _, *ensemble = plain(key)
        classes = series["n_classes"].tolist()
        for C in curve_classes(model, loss, classes, curve_points) if curve_points else classes:
            at_size = SlowValue(model, loss, C, width, tuple(ensemble), dim, layer == CROSS.name)
            at_limit = [at_size._replace(dim=None)] if with_limits and width is not None else []
            for one in (at_size, *at_limit):
                found.setdefault(one, set()).add(layer)
    return found
