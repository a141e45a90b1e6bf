"""Plans of sweeps, as tables. Nothing here changes a store."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.arrays.machine import flops_per_second
from rmtsim.arrays.threads import cores
from rmtsim.kernels.memory import BASE, batch_size, fitting_tiling
from rmtsim.kernels.memory import memory as memory_held
from rmtsim.store import Store
from rmtsim.sweeps.pilot import Pilot, Range, needed, pilots
from rmtsim.sweeps.reading import read_states
from rmtsim.sweeps.resources import Resources, allocate
from rmtsim.sweeps.spec import Spec
from rmtsim.sweeps.state import PointState, columns_of
from rmtsim.sweeps.stopping import aim, beside, checkpoint_from
from rmtsim.sweeps.thread_workers import default_workers
from rmtsim.text.sizes import format_count, format_flops, format_seconds, format_share
from rmtsim.text.words import number_of

Values = npt.NDArray[np.float64]

#: Resources of a product's speed that whole draws reach, with their passes over memory (measured: 0.4 to 0.7).
_EFFICIENCY = 0.55


#: Seconds from which on a run is announced with its time before it begins.
LONG_SECONDS = 1800.0

#: Lower bound of the work per second of any machine, small draws included.
_LEAST_SPEED = 1e8


def plan(spec: Spec, store: Store, memory: float | None = None, workers: int | None = None) -> pd.DataFrame:
    """One row per point: its state, draws stored and still to make, work, time and memory.

    Parameters
    ----------
    spec, store
        The sweep, and where its draws go; nothing there is changed.
    memory, workers
        As for `rmtsim.sweeps.runner.run` on this machine.

    Returns
    -------
    DataFrame
        ``why`` says why draws are to be made, or why not. ``more_draws_low``, ``more_draws`` and ``more_draws_high``
        are how many: as expected and a range, from the precision of those stored, or where there is none from a few
        draws that are not kept (see `rmtsim.sweeps.pilot`), and never beyond ``max_draws``; ``more_draws_least`` is up
        to the next checkpoint. ``flops`` and ``core_seconds``, of one core of this machine, are for ``more_draws``; so
        are those with ``_low`` and ``_high``. ``memory`` is the bytes that a worker holds at its peak.
    """
    return plan_of(spec, read_states(spec, store), memory, workers)


def plan_of(
    spec: Spec, states: Sequence[PointState], memory: float | None = None, workers: int | None = None
) -> pd.DataFrame:
    """Return the same for the states of the points."""
    resources = allocate(spec, workers, default_workers("numpy"), memory)
    unknown = [state.point for state in states if not (state.finished or math.isfinite(state.precision[0]))]
    shown = pilots(spec, unknown)
    speed = _EFFICIENCY * flops_per_second(spec.sampling.dtype)
    of_point = [shown.get(state.point) if shown else None for state in states]
    low, expected, high = np.array([_more(*pair) for pair in zip(states, of_point, strict=True)], dtype=np.int64).T
    per_draw = np.array([spec.sampling.cost(state.point, state.layers) for state in states])
    pace = np.array([min(speed, pilot.speed) if pilot else speed for pilot in of_point])
    columns = {  # and no object a point: there may be a hundred thousand
        "state": [state.state for state in states],
        "why": [_why(state) for state in states],
        "draws": [state.prefix for state in states],
        "more_draws_least": [0 if state.finished else sum(map(len, state.missing())) for state in states],
        "more_draws_low": low,
        "more_draws": expected,
        "more_draws_high": high,
        "max_draws": spec.sampling.max_draws,
        "target_rse": spec.sampling.target_rse,
        "flops_per_draw": per_draw,
        "flops": per_draw * expected,
        "core_seconds_low": per_draw * low / speed,
        "core_seconds": per_draw * expected / pace,
        "core_seconds_high": per_draw * high / pace,
        "memory": [_peak(state, spec, resources) for state in states],
    }
    table = pd.DataFrame(columns_of([state.point for state in states]) | columns)
    alike = [-1 - k if pilot is None else id(pilot) for k, pilot in enumerate(of_point)]
    together = np.unique(alike, return_inverse=True)[1]
    table.attrs["total"] = asdict(_total(table, together, resources.workers or 1))  # plain, as files can keep it
    return table


def long_run(
    spec: Spec, states: Sequence[PointState], memory: float | None = None, workers: int | None = None
) -> Total | None:
    """Return what a run on this machine takes, if that is long; None where it is not, which takes no time to say."""
    sampling = spec.sampling
    wanted = [(state.point, sampling.max_draws - state.prefix) for state in states if not state.finished]
    most = sum(sampling.cost(point, spec.layers) * draws for point, draws in wanted)
    if most < LONG_SECONDS * _LEAST_SPEED:
        return None
    found = total(plan_of(spec, states, memory, workers))
    return found if found.seconds.expected >= LONG_SECONDS else None


def _more(state: PointState, pilot: Pilot | None) -> Range:
    """Return how many more draws a point takes, up to the checkpoints where it may end."""
    if state.finished:
        return Range(0, 0, 0)
    sampling, rse = state.sampling, state.precision[0]
    if math.isfinite(rse):
        wanted = needed(state.prefix, rse, sampling.target_rse)
    else:
        wanted = pilot.needs(state.point, sampling.target_rse) if pilot else Range(0, math.inf, math.inf)
    ends = (checkpoint_from(draws, sampling, start=state.wanted) for draws in wanted)
    return Range(*(end - state.prefix for end in ends))


def _why(state: PointState) -> str:
    reached = state.doubt or beside(state.precision, state.sampling, state.finished)
    return f"{reached}, max_draws used up" if state.state == "limited" else reached


def _peak(state: PointState, spec: Spec, resources: Resources) -> int:
    dtype, budget = spec.sampling.dtype, resources.memory or math.inf
    weights = spec.sampling.weights(state.point, state.layers)
    batch = batch_size(state.point, state.layers, dtype, budget, weights)
    counts: dict[str, Any] = {"threads": resources.threads, "batch": batch, "weights": weights}
    cut = fitting_tiling(state.point, state.layers, dtype, budget, **counts)
    return BASE + memory_held(state.point, state.layers, dtype, cut, **counts)


@dataclass(frozen=True)
class Total:
    """What a sweep takes in all.

    Attributes
    ----------
    draws, flops, core_seconds
        From the lowest to the highest, with what is expected between them.
    workers
        How many work at a time.
    """

    draws: Range
    flops: Range
    core_seconds: Range
    workers: int

    @property
    def seconds(self) -> Range:
        """Time with these workers, as far as there are cores for them."""
        return Range(*(value / min(self.workers, cores()) for value in self.core_seconds))

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        draws = Range(*map(round, self.draws))
        ranges = {"draws": draws, "flops": self.flops, "core_seconds": self.core_seconds, "seconds": self.seconds}
        return {"workers": self.workers, **{name: found._asdict() for name, found in ranges.items()}}

    def __str__(self) -> str:
        """Return it in a few words."""
        draws = span(self.draws.low, self.draws.high, format_count)
        with_them = f"with {number_of(self.workers, 'worker')}"
        return (
            f"{draws} {'draw' if draws == '1' else 'draws'} to make, "
            f"{span(self.flops.low, self.flops.high, format_flops)}, "
            f"{span(self.seconds.low, self.seconds.high, format_seconds)} {with_them}"
        )


def total(table: pd.DataFrame) -> Total:
    """Return what all points of a plan take together, also where the table has but some of its rows."""
    found = table.attrs["total"]
    draws, flops, core_seconds = (Range(*found[name]) for name in ("draws", "flops", "core_seconds"))
    return Total(draws, flops, core_seconds, found["workers"])


_RANGES = ("more_draws", "core_seconds")


def _total(table: pd.DataFrame, together: npt.NDArray[np.intp], workers: int) -> Total:
    """Add a plan up; points of one number in ``together`` are estimated from the same draws."""
    draws, seconds = ([table[f"{name}{end}"].to_numpy(float) for end in ("_low", "", "_high")] for name in _RANGES)
    flops = [table["flops_per_draw"].to_numpy(float) * end for end in draws]
    of_draws, of_flops, of_seconds = (
        _sum(low, expected, high, together) for low, expected, high in (draws, flops, seconds)
    )
    return Total(of_draws, of_flops, of_seconds, workers)


def _sum(low: Values, expected: Values, high: Values, together: npt.NDArray[np.intp]) -> Range:
    """Add ranges up that miss the truth to the same side where they are ``together``, else independently."""
    middle = float(expected.sum())
    below, above = (float(np.linalg.norm(np.bincount(together, weights=np.abs(expected - end)))) for end in (low, high))
    return Range(middle - below, middle, middle + above)


def span(low: float, high: float, form: Callable[[float], str]) -> str:
    """Return a range in words: 3 to 5, or 3 where both ends read alike."""
    first, last = form(low), form(high)
    return first if first == last else f"{first} to {last}"


def summary(spec: Spec, table: pd.DataFrame) -> str:
    """Return a plan in a sentence."""
    counts = table["state"].value_counts()
    states = ", ".join(f"{counts.get(state, 0)} {state}" for state in ("done", "partial", "new", "limited"))
    sampling = spec.sampling
    if not table["more_draws"].any():
        return f"{spec.name}: {number_of(len(table), 'point')}: {states}; 0 draws to make"
    bound = f"target_rse = {_target(sampling.target_rse)}"
    if aim(sampling) < sampling.target_rse:
        bound = f"{_target(aim(sampling))} (a larger one is not trusted, so not {bound})"
    return (
        f"{spec.name}: {number_of(len(table), 'point')}: {states}; {total(table)}, until every relative "
        f"standard error is at most {bound}, or a point has max_draws = {format_count(sampling.max_draws)} draws"
    )


def _target(rse: float) -> str:
    """Return a target in percent, as short as it can be."""
    return f"{100 * rse:.3g}%" if rse >= 1e-3 else format_share(rse)
