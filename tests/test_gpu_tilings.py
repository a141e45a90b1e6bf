"""On a GPU, or its emulator: a draw that is cut into tiles of samples and chunks of classes, as only large ones are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rmtsim.arrays.backend import Module, array_module, to_numpy
from rmtsim.arrays.threads import ONE_THREAD
from rmtsim.kernels.classes import GivenRows
from rmtsim.kernels.doubts import AT_ONCE, CarefulDoubts, Doubts, NotedDoubts
from rmtsim.kernels.network_norms import Networks, compute
from rmtsim.kernels.precision import PrecisionCheck
from rmtsim.kernels.tiling import TILE, Tiling, with_span

pytestmark = pytest.mark.gpu

DRAWS, CLASSES, SAMPLES, DIM, NEURONS = 2, 6, 40, 20, 3

#: All at once, as a CPU has it, and three tiles and two chunks on a GPU.
WHOLE, CUT = Tiling(SAMPLES, TILE, CLASSES, 1, True), Tiling(16, 8 * TILE, 4, 3, True)


def norms(xp: Module, layer: str, gain: float, dtype: str, tiling: Tiling, doubts: Doubts = AT_ONCE) -> np.ndarray:
    """Return the norms of a layer, (kinds, draws), of draws whose logits grow with ``gain``."""
    rng = np.random.default_rng(0)
    sizes = [(SAMPLES, DIM), (NEURONS, DIM), (CLASSES, DIM if layer == "linear" else NEURONS)]
    X, W, V = (rng.normal(size=(DRAWS, *size)) for size in sizes)
    V[:, CUT.chunk :] /= 4  # so that the largest logits of the first chunk are no bad shifts
    given: list[Any] = [A.astype("float32").astype(dtype) for A in (X, gain * V / V.shape[-1] ** 0.5, W / DIM**0.5)]
    X, V, W = (xp.asarray(A) for A in given)
    y = xp.asarray(rng.integers(CLASSES, size=(DRAWS, SAMPLES)))
    options: dict[str, Any] = {
        "tiling": tiling,
        "team": ONE_THREAD,
        "check": PrecisionCheck(dtype, "ce", doubts=doubts),
    }
    hidden = None if layer == "linear" else W
    found = compute(Networks(X, [GivenRows(V)], hidden, y, "ce", (layer,), xp, **options))[layer]
    values = list(found)
    if not isinstance(doubts, NotedDoubts):
        return np.array([to_numpy(value) for value in values])
    rows, doubtful = doubts.fetch(values, xp)
    assert not doubtful.any()
    return np.array(rows)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("gain", [1.0, 12.0])  # with the second, some samples have nearly all in one class
@pytest.mark.parametrize("layer", ["linear", "output", "hidden", "cross"])
def test_norms_do_not_depend_on_what_is_held_at_once(layer: str, gain: float, dtype: str) -> None:
    """With any number of tiles held at once, and made with care or not: the same bits, and the norms of a CPU."""
    device = array_module("cupy")
    expected = norms(np, layer, gain, "float64", WHOLE)
    found = norms(device, layer, gain, dtype, CUT)
    np.testing.assert_allclose(found, expected, rtol=1e-12 if dtype == "float64" else 1e-5)
    for span in (1, 2):
        np.testing.assert_array_equal(norms(device, layer, gain, dtype, with_span(CUT, span)), found)
    np.testing.assert_array_equal(norms(device, layer, gain, dtype, with_span(CUT, 1), CarefulDoubts()), found)
