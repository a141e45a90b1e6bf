"""Schedulers of sweeps of many points."""

from __future__ import annotations

from rmtsim.sweeps.resources import Resources
from rmtsim.sweeps.scheduler import DrawScheduler
from rmtsim.sweeps.spec import Spec, from_document
from rmtsim.sweeps.state import PointState


def spec_of(points: int, draws: int, **sampling: object) -> Spec:
    return from_document(
        {
            "name": "simulate_arrays",
            "model": "linear",
            "loss": "ce",
            "grid": {"n_classes": list(range(2, points + 2)), "dim": [1024], "aspect_ratio": [0.5]},
            "sampling": {"min_draws": 16, "max_draws": draws, "target_rse": 1e-6, **sampling},
        }
    )


def scheduler_of(spec: Spec) -> DrawScheduler:
    states = [PointState(point, spec.layers, spec.sampling) for point in spec.points()]
    return DrawScheduler(states, spec, "numpy", Resources(None, 1, None))
