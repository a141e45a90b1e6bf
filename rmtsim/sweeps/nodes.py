"""The nodes of a cluster: how many workers each has room for, and on which of them workers are of no use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

#: The label by which Ray knows a node.
_LABEL = "ray.io/node-id"


class Nodes:
    """The nodes that are there, with the places on them that are unfit; what is known of a node goes with it.

    A place is unfit if a worker could not start there. A node whose places all are gets no more workers, and so does
    one that is left out.

    Parameters
    ----------
    resource
        What a worker takes one of, ``"CPU"`` or ``"GPU"``.
    """

    def __init__(self, resource: str) -> None:
        self._resource = resource
        self._places: dict[str, int] = {}
        self._unfit: Counter[str] = Counter()  # "" stands for a node that is not known
        self._closed: set[str] = set()

    def look(self, nodes: Iterable[Mapping[str, Any]]) -> None:
        """Take note of the nodes that are there now, as ``ray.nodes()`` has them.

        With a node that is gone, what was wrong with it is forgotten; with one that joins, that workers are fewer
        than were asked for.
        """
        there = {node["NodeID"]: int(node["Resources"].get(self._resource, 0)) for node in nodes if node["Alive"]}
        if there.keys() - self._places.keys():
            for node in ("", *self._closed):
                self._unfit.pop(node, None)
        self._places = there
        self._closed &= there.keys()
        for node in self._unfit.keys() - there.keys() - {""}:
            del self._unfit[node]

    def could_not_start(self, node: str) -> None:
        """Take note of a place on a node ("" if it is not known which) as unfit."""
        self._unfit[node] += 1
        if node and self._unfit[node] >= self._places.get(node, 0):
            self._closed.add(node)

    def leave_out(self, node: str) -> None:
        """Let a node have no more workers."""
        self._closed.add(node)

    def is_open(self, node: str) -> bool:
        """Whether workers may be on a node."""
        return node not in self._closed

    def room(self, asked: int | None) -> int:
        """Return how many workers there should be: those asked for, or as many as there is room for."""
        if asked is not None:
            return asked - self._unfit.total()
        return sum(self.places.values()) - sum(count for node, count in self._unfit.items() if node not in self._closed)

    @property
    def places(self) -> dict[str, int]:
        """Number of workers that there is room for on each node that may have some."""
        return {node: count for node, count in self._places.items() if node not in self._closed and count}

    def options(self) -> dict[str, Any]:
        """Return the options of an actor that keep it off the nodes that get no more workers."""
        return {"label_selector": {_LABEL: f"!in({','.join(sorted(self._closed))})"}} if self._closed else {}
