"""The columns of a draw: what `simulate` returns and what the store holds."""

from __future__ import annotations

from dataclasses import asdict, fields

import numpy as np
import pandas as pd
import pyarrow as pa

from rmtsim.ensemble import Ensemble
from rmtsim.point import Point

#: One row per (point, draw, layer). `diag_sqfro` is null in the cross layer, `offdiag_sqfro` where there is
#: one class or one neuron, `width` for the linear model. `classes` is how many classes the terms of single classes
#: were summed over; where not all, the standard errors of estimating the rest follow. The last four are the ensemble.
SCHEMA = pa.schema(
    [
        ("point_id", pa.string()),
        ("model", pa.string()),
        ("loss", pa.string()),
        ("layer", pa.string()),
        ("n_classes", pa.int64()),
        ("dim", pa.int64()),
        ("n_samples", pa.int64()),
        ("width", pa.int64()),
        ("aspect_ratio", pa.float64()),
        ("seed", pa.int64()),
        ("draw", pa.int64()),
        ("block_rows", pa.int64()),
        ("block_cols", pa.int64()),
        ("diag_sqfro", pa.float64()),
        ("offdiag_sqfro", pa.float64()),
        ("backend", pa.string()),
        ("dtype", pa.string()),
        ("classes", pa.int64()),
        ("std_error_diag", pa.float64()),
        ("std_error_offdiag", pa.float64()),
        ("init", pa.string()),
        ("data_variance", pa.float64()),
        ("hidden_gain", pa.float64()),
        ("last_gain", pa.float64()),
    ]
)

#: What tells an ensemble.
ENSEMBLE = [field.name for field in fields(Ensemble)]

#: What makes a row one of a kind: no two rows of a store share it.
KEY = ["point_id", "seed", "draw", "layer"]


def rows_of(
    point: Point,
    draws: range,
    seed: int,
    columns: dict[str, tuple[np.ndarray, ...]],
    *,
    backend: str,
    dtype: str,
    classes: int,
) -> pd.DataFrame:
    """Lay out values, layer → (diag, offdiag) or (diag, offdiag, their standard errors), as rows by draw, then layer.

    ``classes`` is the number of classes of which single terms were taken.
    """
    layers, n = list(columns), len(draws)
    shapes = [point.block_shape(layer) for layer in layers]
    per_row = len(layers) * n
    exact = np.zeros(n)
    counted = [classes if layer in ("linear", "output") else point.n_classes for layer in layers]
    values = [(*columns[layer], exact, exact)[:4] for layer in layers]
    diag, offdiag, std_error_diag, std_error_offdiag = (
        np.stack(kind, axis=1).ravel() for kind in zip(*values, strict=True)
    )
    frame = pd.DataFrame(
        {
            "point_id": point.id,
            "model": point.model,
            "loss": point.loss,
            "layer": np.tile(layers, n),
            "n_classes": point.n_classes,
            "dim": point.dim,
            "n_samples": point.n_samples,
            "width": pd.array([point.width] * per_row, dtype="Int64"),
            "aspect_ratio": point.aspect_ratio,
            "seed": seed,
            "draw": np.repeat(np.asarray(draws), len(layers)),
            "block_rows": np.tile([rows for rows, _ in shapes], n),
            "block_cols": np.tile([cols for _, cols in shapes], n),
            "diag_sqfro": diag,
            "offdiag_sqfro": offdiag,
            "backend": backend,
            "dtype": dtype,
            "classes": np.tile(counted, n),
            "std_error_diag": std_error_diag,
            "std_error_offdiag": std_error_offdiag,
            **asdict(point.ensemble),
        },
        index=pd.RangeIndex(per_row),
    )
    return frame.astype({"layer": "str"})
