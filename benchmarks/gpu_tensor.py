"""The step of the check on a GPU that looks at tensor cores, on which large draws can be made where one asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np

import rmtsim
from benchmarks.timing import Timing, elapsed
from rmtsim.arrays import tensor_cores
from rmtsim.kernels.cost import flops
from rmtsim.model.point import Point

_LINEAR = partial(Point, "linear", "ce")

#: Large points, and draws of each.
_LARGE = ((_LINEAR(1000, 1000, 1000), 16), (_LINEAR(4096, 1024, 4096), 2), (_LINEAR(128_256, 1024, 1024), 2))
_SMALL = ((_LINEAR(10, 20, 60), 1),)


def tensor(small: bool) -> Iterator[dict[str, Any]]:
    """Time large draws in float32 without tensor cores and with them, and find what they err by against float64."""
    columns = ["diag_sqfro", "offdiag_sqfro"]
    for point, count in _SMALL if small else _LARGE:
        simulate = partial(rmtsim.simulate, point, count, backend="cupy")
        with patch.dict(os.environ, {tensor_cores.VARIABLE: "0"}):
            exact = simulate()[columns].to_numpy()
        call, row = partial(simulate, dtype="float32"), {"point": str(point)}
        for name, value in (("without", "0"), ("with", "1")):
            of_all_sizes = patch.object(tensor_cores, "_LARGE", 0) if small else nullcontext()
            with of_all_sizes, patch.dict(os.environ, {tensor_cores.VARIABLE: value}):
                found = call()[columns].to_numpy()
                seconds = Timing.of([elapsed(call) for _ in range(3)]).seconds / count
            row[f"s_{name}_tensor_cores"] = seconds
            row[f"TFLOPs_{name}"] = flops(point, point.layers, gpu=True) / seconds / 1e12
            row[f"error_{name}"] = float(np.abs(found / exact - 1).max())
        yield row
