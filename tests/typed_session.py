"""A script of a user that mypy checks in strict mode (see pyproject.toml); it is never run.

Where a line is marked to be ignored, mypy must find fault with it: strict mode reports a mark that is not needed.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

import rmtsim


def watch(progress: rmtsim.Progress) -> None:
    print(progress.finished / progress.total)


point = rmtsim.Point(model="linear", loss="ce", n_classes=10, dim=50, n_samples=100)
drawn: pd.DataFrame = rmtsim.simulate(point, draws=16, seed=0)
theory: pd.DataFrame = rmtsim.predict([point], regime="finite")
same: pd.DataFrame = rmtsim.predict(point)
store: rmtsim.Store = rmtsim.open_store(Path("results"))
outcome: rmtsim.Outcome = rmtsim.run("figure8", store, workers=2, progress=True, on_progress=watch)
outcome = rmtsim.run([point], "results", sampling={"max_draws": 100})
draws: pd.DataFrame = store.draws(loss="ce", n_classes=[10, 100])
means: pd.DataFrame = rmtsim.summarize(draws)
fit: rmtsim.Fit = rmtsim.fit(draws)
claims: pd.DataFrame = fit.claims
points: pd.DataFrame = fit.points
head: rmtsim.Measurement = rmtsim.measure("model.safetensors:lm_head.weight", "features.npy", nulls=["decoupled"])
ax: Axes = rmtsim.plot.decay(draws, quantity="ratio", hue="aspect_ratio", theory=True)
axes: list[Axes] = rmtsim.plot.columns(store, x="dim", y="rse_ratio", by="layer", linear=["x"], ax=[ax])
rmtsim.report(store, Path("report.html"), where="dim == 50", theory=False)

rmtsim.Point(model="quadratic", loss="ce", n_classes=10, dim=50, n_samples=100)  # type: ignore[arg-type]
rmtsim.Point(model="linear", loss="hinge", n_classes=10, dim=50, n_samples=100)  # type: ignore[arg-type]
rmtsim.predict(point, regime="infinite")  # type: ignore[arg-type]
rmtsim.simulate(point, draws=1, backend="torch")  # type: ignore[arg-type]
rmtsim.simulate(point, draws=1, layers=("last",))  # type: ignore[arg-type]
rmtsim.run("figure8", store, backend="torch")  # type: ignore[arg-type]
rmtsim.run("figure8", store, on_progress=len)  # type: ignore[arg-type]
rmtsim.block_norms([[1.0]], [[1.0]], loss="hinge")  # type: ignore[arg-type]
rmtsim.measure([[1.0]], [[1.0]], bias_as="row")  # type: ignore[arg-type]
rmtsim.plot.decay(draws, quantity="norm")  # type: ignore[arg-type]
