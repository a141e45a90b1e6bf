"""The audit of a fleet: a share of the batches is computed on a second node, and the results are compared.

A machine may compute wrongly without a word: a processor with a bad core, memory with a bad bit, a GPU that is too hot.
Whether a batch is audited depends on the batch alone. Its result counts when two nodes agree on it: to the bit where
both have the same libraries and the same kind of processor or GPU, and up to rounding elsewhere. Where two differ,
others are asked until two agree, at the last this process itself; who differs from them computes wrongly. Its node is
left out, and whatever this run has from it alone is taken out of the store and made again, on other nodes.

On a cluster of one node, processes take the place of nodes: what is wrong with the whole machine then goes unnoticed.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np

from rmtsim.arrays.backend import get_backend
from rmtsim.arrays.machine import usable_memory
from rmtsim.arrays.threads import cores, single_threaded_blas
from rmtsim.errors import InputError
from rmtsim.store.coverage import Coverage, RangeSet
from rmtsim.store.recompute import ROUNDING
from rmtsim.sweeps.batches import Batch, Result
from rmtsim.sweeps.executors import LOCAL
from rmtsim.sweeps.jobs import Finished, Place, never
from rmtsim.sweeps.ray_workers import RayWorkers
from rmtsim.sweeps.sole_results import SoleResults
from rmtsim.text.words import abridge, number_of

_log = logging.getLogger(__name__)

#: Results of a batch that are compared at most: if no two nodes agree by then, nothing is known.
_ANSWERS = 6

#: Seconds for which a batch waits for a second worker to be there.
_PATIENCE = 60.0


class DistrustedError(Exception):
    """Results that this run has taken in are not to be trusted: the run begins anew without them.

    Attributes
    ----------
    draws
        The draws, which only distrusted nodes have computed.
    undecided
        A sentence, where it is not known which node computes wrongly, so that the run cannot go on; else "".
    """

    def __init__(self, draws: Coverage, undecided: str = "") -> None:
        super().__init__(undecided)
        self.draws, self.undecided = draws, undecided


class _Answer(NamedTuple):
    place: Place
    result: Result


@dataclass(eq=False)
class _Case:
    """A batch that is audited, with the results so far."""

    batch: Batch
    answers: list[_Answer] = field(default_factory=list)
    alone_since: float | None = None  # since when it waits for a second worker to be there, without a break

    @property
    def places(self) -> list[Place]:
        return [answer.place for answer in self.answers]

    def sides(self) -> list[list[_Answer]]:
        """Return the answers that agree with each other, side by side.

        One that agrees with two sides, up to rounding, decides nothing between them and is on none.
        """
        sides: list[list[_Answer]] = []
        for answer in self.answers:
            found = [side for side in sides if agree(side[0], answer)]
            if not found:
                sides.append([answer])
            elif len(found) == 1:
                found[0].append(answer)
        return sides


class AuditedWorkers:
    """The workers of a cluster as an executor that audits a share of the batches.

    Parameters
    ----------
    workers
        The workers.
    share
        The share, from 0 to 1.

    Raises
    ------
    DistrustedError
        Later, when a node turns out to compute wrongly, or two nodes differ and nobody can tell which is right.
    """

    def __init__(self, workers: RayWorkers, share: float) -> None:
        self.backend, self._workers, self._share = workers.backend, workers, share
        self._cases: dict[Batch, _Case] = {}
        self._wanting: deque[_Case] = deque()  # cases that need a further answer, and were given to nobody
        self._alone = SoleResults()
        self._warned = self._one_machine = False

    @property
    def workers(self) -> int:
        """Workers that are at work now."""
        return self._workers.workers

    @property
    def free(self) -> int:
        """How many more batches to submit now; those that are audited go first."""
        return max(0, self._workers.free - len(self._wanting))

    def submit(self, batch: Batch) -> None:
        """Give a batch to the worker that has waited longest."""
        self._workers.submit(batch)

    def next_done(self, timeout: float) -> list[Finished]:
        """Wait at most ``timeout`` seconds for a batch to come back; return all whose results count."""
        return [*self._seen(self._workers.next_done(timeout)), *self._ask()]

    def overdue(self, limit: Callable[[Any], float]) -> list[Finished]:
        """End the workers that have computed a batch for longer than ``limit`` of it, in seconds; return theirs."""
        return self._seen(self._workers.overdue(limit))

    def awaited(self) -> dict[Batch, float]:
        """Return none: all can be dropped."""
        return {}

    def drain(self, at_most: float) -> list[Finished]:
        """Drop everything."""
        self._cases.clear()
        self._wanting.clear()
        return self._workers.drain(at_most)

    def _seen(self, several: Sequence[Finished]) -> list[Finished]:
        """Take note of batches that came back; return those that are through."""
        found: list[Finished] = []
        for finished in several:
            case = self._cases.get(finished.job)
            if finished.result is None:  # the batch is tried again, and audited then
                self._cases.pop(finished.job, None)
                found.append(finished)
            elif case is None and not is_audited(finished.job, self._share):
                found.append(self._taken(finished))
            else:
                assert finished.place is not None
                case = case or self._cases.setdefault(finished.job, _Case(finished.job))
                case.answers.append(_Answer(finished.place, finished.result))
                found += self._judge(case)
        return found

    def _taken(self, finished: Finished) -> Finished:
        """Take note of a result that counts and that one place alone has computed."""
        assert finished.place is not None
        self._alone.add(finished.job, finished.place)
        return finished

    def _judge(self, case: _Case) -> list[Finished]:
        """Return the batch if its result is known now; else have it computed once more.

        Raises
        ------
        DistrustedError
            If some results differ from those that are right.
        """
        right = self._right(case)
        if not right:
            self._wanting.append(case)
            return []
        del self._cases[case.batch]
        if wrong := [answer.place for side in case.sides() if side[0] is not right[0] for answer in side]:
            raise self._convicted(case, wrong, [answer.place for answer in right])
        self._say_what_goes_unnoticed(right)
        return [Finished(case.batch, right[0].result)]

    def _say_what_goes_unnoticed(self, right: Sequence[_Answer]) -> None:
        """Say once that two processes of one node agree, which tells nothing of the node as a whole."""
        if not self._one_machine and len({answer.place.node for answer in right}) == 1:
            self._one_machine = True
            _log.warning(
                "run: audit: all workers are on one machine, %s, whose processes are compared with each other: a core "
                "or a GPU that computes wrongly is found, a machine that does so as a whole is not; a second node "
                "would show it",
                right[0].place.host,
            )

    def _right(self, case: _Case) -> list[_Answer]:
        """Return the answers that are right, as far as it is known by the nodes that are there now."""
        return next((side for side in case.sides() if self._independent([answer.place for answer in side])), [])

    def _independent(self, places: Sequence[Place]) -> bool:
        """Whether places are on two nodes; where there is one node only, whether they are two processes."""
        return len({place.node for place in places}) > 1 or (len(places) > 1 and len(self._workers.nodes()) == 1)

    def _ask(self) -> list[Finished]:
        """Give cases to further workers; return those for which there is none."""
        found: list[Finished] = []
        if self._workers.workers > 1:  # none is alone, though the others may be busy
            for case in self._wanting:
                case.alone_since = None
        if not self._workers.free:
            return found
        for _ in range(len(self._wanting)):
            case = self._wanting.popleft()
            if self._cases.get(case.batch) is not case:
                continue  # the last worker that had it is gone
            if self._right(case):  # nodes have gone since
                found += self._judge(case)
                continue
            given = None
            if len(case.answers) < 2 or self._workers.nodes() - {place.node for place in case.places}:
                given = self._workers.submit_apart(case.batch, case.places)
            elif self._own_answer(case):
                found += self._judge(case)
                continue
            elif len(case.answers) < _ANSWERS:
                given = self._workers.submit_apart(case.batch, case.places)
            if given is None and len(case.answers) > 1:
                raise self._undecided(case)
            if given is None:
                found += self._without_a_second(case)
            elif not given:
                self._wanting.append(case)
        return found

    def _own_answer(self, case: _Case) -> bool:
        """Compute a batch in this process, unless it cannot, has, or is on one of several nodes that differ."""
        if get_backend(self.backend).needs_gpu:
            return False
        here, nodes = self._workers.here(), {place.node for place in case.places}
        if here in case.places or (here.node in nodes and len(self._workers.nodes()) > 1):
            return False
        with single_threaded_blas():
            result = case.batch.within(usable_memory() / cores()).compute(never)
        case.answers.append(_Answer(here, result))
        return True

    def _without_a_second(self, case: _Case) -> list[Finished]:
        """Let a batch wait for a second worker to be there, and after a minute let it count as it is."""
        now = self._workers.seconds()
        case.alone_since = now if case.alone_since is None else case.alone_since
        if now - case.alone_since < _PATIENCE and not self._warned:
            self._wanting.append(case)
            return []
        if not self._warned:
            self._warned = True
            _log.warning("run: audit: there is one worker, which has none to be compared with, until another joins")
        del self._cases[case.batch]
        (answer,) = case.answers
        return [self._taken(Finished(case.batch, answer.result, place=answer.place))]

    def _convicted(self, case: _Case, wrong: Sequence[Place], right: Sequence[Place]) -> DistrustedError:
        """Leave out who has computed wrongly; return what is to be made again."""
        sound = {place.node for place in right}
        gone = Coverage()
        for place in wrong:
            node = place.node not in sound
            self._workers.leave_out(place, node=node)
            _add(gone, self._alone.take(partial(_is_of, place, node)))
            _log.warning(
                "run: audit: %s computes wrongly and is left out%s: its %s differ from what %s have; %s that this run "
                "has from it alone are made again, and `rmtsim verify --recompute` looks at those of earlier runs",
                place,
                " with its node" if node else "",
                case.batch,
                " and ".join(map(str, right)),
                number_of(_draws_in(gone), "draw"),
            )
        return DistrustedError(gone)

    def _undecided(self, case: _Case) -> DistrustedError:
        nodes = {place.node for place in case.places}
        gone = self._alone.take(lambda other: other.node in nodes)
        first, second = (side[0].place for side in case.sides()[:2])
        return DistrustedError(
            gone,
            f"audit: {first} and {second} differ on {case.batch}, and no third node can tell which of them is wrong; "
            f"{number_of(_draws_in(gone), 'draw')} that this run has from one of the two alone are taken out again; "
            "add a node, or do without one of these, and the same command goes on",
        )


def check_audit(share: object, address: str, workers: int | None) -> float:
    """Return the share of batches to audit.

    Raises
    ------
    InputError
        If it is no number from 0 to 1, or there are no two workers in processes of their own to be compared.
    """
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise InputError(f"audit: {abridge(share)} is not valid; give a number from 0 to 1, such as 0.02")
    if share and address == LOCAL:
        raise InputError(
            "audit: the threads of one process, which local stands for, cannot be compared; give the address of a "
            "cluster, or ray for processes on this machine"
        )
    if share and workers == 1:
        raise InputError("audit: one worker has none to be compared with; let there be two workers or more")
    return float(share)


def is_audited(batch: Batch, share: float) -> bool:
    """Whether a batch is audited: a function of its point, seed and draws alone."""
    name = f"{batch.point.id} {batch.seed} {batch.draws.start} {batch.draws.stop}"
    return int.from_bytes(sha256(name.encode()).digest()[:8], "big") < share * 2.0**64


def agree(one: _Answer, other: _Answer) -> bool:
    """Whether two results are of the same draws: to the bit, or up to rounding where machines are of two kinds."""
    left, right = one.result.simulated, other.result.simulated
    if left.classes != right.classes or left.values.shape != right.values.shape:
        return False
    if one.place.machine == other.place.machine:
        return np.array_equal(left.values, right.values, equal_nan=True)
    null = np.isnan(left.values)
    near = np.abs(left.values - right.values) <= ROUNDING[left.dtype] * np.abs(right.values)
    return bool(np.array_equal(null, np.isnan(right.values)) and (near | null).all())


def _is_of(place: Place, node: bool, other: Place) -> bool:
    """Whether a place is a given one, or with ``node`` on its node."""
    return other == place or (node and other.node == place.node)


def _add(draws: Coverage, more: Coverage) -> None:
    for series, runs in more.items():
        for run in runs:
            draws.setdefault(series, RangeSet()).add(run)


def _draws_in(draws: Coverage) -> int:
    """Return the number of draws, each of which may have several layers."""
    return sum({(series.point_id, series.seed): len(runs) for series, runs in draws.items()}.values())
