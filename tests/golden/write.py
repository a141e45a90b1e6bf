"""Write a golden store with the rmtsim that is on the path: ``PYTHONPATH=CODE python tests/golden/write.py DIR``.

Done once for each format, with the code of that time; what is written stays as it is for good. ``DIR/store`` is the
store, ``DIR/expected.csv`` its rows as they were simulated, never read back from the store.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

import rmtsim
from rmtsim.sampling.schema import SCHEMA
from rmtsim.store import Store

SPEC = {"name": "golden", "grid": {}}
POINTS = [
    {"model": "linear", "loss": "ce", "n_classes": 5, "dim": 12, "n_samples": 30},
    {"model": "one_hidden", "loss": "ce", "n_classes": 4, "dim": 10, "n_samples": 20, "width": 3},
    {"model": "one_hidden", "loss": "mse", "n_classes": 3, "dim": 6, "n_samples": 12, "width": 1},
]


def main(folder: Path) -> None:
    points = [rmtsim.Point(**sizes) for sizes in POINTS]
    if hasattr(rmtsim, "Ensemble"):
        he = rmtsim.Ensemble(init="he", data_variance=0.25)
        points.append(rmtsim.Point("one_hidden", "ce", 4, 10, 20, 3, ensemble=he))
        if "data" in SCHEMA.names:
            other = rmtsim.Ensemble(data="student_t:9", weights="uniform")
            points.append(rmtsim.Point("linear", "ce", 5, 12, 30, ensemble=other))
    dtypes = {"mse": "float32", "ce": "float64"}
    several = [
        {"weights_per_draw": 1 + k % 3} if "weights_per_draw" in SCHEMA.names else {} for k in range(len(points))
    ]
    made = [
        [
            rmtsim.simulate(point, draws, seed=7, dtype=dtypes[point.loss], **more)
            for point, more in zip(points, several, strict=True)
        ]
        for draws in (range(4), range(4, 6))
    ]
    with Store(folder / "store").writer() as writer:
        writer.save_spec("golden", SPEC)
        for rows in made[0]:
            writer.append(rows, SPEC)
        if hasattr(writer, "commit"):  # since format 4 a shard takes rows of several points
            writer.append(pd.concat(made[1]), SPEC)
    (folder / "store" / ".lock").unlink()
    rows = pd.concat([*made[0], *(made[1] if hasattr(writer, "commit") else [])])
    blas = f"# {made[0][0].attrs['blas']}\n"
    (folder / "expected.csv").write_text(blas + rows.to_csv(index=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
