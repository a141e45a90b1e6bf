"""What the theory says about one layer, or the sentence why it says nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from rmtsim.errors import InputError
from rmtsim.model.ensemble import Ensemble
from rmtsim.model.layers import D_BY_D
from rmtsim.model.loss import get_loss
from rmtsim.model.models import get_model
from rmtsim.theory.prediction import Prediction


def predict_layer(
    layer: str, regime: Callable[..., list[Prediction]], ensemble: Sequence[Any], *arguments: Any
) -> tuple[Prediction | None, str]:
    """Call ``rmtsim.theory``'s ``regime`` and pick the layer; None and the reason where there is no theory.

    ``ensemble``: the entries of the columns ``ENSEMBLE``.
    """
    try:
        [found] = regime(*arguments, ensemble=Ensemble(*ensemble), layers=(layer,))
    except InputError as error:
        return None, str(error)
    return found, ""


def value(prediction: Prediction | None, field: str) -> float:
    """Return a number of the prediction, on the scale of ``summary``: norms of d × d blocks over d; NaN if none."""
    if prediction is None:
        return math.nan
    number = float(getattr(prediction, field))
    if prediction.regime == "finite" and prediction.layer in D_BY_D and not field.endswith("ratio"):
        number /= float(prediction.dim or math.nan)
    return number


def power(prediction: Prediction | None, quantity: str) -> float:
    """Return the theorem's power of C for diag, offdiag or their ratio; NaN if there is none."""
    if prediction is None:
        return math.nan
    powers = {"diag": prediction.diag_power, "offdiag": prediction.offdiag_power}
    return float(powers.get(quantity, prediction.offdiag_power - prediction.diag_power))


def percent_deviation(numerator: float, denominator: float) -> float:
    """Return 100 (numerator/denominator − 1); NaN over zero."""
    return 100 * (numerator / denominator - 1) if denominator else math.nan


def plain(values: Iterable[Any]) -> tuple[Any, ...]:
    """Table entries as Python values, None for null."""
    return tuple(None if pd.isna(value) else getattr(value, "item", lambda v=value: v)() for value in values)


def curve_classes(model: str, loss: str, sizes: Sequence[int], count: int) -> list[int]:
    """Return the numbers of classes at which a curve of the theory is drawn: ``sizes``, and about ``count`` in all.

    The others lie between them, evenly spaced in log C. There are none where a single value takes seconds: with a
    hidden layer and cross-entropy an integral over pairs of samples is left.
    """
    if get_model(model).has_width and get_loss(loss).softmax:
        return sorted(set(sizes))
    spaced = np.geomspace(min(sizes), max(sizes), count).round().astype(int).tolist()
    return sorted({*sizes, *spaced})
