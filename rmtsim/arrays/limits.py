"""Limits that the system sets to a job: memory and processor time of its control groups, and address space.

Schedulers (SLURM, systemd, Kubernetes, Docker) put a job into a control group below others; each of these may have a
limit, and the smallest counts. ``ulimit -v`` and ``ulimit -d`` limit a process's address space, which counts what it
reserves, used or not.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

#: Where ``proc`` and ``sys`` are; tests make trees of their own.
ROOT = Path("/")

#: Limits of addresses, and what a process has of each, as ``/proc/self/status`` calls it.
_ADDRESSES = {resource.RLIMIT_AS: "VmSize", resource.RLIMIT_DATA: "VmData"}

#: Addresses that are taken after a limit was read: stacks of threads, 8 MiB each, and buffers of BLAS.
_RESERVED = 128 * 2**20


class _Mount(NamedTuple):
    """A hierarchy of control groups, where it is mounted, and which of its groups is seen there."""

    unified: bool  #: whether it is of version 2
    controllers: set[str]
    top: str
    folder: Path


def memory_limit(root: Path = ROOT) -> int | None:
    """Return the bytes that the control groups of this process let it use; None if they set no limit."""
    found = []
    for unified, group in _groups(root, "memory"):
        for name in ("memory.max", "memory.high") if unified else ("memory.limit_in_bytes",):
            found += _numbers(group / name)[:1]
        if not unified:  # which counts groups that are out of sight, too
            found += _numbers(group / "memory.stat", "hierarchical_memory_limit")
    return min(found, default=None)


def processor_limit(root: Path = ROOT) -> int | None:
    """Return the number of cores, rounded up, whose time the control groups give; None if they set no limit."""
    found = []
    for unified, group in _groups(root, "cpu"):
        if unified:
            values = _numbers(group / "cpu.max")
        else:
            values = _numbers(group / "cpu.cfs_quota_us") + _numbers(group / "cpu.cfs_period_us")
        if len(values) == 2 and min(values) > 0:
            found.append(-(-values[0] // values[1]))
    return min(found, default=None)


def address_limit() -> int | None:
    """Return the bytes of addresses that this process may have, by ``ulimit -v`` and ``-d``; None if all."""
    limits = [resource.getrlimit(kind)[0] for kind in _ADDRESSES]
    return min((limit for limit in limits if limit != resource.RLIM_INFINITY), default=None)


def address_space(root: Path = ROOT) -> int | None:
    """Return the bytes that this process can hold within that limit; None if there is no limit.

    That is what it holds in memory now, and what it may still reserve, but for some that others than draws take.
    """
    status = _table(root / "proc/self/status")
    rooms = []
    for kind, used in _ADDRESSES.items():
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY:
            rooms.append(limit - 1024 * status.get(used, 0))
    return max(0, min(rooms) + 1024 * status.get("VmRSS", 0) - _RESERVED) if rooms else None


def _groups(root: Path, controller: str) -> Iterator[tuple[bool, Path]]:
    """Yield the folders of this process's group and of those above it, with whether they are of version 2."""
    mounts = _mounts(root)
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        unified = not controllers
        for mount in mounts:
            if mount.unified is unified and (unified or controller in {*controllers.split(",")} & mount.controllers):
                inside = _below(path, mount.top)
                group = mount.folder / inside
                yield unified, group
                yield from ((unified, group.parents[k]) for k in range(len(inside.parts)))


def _mounts(root: Path) -> list[_Mount]:
    found = []
    for line in _lines(root / "proc/self/mountinfo"):
        left, _, right = line.partition(" - ")
        fields, system = left.split(), right.split()
        if len(fields) > 4 and len(system) > 2 and system[0] in ("cgroup", "cgroup2"):
            folder = root / fields[4].replace("\\040", " ").lstrip("/")
            found.append(_Mount(system[0] == "cgroup2", {*system[2].split(",")}, fields[3], folder))
    return found


def _below(path: str, top: str) -> Path:
    """Return where a group is below the one that is mounted; that one itself if it is elsewhere, as in a container."""
    inside = Path(path.strip("/"))
    above = Path(top.strip("/"))
    if inside.is_relative_to(above) and ".." not in inside.parts:
        return inside.relative_to(above)
    return Path()


def _numbers(path: Path, key: str = "") -> list[int]:
    """Return the whole numbers of a file's first line, or after a key; "max" and what cannot be read is left out."""
    for line in _lines(path):
        words = line.split()
        if not key or words[:1] == [key]:
            return [int(word) for word in words if word.isascii() and word.isdigit()]
    return []


def _table(path: Path) -> dict[str, int]:
    """Return the lines ``name: number`` of a file."""
    pairs = (line.split()[:2] for line in _lines(path))
    return {pair[0].rstrip(":"): int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:  # another system, or a file that is not shown
        return []
