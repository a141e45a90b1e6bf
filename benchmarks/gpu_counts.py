"""What draws ask of a GPU, counted without one: launches, waits, bytes, and kernels that CuPy compiles.

``python -m benchmarks.gpu_counts`` runs the code of the GPU path on the emulator, and writes the file
docs/results/gpu_counts.json, from which ``python -m benchmarks.pages`` makes docs/results/gpu.md. Nothing is timed,
and no number of a draw is computed: what is counted is what ordinary draws ask.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import rmtsim
from benchmarks.gpu_speed import SPEED, Timed
from harness.simt.cupy_module import emulated, nothing_computed
from harness.simt.memory import Pool
from rmtsim.arrays.backend import DTYPES
from rmtsim.kernels.cost import flops
from rmtsim.kernels.memory import batch_size
from rmtsim.model.choices import LayerName
from rmtsim.model.point import Point

Row = dict[str, Any]

STORED = Path(__file__).parents[1] / "docs" / "results" / "gpu_counts.json"

#: Draws of the batches that are counted: what a batch takes is linear in its draws.
_BATCHES = (2, 4)

#: Bytes that draws may use of a GPU with 80 GiB.
_MEMORY = 72 * 2**30

_KINDS: tuple[tuple[str, str, tuple[LayerName, ...] | None], ...] = (
    ("linear", "ce", None),
    ("linear", "mse", None),
    ("one_hidden", "ce", ("hidden", "output")),
    ("one_hidden", "ce", None),
    ("one_hidden", "mse", None),
)


def counted(timed: Timed, dtype: str = "float32") -> Row:
    """Return what a batch of draws takes, and what each draw of it takes besides, with the flops of a draw."""
    point, layers = timed.point, timed.layers or timed.point.layers
    batch = batch_size(point, layers, dtype, _MEMORY, gpu=True)
    if batch == 1:
        of_draw = _counts(point, layers, dtype, 1)
        of_batch = dict.fromkeys(of_draw, 0.0)
    else:
        few, more = (_counts(point, layers, dtype, size) for size in _BATCHES)
        of_draw = {key: (more[key] - few[key]) / (_BATCHES[1] - _BATCHES[0]) for key in few}
        of_batch = {key: few[key] - _BATCHES[0] * of_draw[key] for key in few}
    sizes = {"C": point.n_classes, "d": point.dim, "N": point.n_samples, "m": point.width}
    return {
        "model": point.model,
        "layers": list(layers),
        **sizes,
        "dtype": dtype,
        "batch": batch,
        "of_batch": of_batch,
        "of_draw": of_draw,
        "flops": flops(point, layers, gpu=True),
        "aim_s": timed.aim,
    }


def compiled(model: str, loss: str, layers: Sequence[LayerName] | None) -> Row:
    """Return how many kernels CuPy compiles before draws of a kind, in a process of each dtype."""
    point = Point(model, loss, 10, 20, 60, 3 if model == "one_hidden" else None)  # type: ignore[arg-type]
    row: Row = {"model": model, "loss": loss, "layers": list(layers or point.layers)}
    for dtype in DTYPES:
        with _device() as pool:
            rmtsim.simulate(point, 3, batch=2, backend="cupy", dtype=dtype, layers=layers)
            row[dtype] = len(pool.counts.kernels)
    return row


def _counts(point: Point, layers: Sequence[LayerName], dtype: str, batch: int) -> dict[str, float]:
    with _device() as pool, nothing_computed():
        options: dict[str, Any] = {"backend": "cupy", "dtype": dtype, "layers": layers, "batch": batch}
        tiny = replace(point, n_classes=min(point.n_classes, 10), dim=20, n_samples=60)
        rmtsim.simulate(tiny, 1, **options | {"batch": 1})  # what is sent to the device once and stays there
        pool.counts.clear()
        rmtsim.simulate(point, batch, **options)
        found = asdict(pool.counts)
    return {key: found[key] for key in ("launches", "waits", "uploaded", "downloaded", "touched")}


@contextmanager
def _device() -> Iterator[Pool]:
    with emulated() as pool:
        pool.capacity = 80 * 2**30
        yield pool


def main() -> None:
    """Count, and write the file."""
    ArgumentParser(prog="python -m benchmarks.gpu_counts", description=__doc__).parse_args()
    record = {
        "date": date.today().isoformat(),
        "draws": [counted(timed) for timed in SPEED],
        "compiled": [compiled(*kind) for kind in _KINDS],
    }
    STORED.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
