"""The last layer of a language model, measured from a file: time and peak memory, beside reading the file alone.

It writes the page docs/results/head_sizes.md.
"""

from __future__ import annotations

import json
import struct
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import rmtsim
from benchmarks import environment, fresh
from benchmarks.report import Part, Row, Table, Target, markdown
from docs.generate.markdown import prose
from rmtsim.files.tensors import open_matrix
from rmtsim.model.choices import NullName

_GIB, _THREADS = 2**30, 2
_PAGE = Path(__file__).parents[1] / "docs/results/head_sizes.md"

#: The columns of the page, and what they are called there.
_COLUMNS = {
    "C": "C",
    "d": "d",
    "N": "N",
    "budget_GiB": "`--memory`, GiB",
    "file_GiB": "file, GiB",
    "read_s": "reading it once, s",
    "measure_s": "measuring, s",
    "processor_s": "of the processor, s",
    "peak_GiB": "peak memory, GiB",
}

#: Classes, dimensions and tokens, and the memory that may be used, in GiB.
_LARGE = [(128_256, 4096, 2048, 3.0), (262_144, 8192, 256, 3.0)]
_QUICK = [(3000, 64, 128, 0.5)]

#: Rows of V that are made, and read, at once.
_ROWS = 512


def run(quick: bool) -> Part:
    """Write a head and features, and measure them in a process of its own."""
    rows = [_row(*size) for size in (_QUICK if quick else _LARGE)]
    targets = [
        Target(f"peak memory at C = {row['C']}, d = {row['d']}, GiB", row["peak_GiB"], row["budget_GiB"])
        for row in rows
    ]
    about = (
        "rmtsim.measure measures a head with bfloat16 weights and features in .safetensors, in float32 with "
        f"{_THREADS} threads: one batch, all nulls except that of Gaussian features, 16 permutations, and the 20 "
        "strongest pairs. The weights are Gaussian, and the features have such sizes that the perplexity of single"
        " samples goes from 1 to that of a guess, so that every pass over the classes is needed: those for samples"
        " whose softmax is saturated, too. The time of reading is that of all weights once, cast to float32; each "
        "of the passes reads them. Peak memory is the largest that was resident, Python and its packages included."
    )
    part = Part(about, [Table("Heads from files", rows)], targets)
    if not quick:
        _PAGE.write_text(page(part), "utf-8")
        print(f"  {_PAGE}: written", file=sys.stderr)
    return part


def page(part: Part) -> str:
    """Return the page; every number in it is of the part."""
    [table] = part.tables
    here = environment.machine()
    written = (
        f"*Written by `python -m benchmarks --only measure` on {date.today().isoformat()} ({here['processor']}, "
        f"{here['cores']} cores, NumPy {environment.versions()['numpy']}); every number is from that run.*"
    )
    shown = [{_COLUMNS[key]: value for key, value in row.items() if key in _COLUMNS} for row in table.rows]
    return f"""# Heads of the size of large language models

{prose(written)}

How long does it take to [measure a head](../how-to/measure.md) that is read from a file, and how much memory?

{prose(f"**{_answer(table.rows)}**")}

{prose(part.about)}

{markdown(Table("", shown))}

Memory goes with N and d, since weights and features are read some rows at a time.
[What the numbers of a last layer mean](../explanation/last-layers.md).
"""


def _answer(rows: list[Row]) -> str:
    """Return the sentences on the largest head."""
    most = max(rows, key=lambda row: row["file_GiB"])
    words = (
        f"The largest, a file of {most['file_GiB']:.2f} GiB, takes {most['processor_s']:.0f} s of processor time and "
        f"{most['peak_GiB']:.2f} GiB of memory."
    )
    over = [row for row in rows if row["peak_GiB"] > row["budget_GiB"]]
    if over:
        return f"{words} {len(over)} of {len(rows)} heads need more than `--memory` allows."
    return f"{words} No head needs more than `--memory` allows."


def _row(n_classes: int, dim: int, n_samples: int, budget: float) -> Row:
    with tempfile.TemporaryDirectory(prefix="rmtsim-measure-") as folder:
        weights, features = Path(folder, "head.safetensors"), Path(folder, "features.safetensors")
        rng = np.random.default_rng(0)
        _save(weights, "lm_head.weight", n_classes, dim, lambda n: rng.standard_normal((n, dim), np.float32) / dim**0.5)
        sizes = np.exp(np.linspace(0, 2.5, n_samples, dtype=np.float32))[:, None]
        taken = 0

        def some(n: int) -> npt.NDArray[np.float32]:
            nonlocal taken
            taken += n
            return sizes[taken - n : taken] * rng.standard_normal((n, dim), np.float32)

        _save(features, "features", n_samples, dim, some)
        arguments = {"weights": str(weights), "features": str(features), "memory": budget * _GIB}
        found = fresh.call("measure", "measured", timeout=7200, **arguments)
        size = weights.stat().st_size
    if "error" in found:
        raise RuntimeError(f"{found['error']}: {found['message']}")
    sizes_of_row = {"C": n_classes, "d": dim, "N": n_samples, "budget_GiB": budget, "file_GiB": size / _GIB}
    return sizes_of_row | found


def _save(path: Path, name: str, rows: int, columns: int, some: Any) -> None:
    """Write a matrix in bfloat16, rounded towards zero, some rows at a time."""
    place = {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [0, 2 * rows * columns]}
    header = json.dumps({name: place}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for start in range(0, rows, _ROWS):
            values = np.ascontiguousarray(some(min(_ROWS, rows - start)), "<f4")
            file.write((values.view("<u4") >> 16).astype("<u2").tobytes())


def measured(weights: str, features: str, memory: float) -> dict[str, Any]:
    """Read the weights, then measure; read the peak of memory."""
    start = time.perf_counter()
    matrix = open_matrix(weights, what="weights")
    for first in range(0, matrix.shape[0], _ROWS):
        matrix.rows(first, min(first + _ROWS, matrix.shape[0]), np.float32)
    read = time.perf_counter() - start
    start, used = time.perf_counter(), time.process_time()
    nulls: list[NullName] = ["theorem", "logit_variance", "decoupled"]
    found = rmtsim.measure(weights, features, nulls=nulls, top=20, threads=_THREADS, memory=memory)
    return {
        "read_s": read,
        "measure_s": time.perf_counter() - start,
        "processor_s": time.process_time() - used,
        "peak_GiB": fresh.peak_memory() / _GIB,
        "perplexity": found.perplexity,
        "ratio": found.ratio,
        "outside": found.outside,
    }
