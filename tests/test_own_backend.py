"""A backend of a user's own: its rows, its sweeps, and what its workers hold in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import array_api_strict
import numpy as np
import pandas as pd
import pytest

import rmtsim
from harness.specs import UNTRAINED
from rmtsim.arrays.backend import (
    _BACKENDS,
    Backend,
    Module,
    _backend_of_package,
    get_backend,
    register_backend,
    resolve,
)
from rmtsim.cli.main import main
from rmtsim.cli.sources import TrainingRuns, load
from rmtsim.model.choices import LossName, ModelName
from rmtsim.sweeps.batches import Batch


class Strict(Backend):
    """The reference module of the array API standard, with the generic form of every operation."""

    name, package = "strict", "array_api_strict"

    def module(self) -> Module:
        return array_api_strict


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    """Register it for this module alone: other tests list the names that come with rmtsim."""
    before = _BACKENDS.names() and dict(_BACKENDS._items)
    register_backend(Strict())
    yield
    _BACKENDS._items = before
    _backend_of_package.cache_clear()


@pytest.mark.parametrize("model", ["linear", "one_hidden"])
@pytest.mark.parametrize("loss", ["ce", "mse"])
@pytest.mark.parametrize("weights", [1, 3])
def test_backend(model: ModelName, loss: LossName, weights: int) -> None:
    """Rows name it; its draws are NumPy's, its sums agree to rounding."""
    point = rmtsim.Point(model, loss, 6, 5, 12, None if model == "linear" else 3)
    own, numpy = (rmtsim.simulate(point, 3, backend=name, weights_per_draw=weights) for name in ("strict", "numpy"))
    assert set(own["backend"]) == {"strict"}
    for column in ("diag_sqfro", "offdiag_sqfro"):
        np.testing.assert_allclose(own[column], numpy[column], rtol=1e-12, equal_nan=True)
    with pytest.raises(rmtsim.InputError, match="backend: 'jax' is not known; choose one of auto, cupy, numpy, strict"):
        rmtsim.simulate(point, 3, backend="jax")


@pytest.mark.parametrize("backend", ["numpy", "strict", "auto"])
def test_batches_keep_to_the_memory_of_the_worker(backend: str) -> None:
    """Any backend that computes in the machine's own memory gets the worker's part of it."""
    batch = Batch(rmtsim.Point("linear", "ce", 2, 2, 2), range(1), ("linear",), 0, backend, "float64", "exact", 1, None)
    on_a_gpu = get_backend(resolve(backend)).needs_gpu
    assert batch.within(1e9).memory == (None if on_a_gpu else 1e9)


def test_training_runs_take_the_backend_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "runs.toml").write_text(UNTRAINED.format(data="gaussian"))
    source = load(str(tmp_path / "runs.toml"))
    assert isinstance(source, TrainingRuns)
    assert source.backend("strict", "local") == source.backend("strict", "auto") == "strict"
    assert source.backend("auto", "auto") == "numpy"


def test_backend_of_a_sweep(tmp_path: Path) -> None:
    """From Python and on the command line; rows are those of `simulate`."""
    point, sampling = rmtsim.Point("linear", "ce", 6, 5, 10), {"min_draws": 4, "max_draws": 4}
    rmtsim.run(point, tmp_path / "python", workers=1, backend="strict", sampling=sampling)  # type: ignore[arg-type]
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\nmodel = "linear"\nloss = "ce"\n[grid]\nn_classes = [6]\naspect_ratio = [0.5]\ndim = [5]\n'
        "[sampling]\nmin_draws = 4\nmax_draws = 4\n"
    )
    arguments = ["run", str(tmp_path / "mine.toml"), "--store", str(tmp_path / "shell"), "--backend", "strict"]
    assert main(arguments) == 4  # max_draws are used up
    for store in ("python", "shell"):
        rows = rmtsim.open_store(tmp_path / store).draws()
        pd.testing.assert_frame_equal(rows, rmtsim.simulate(point, 4, backend="strict"))  # type: ignore[arg-type]
