"""What `make reproduce` computes, by stage: time, draws and the precision of every point."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pandas as pd

from benchmarks.report import Part, Row, Table
from rmtsim.arrays.machine import usable_memory
from rmtsim.cli.theory_progress import show_theory_progress
from rmtsim.figures import matplotlib_setup, registry
from rmtsim.stats.fit import fit
from rmtsim.stats.group_means import QUANTITIES
from rmtsim.stats.summary import summarize
from rmtsim.store import Store
from rmtsim.sweeps import runner
from rmtsim.sweeps.spec import Spec, load

#: Few small points, of the figures whose theory is quick.
_QUICK_FIGURES = ("fig8",)
_QUICK_GRID: dict[str, Any] = {"n_classes": [10, 30, 60, 100], "aspect_ratio": [1.0], "dim": [16]}
_QUICK_SAMPLING: dict[str, Any] = {"min_draws": 8, "max_draws": 32, "target_rse": 0.1}


def run(quick: bool) -> Part:
    """Run the sweeps of the default figures, fit and draw them, in a store that is deleted."""
    figures = registry.select_figures(_QUICK_FIGURES if quick else registry.DEFAULT)
    stages: list[Row] = []
    points: list[pd.DataFrame] = []
    with tempfile.TemporaryDirectory() as folder:
        store, ids = Store(Path(folder) / "store"), dict[str, set[str]]()
        for figure in figures:
            ids[figure.name] = set()
            for name in figure.sweeps():
                spec = _spec(name, quick)
                with _stage(stages, f"sweep {name}"):
                    outcome = runner.run(spec, store, backend="numpy", memory=usable_memory())
                stages[-1]["draws"] = outcome.new_draws
                there = {point.id for point in spec.points()}
                ids[figure.name] |= there
                points.append(precision(spec, store.read(points=there)))
        for figure in figures:
            rows = store.read(points=ids[figure.name])
            with _stage(stages, f"figure {figure.name}"):
                rows = figure.select(rows)
                with show_theory_progress(figure.slow_values(rows), "the figure is drawn"):
                    drawn = registry.plot(figure, figure.numbers(rows))
                matplotlib_setup.save(drawn, Path(folder) / f"{figure.name}.png")
        with _stage(stages, "fit"):
            fit(store.read(points=set().union(*ids.values()))).text()
    total: Row = {"stage": "all", **{key: sum(row[key] for row in stages) for key in ("wall_s", "cpu_s")}}
    about = (
        "The compute part of `make reproduce`, in one process: the sweeps of its figures with threads on all cores in "
        "a new store, then figures with their theory (from its cache on disk, if it is there; with RMTSIM_CACHE= it is "
        "not looked for) and the fit. CPU is that of all threads. Second table: percent_of_target is the largest "
        "relative standard error of diag, offdiag and their ratio over all layers, over target_rse; draws_needed is "
        "what would have reached the target, draws × that squared; oversampled is draws over it."
    )
    found = pd.concat(points, ignore_index=True)
    return Part(
        about,
        [
            Table("Stages", [*stages, total]),
            Table("Draws and precision of every point", [dict(row) for row in found.to_dict("records")]),
        ],
    )


def precision(spec: Spec, rows: pd.DataFrame) -> pd.DataFrame:
    """Return draws and precision of the points of a sweep, from its rows."""
    records = []
    mine = rows[rows["layer"].isin(spec.layers)]
    for sizes, layers in summarize(mine).groupby(["n_classes", "aspect_ratio"], sort=True):
        worst = float(np.nanmax(layers[[f"rse_{quantity}" for quantity in QUANTITIES]], initial=0.0))
        draws = int(layers["draws"].iloc[0])
        share = worst / spec.sampling.target_rse
        needed = max(2, round(draws * share**2))
        records.append(
            {
                "spec": spec.name,
                "C": int(sizes[0]),
                "d/N": float(sizes[1]),
                "draws": draws,
                "percent_of_target": 100 * share,
                "draws_needed": needed,
                "oversampled": draws / needed,
            }
        )
    return pd.DataFrame(records)


def _spec(name: str, quick: bool) -> Spec:
    spec = load(name)
    if not quick:
        return spec
    return attrs.evolve(spec, **_QUICK_GRID, sampling=attrs.evolve(spec.sampling, **_QUICK_SAMPLING))


@contextmanager
def _stage(stages: list[Row], name: str) -> Iterator[None]:
    """Add a row with the wall and CPU time of what is inside."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    stages.append({"stage": name, "wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu})
