"""On a GPU: the same draws give the same numbers as NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import rmtsim
from rmtsim.store import Store
from sweeps.runner import run
from sweeps.spec import from_document

pytestmark = pytest.mark.gpu

POINTS = [
    rmtsim.Point("linear", "ce", 100, 64, 128),
    rmtsim.Point("linear", "ce", 50, 6, 200),
    rmtsim.Point("linear", "mse", 10, 64, 128),
    rmtsim.Point("one_hidden", "ce", 100, 64, 128, 8),
    rmtsim.Point("one_hidden", "mse", 100, 64, 128, 8),
]


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point.model}-{point.loss}-d{point.dim}")
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 1e-5)])
def test_agrees_with_numpy(point: rmtsim.Point, dtype: str, rtol: float) -> None:
    host, device = (rmtsim.simulate(point, 20, backend=backend, dtype=dtype) for backend in ("numpy", "cupy"))
    assert set(device["backend"]) == {"cupy"}
    for column in ("diag_sqfro", "offdiag_sqfro"):
        np.testing.assert_allclose(device[column], host[column], rtol=rtol, atol=0)


def test_a_sweep_runs_on_the_gpu(tmp_path) -> None:
    grid = {"n_classes": [2, 10], "aspect_ratio": [0.5], "dim": [30]}
    spec = from_document({"name": "gpu", "model": "linear", "loss": "ce", "grid": grid})
    run(spec, Store(tmp_path / "s"), workers=1, backend="auto")
    assert set(Store(tmp_path / "s").read()["backend"]) == {"cupy"}
