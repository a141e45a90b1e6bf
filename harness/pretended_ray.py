"""A Ray that is pretended, with a clock that skips the waiting: nodes join and leave, workers lie, hang and die.

The real executor, loop, scheduler and store run against it, in one thread and in the same order each time.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from rmtsim.sweeps.jobs import Place, never
from rmtsim.sweeps.ray_workers import RayWorkers
from rmtsim.version import __version__

#: What an actor computes a job in, on its place: seconds, infinite for one that hangs, and a result or an error.
Compute = Callable[[Place, Any], tuple[float, Any]]


class RayError(Exception):
    """What Ray raises, as for an actor that is gone."""


class RayTaskError(RayError):
    """An error of the code that ran, which is its cause."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


def about(version: str = __version__, machine: str = "m") -> dict[str, str]:
    """Return what a worker says of itself."""
    return {"version": version, "kernel": "k", "machine": machine}


@dataclass(eq=False)
class Actor:
    """An actor: its node once it has room, what it was called for, and when it is through with what it has."""

    ray: PretendedRay
    number: int
    selector: str
    node: str = ""
    alive: bool = True
    calls: deque[tuple[object, Callable[[], tuple[float, Any]]]] = field(default_factory=deque)
    ends: float = math.inf  # when the first call ends
    value: Any = None  # of the first call

    @property
    def at(self) -> Place:
        """Its place."""
        return Place(self.node, f"host-{self.node}", "10.0.0.1", self.number)

    def __getattr__(self, name: str) -> Any:
        if name not in ("place", "hello", "compute"):
            raise AttributeError(name)
        how = {
            "place": lambda: (0.1, self.at),
            "hello": lambda backend: self.ray.hello(self.at),
            "compute": lambda job: self.ray.compute(self.at, job),
        }[name]
        return SimpleNamespace(remote=lambda *given: self._called(lambda: how(*given)))

    def _called(self, answer: Callable[[], tuple[float, Any]]) -> object:
        reference = object()
        if self.alive:
            self.calls.append((reference, answer))
            self.begin()
        else:
            self.ray.refuse(reference)
        return reference

    def begin(self) -> None:
        """Begin the first call, if it waits."""
        if self.node and self.calls and self.ends == math.inf and self.value is None:
            seconds, self.value = self.calls[0][1]()
            self.ends = self.ray.now + seconds


class PretendedRay:
    """What `rmtsim.sweeps.ray_workers.RayWorkers` asks of the module ``ray``.

    Parameters
    ----------
    nodes
        Number of workers that each node has room for, by its name.
    compute
        How an actor computes a job; by default in a second, and rightly.
    """

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, nodes: dict[str, int], compute: Compute | None = None) -> None:
        self.now, self.places = 0.0, dict(nodes)
        self.compute: Compute = compute or (lambda place, job: (1.0, job.compute(never)))
        self.hello: Callable[[Place], tuple[float, Any]] = lambda place: (
            1.0,
            {"version": __version__, "kernel": "k", "machine": "m"},
        )
        self.driver = "head"  # its node
        self.actors: list[Actor] = []
        self._done: dict[object, Any] = {}

    def clock(self) -> float:
        """Seconds since the start."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Skip some time."""
        self.now += seconds

    def add(self, node: str, places: int) -> None:
        """Let a node join."""
        self.places[node] = places
        self._settle()

    def remove(self, node: str) -> None:
        """Let a node leave, with all that is on it."""
        del self.places[node]
        for actor in self.on(node):
            self.die(actor)

    def on(self, node: str) -> list[Actor]:
        """Return the actors on a node."""
        return [actor for actor in self.actors if actor.alive and actor.node == node]

    def die(self, actor: Actor) -> None:
        """Let an actor die."""
        actor.alive = False
        self._done |= {reference: RayError("it died") for reference, _ in actor.calls}
        self._settle()

    def refuse(self, reference: object) -> None:
        """Answer a call of an actor that is dead."""
        self._done[reference] = RayError("it is dead")

    def nodes(self) -> list[dict[str, Any]]:
        """Return the nodes, as Ray has them."""
        return [
            {"NodeID": node, "Alive": True, "Resources": {"CPU": float(count)}} for node, count in self.places.items()
        ]

    def cluster_resources(self) -> dict[str, float]:
        """Return what all nodes have."""
        return {"CPU": float(sum(self.places.values()))}

    available_resources = cluster_resources

    def get_runtime_context(self) -> Any:
        """Return where the driver is."""
        return SimpleNamespace(get_node_id=lambda: self.driver)

    def remote(self, **_: object) -> Any:
        """Return what makes a class of actors."""

        def started(label_selector: dict[str, str] | None = None) -> Any:
            def start() -> Actor:
                selector = (label_selector or {}).get("ray.io/node-id", "")
                self.actors.append(Actor(self, 100 + len(self.actors), selector))
                self._settle()
                return self.actors[-1]

            return SimpleNamespace(remote=start)

        return lambda cls: SimpleNamespace(options=started)

    def kill(self, actor: Actor) -> None:
        """End an actor."""
        self.die(actor)

    def wait(self, references: list[object], num_returns: int, timeout: float) -> tuple[list[object], list[object]]:
        """Skip to when a call is over, or over ``timeout``."""
        end = self.now + timeout
        while not self._ready(references):
            actor = min(self._at_work(), key=lambda one: one.ends, default=None)
            if actor is None or actor.ends > end:
                self.now = end
                break
            self.now = max(self.now, actor.ends)
            reference, _ = actor.calls.popleft()
            self._done[reference] = actor.value
            actor.ends, actor.value = math.inf, None
            actor.begin()
        ready = self._ready(references)[:num_returns]
        return ready, [one for one in references if one not in ready]

    def get(self, asked: Any) -> Any:
        """Return a value, or several, or raise the error."""
        if isinstance(asked, list):
            return [self.get(one) for one in asked]
        value = self._done[asked]
        if isinstance(value, RayError):
            raise value
        if isinstance(value, Exception):
            raise RayTaskError(value)
        return value

    def _ready(self, references: list[object]) -> list[object]:
        return [one for one in references if one in self._done]

    def _at_work(self) -> Iterator[Actor]:
        return (actor for actor in self.actors if actor.alive and actor.value is not None)

    def _settle(self) -> None:
        """Give actors that wait a node that has room and that they may be on."""
        for actor in self.actors:
            if not actor.alive or actor.node:
                continue
            barred = re.findall(r"[^!in(),]+", actor.selector.removeprefix("!in"))
            free = [n for n, count in self.places.items() if n not in barred and len(self.on(n)) < count]
            if free:
                actor.node = free[0]
                actor.begin()


@contextmanager
def as_cluster(ray: PretendedRay) -> Iterator[None]:
    """Have runs on a cluster take a Ray that is pretended, and read its clock."""
    with (
        patch("rmtsim.sweeps.loop.time", SimpleNamespace(monotonic=ray.clock)),
        patch("rmtsim.sweeps.crew.check_head"),
        patch("rmtsim.sweeps.ray_workers.place_here", lambda node, machine: Place(node, "head", "10.0.0.9", 1)),
        patch("rmtsim.sweeps.ray_workers.time", SimpleNamespace(sleep=ray.sleep)),
        patch("rmtsim.sweeps.executors.connected", lambda *_: nullcontext(ray)),
        patch("rmtsim.sweeps.executors.RayWorkers", partial(RayWorkers, clock=ray.clock)),
    ):
        yield
