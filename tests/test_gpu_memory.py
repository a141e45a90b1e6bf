"""What draws hold on a GPU, as its emulator counts it with nothing computed, against what they are said to hold."""

from __future__ import annotations

import pytest

from harness.simt.cupy_module import emulated, nothing_computed
from harness.simt.kernels import compiler
from rmtsim.arrays import tensor_cores
from rmtsim.arrays.backend import array_module
from rmtsim.arrays.threads import ONE_THREAD
from rmtsim.kernels.cost import point_tiling
from rmtsim.kernels.memory import memory
from rmtsim.kernels.tiling import with_span
from rmtsim.model.ensemble import Ensemble
from rmtsim.model.point import Point
from rmtsim.sampling.waves import Waves

pytestmark = pytest.mark.skipif(not compiler(), reason="there is no g++ to compile the kernels with")

#: How many times what is held may be said. It is said for draws that need care, too, of which Gram matrices are made
#: where those of others are added up in registers.
MOST_OVER = 6

#: A point, the layers, and whether tensor cores are asked for.
CASES = [
    (Point("linear", "ce", 1000, 1000, 1000), ("linear",), False),
    (Point("linear", "ce", 1000, 1000, 1000), ("linear",), True),
    (Point("linear", "ce", 8192, 100, 1024), ("linear",), True),
    (Point("one_hidden", "ce", 8192, 100, 1024, 8), ("hidden",), False),
    (Point("one_hidden", "ce", 8192, 100, 1024, 8), ("cross",), False),
    (Point("one_hidden", "mse", 3000, 300, 50, 40), ("hidden",), False),
    (Point("one_hidden", "ce", 100, 100, 4096, 8, Ensemble(activation="gelu")), ("cross",), False),
]


@pytest.mark.parametrize("weights", [1, 3])
@pytest.mark.parametrize(("point", "layers", "asked"), CASES, ids=str)
def test_the_peak_is_within_what_is_said(
    point: Point, layers: tuple[str, ...], asked: bool, weights: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a draw with tiles held one by one."""
    monkeypatch.setenv(tensor_cores.VARIABLE, str(int(asked)))
    tiling = with_span(point_tiling(point, gpu=True), 1)
    said = memory(point, layers, "float32", tiling, weights=weights)
    with emulated() as pool:
        xp = array_module("cupy")
        waves = Waves(point, 0, layers, dtype="float32", xp=xp, sampled_classes=point.n_classes, weights=weights)
        with nothing_computed():
            waves.norms(range(1), tiling, ONE_THREAD)
        assert said / MOST_OVER < pool.most_used <= said
