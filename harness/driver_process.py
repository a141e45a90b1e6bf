"""The command rmtsim with faults, run as a script: first a JSON object that says which, then rmtsim's own arguments.

Keys: ``folder``, where ``journal`` gets a JSON line for each thing that happens; ``nap``, seconds that a batch takes
longer, so that kills find work in flight, until ``folder/hurry`` is there; ``hold``, how many batches come back before
all others wait for ``folder/go``, so that the sweep cannot end before that; ``draws``, how many a batch has at most;
``die``, a step of a commit at which the driver kills itself with SIGKILL, once ``folder/armed`` is there; ``old``,
whether workers claim to be of an older version; ``stillborn``, whether they die while they start; ``bare``, whether
there is no CuPy beside the GPUs; ``sick``, a device on which all batches fail at once; ``losses``, how often a batch
may lose its worker; ``starts``, how often a worker may die while it starts; ``patience``, for how many seconds a driver
that is to stop waits for its threads. The seconds that a batch may take before its worker counts as one that hangs
stand in ``folder/deadline``; before it is there, all may take for ever. The node whose workers get the last bit of
a value wrong is named in ``folder/liar``.
Batches fail with an error that are of 2 classes and ``raises`` samples, and by the death of their worker those of 30
classes and ``kills`` samples.

Workers get their class by value, since it stands in the script that runs: they need nothing of this file.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from rmtsim.cli.main import main
from rmtsim.store.storage import LocalFiles
from rmtsim.sweeps import cluster_backend, crew, loop, ray_workers, scheduler, thread_workers
from rmtsim.sweeps.batches import Batch, Result
from rmtsim.sweeps.display import ProgressDisplay
from rmtsim.sweeps.pace import Pace
from rmtsim.sweeps.progress import Progress
from rmtsim.sweeps.scheduler import DrawScheduler, Scheduler

#: Where a commit can be cut short.
STEPS = ("before", "middle", "written", "synced", "renamed", "after")

order: dict[str, Any] = {
    "folder": ".",
    "nap": 0.0,
    "hold": 0,
    "draws": 4,
    "die": "",
    "old": False,
    "stillborn": False,
    "bare": False,
    "sick": "",
    "raises": 0,
    "kills": 0,
    "losses": scheduler.LOSSES,
    "starts": crew._STARTS,
    "patience": loop.PATIENCE,
}


def note(event: str, **more: object) -> None:
    with open(f"{order['folder']}/journal", "a", encoding="utf-8") as file:
        file.write(json.dumps({"event": event, "at": time.monotonic(), **more}) + "\n")


def told(name: str) -> bool:
    return os.path.exists(f"{order['folder']}/{name}")


def wait_for_go() -> None:
    """Wait, where enough batches have come back, until the test says to go on."""
    while order["hold"] and not told("go"):
        with open(f"{order['folder']}/journal", encoding="utf-8") as file:
            if file.read().count('"event": "back"') < order["hold"]:
                return
        time.sleep(0.05)


def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Worker(crew.RemoteWorker):
    """Computes with NumPy even where it holds a GPU, which is none; naps, raises or dies as the keys say."""

    def hello(self, backend: str) -> dict[str, str]:
        if order["stillborn"]:
            note("stillborn")
            print("no room in here", file=sys.stderr, flush=True)
            os._exit(5)
        about = super().hello("numpy")
        import ray

        here = ray.get_runtime_context()
        device = os.environ.get("CUDA_VISIBLE_DEVICES")
        note("hello", pid=os.getpid(), actor=here.get_actor_id(), node=here.get_node_id(), device=device)
        return about | {"version": "0.0.9"} if order["old"] else about

    def compute(self, batch: Batch) -> Result:
        point = batch.point.n_classes, batch.point.n_samples
        if point == (2, order["raises"]) or os.environ.get("CUDA_VISIBLE_DEVICES") == order["sick"]:
            raise MemoryError("no room")
        if point == (30, order["kills"]):  # which come first, since they cost most
            kill_myself()
        time.sleep(0 if told("hurry") else order["nap"])
        wait_for_go()
        result = super().compute(replace(batch, backend="numpy"))
        if told("liar"):
            import ray

            if ray.get_runtime_context().get_node_id() == Path(order["folder"], "liar").read_text():
                note("lie")
                result.simulated.values[0, 0, 0] = np.nextafter(result.simulated.values[0, 0, 0], np.inf)
        return replace(result, simulated=replace(result.simulated, backend=batch.backend))


def napping(compute: Callable[..., Result]) -> Callable[..., Result]:
    """Have threads of this process nap, too."""

    def nap_and_compute(batch: Batch, *stopping: Any) -> Result:
        time.sleep(order["nap"])
        wait_for_go()
        return compute(batch, *stopping)

    return nap_and_compute


class Halved:
    """A file that gets half of what is written, and then its writer dies."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __enter__(self) -> Halved:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: Any) -> None:
        self._file.write(memoryview(data)[: len(data) // 2])
        self._file.flush()
        kill_myself()


def die_at(step: str) -> None:
    """Have the driver die in a commit: before the shard, in the midst of its bytes, before their fsync, and so on."""
    write, opened, replaced = LocalFiles.write, Path.open, os.replace

    def renamed(*arguments: Any) -> None:
        replaced(*arguments)
        kill_myself()

    patches = {
        "middle": patch.object(Path, "open", lambda *mode: Halved(opened(*mode))),
        "written": patch("os.fsync", lambda _: kill_myself()),
        "synced": patch("os.replace", lambda *_: kill_myself()),
        "renamed": patch("os.replace", renamed),
    }

    def dying(files: LocalFiles, path: str, data: Any) -> None:
        if not (path.startswith("draws/") and told("armed")):
            return write(files, path, data)
        if step == "before":
            kill_myself()
        with patches.get(step, nullcontext()):
            write(files, path, data)
        kill_myself()  # after
        return None

    LocalFiles.write = dying


def watch() -> None:
    """Keep the journal: batches that are given out, come back or are lost; every commit is noted at once, too."""
    submit, failed, done = ray_workers.RayWorkers.submit, Scheduler.failed, DrawScheduler.done
    update, drain = ProgressDisplay.update, thread_workers.ThreadWorkers.drain

    def named(batch: Batch) -> str:
        return f"{batch.point.id} {batch.draws.start} {batch.draws.stop}"

    def submitting(workers: Any, batch: Batch) -> None:
        actor = workers._crew.places[0].actor._actor_id.hex() if workers.free else ""
        note("out", batch=named(batch), actor=actor)
        submit(workers, batch)

    def failing(scheduler: Scheduler, batch: Batch, reason: str, *, lost: bool) -> Any:
        note("lost" if lost else "failed", batch=named(batch), reason=reason)
        return failed(scheduler, batch, reason, lost=lost)

    def coming_back(scheduler: DrawScheduler, batch: Batch, result: Result) -> None:
        note("back", batch=named(batch))
        done(scheduler, batch, result)

    def telling(display: ProgressDisplay, progress: Progress) -> None:
        display._shown = 0.0
        update(display, progress)
        note("told", workers=progress.workers)

    def draining(workers: Any, at_most: float) -> Any:
        note("drains")
        return drain(workers, at_most)

    def allowed(scheduler: DrawScheduler, batch: Batch) -> float:
        return float(Path(order["folder"], "deadline").read_text()) if told("deadline") else float("inf")

    DrawScheduler.limit = allowed
    ray_workers.RayWorkers.submit, Scheduler.failed, DrawScheduler.done = submitting, failing, coming_back
    ProgressDisplay.update, thread_workers.ThreadWorkers.drain = telling, draining


if __name__ == "__main__":
    order.update(json.loads(sys.argv[1]))
    crew.RemoteWorker, Batch.compute = Worker, napping(Batch.compute)
    if not order["bare"]:
        cluster_backend.cupy_problem = lambda: ""
    sizes = random.Random(0)
    Pace.batch_draws = lambda *_: sizes.randint(1, order["draws"])
    loop.COMMIT_EVERY, scheduler.LOSSES, crew._LOOK_EVERY = 0.3, order["losses"], 1.0
    loop.PATIENCE, crew._STARTS = order["patience"], order["starts"]
    watch()
    if order["die"]:
        die_at(order["die"])
    del sys.argv[1]
    with patch("rmtsim.cli.relaunch.relaunch_with_faster_kernel"):  # it would start rmtsim without the faults
        raise SystemExit(main())
