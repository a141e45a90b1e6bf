"""Run a sweep: its draws as work of the run loop, their commits, and how it ended."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from html import escape
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rmtsim.arrays import gpu_device, tensor_cores
from rmtsim.arrays.backend import get_backend, resolve
from rmtsim.sampling.schema import SimulatedDraws, table_of
from rmtsim.store import Store
from rmtsim.store.compact import MANY, compact_with
from rmtsim.store.core_time import CoreTime, Taken
from rmtsim.store.shards import Shard
from rmtsim.store.writer import Writer
from rmtsim.sweeps.audit import check_audit
from rmtsim.sweeps.batches import Batch, Result
from rmtsim.sweeps.executors import OWN_RAY, THIS_MACHINE
from rmtsim.sweeps.jobs import Failure
from rmtsim.sweeps.loop import ending, run_work
from rmtsim.sweeps.missing_blocks import without_off_diagonal
from rmtsim.sweeps.progress import Progress, SweepWatch
from rmtsim.sweeps.ray_metrics import exported
from rmtsim.sweeps.reading import read_states
from rmtsim.sweeps.resources import Resources, allocate
from rmtsim.sweeps.scheduler import DrawScheduler
from rmtsim.sweeps.spec import Spec
from rmtsim.sweeps.state import PointState
from rmtsim.sweeps.stopping import aim
from rmtsim.sweeps.thread_workers import default_workers
from rmtsim.text.sizes import format_share
from rmtsim.text.words import number_of

_log = logging.getLogger(__name__)

#: Points that an outcome shows in a notebook.
_SHOWN_POINTS = 20


@dataclass(frozen=True, repr=False)
class Outcome:
    """How a run ended, and where every point stands.

    Attributes
    ----------
    states
        The points of the sweep. Of each, ``point`` is the point, ``state`` a word (new, partial, done or limited),
        ``prefix`` the number of its draws, ``precision`` the largest relative standard error and the quantity that has
        it, and ``warning`` what is to be said of its tails; printed, it says what it lacks.
    new_draws
        Draws that the run has committed.
    failures
        Batches that failed for good.
    stopped
        Why the run stopped before its end: "interrupted", "time limit", "failure", or "".

    Examples
    --------
    >>> import tempfile
    >>> import rmtsim
    >>> point = rmtsim.Point("linear", "mse", n_classes=3, dim=4, n_samples=8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     outcome = rmtsim.run(point, folder, workers=1, sampling={"max_draws": 16, "target_rse": 0.001})
    >>> outcome
    Outcome(16 new draws; 0 of 1 points done, 1 used up max_draws above target_rse (see Outcome.limited))
    >>> [state.point.n_classes for state in outcome.limited]
    [3]
    """

    states: list[PointState]
    new_draws: int
    failures: list[Failure] = field(default_factory=list)
    stopped: str = ""

    @property
    def limited(self) -> list[PointState]:
        """Points that used up max_draws above the target."""
        return [state for state in self.states if state.state == "limited"]

    @property
    def heavy(self) -> list[PointState]:
        """Points that want no more draws, and have too heavy a tail for their means to be trusted."""
        return [state for state in self.states if state.finished and state.heavy_tail]

    @property
    def unfinished(self) -> list[PointState]:
        """Points that want more draws."""
        return [state for state in self.states if not state.finished]

    def __repr__(self) -> str:
        return f"Outcome({self})"

    def _repr_html_(self) -> str:
        """Return the sentence, and a table of the points."""
        head = "".join(f"<th>{name}</th>" for name in ("point", "state", "draws", "rse", "target"))
        rows = "".join(
            f"<tr><td>{state.point.sizes}</td><td>{state.state}</td><td>{state.prefix}</td>"
            f"<td>{format_share(state.precision[0]) if math.isfinite(state.precision[0]) else ''}</td>"
            f"<td>{format_share(state.sampling.target_rse)}</td></tr>"
            for state in self.states[:_SHOWN_POINTS]
        )
        more = len(self.states) - _SHOWN_POINTS
        note = f"<p>… and {number_of(more, 'point')} more</p>" if more > 0 else ""
        return f"<p><b>Outcome</b>: {escape(str(self))}</p><table><tr>{head}</tr>{rows}</table>{note}"

    def __str__(self) -> str:
        """Return it in a sentence, which names the attributes that say more."""
        return self.sentence("Outcome.limited", "Outcome.heavy")

    def sentence(self, limited: str, heavy: str) -> str:
        """Return it in a sentence.

        Parameters
        ----------
        limited, heavy
            What says more of points that used up max_draws, and of those with too heavy a tail.
        """
        made = f"{number_of(self.new_draws, 'new draw')}" if self.new_draws or self.unfinished else "nothing to do"
        done = len(self.states) - len(self.limited) - len(self.unfinished)
        text = f"{made}; {done} of {len(self.states)} points done"
        if self.limited:
            text += f", {len(self.limited)} used up max_draws above target_rse (see {limited})"
        if self.heavy:
            text += f", {len(self.heavy)} with too heavy a tail (see {heavy})"
        return text + ending(self.failures, self.stopped, bool(self.unfinished), "batch")

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "complete": not (self.limited or self.unfinished),
            "new_draws": self.new_draws,
            "points": len(self.states),
            "done": len(self.states) - len(self.limited) - len(self.unfinished),
            "limited": len(self.limited),
            "heavy_tails": len(self.heavy),
            "unfinished": len(self.unfinished),
            "stopped": self.stopped,
            "failures": [failure.document() for failure in self.failures],
        }


def run(
    spec: Spec,
    store: Store,
    *,
    address: str = "local",
    backend: str = "auto",
    workers: int | None = None,
    memory: float | None = None,
    time_limit: float = math.inf,
    fail_fast: bool = False,
    audit: float = 0.0,
    on_progress: Callable[[Progress], None] | None = None,
    on_message: Callable[[str], None] | None = None,
    on_states: Callable[[list[PointState]], None] | None = None,
) -> Outcome:
    """Run or resume a sweep until every point has reached its target or max_draws.

    A finished sweep touches no file, except to tidy up after a compaction that was killed. One that was killed or
    interrupted goes on where its last commit ended, and ends with the same rows.

    Parameters
    ----------
    spec, store
        The sweep, and where its draws go.
    address, backend, workers, memory
        Where to compute, with what, how many batches at a time, and bytes for all of them (on a cluster, for each).
    time_limit
        Seconds after which to stop. Batches that threads are computing are then waited for, for `PATIENCE` seconds at
        most; others in flight are dropped. The first ones are always computed, so that a run that is repeated comes
        to its end.
    fail_fast
        Stop at the first batch that is given up. By default all others go on.
    audit
        The share of the batches that are computed on a second node, and compared; see `rmtsim.sweeps.audit`.
    on_progress
        Called with a `rmtsim.sweeps.progress.Progress` after every commit, about once a second.
    on_message
        Called with a sentence on what the run waits for or leaves undone, or on blocks that its points do not have; by
        default it is logged.
    on_states
        Called with the points before the run begins, where draws are wanted.

    Raises
    ------
    InputError
        If the sweep cannot run here: no such backend, too little memory, a store with other draws.
    RunError
        If the store fails; everything committed before is safe.
    """
    here, unused = address in THIS_MACHINE, ""
    if here:  # on a cluster the workers decide: its head may have no GPU
        chosen = resolve(backend)
        unused = gpu_device.unused() if (backend, chosen) == ("auto", "numpy") else ""
        backend = chosen
    tensor_cores.check(backend, spec.sampling.dtype, here=here)
    listed = store.listed()
    states = read_states(spec, store, None if backend == "auto" else backend)
    if all(state.finished for state in states) and spec.document() in store.specs():
        if len(store.shards()) < len(listed):  # a compaction was killed: other readers see its rows twice
            with store.writer():
                pass
        return Outcome(states, 0)
    if here and not get_backend(backend).needs_gpu:
        resources = allocate(spec, workers, default_workers(backend), memory, processes=address == OWN_RAY)
    else:  # a GPU's memory, and that of other machines, is looked at where the draws are made
        resources = Resources(workers, 1, memory)
    if on_states:
        on_states(states)
    say = on_message or partial(_log.info, "%s: %s", spec.name)
    for sentence in without_off_diagonal([state.point for state in states], spec.layers):
        say(sentence)
    if unused:
        say(f"there is a GPU, but {unused}; draws are made with NumPy")
    if (trusted := aim(spec.sampling)) < spec.sampling.target_rse:
        percent = f"{100 * trusted:g}%"
        say(f"a target_rse above {percent} is not trusted, so points go on until {percent} are reached")
    work = SweepWork(spec, resources, _Read(listed, backend, states))
    stopped = run_work(
        work,
        store,
        address=address,
        backend=backend,
        workers=resources.workers,
        time_limit=time_limit,
        fail_fast=fail_fast,
        on_progress=exported(on_progress, address),
        audit=check_audit(audit, address, resources.workers),
        on_message=on_message,
    )
    return Outcome(work.states, work.committer.done, work.scheduler.failures, stopped)


class _Read(NamedTuple):
    """The points as they were read from the shards of a store, for a backend."""

    listed: list[Shard]
    backend: str
    states: list[PointState]


class SweepWork:
    """The draws that the points of a sweep are missing, as work of the run loop.

    Attributes
    ----------
    states, scheduler, committer
        The points, what is to be done, and who commits it; set when the work begins.
    """

    noun = "batch"
    folders = ("sweeps", "draws")
    queued = 2  # so that no worker waits for the driver
    saves = False

    states: list[PointState]
    scheduler: DrawScheduler
    committer: DrawCommitter
    _watch: SweepWatch | None = None

    def __init__(self, spec: Spec, resources: Resources, read: _Read) -> None:
        self.name, self._spec, self._resources, self._read = spec.name, spec, resources, read

    def begin(self, store: Store, writer: Writer, backend: str) -> tuple[DrawScheduler, DrawCommitter]:
        """Read the points again where another writer has been at work, join many small shards, and keep the spec."""
        same = self._read.backend == backend and self._read.listed == store.listed()
        if (loose := len(writer.loose())) >= MANY:
            _log.warning(
                "store: %s has %d small shards; they are first joined into few, as `rmtsim compact` does",
                store.location,
                loose,
            )
            compact_with(store, writer)
        self.states = self._read.states if same else read_states(self._spec, store, backend)
        self._read = _Read([], "", [])  # from now on the states run ahead of the store
        writer.save_spec(self._spec.name, self._spec.document())
        self.scheduler = DrawScheduler(self.states, self._spec, backend, self._resources)
        self.committer = DrawCommitter(store, writer, self._spec.document(), self.scheduler)
        self._watch = SweepWatch(self.name, self.states, since=self._watch.start if self._watch else None)
        return self.scheduler, self.committer

    def progress(self, workers: int) -> Progress:
        """Return where the sweep stands."""
        assert self._watch is not None
        return self._watch.progress(self.committer.done, workers, self.scheduler.failures, self.scheduler.in_flight)


class DrawCommitter:
    """Gathers draws, and commits them about once a second as one shard; many small shards become a large one.

    Attributes
    ----------
    done
        Draws that were committed.
    """

    def __init__(self, store: Store, writer: Writer, document: Mapping[str, Any], scheduler: DrawScheduler) -> None:
        self.done = 0
        self._store, self._writer = store, writer
        self._document, self._scheduler = document, scheduler
        self._simulated: list[SimulatedDraws] = []
        self._stored: list[dict[int, set[str]]] = []
        self._core_time = CoreTime()
        self._until_compaction = max(1, MANY - len(writer.loose()))

    def add(self, job: Batch, result: Result) -> None:
        """Take in the draws of a batch, except for layers that the store has; they are done when they are committed."""
        self._simulated.append(result.simulated)
        self._stored.append(self._scheduler.stored_layers(job))
        self._core_time.add(job.point.id, Taken(len(job.draws), result.seconds * job.threads))

    def commit(self) -> None:
        """Write what was gathered. What fails, or is interrupted, is not tried again: it may be on the disk."""
        simulated, stored, core_time = self._simulated, self._stored, self._core_time
        self._simulated, self._stored, self._core_time = [], [], CoreTime()
        if simulated:
            rows = table_of(simulated)
            if any(stored):
                rows = rows.filter(np.concatenate([_fresh(*pair) for pair in zip(simulated, stored, strict=True)]))
            self._writer.append(rows, self._document, core_time)
            self.done += sum(len(one.draws) for one in simulated)
            self._until_compaction -= 1
            if self._until_compaction <= 0:
                compact_with(self._store, self._writer)
                self._until_compaction = MANY


def _fresh(simulated: SimulatedDraws, stored: dict[int, set[str]]) -> npt.NDArray[np.bool_]:
    """Return which rows of simulated draws, by draw, then layer, the store does not have."""
    return np.array([layer not in stored.get(draw, ()) for draw in simulated.draws for layer in simulated.layers])
