"""What `plan`, `run` and `status` do for specs of training runs."""

from __future__ import annotations

import argparse
import json
import math
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import pandas as pd

from rmtsim.arrays.backend import resolve
from rmtsim.arrays.machine import flops_per_second
from rmtsim.errors import InputError
from rmtsim.experiment import StoppedError
from rmtsim.output import records, say
from rmtsim.sizes import format_bytes
from rmtsim.store import Store

if TYPE_CHECKING:
    from sweeps.training_spec import TrainingSpec

#: The spec of the runs whose tables stand in a folder.
_SPEC = "_spec.json"


def plan_training(spec: TrainingSpec, store: Store, as_json: bool) -> int:
    """Print what `run` would do: the runs, done or new, their work, time and memory."""
    experiment = spec.experiment()
    missing = {task.file for task in experiment.missing(store)}
    speed = flops_per_second("float64")
    rows = []
    problems = [problem for problem in spec.problems for _ in range(spec.draws)]
    for task, problem in zip(experiment.tasks, problems, strict=True):
        rows.append(
            {
                "run": task.label,
                "state": "new" if task.file in missing else "done",
                "n_classes": problem.n_classes,
                "dim": problem.dim,
                "n_samples": problem.n_samples,
                "parameters": problem.n_parameters,
                "steps": spec.schedule.steps,
                "flops": task.cost,
                "core_seconds": task.cost / speed,
                "memory": problem.memory,
            }
        )
    table = pd.DataFrame(rows)
    left = table[table["state"] == "new"]
    summary = (
        f"{spec.name}: {len(table)} runs: {len(table) - len(left)} done, {len(left)} new; "
        f"{left['flops'].sum():.3g} flops, about {left['core_seconds'].sum():.0f} s on one core"
    )
    if as_json:
        print(json.dumps({"summary": summary, "runs": records(table)}, indent=1))
        return 0
    shown = table.assign(
        flops=table["flops"].map("{:.3g}".format),
        core_seconds=table["core_seconds"].map("{:.3g}".format),
        memory=table["memory"].map(format_bytes),
    )
    print(f"{shown.to_string(index=False)}\n\n{summary}")
    return 0


def run_training(spec: TrainingSpec, store: Store, arguments: argparse.Namespace) -> int:
    """Run what is missing; 3 if it was stopped, 1 if runs failed."""
    from sweeps.experiment_runner import run_experiment
    from sweeps.interrupts import interrupts

    gpu = (resolve(arguments.backend) if arguments.address == "local" else arguments.backend) == "cupy"
    experiment = spec.experiment("cupy" if gpu else "numpy")
    missing = experiment.missing(store)
    start, done, failures, stopped = time.monotonic(), count(1), [], ""
    limit = math.inf if arguments.time_limit is None else arguments.time_limit
    if missing:
        experiment.prepare(store)
        store.files.write(f"{experiment.folder}/{_SPEC}", json.dumps(spec.document, indent=1).encode())
        with interrupts() as asked:
            try:
                made = run_experiment(
                    experiment,
                    store,
                    address=arguments.address,
                    workers=arguments.workers,
                    gpu=gpu,
                    done=lambda task: say(f"{spec.name}: {task.label} done, {next(done)} of {len(missing)}"),
                    stopping=lambda: asked() or time.monotonic() - start > limit,
                )
                failures = made.failures
            except StoppedError as error:
                stopped = str(error)
    for label, why in failures:
        say(f"{spec.name}: {label} failed: {why}")
    left = len(experiment.missing(store))
    outcome = {
        "name": spec.name,
        "tables": len(missing) - left,
        "missing": left,
        "failures": [{"run": label, "reason": why} for label, why in failures],
    }
    if arguments.json:
        print(json.dumps(outcome | {"stopped": stopped}, indent=1))
    else:
        say(stopped or f"{spec.name}: {len(missing) - left} new tables" if missing else f"{spec.name}: nothing to do")
    return 1 if failures else 3 if left else 0


def training_status(store: Store) -> list[dict[str, Any]]:
    """Return, for each spec of training runs in the store, its runs, how many are done, and those that have begun."""
    from sweeps.training_spec import from_document

    found = []
    for name in store.files.folders("experiments"):
        folder = f"experiments/{name}"
        files = store.files.names(folder)
        if _SPEC not in files:
            continue
        try:
            spec = from_document(json.loads(store.files.read(f"{folder}/{_SPEC}")))
        except (ValueError, InputError) as error:
            where = store.files.where(f"{folder}/{_SPEC}")
            raise InputError(f"store: {where} is no spec of training runs ({error}); remove it") from error
        missing = min((spec.experiment(backend).missing(store) for backend in ("numpy", "cupy")), key=len)
        begun = sum(f"_{task.file.removesuffix('.parquet')}.run" in files for task in missing)
        total = len(spec.problems) * spec.draws
        found.append({"training": name, "runs": total, "done": total - len(missing), "begun": begun})
    return found
