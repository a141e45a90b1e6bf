"""Where a run on a cluster stands, as metrics of Ray, which Prometheus fetches from the cluster's nodes.

Records of progress go in, and nothing comes back: no metric can slow a run, or end it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from rmtsim.sweeps.executors import THIS_MACHINE
from rmtsim.sweeps.jobs import error_line
from rmtsim.sweeps.progress import Progress

_log = logging.getLogger(__name__)

#: The label of every metric: the name of the sweep or experiment.
LABEL = "run"

_Gauge = tuple[str, Callable[[Progress], float | None]]

#: Name → what it means, and its value; None where it is not known. Ray puts ``ray_`` before the names.
_OF_BOTH: dict[str, _Gauge] = {
    "rmtsim_workers": ("Workers that are at work", lambda record: record.workers),
    "rmtsim_seconds_to_go": (
        "Seconds to the end, extrapolated; absent where it is not known",
        lambda record: 0 if record.finished == record.total else record.to_go,
    ),
}

#: Unit of the records → the gauges of a run.
GAUGES: dict[str, dict[str, _Gauge]] = {
    "draw": {
        "rmtsim_points": ("Points of the sweep", lambda record: record.total),
        "rmtsim_points_finished": ("Points that want no more draws", lambda record: record.finished),
        "rmtsim_draws_per_second": ("Draws a second since the run began", lambda record: record.per_second),
        "rmtsim_worst_rse": (
            "Largest relative standard error of a point; absent where none has one",
            lambda record: record.worst_rse,
        ),
        "rmtsim_batches_in_flight": ("Batches that workers have", lambda record: record.in_flight),
        "rmtsim_batches_failed": ("Batches that were given up", lambda record: len(record.failures)),
        **_OF_BOTH,
    },
    "table": {
        "rmtsim_tables": ("Tables of the experiment", lambda record: record.total),
        "rmtsim_tables_finished": ("Tables that the store has", lambda record: record.finished),
        "rmtsim_tables_in_flight": ("Tables that workers have", lambda record: record.in_flight),
        "rmtsim_tables_failed": ("Tables that were given up", lambda record: len(record.failures)),
        **_OF_BOTH,
    },
}

#: Unit of the records → the counter of what the run has committed. Ray puts ``_total`` behind the name.
COUNTERS = {
    "draw": ("rmtsim_draws", "Draws that the run has committed"),
    "table": ("rmtsim_new_tables", "Tables that the run has committed"),
}


def exported(on_progress: Callable[[Progress], None] | None, address: str) -> Callable[[Progress], None] | None:
    """Return what takes the records of a run at ``address``: on a cluster the metrics, then ``on_progress``.

    On this machine, a Ray of our own included, it is ``on_progress`` alone.
    """
    if address in THIS_MACHINE:
        return on_progress
    export = _Export()

    def take(record: Progress) -> None:
        export.take(record)
        if on_progress:
            on_progress(record)

    return take


class _Export:
    """Brings records to the metrics; at the first error it says so, and does no more."""

    def __init__(self) -> None:
        self._add: Callable[[dict[str, float], int], object] | None = None
        self._done = 0
        self._over = False

    def take(self, record: Progress) -> None:
        if self._over:
            return
        try:
            self._add = self._add or _adder(record.name, record.unit)
            known = {name: value(record) for name, (_, value) in GAUGES[record.unit].items()}
            # What is set to NaN disappears from the page, so that no old value stays there.
            values = {name: math.nan if value is None else float(value) for name, value in known.items()}
            new = max(0, record.done - self._done)  # an audit may have had draws taken out again
            self._add(values, new)
            self._done += new
        except Exception as error:  # whatever it is, the run goes on
            self._over = True
            _log.warning("run: its metrics are not exported to Ray any more (%s); the run goes on", error_line(error))


def _adder(run: str, unit: str) -> Callable[[dict[str, float], int], object]:
    """Return `RunMetrics.add` of new metrics.

    A client of ``ray://`` is no process of the cluster and has no metrics: there an actor has them.
    """
    import ray
    from ray.util.client import ray as client

    if not client.is_connected():
        return RunMetrics(run, unit).add
    actor = ray.remote(num_cpus=0, max_restarts=-1)(RunMetrics).remote(run, unit)
    add: Callable[[dict[str, float], int], object] = actor.add.remote
    return add


class RunMetrics:
    """The metrics of one run, in a process of the cluster."""

    def __init__(self, run: str, unit: str) -> None:
        from ray.util.metrics import Counter, Gauge

        self._tags = {LABEL: run}
        self._counter = Counter(*COUNTERS[unit], (LABEL,))
        self._gauges = {name: Gauge(name, about, (LABEL,)) for name, (about, _) in GAUGES[unit].items()}

    def add(self, values: dict[str, float], done: int) -> None:
        """Set the gauges to their values, and count what was done since the last call."""
        for name, value in values.items():
            self._gauges[name].set(value, self._tags)
        if done:
            self._counter.inc(done, self._tags)
