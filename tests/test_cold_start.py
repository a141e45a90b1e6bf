"""What CuPy compiles before the first draws: how much it is, and that none of it falls into the time of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
import pytest

import rmtsim
from harness.simt.cupy_module import emulated
from harness.simt.kernels import compiler
from harness.simt.memory import Pool
from rmtsim.full_hessian.description import Look
from rmtsim.kernels import cost, tiling
from rmtsim.model.choices import LayerName
from rmtsim.model.point import Point
from rmtsim.sweeps import batches, table_runner
from rmtsim.sweeps.batches import Batch
from rmtsim.sweeps.experiment import Table
from rmtsim.sweeps.table_runner import TableJob
from rmtsim.training.adam import Schedule
from rmtsim.training.problem import Problem
from rmtsim.training.task import Task
from rmtsim.training.trajectory import _compile, trajectory_task

pytestmark = pytest.mark.skipif(not compiler(), reason="there is no g++ to compile the kernels with")


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """A process that has compiled nothing yet."""
    monkeypatch.setattr(batches, "_WARM", set())
    _compile.cache_clear()
    with emulated() as found:
        yield found


# How much is compiled


@pytest.mark.parametrize(
    ("model", "loss", "layers", "float32", "float64"),
    [
        ("linear", "ce", None, 15, 10),
        ("linear", "mse", None, 8, 6),
        ("one_hidden", "ce", None, 30, 16),
        ("one_hidden", "ce", ("hidden",), 30, 16),
        ("one_hidden", "ce", ("hidden", "output"), 29, 15),
        ("one_hidden", "mse", None, 18, 15),
        ("one_hidden", "mse", ("hidden", "output"), 18, 15),
    ],
)
def test_kernels_of_cupy_before_the_first_draws(
    model: str, loss: str, layers: tuple[LayerName, ...] | None, float32: int, float64: int, pool: Pool
) -> None:
    """At 0.3 s each; a new process that makes draws of one dtype alone needs no others."""
    point = Point(model, loss, 10, 20, 60, 3 if model == "one_hidden" else None)  # type: ignore[arg-type]
    found = {}
    for dtype in ("float32", "float64"):
        pool.counts.clear()
        rmtsim.simulate(point, 3, batch=2, backend="cupy", dtype=dtype, layers=layers)  # type: ignore[arg-type]
        found[dtype] = len(pool.counts.kernels)
    assert found["float32"] <= float32
    assert found["float64"] <= float64


def test_kernels_are_told_apart_by_dtype_and_layout(pool: Pool) -> None:
    import cupy

    a = cupy.asarray([[1.0, 2.0], [3.0, 4.0]])
    a + a, a[0] + a[1], a + 1.0  # of what lies side by side, however many axes it has
    assert len(pool.counts.kernels) == 2  # a number is no array
    a + a.T
    assert len(pool.counts.kernels) == 3
    b = a.astype("float32")
    b + b
    assert len(pool.counts.kernels) == 5
    b.copy(), cupy.zeros(3), a @ a  # nothing is compiled
    assert len(pool.counts.kernels) == 5
    cupy.sum(a), cupy.sum(a, axis=-1)
    assert len(pool.counts.kernels) == 7


# When it is compiled

_POINTS = {
    "linear": [Point("linear", "ce", 10, 20, 60), Point("linear", "ce", 3, 40, 90)],
    "mse": [Point("linear", "mse", 10, 20, 60), Point("linear", "mse", 7, 90, 30)],
    "few features": [Point("linear", "ce", 10, 4, 60), Point("linear", "ce", 30, 5, 130)],
    "chunks": [Point("linear", "ce", 600, 10, 20), Point("linear", "ce", 700, 12, 10)],
    "one hidden": [Point("one_hidden", "ce", 10, 20, 60, 3), Point("one_hidden", "ce", 12, 30, 90, 4)],
    "several last layers": [Point("linear", "ce", 5, 50, 60), Point("linear", "ce", 200, 50, 60)],
    "one hidden mse": [Point("one_hidden", "mse", 10, 20, 60, 3), Point("one_hidden", "mse", 5, 30, 70, 2)],
}


def new_in_a_batch(pool: Pool, batch: Batch) -> set[str]:
    """Return the kernels that are compiled while the time of a batch is taken."""
    batch._warm_up()
    before = set(pool.counts.kernels)
    batch._simulate(batch.draws)
    return {str(kernel) for kernel in pool.counts.kernels.keys() - before}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("points", _POINTS.values(), ids=_POINTS)
def test_nothing_is_compiled_in_the_time_of_a_batch(
    points: list[Point], dtype: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all points of a kind, whichever of them the process has seen."""
    if points is _POINTS["chunks"]:  # of a CPU's size
        monkeypatch.setattr(tiling, "_GPU_FACTOR", 1)
    weights = 3 if points is _POINTS["several last layers"] else 1
    for point in points:
        for draws in (range(1), range(3), range(3, 9)):
            batch = Batch(point, draws, point.layers, 0, "cupy", dtype, "exact", 1, None, weights)
            assert not new_in_a_batch(pool, batch), (point, draws)


def test_gram_matrices_in_place_of_registers_are_compiled_before_a_batch(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where features are few, the number of products decides between the two."""
    monkeypatch.setattr(cost, "_FEW_PRODUCTS", 10**5)
    for point in _POINTS["few features"]:
        assert not new_in_a_batch(pool, Batch(point, range(3), point.layers, 0, "cupy", "float64", "exact", 1, None))


def test_one_draw_does_not_warm_up_for_several(pool: Pool) -> None:
    """Nor one dtype for another."""
    point = _POINTS["linear"][0]
    batch = Batch(point, range(4), point.layers, 0, "cupy", "float64", "exact", 1, None)
    batch._simulate(range(1))
    before = set(pool.counts.kernels)
    batch._simulate(batch.draws)
    assert pool.counts.kernels.keys() - before
    before = set(pool.counts.kernels)
    Batch(point, range(4), point.layers, 0, "cupy", "float32", "exact", 1, None)._simulate(batch.draws)
    assert pool.counts.kernels.keys() - before


def test_a_warm_up_is_made_once(pool: Pool) -> None:
    first, second = _POINTS["linear"]
    for point, launches in ((first, True), (first, False), (second, False)):
        pool.counts.clear()
        Batch(point, range(4), point.layers, 0, "cupy", "float64", "exact", 1, None)._warm_up()
        assert (pool.counts.launches > 0) is launches


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["ce", "mse", "binary_ce"])
@pytest.mark.parametrize("hidden", [(), (5,)])
def test_nothing_is_compiled_in_the_time_of_a_training_run(
    hidden: tuple[int, ...], loss: str, dtype: str, pool: Pool
) -> None:
    problem = Problem(loss, 2 if loss == "binary_ce" else 6, 9, 30, hidden, dtype=dtype)
    schedule, look = Schedule(5, 0.01, (0.0, 0.4, 1.0)), Look(cells=8, blocks=True, eigenvalues=True)
    task = trajectory_task("one", problem, schedule, look=look, backend="cupy")
    assert task.warm_up is not None
    task.warm_up()
    before = set(pool.counts.kernels)
    assert before
    task.table()
    assert not {str(kernel) for kernel in pool.counts.kernels.keys() - before}


def test_the_time_of_a_table_begins_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def advance(seconds: float) -> pd.DataFrame:
        clock[0] += seconds
        return pd.DataFrame()

    monkeypatch.setattr(table_runner.time, "perf_counter", lambda: clock[0])
    task = Task("one", {}, lambda: advance(3.0), warm_up=lambda: advance(1000.0))
    assert TableJob(Table("folder", task)).compute().seconds == 3.0
    assert clock[0] == 1003.0
    assert TableJob(Table("folder", replace(task, warm_up=None))).compute().seconds == 3.0
