"""How often a draw asks something of a GPU: launches of kernels, waits and transfers, as the emulator counts them.

A launch takes a few microseconds and a wait several times that, whatever the size of the work: below some thousand
samples they are what a draw costs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import rmtsim
from harness.simt.cupy_module import emulated
from harness.simt.kernels import compiler
from harness.simt.memory import Counts
from rmtsim.kernels.memory import batch_size
from rmtsim.model.point import Point

pytestmark = pytest.mark.skipif(not compiler(), reason="there is no g++ to compile the kernels with")

#: Draws that are made together.
BATCH = 16


def counts(point: Point, draws: int, **options: Any) -> Counts:
    with emulated(Path(os.environ["RMTSIM_CACHE"], "simt")) as pool:
        rmtsim.simulate(point, 1, backend="cupy", **options)
        pool.counts.clear()
        rmtsim.simulate(point, draws, backend="cupy", **options)
        return pool.counts


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("point", "launches"),
    [(Point("linear", "ce", 100, 64, 128), 3), (Point("linear", "mse", 10, 64, 128), 2)],
    ids=str,
)
def test_a_draw_of_a_batch(point: Point, launches: int, dtype: str) -> None:
    found = counts(point, BATCH, dtype=dtype)
    assert found.launches <= launches * BATCH
    assert found.waits <= 6
    assert found.uploaded == 0
    assert found.downloaded <= 100 * BATCH


@pytest.mark.parametrize("sizes", [(100, 64, 128), (10, 500, 1000), (1000, 1000, 1000)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batches_are_as_large_as_that(sizes: tuple[int, int, int], dtype: str) -> None:
    """At N ≤ 1000 with 16 GiB; the largest in float64 fill a GPU with half of that."""
    least = BATCH // 2 if dtype == "float64" and sizes[0] == 1000 else BATCH
    assert batch_size(Point("linear", "ce", *sizes), ("linear",), dtype, 2**34, gpu=True) >= least


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("diagonal", "launches"), [("exact", 18), ("auto", 23)])
def test_a_chunk_of_classes(diagonal: str, launches: int, dtype: str) -> None:
    """No chunk is waited for, and none copies anything to the device or back."""
    few, more = (counts(Point("linear", "ce", 4096 * k, 40, 60), 1, dtype=dtype, diagonal=diagonal) for k in (2, 4))
    assert more.launches - few.launches <= 2 * launches
    assert (more.waits, more.uploaded, more.downloaded) == (few.waits, 0, few.downloaded)
    assert few.waits <= 9


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("loss", "launches", "waits"), [("ce", 10, 12), ("mse", 6, 5)])
def test_one_hidden_layer(loss: str, launches: int, waits: int, dtype: str) -> None:
    """The cross layer needs labels, which the host makes: nothing else is sent to the device."""
    found = counts(Point("one_hidden", loss, 10, 20, 100, 8), BATCH, dtype=dtype)
    assert found.launches <= launches * BATCH
    assert found.waits <= waits
    assert found.uploaded == 8 * 100 * BATCH
    assert found.downloaded <= 120 * BATCH


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("loss", "launches"), [("ce", 8), ("mse", 4)])
def test_the_layers_of_one_hidden_layer(loss: str, launches: int, dtype: str) -> None:
    found = counts(Point("one_hidden", loss, 10, 20, 100, 8), BATCH, layers=("hidden", "output"), dtype=dtype)
    assert found.launches <= launches * BATCH
    assert found.waits <= 11
    assert found.uploaded == 0
    assert found.downloaded <= 100 * BATCH


def test_several_last_layers_of_a_draw() -> None:
    found = counts(Point("one_hidden", "ce", 10, 20, 100, 8), BATCH, dtype="float32", weights_per_draw=3)
    assert found.launches <= 29 * BATCH
    assert found.waits <= 18
    assert found.uploaded == 8 * 100 * BATCH
