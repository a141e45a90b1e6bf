"""The page on speed, from the results of the benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.report import Row, Table, markdown
from docs.generate.markdown import prose

_PAGE = """# Speed

*Written by `python -m benchmarks.pages` from `benchmarks/results.json`, which `make bench` writes: measured on {date}
on {cores} cores ({processor}), with NumPy {numpy} and the BLAS kernels {blas}. One thread where nothing else is
said.*

{answer}

## Beside other ways to the same numbers

{peers_about}

{peers}

The Hessian at {out_of_memory_sizes} in memory of {limit}, as each of them would need it:

{out_of_memory}

PyHessian, hessian-eigenthings and curvlinops multiply the Hessian by vectors, so for all blocks they need a product for
each of its rows, as *row by row* does.

## Beside the floor

The floor of a draw is the bare BLAS calls that it makes and a bare fill of its normal numbers.

{floor}

## Many classes

All pairs of classes are counted, in float32 with two threads. Peak memory includes Python.

{memory}

## How time grows

A power of the size, over the larger sizes.

{growth}

## Sweeps

{sweeps}

*Share in tasks* is the part of the wall time that workers spend in draws. In a simulated sweep of {batches:,} batches a
thousand workers are busy {busy:.1f} % of the time. The driver takes {driver:.2f} ms of processor time for a batch, and
{ray:.2f} ms with Ray; it stays at {peak:.0f} MiB.

## Draws that the average over all blocks saves

How many times as many draws it takes to know a norm as well from one pair of blocks, as the paper's simulations have it
({variance_sizes}):

{variance}

## Full Hessians

With two threads. *By automatic differentiation* is a jitted JAX pass for each row, extrapolated from a few.

{full}
"""


def page(record: Mapping[str, Any]) -> str:
    """Return the page; every number in it is of ``record``, the document in ``benchmarks/results.json``."""
    parts = record["parts"]
    same, large = (table for table in parts["peers"]["tables"])
    [simulated], [ray] = (table["rows"] for table in parts["driver"]["tables"])
    saved = parts["variance"]["tables"][2]
    return _PAGE.format(
        date=record["date"],
        answer=_answer(same["rows"], parts["memory"]["tables"][0]["rows"]),
        cores=record["machine"]["cores"],
        processor=record["machine"]["processor"],
        numpy=record["versions"]["numpy"],
        blas=record["blas"].replace(", ", " and "),
        peers_about=f"{same['title']}, all C² blocks, per draw. All methods agree on the draw before they are timed.",
        peers=_table(same["rows"], _PEERS),
        out_of_memory_sizes=large["title"].partition(":")[0].removeprefix("Out of memory, "),
        limit=large["title"].rpartition(" limited to ")[2],
        out_of_memory=_table([{**row, "outcome": _outcome(row)} for row in large["rows"]], _LARGE),
        floor=_table(parts["floor"]["tables"][0]["rows"], _FLOOR),
        memory=_table(parts["memory"]["tables"][0]["rows"], _MEMORY),
        growth=_table([_growth(row) for row in parts["scaling"]["tables"][0]["rows"]], _GROWTH),
        sweeps=_table(parts["sweep"]["tables"][0]["rows"], _SWEEPS),
        driver=simulated["driver_ms_per_batch"],
        ray=ray["driver_cpu_ms_per_batch"],
        busy=100 * simulated["busy"],
        batches=simulated["batches"],
        peak=simulated["peak_MiB"],
        variance_sizes=saved["title"].rpartition("saves, ")[2],
        variance=_table([_saved(row) for row in saved["rows"]], _SAVED),
        full=_table([_full(row) for row in parts["full_hessian"]["tables"][0]["rows"]], _FULL),
    )


def _answer(peers: list[Row], memory: list[Row]) -> str:
    """Return what a draw takes beside automatic differentiation, and with the most classes."""
    [ours] = [row for row in peers if (row["method"], row["dtype"]) == ("simulate", "float64")]
    most = max(memory, key=lambda row: row["C"])
    return prose(
        f"**At C = 100 a draw with the norms of all blocks takes {ours['ms']:.2g} ms; a jitted Hessian of JAX takes "
        f"{ours['times_as_fast_as_jax']:,.0f} times as long. At C = {most['C']:,} a draw takes {most['s']:.0f} s and "
        f"{most['peak_GiB']:.2g} GiB of memory.**"
    )


#: Columns of the tables: their keys in the record, and what they are called.
_PEERS = {
    "method": "method",
    "dtype": "dtype",
    "ms": "ms a draw",
    "times_as_fast_as_jax": "times as fast as jitted JAX",
}
_LARGE = {"method": "method", "GB_needed": "GB needed", "outcome": "outcome"}
_FLOOR = {
    "C": "C", "d": "d", "N": "N", "dtype": "dtype", "draw_s": "seconds a draw", "draw_over_floor": "over the floor"
}  # fmt: skip
_MEMORY = {
    "model": "model", "C": "C", "d": "d", "N": "N", "budget_GiB": "`--memory`, GiB", "s": "seconds a draw",
    "peak_GiB": "peak memory, GiB",
}  # fmt: skip
_GROWTH = {"along": "along", "from": "from", "to": "to", "at": "at", "power": "power"}
_SWEEPS = {
    "C": "C", "d": "d", "N": "N", "workers": "workers", "threads_each": "threads each", "draws_per_s": "draws a second",
    "speedup": "times one worker", "share_in_tasks": "share in tasks",
}  # fmt: skip
_SAVED = {"layer": "layer", "C": "C", "blocks": "blocks", "times": "times as many draws"}
_FULL = {
    "loss": "loss", "d = C": "d = C", "N": "N", "hidden": "hidden layers", "order": "order", "assembled s": "seconds",
    "peak GiB": "peak memory, GiB", "autodiff_min": "minutes by automatic differentiation",
}  # fmt: skip


def _table(rows: list[Row], columns: Mapping[str, str]) -> str:
    return markdown(Table("", [{name: row.get(key) for key, name in columns.items()} for row in rows]))


def _outcome(row: Row) -> str:
    text = str(row["outcome"])
    return "out of memory" if "rror" in text else text


def _growth(row: Row) -> Row:
    fixed = [f"{name} = {row[name]}" for name in ("dim", "n_samples", "width") if row.get(name)]
    return {**row, "at": ", ".join(fixed), "power": f"{row['exponent']:.2f} ± {row['std_error']:.2f}"}


def _saved(row: Row) -> Row:
    return {**row, "times": f"{row['draws_saved']:.0f} ± {row['std_error']:.0f}"}


def _full(row: Row) -> Row:
    return {**row, "autodiff_min": 60 * row["all rows by autodiff h (extrapolated)"]}
