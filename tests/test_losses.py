"""The loss of one output far from zero against many digits: its value, its residual, its curvature."""

from __future__ import annotations

from types import ModuleType

import mpmath
import numpy as np
import pytest

from rmtsim.arrays.backend import to_numpy
from rmtsim.model.loss import get_loss

#: Logits up to where the tails are the smallest normal numbers, and those where a difference 1 − p would be 0.
LOGITS = {
    "float32": (0.0, 0.5, 10.0, 17.0, 20.0, 80.0),
    "float64": (0.0, 0.5, 10.0, 36.7, 38.0, 80.0, 400.0, 700.0),
}
CASES = [(dtype, sign * size) for dtype, sizes in LOGITS.items() for size in sizes for sign in (1, -1)]


@pytest.mark.parametrize(("dtype", "logit"), CASES)
@pytest.mark.parametrize("label", [0, 1])
def test_one_output_far_from_zero(dtype: str, logit: float, label: int, xp: ModuleType) -> None:
    logits = xp.asarray([[logit]], dtype=getattr(xp, dtype))
    value, residuals = get_loss("binary_ce").value_and_residuals(logits, xp.asarray([label]), xp)
    curvature = get_loss("binary_ce").curvature(logits, None, xp)
    found = value, to_numpy(residuals).item(), to_numpy(curvature.diagonal).item()
    with mpmath.workdps(700):
        f = mpmath.mpf(to_numpy(logits).item())
        p = 1 / (1 + mpmath.exp(-f))
        expected = [float(v) for v in (-mpmath.log(p if label else 1 - p), p - label, p * (1 - p))]
    assert expected[2] > 0
    np.testing.assert_allclose(found, expected, rtol=8 * np.finfo(dtype).eps)
