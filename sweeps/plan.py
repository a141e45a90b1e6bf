"""What a run would do, and what a store says of the sweeps in it: tables that change nothing."""

from __future__ import annotations

import math
from dataclasses import asdict

import pandas as pd

from rmtsim.arrays.machine import flops_per_second
from rmtsim.errors import InputError
from rmtsim.kernels.memory import BASE, batch_size, fitting_tiling
from rmtsim.kernels.memory import memory as memory_held
from rmtsim.store import Store, StoreError
from rmtsim.words import counted
from sweeps.batches import cost
from sweeps.shares import Share, share_out
from sweeps.spec import Spec, from_document
from sweeps.state import PointState, read_states
from sweeps.thread_workers import default_workers

#: Share of a product's speed that whole draws reach, with their passes over memory (measured: 0.4 to 0.7).
_EFFICIENCY = 0.55


def plan(spec: Spec, store: Store, memory: float | None = None) -> pd.DataFrame:
    """One row per point: its state, draws stored and still to make, work and core seconds.

    ``why`` says why draws are to be made, or why not; ``more_draws_least`` is up to the next checkpoint;
    ``more_draws`` extrapolates the precision reached so far, and is that least number where there is none;
    ``core_seconds`` is for ``more_draws``; ``memory`` is the bytes that a worker holds at its peak.
    """
    share = share_out(spec, None, default_workers("numpy"), memory)
    speed = _EFFICIENCY * flops_per_second(spec.sampling.dtype)
    rows = []
    for state in read_states(spec, store):
        per_draw = cost(state.point, state.layers, spec.sampling.diagonal)
        more = max(0, state.expected_draws - state.prefix)
        rows.append(
            {
                **_sizes(state),
                "state": state.state,
                "why": _why(state),
                "draws": state.prefix,
                "more_draws_least": 0 if state.finished else sum(len(draws) for draws in state.missing()),
                "more_draws": more,
                "max_draws": spec.sampling.max_draws,
                "flops_per_draw": per_draw,
                "flops": per_draw * more,
                "core_seconds": per_draw * more / speed,
                "memory": _peak(state, spec, share),
            }
        )
    return pd.DataFrame(rows)


def _why(state: PointState) -> str:
    rse, quantity = state.precision
    target = state.sampling.target_rse
    sign = "≤" if rse <= target else ">"
    reached = state.doubt or f"{quantity} rse {rse:.2%} {sign} {target:.2%}"
    return f"{reached}, max_draws used up" if state.state == "limited" else reached


def _peak(state: PointState, spec: Spec, share: Share) -> int:
    dtype, budget = spec.sampling.dtype, share.memory or math.inf
    batch = batch_size(state.point, state.layers, dtype, budget)
    cut = fitting_tiling(state.point, state.layers, dtype, budget, threads=share.threads, batch=batch)
    return BASE + memory_held(state.point, state.layers, dtype, cut, batch=batch, threads=share.threads)


def summary(spec: Spec, table: pd.DataFrame) -> str:
    """Return a plan in a sentence."""
    counts = table["state"].value_counts()
    states = ", ".join(f"{counts.get(state, 0)} {state}" for state in ("done", "partial", "new", "limited"))
    return (
        f"{spec.name}: {counted(len(table), 'point')}: {states}; "
        f"{counted(int(table['more_draws'].sum()), 'draw')} to make, "
        f"{table['flops'].sum():.3g} flops, about {table['core_seconds'].sum():.0f} s on one core; "
        f"points that miss their target then go on, to at most {spec.sampling.max_draws} draws each"
    )


def status(store: Store) -> pd.DataFrame:
    """One row per point of every sweep in the store: its state, precision and what limits it."""
    rows = []
    for document in store.specs():
        try:
            spec = from_document(document)
        except InputError as error:
            name = f"{document['name']}.json"
            raise StoreError(
                f"store: {store.files.where(f'sweeps/{name}')} is no spec ({error}); remove it and run its spec again"
            ) from error
        for state in read_states(spec, store):
            rse, quantity = state.precision
            rows.append(
                {
                    "sweep": spec.name,
                    **_sizes(state),
                    "state": state.state,
                    "draws": state.prefix,
                    "rse": rse if math.isfinite(rse) else None,
                    "target_rse": spec.sampling.target_rse,
                    "worst": quantity,
                    "doubt": state.doubt,
                    "needs_draws": state.needed_draws,
                    "max_draws": spec.sampling.max_draws,
                }
            )
    return pd.DataFrame(rows)


def _sizes(state: PointState) -> dict[str, object]:
    point = state.point
    return {
        "point_id": point.id,
        "model": point.model,
        "loss": point.loss,
        "n_classes": point.n_classes,
        "dim": point.dim,
        "n_samples": point.n_samples,
        "width": point.width,
        **asdict(point.ensemble),
    }
