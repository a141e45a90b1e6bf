"""Run the benchmarks: print a table for each part and write all of them as JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import environment, heads, report
from rmtsim.arrays.backend import get_backend
from rmtsim.arrays.threads import blas_kernel

#: Parts in the order in which they run; each is a module of this package with ``run(quick) -> Part``.
PARTS = (
    "peers",
    "floor",
    "full_hessian",
    "scaling",
    "memory",
    "measure",
    "sweep",
    "reproduce",
    "driver",
    "kills",
    "store_scale",
    "variance",
    "spreads",
    "precision",
    "weights",
    "verdicts",
    "stopping",
    "few_neurons",
    "heads",
    "head_training",
    "universality",
    "gpu",
)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="NAME", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that all works; the times mean little")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="where to write; by default benchmarks/results.json, and nowhere with --only or --quick",
    )
    args = parser.parse_args()
    absent = {"gpu": get_backend("cupy").problem(), "heads": heads.lacking()}
    if "gpu" in (args.only or ()) and absent["gpu"]:
        sys.exit(f"gpu: {absent['gpu']}; run it where there is a GPU, or leave it out of --only")
    out = args.out
    if out is None and not (args.only or args.quick):
        out = Path(__file__).with_name("results.json")
    record: dict[str, Any] = {
        "date": date.today().isoformat(),
        "quick": args.quick,
        "machine": environment.machine(),
        "load_average_before": round(os.getloadavg()[0], 2),
        "versions": environment.versions(),
        "blas": blas_kernel(),
        "parts": {},
    }
    print(environment.sentence(record))
    here = [name for name in PARTS if not absent.get(name)]
    for name in args.only or here:
        print(f"{name} ...", file=sys.stderr)
        start = time.perf_counter()
        part = import_module(f"benchmarks.{name}").run(args.quick)
        record["parts"][name] = report.document(part) | {"took_seconds": round(time.perf_counter() - start, 1)}
        print(report.text(name, part), flush=True)
        if out:  # after every part, so that a run that is cut short leaves what it has
            out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
