"""How long a store of a million rows takes every verb: few shards, many shards, many points; and requests on S3.

It writes the page docs/results/store_scale.md.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from benchmarks import environment
from benchmarks.report import Part, Row, Table, Target, markdown
from docs.generate.markdown import prose
from harness.s3_server import FlakyServer, s3_server
from rmtsim.sampling.schema import SimulatedDraws, table_of
from rmtsim.store import Store
from rmtsim.store.core_time import CoreTime, Taken
from rmtsim.sweeps.spec import Spec, from_document

_PAGE = Path(__file__).parents[1] / "docs/results/store_scale.md"


class Size(NamedTuple):
    """A store: its points, the draws of each, the rows of a shard, and how many draws more its spec asks for."""

    points: int
    draws: int
    rows: int

    @property
    def spec(self) -> Spec:
        """A sweep that is finished with these draws."""
        return self.going_on(0)

    def going_on(self, more: int) -> Spec:
        """Return one that wants more draws of each point."""
        classes = [*range(10, 10 + min(self.points, 1000))]
        dims = [4 * (k + 1) for k in range(self.points // len(classes))]
        ends = {"min_draws": self.draws, "max_draws": self.draws + more, "target_rse": 1e-9}
        grid = {"n_classes": classes, "aspect_ratio": [0.5], "dim": dims}
        return from_document(
            {"name": "large", "model": "linear", "loss": "mse", "grid": grid, "sampling": {"seed": 0, **ends}}
        )


#: Stores, by what they have many of.
_FULL = {
    "rows": Size(100, 10_000, 125_000),
    "shards": Size(1000, 100, 10),
    "points": Size(10_000, 100, 125_000),
    "more points": Size(100_000, 10, 125_000),
    "more shards": Size(1000, 1000, 10),
}
#: The command, of whose exit codes 2 and 1 would be a failure.
_RMTSIM = "from rmtsim.cli.main import main; assert main(sys.argv[1:]) in (0, 3, 4)"

#: The stores and verbs that are held against bounds: of time and memory, and where points are many of memory.
_LITTLE, _SMALL = {"processor s": 3.0, "MiB": 500.0}, {"MiB": 500.0}
_HELD = {
    **{("rows", verb): _LITTLE for verb in ("status", "run, nothing to do")},
    **{("more shards", verb): _LITTLE for verb in ("status, compacted", "run, nothing to do, compacted")},
    **{("more points", verb): _SMALL for verb in ("status", "run, nothing to do", "export")},
    ("rows", "export"): _SMALL,
    ("rows", "fit"): _SMALL,
}
_QUICK = {"rows": Size(10, 100, 500), "shards": Size(10, 100, 10)}


def write(place: str, size: Size) -> None:
    """Write a store by its own writer, without waiting for the disk; its values are log-normal."""
    spec, rng = size.spec, np.random.default_rng(0)
    points, document = spec.points(), spec.document()
    draws = size.rows if size.rows < size.draws else max(1, min(size.draws, size.rows // size.points))
    parts = [(point, range(k, min(k + draws, size.draws))) for k in range(0, size.draws, draws) for point in points]
    at_once = max(1, size.rows // draws)
    with patch("os.fsync", lambda _: None), Store(place).writer() as writer:
        writer.save_spec(spec.name, document)
        for k in range(0, len(parts), at_once):
            simulated, taken = [], CoreTime()
            for point, numbers in parts[k : k + at_once]:
                values = np.zeros((len(numbers), 1, 4))
                values[:, :, 0] = rng.lognormal(0, 0.1, (len(numbers), 1))
                taken.add(point.id, Taken(len(numbers), 0.01 * len(numbers)))
                made = (0, "numpy", "float64", point.n_classes, "none")
                simulated.append(SimulatedDraws(point, numbers, spec.layers, *made, values))
            writer.append(table_of(simulated), document, taken)


def run(quick: bool) -> Part:
    """Write the stores, run every verb on each in a process of its own, and count the requests on a server of S3."""
    rows: list[Row] = []
    stores = _QUICK if quick else _FULL
    requests = _on_s3(100 if quick else 1000)
    sizes = [
        {"store": name, "rows": size.points * size.draws, "points": size.points, "draws of each": size.draws}
        for name, size in stores.items()
    ]
    about = (
        "Each verb in a process of its own, from the start of Python to its end: seconds, those of the processor among "
        "them, and the most memory that was resident. Requests are those that a server on this machine got; it speaks "
        "S3."
    )
    tables = [Table("Stores", sizes), Table("Time and memory", rows), Table("Requests on S3", requests)]
    with tempfile.TemporaryDirectory(prefix="rmtsim-scale-") as folder:
        for name, size in stores.items():
            place = f"{folder}/{name.replace(' ', '-')}"
            write(place, size)
            rows += [{"store": name, **row} for row in _verbs(place, size, Path(folder))]
            shutil.rmtree(place)
            part = Part(about, tables, [] if quick else _targets(rows))
            if not quick:  # after every store, so that a run that is cut short leaves what it has
                _PAGE.write_text(page(part), encoding="utf-8")
    return part


def _targets(rows: list[Row]) -> list[Target]:
    return [
        Target(f"{row['verb']}, {row['store']}: {what}", row[what], bound)
        for row in rows
        for what, bound in _HELD.get((row["store"], row["verb"]), {}).items()
    ]


def _verbs(place: str, size: Size, folder: Path) -> Iterator[Row]:
    name, out = Path(place).name, str(folder / "out.csv")
    _save(size.spec, folder / "spec.toml")
    _save(size.going_on(1), folder / "more.toml")

    def measured(verb: str, *line: str) -> Row:
        shards = len(os.listdir(f"{place}/draws"))
        return {"verb": verb, "shards": shards, **_timed(_RMTSIM, folder, *line)}

    yield measured("status", "status", "--store", name)
    yield measured("run, nothing to do", "run", "spec.toml", "--store", name)
    yield measured("plan", "plan", "spec.toml", "--store", name)
    yield measured("export", "export", "--store", name, "--out", out)
    yield measured("verify", "verify", "--store", name)
    yield {
        "verb": "pandas.read_parquet",
        "shards": len(os.listdir(f"{place}/draws")),
        **_timed("import pandas; pandas.read_parquet(sys.argv[1])", folder, f"{place}/draws"),
    }
    if size.points <= 1000:
        yield measured("fit", "fit", "--store", name)
    yield _watched(place)
    if size.rows < 1000:
        yield measured("compact", "compact", "--store", name)
        yield measured("status, compacted", "status", "--store", name)
        yield measured("run, nothing to do, compacted", "run", "spec.toml", "--store", name)
    if size.points <= 1000:
        yield measured("run, that goes on by a draw of each point", "run", "more.toml", "--store", name)


def _watched(place: str) -> Row:
    """Time a second look of a watch, at which nothing is new."""
    from rmtsim.sweeps.watch import Chosen, StoreWatch

    watch = StoreWatch(Store(place), Chosen())
    watch.look()
    start, cpu = time.perf_counter(), time.process_time()
    watch.look()
    found = {"seconds": time.perf_counter() - start, "processor s": time.process_time() - cpu}
    return {"verb": "status --watch, a later look", "shards": len(os.listdir(f"{place}/draws")), **found}


def _save(spec: Spec, path: Path) -> None:
    document = spec.document()
    lines = [f"{key} = {_toml(value)}" for key, value in document.items() if not isinstance(value, dict)]
    for key, value in document.items():
        if isinstance(value, dict):
            lines += [f"[{key}]", *(f"{name} = {_toml(one)}" for name, one in value.items())]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    tomllib.loads(path.read_text("utf-8"))


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, list | tuple) else str(value).lower()


def _timed(code: str, folder: Path, *arguments: str) -> dict[str, float]:
    """Run Python code in a process of its own; return its seconds, its processor's, and its peak of memory in MiB."""
    last = "print('\\n', fresh.peak_memory(), file=sys.stderr)"
    script = f"import sys; from benchmarks import fresh; sys.argv[0] = 'rmtsim'; {code}; {last}"
    environ = {**os.environ, "PYTHONPATH": str(_PAGE.parents[2]), "OPENBLAS_CORETYPE": "Haswell"}  # no second start
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    line = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(line, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    seconds, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr[-500:]}")
    return {
        "seconds": seconds,
        "processor s": used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime,
        "MiB": int(done.stderr.split()[-1]) / 2**20,
    }


def _on_s3(shards: int) -> list[Row]:
    """Count the requests of looks and runs at a store of small shards."""
    from rmtsim.store.compact import compact
    from rmtsim.sweeps.runner import run as run_sweep
    from rmtsim.sweeps.watch import Chosen, StoreWatch

    size, counts = Size(10, shards, 10), Counter[str]()

    def count(method: str, path: str) -> int:
        counts["LIST" if "list-type" in path else method] += 1
        return 0

    with s3_server() as moto, closing(FlakyServer(moto)) as server:
        server.refuse = count
        address = f"s3://scale/store?endpoint_override={server.address}&scheme=http&region=us-east-1&allow_bucket_creation=true"
        rows = []

        def counted(what: str) -> None:
            total = sum(counts.values())
            rows.append(
                {
                    "what": what,
                    **{name: counts[name] for name in ("LIST", "HEAD", "GET", "PUT", "DELETE")},
                    "all": total,
                }
            )
            counts.clear()

        write(address, size)
        counted(f"writing {shards} shards, and the claim")
        watch = StoreWatch(Store(address), Chosen())
        watch.look()
        counted(f"first look at {shards} shards")
        watch.look()
        counted("a look at which nothing is new")
        run_sweep(size.spec, Store(address), workers=1, backend="numpy")
        counted("run, nothing to do")
        compact(Store(address))
        counted("compact")
        watch.look()
        counted("a look after the compaction")
        StoreWatch(Store(address), Chosen()).look()
        counted("first look at what was compacted")
        run_sweep(size.spec, Store(address), workers=1, backend="numpy")
        counted("run, nothing to do, of what was compacted")
    return rows


def page(part: Part) -> str:
    """Return the page; every number in it is of the part."""
    machine, versions = environment.machine(), environment.versions()
    sizes, verbs, requests = part.tables
    kept = "\n".join(
        f"- {target.what} {target.value:.3g}, wanted at most {target.bound:g}: {'met' if target.met else 'missed'}."
        for target in part.targets
    )
    packages = f"NumPy {versions['numpy']}, pyarrow {versions['pyarrow']}"
    where = f"{machine['processor']}, {machine['cores']} cores, {packages}, load {os.getloadavg()[2]:.1f}"
    written = (
        f"*Written by `python -m benchmarks --only store_scale` on {date.today().isoformat()} ({where}); every number "
    )
    written += "is from that run. [What to do with a large store](../how-to/large-stores.md).*"
    return f"""# A store of a million rows

{prose(written)}

{prose(part.about)}

{kept}

## Stores

{markdown(sizes)}

## Time and memory

{markdown(verbs)}

## Requests on S3

{markdown(requests)}
"""
