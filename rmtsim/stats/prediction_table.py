"""The theory at points of a sweep, as a table with the columns and units of `rmtsim.summarize`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import pandas as pd

from rmtsim.errors import InputError
from rmtsim.model.choices import REGIMES, LayerName, RegimeName
from rmtsim.model.layers import D_BY_D
from rmtsim.model.point import Point, check_layers, check_point
from rmtsim.sampling.schema import ENSEMBLE_NAMES, ENSEMBLE_NUMBERS
from rmtsim.stats.summary import ESTIMATES, POINT_COLUMNS
from rmtsim.text.checks import check_choice, is_several
from rmtsim.theory import Prediction, at_point

_TYPES: dict[str, Any] = {
    **dict.fromkeys(["point_id", "model", "loss", "layer", *ENSEMBLE_NAMES, "regime", "note"], str),
    **dict.fromkeys(["n_classes", "dim", "n_samples", "block_rows", "block_cols"], "int64"),
    **dict.fromkeys(["aspect_ratio", *ENSEMBLE_NUMBERS, *ESTIMATES], "float64"),
    "width": "Int64",
}


def predict(
    points: Point | Iterable[Point],
    regime: RegimeName = "finite",
    layers: LayerName | Iterable[LayerName] | None = None,
) -> pd.DataFrame:
    """Predict what `rmtsim.simulate` measures at points, from theory alone.

    Parameters
    ----------
    points
        A point, or several.
    regime
        ``"finite"``: exact at the point's C, d, N and m. ``"limit"``: d, N → ∞ at its d/N, C and m, Theorems 1 and 2.
        ``"large_c"``: the form constant · C**power that this takes as C → ∞.
    layers
        A selection of the layers of the points' model; by default all of them.

    Returns
    -------
    DataFrame
        One row per point and layer, in the order of the points, with the columns and units of `rmtsim.summarize`, so
        that both tables can be merged on the columns of the point and layer:

        - ``diag_sqfro``, ``offdiag_sqfro``: E‖H_ii‖²_F and E‖H_ij‖²_F (i ≠ j), not divided by d. In ``limit`` and
          ``large_c`` what has a limit is the squared norm of a d × d block over d; it is given times the point's own
          d, and in ``large_c`` at the point's own C. ``ratio``: the second over the first. Null where a layer
          has no such blocks, infinite where the constant of C → ∞ diverges;
        - ``std_error_diag``, ``std_error_offdiag``, ``std_error_ratio``: 0 but for one hidden layer with
          cross-entropy, where an integral is estimated by randomised quasi-Monte Carlo;
        - ``regime``, and ``note``: why a value is null or infinite.

        ``large_c`` adds ``diag_power`` and ``offdiag_power``, the powers of C.

    Raises
    ------
    InputError
        If something is no point, the regime or a layer is not known, or there is no theory at a point.

    Notes
    -----
    One hidden layer with cross-entropy takes seconds for each C, m and ensemble; what was computed is kept on disk.

    Examples
    --------
    >>> import rmtsim
    >>> point = rmtsim.Point(model="linear", loss="mse", n_classes=10, dim=500, n_samples=1000)
    >>> rmtsim.predict(point).diag_sqfro.item(), rmtsim.predict(point, "limit").diag_sqfro.item()
    (3002.0, 3000.0)
    >>> means = rmtsim.summarize(rmtsim.simulate(point, draws=16))
    >>> both = means.merge(rmtsim.predict(point), on=["point_id", "layer"], suffixes=("", "_theory"))
    >>> bool((abs(both.diag_sqfro - both.diag_sqfro_theory) < 3 * both.std_error_diag).all())
    True
    """
    check_choice("regime", regime, REGIMES)
    rows = [
        _row(point, prediction) for point in as_points(points) for prediction in _predictions(point, regime, layers)
    ]
    columns = [
        *POINT_COLUMNS,
        *ESTIMATES,
        "regime",
        "note",
        *(["diag_power", "offdiag_power"] if regime == "large_c" else []),
    ]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({name: _TYPES.get(name, "int64") for name in columns})


def as_points(points: Any) -> list[Point]:
    """Return one point, or several, as a list.

    Raises
    ------
    InputError
        If something is no point.
    """
    several: list[Point] = list(points) if is_several(points) else [points]
    for point in several:
        check_point(point)
    return several


def _predictions(point: Point, regime: RegimeName, layers: LayerName | Iterable[LayerName] | None) -> list[Prediction]:
    chosen = None if layers is None else check_layers(layers, point.layers)
    try:
        return at_point(point, regime, chosen)
    except InputError as error:
        raise InputError(f"at {point.sizes}, {error}") from None


def _row(point: Point, prediction: Prediction) -> dict[str, Any]:
    """Return a prediction in the units of draws: a limit times d for d × d blocks, at the point's own C."""
    block_rows, block_cols = point.block_shape(prediction.layer)
    scale = float(point.dim) if prediction.layer in D_BY_D and prediction.regime != "finite" else 1.0
    of_diag, of_offdiag = (float(point.n_classes) ** p for p in (prediction.diag_power, prediction.offdiag_power))
    return {
        "point_id": point.id,
        "model": point.model,
        "loss": point.loss,
        "layer": prediction.layer,
        "n_classes": point.n_classes,
        "dim": point.dim,
        "n_samples": point.n_samples,
        "width": point.width,
        "aspect_ratio": point.aspect_ratio,
        **asdict(point.ensemble),
        "block_rows": block_rows,
        "block_cols": block_cols,
        "diag_sqfro": scale * of_diag * prediction.diag,
        "std_error_diag": scale * of_diag * prediction.std_error_diag,
        "offdiag_sqfro": scale * of_offdiag * prediction.offdiag,
        "std_error_offdiag": scale * of_offdiag * prediction.std_error_offdiag,
        "ratio": of_offdiag / of_diag * prediction.ratio,
        "std_error_ratio": of_offdiag / of_diag * prediction.std_error_ratio,
        "regime": prediction.regime,
        "note": prediction.note,
        "diag_power": prediction.diag_power,
        "offdiag_power": prediction.offdiag_power,
    }
