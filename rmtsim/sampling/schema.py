"""The columns of a draw: what `simulate` returns and what the store holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rmtsim.model.ensemble import Ensemble
from rmtsim.model.layers import LAST
from rmtsim.model.point import Point

#: Name, type and meaning of every column. There is one row per (point, draw, layer).
_COLUMNS = [
    (
        "point_id",
        pa.string(),
        "Identity of the point: a hash of its model, loss, sizes and ensemble, "
        "without the `p-` that `rmtsim export` puts before it in .csv and .json files.",
    ),
    ("model", pa.string(), "`linear` or `one_hidden`."),
    ("loss", pa.string(), "`ce`, cross-entropy, or `mse`, the squared error."),
    ("layer", pa.string(), "Layer of the Hessian: `linear`, `hidden`, `output` or `cross`."),
    ("n_classes", pa.int64(), "Number of classes C."),
    ("dim", pa.int64(), "Number of inputs d of a sample."),
    ("n_samples", pa.int64(), "Number of samples N."),
    ("width", pa.int64(), "Number of hidden neurons m; null for the linear model."),
    ("aspect_ratio", pa.float64(), "γ = d/N."),
    ("seed", pa.int64(), "Seed of the random streams."),
    ("draw", pa.int64(), "Number of the draw: its place in the stream, from 0."),
    ("block_rows", pa.int64(), "Number of rows of one block."),
    ("block_cols", pa.int64(), "Number of columns of one block."),
    (
        "diag_sqfro",
        pa.float64(),
        "Mean of ‖block‖²_F over *all* diagonal blocks of the layer in this draw, not divided by d; null for the cross "
        "layer.",
    ),
    (
        "offdiag_sqfro",
        pa.float64(),
        "The same mean over *all* off-diagonal blocks; null where there is only one class or one neuron.",
    ),
    ("backend", pa.string(), "What computed the row: `numpy`, `cupy`, or a backend of your own."),
    ("dtype", pa.string(), "Precision of the arithmetic: `float64` or `float32`."),
    ("weights_per_draw", pa.int64(), "Number R of last layers V of the draw; the values are means over them."),
    (
        "classes",
        pa.int64(),
        "Number of classes that the terms of single classes were summed over: all of them, or some with "
        '`diagonal = "auto"`.',
    ),
    ("std_error_diag", pa.float64(), "Standard error of `diag_sqfro` from taking some classes; 0 where all are."),
    ("std_error_offdiag", pa.float64(), "Standard error of `offdiag_sqfro` from the same choice of classes."),
    ("init", pa.string(), "Variance of a weight: `lecun`, `he` or `xavier`."),
    ("data_variance", pa.float64(), "Variance of an entry of X."),
    ("hidden_gain", pa.float64(), "Factor of the variance of W."),
    ("last_gain", pa.float64(), "Factor of the variance of V."),
    ("data", pa.string(), "Law of a sample of X."),
    ("weights", pa.string(), "Law of the weights."),
    ("activation", pa.string(), "Activation of the hidden neurons; `relu` also where the model has none."),
]

#: The columns of a draw.
SCHEMA = pa.schema([(name, kind) for name, kind, _ in _COLUMNS])

#: What each column means, in Markdown.
MEANINGS = {name: meaning for name, _, meaning in _COLUMNS}

#: Columns that identify an ensemble; those of them that are numbers, and those that are names.
ENSEMBLE = [field.name for field in fields(Ensemble)]
ENSEMBLE_NUMBERS = [name for name in ENSEMBLE if pa.types.is_floating(SCHEMA.field(name).type)]
ENSEMBLE_NAMES = [name for name in ENSEMBLE if name not in ENSEMBLE_NUMBERS]

#: Prefix of a point's identity in exported text: readers take 870474735649e332 for a number, quoted or not.
EXPORTED_ID = "p-"

#: Columns that identify a row: no two rows of a store agree in all of them.
KEY = ["point_id", "seed", "draw", "layer"]

#: The columns whose values a draw is made for.
VALUES = ["diag_sqfro", "offdiag_sqfro", "std_error_diag", "std_error_offdiag"]


@dataclass(frozen=True)
class SimulatedDraws:
    """Consecutive draws of one point, before they are laid out as rows.

    Attributes
    ----------
    values
        (draws, layers, 4) float64: diag, offdiag and the standard errors of estimating them, of means over the last
        layers of a draw. NaN marks what a layer does not have.
    classes
        Number of classes whose single terms were taken in the last layer.
    blas
        The BLAS library and its kernel, which the last digits depend on.
    weights_per_draw
        Number of last layers V of each draw.
    """

    point: Point
    draws: range
    layers: tuple[str, ...]
    seed: int
    backend: str
    dtype: str
    classes: int
    blas: str
    values: npt.NDArray[np.float64]
    weights_per_draw: int = 1


def table_of(given: Sequence[SimulatedDraws]) -> pa.Table:
    """Lay simulated draws out as rows, each by draw, then layer; the table's metadata name the BLAS kernels."""
    constants: dict[tuple[object, ...], int] = {}  # what all rows of a layer share → where its row stands
    rows: list[dict[str, object]] = []  # one table a point would hold a hundred times the memory
    index, draws = [], []
    for simulated in given:
        made = (simulated.seed, simulated.backend, simulated.dtype, simulated.weights_per_draw, simulated.classes)
        key = (simulated.point, simulated.layers, *made)
        width = len(simulated.layers)
        if key not in constants:
            constants[key] = len(rows)
            rows += _constants(*key)
        index.append(np.tile(np.arange(width) + constants[key], len(simulated.draws)))
        draws.append(np.repeat(np.arange(simulated.draws.start, simulated.draws.stop), width))
    schema = pa.schema([SCHEMA.field(name) for name in rows[0]])
    shared = pa.Table.from_pylist(rows, schema=schema).take(np.concatenate(index))
    measured = np.concatenate([simulated.values.reshape(-1, len(VALUES)) for simulated in given])
    columns = {name: pa.array(measured[:, k], from_pandas=True) for k, name in enumerate(VALUES)}
    columns["draw"] = pa.array(np.concatenate(draws), pa.int64())
    blas = "; ".join(sorted({simulated.blas for simulated in given}))
    return pa.Table.from_arrays(
        [columns[name] if name in columns else shared[name] for name in SCHEMA.names],
        schema=SCHEMA.with_metadata({"rmtsim.blas": blas}),
    )


@lru_cache(maxsize=1024)
def _constants(
    point: Point, layers: tuple[str, ...], seed: int, backend: str, dtype: str, weights_per_draw: int, classes: int
) -> list[dict[str, object]]:
    """Return a row for each layer with what does not change from draw to draw."""
    rows: list[dict[str, object]] = []
    for layer in layers:
        block_rows, block_cols = point.block_shape(layer)
        rows.append(
            {
                "point_id": point.id,
                "model": point.model,
                "loss": point.loss,
                "layer": layer,
                "n_classes": point.n_classes,
                "dim": point.dim,
                "n_samples": point.n_samples,
                "width": point.width,
                "aspect_ratio": point.aspect_ratio,
                "seed": seed,
                "block_rows": block_rows,
                "block_cols": block_cols,
                "backend": backend,
                "dtype": dtype,
                "weights_per_draw": weights_per_draw,
                "classes": classes if layer in LAST else point.n_classes,
                **asdict(point.ensemble),
            }
        )
    return rows
