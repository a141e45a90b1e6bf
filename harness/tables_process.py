"""The command rmtsim with three more figures of small tables, ``squares``, ``cubes`` and ``mixed``; run as a script.

The first argument is a JSON object. ``fails`` names a table that always fails. ``kill`` is a table at which the process
kills itself with SIGKILL, once its state is saved; ``steps`` is how often a table looks whether to stop before it is
done, a twentieth of a second apart. All other arguments are rmtsim's own. Each table counts in ``looks`` how often it
looked, so that a table that went on where another process had left off shows it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import tomllib
from typing import ClassVar
from unittest.mock import patch

import pandas as pd
from matplotlib.figure import Figure as Drawing

from harness.specs import TRAININGS
from rmtsim.cli.main import main
from rmtsim.figures import Figure, register
from rmtsim.paper.fan_out.networks import fan_out
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.sweeps.training_spec import from_document
from rmtsim.training.task import Checkpoint

#: The faults of this process.
order: dict[str, object] = {"fails": "", "kill": "", "steps": 0}


def power(name: str, exponent: int) -> Experiment:
    """Return four tables of powers."""

    def task(k: int) -> Task:
        label, faults = f"{name}-{k}", dict(order)

        def compute(checkpoint: Checkpoint) -> pd.DataFrame:
            if label == faults["fails"]:
                raise ValueError("no luck")
            saved = checkpoint.load("looks")
            begun = int(saved or b"0")
            for look in range(begun, int(str(faults["steps"]))):
                checkpoint.save("looks", b"%d" % look)
                if label == faults["kill"]:
                    os.kill(os.getpid(), signal.SIGKILL)
                checkpoint.check()
                time.sleep(0.05)
            return pd.DataFrame({"k": [k], "power": [k**exponent], "begun": [begun]})

        return Task(label, {"k": k}, compute, cost=5.0 - k, resumable=True)

    return Experiment(name, [task(k) for k in range(4)])


class Squares(Figure):
    """Squares of the first four numbers."""

    name: ClassVar[str] = "squares"
    title: ClassVar[str] = "Squares"
    source: ClassVar[str] = "the test's own"
    sentence: ClassVar[str] = "a square is a product of two equal numbers"
    exponent: ClassVar[int] = 2

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return its four tables."""
        return power(self.name, self.exponent)

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows."""
        return rows

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw nothing."""
        return Drawing()


class Cubes(Squares):
    """Cubes of the first four numbers."""

    name: ClassVar[str] = "cubes"
    title: ClassVar[str] = "Cubes"
    exponent: ClassVar[int] = 3


class Mixed(Squares):
    """Squares, six training runs, and three tables of ``fan_out``, which functions inside functions make."""

    name: ClassVar[str] = "mixed"
    title: ClassVar[str] = "Mixed"

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return all of them."""
        runs = from_document(tomllib.loads(TRAININGS) | {"loss": ["ce"], "sampling": {}}).experiment()
        few = sorted(fan_out().tasks, key=lambda task: task.cost)[:3]
        return Experiment(self.name, [*power(self.name, self.exponent).tasks, *runs.tasks, *few])


if __name__ == "__main__":
    order.update(json.loads(sys.argv[1]))
    for kind in (Squares, Cubes, Mixed):
        register(kind)
    del sys.argv[1]
    with patch("rmtsim.cli.relaunch.relaunch_with_faster_kernel"):  # it would start rmtsim without the figures
        raise SystemExit(main())
