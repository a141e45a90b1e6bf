"""The page on GPUs: what was measured on one, what was counted without, and what is estimated from counts."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import Any

from benchmarks.report import Row, Table, markdown

#: What an H100 and its host are taken to do: flops and bytes a second, and seconds of a launch and of a wait.
_FLOPS, _BYTES, _LAUNCH, _WAIT = 40e12, 2.9e12, 10e-6, 20e-6
#: Flops in float32 and bytes a second that NVIDIA states for an H100 SXM.
_STATED_FLOPS, _STATED_BYTES = 67e12, 3.35e12

_PAGE = """# Draws on a GPU

{sources}

{answer}
{measured}
## Counted without a GPU

{about_counts}

{counts}

Before the first draws of a process, CuPy compiles kernels of its own, one for each operation, dtype and layout; the
kernels of rmtsim are compiled at once. Workers make these draws before they take the time of a batch.

{compiled}

## Estimated from these counts

{assumed}

{estimates}
"""

_SOURCES = (
    "*Written by `python -m benchmarks.pages` from `gpu_counts.json`, which `python -m benchmarks.gpu_counts` "
    "writes{}. [How to run on a GPU](../how-to/gpu.md).*"
)
_AND_CHECK = ", and from `gpu_check.jsonl`, which `make gpu-check` writes on a GPU"

_COUNTED = (
    "This is what ordinary draws in float32 ask of a GPU; draws that need care ask for more. It was counted on {date} "
    "on the emulator, which runs the same code as a GPU, checks each launch, and counts what CuPy would do. *Touched* "
    "are the arrays that kernels read and write, each once for each launch. A "
    "[wave](../reference/glossary.md) has the draws that rmtsim makes together on a GPU with 80 GiB."
)

_ASSUMED = (
    f"**No number in this table was measured on a GPU.** It is assumed that the host takes {1e6 * _LAUNCH:.0f} µs for "
    f"each launch and {1e6 * _WAIT:.0f} µs for each wait, and that the device takes the flops of the products at "
    f"{_FLOPS / 1e12:.0f} TFLOP/s, which is {100 * _FLOPS / _STATED_FLOPS:.0f} % of what NVIDIA states for an H100 SXM "
    f"in float32, and after them the touched bytes at {_BYTES / 1e12:.1f} TB/s, which is "
    f"{100 * _BYTES / _STATED_BYTES:.0f} %. Both work at the same time, so a draw takes the "
    "longer of the two. That small draws fill only a part of the device is left out. What was *aimed at* are estimates "
    "made when the code was designed, for an H100 SXM; a dash (-) says that there was none."
)

_MEASURED = """
## Measured on {device}

{run}

*Share of the product* is the share of the flops a second of a large product of matrices on the same GPU; *one core* is
a draw in float64 on a core of the CPU of that machine.

{speed}

{profile}

{rates}

{agreement}

{bits}

{tensor}

{tests}
"""


def page(counts: Mapping[str, Any], check: list[Row] | None) -> str:
    """Return the page.

    Parameters
    ----------
    counts
        What `benchmarks.gpu_counts` wrote.
    check
        The rows of a run of `benchmarks.gpu_check` on a GPU, its header first (`gpu_runs.rows_of`); None without one.
    """
    about = check[0] if check else None
    draws = counts["draws"]
    return _PAGE.format(
        sources=fill(_SOURCES.format(_AND_CHECK if about else ""), 120),
        answer=fill(_answer(draws, about), 120),
        measured="" if check is None or about is None else measured(check[1:], about),
        about_counts=fill(_COUNTED.format(date=counts["date"]), 120),
        counts=markdown(Table("", [_count(row) for row in draws])),
        compiled=markdown(Table("", [_compiled(row) for row in counts["compiled"]])),
        assumed=fill(_ASSUMED, 120),
        estimates=markdown(Table("", [_estimate(row) for row in draws])),
    )


def _answer(draws: list[Row], about: Row | None) -> str:
    if about is not None:
        device = about["device"]
        return f"**Times under *Measured on {device}* were measured on one {device} on {about['date']}.**"
    aimed = [row for row in draws if row["aim_s"]]
    met = sum(max(_seconds(row)) <= row["aim_s"] for row in aimed)
    return (
        f"**Nothing on this page was measured on a GPU: none was at hand.** By the counts below, {met} of the "
        f"{len(aimed)} kinds of draws that had an aim would take no longer than that, at the rates that the last "
        "section assumes."
    )


def measured(check: list[Row], about: Row) -> str:
    """Return the part of the page that tells a run on a GPU: its rows, and their header."""
    speed = [_timed(row) for row in check if "s_per_draw" in row]
    return _MEASURED.format(
        device=about["device"],
        run=fill(_run(check, about), 120),
        speed=markdown(Table("", speed)) if speed else "No times of draws were taken.",
        profile=_profile([row for row in check if "kernels" in row]),
        rates=fill(_rates(_joined(check, "rates")), 120),
        agreement=fill(
            _agreement([row for row in check if "largest_difference" in row or "no_difference" in row]), 120
        ),
        bits=fill(_same_bits([row for row in check if "again" in row]), 120),
        tensor=_tensor([row for row in check if "s_with_tensor_cores" in row]),
        tests=fill(_tests(_joined(check, "tests")), 120),
    )


def _joined(check: list[Row], step: str) -> Row:
    """Return what all rows of a step say."""
    return {key: value for row in check if row["step"] == step for key, value in row.items()}


def _run(check: list[Row], about: Row) -> str:
    """Say which run it is, and how its steps ended."""
    which = f"On {about['date']}, in the newest run of all steps of `make gpu-check` that came to its end."
    ends = {row["step"]: row["ended"].strip().splitlines()[-1][:100] for row in check if "ended" in row}
    other = [f"{step} ({end})" for step, end in ends.items() if end != "0"]
    return f"{which} These did not end well: {', '.join(other)}." if other else f"{which} All of them ended well."


def _profile(rows: list[Row]) -> str:
    if not rows:
        return "Which kernels take the time was not looked at."
    return markdown(Table("", [_profiled(row) for row in rows]))


def _profiled(row: Row) -> Row:
    """Return the share of the time in which the device works, and the kernels that take most of that."""
    share = ", ".join(
        f"{name} {100 * seconds / row['device_seconds']:.0f} %" for name, _, seconds in row["kernels"][:3]
    )
    return {
        "draw": f"{row['point']}, {', '.join(row['layers'])}",
        "dtype": row["dtype"],
        "the device works": f"{100 * row['device_seconds'] / row['seconds']:.0f} %",
        "of that, most is": share,
    }


#: What rows of rates say that the page tells.
RATES = ("s_of_our_launch", "s_of_a_launch", "s_of_a_wait", "copied_TBs")


def _rates(found: Mapping[str, Any]) -> str:
    if not found.keys() >= {*RATES}:
        return "What launches and copies take was not looked at."
    own, any_, wait = (1e6 * found[f"s_of_{what}"] for what in ("our_launch", "a_launch", "a_wait"))
    return (
        f"There the host took {own:.2g} µs for the launch of a kernel of rmtsim, {any_:.2g} µs for one of CuPy, and "
        f"{wait:.2g} µs for a wait; arrays were copied at {found['copied_TBs']:.2g} TB/s, read and written."
    )


def _agreement(rows: list[Row]) -> str:
    worst: dict[str, float] = {}
    none = sum("no_difference" in row for row in rows)
    for row in rows:
        differences = row.get("largest_difference", {}).values()
        found = [value for values in differences for value in values if value is not None]
        worst[row["dtype"]] = max([worst.get(row["dtype"], 0.0), *found], key=lambda value: (value != value, value))
    if not worst:
        return "How far statistics agree with NumPy's was not looked at."
    by = " and ".join(f"{value:.1g} in {dtype}" for dtype, value in worst.items())
    errors = f" For {none} of {len(rows)} there was an error in their place." if none else ""
    return f"Statistics differ from NumPy's in float64, of the same arrays, by {by} at most.{errors}"


#: What rows of bits say, beside the sizes of batches: whether the bits are the same, or why there are none.
_COMPARED = ("again", "alone", "less_memory", "two_threads")


def _same_bits(rows: list[Row]) -> str:
    found = [row[key] for row in rows for key in row if key in _COMPARED or key.startswith("batch_")]
    same = [answer is True for answers in found for answer in (answers if isinstance(answers, list) else [answers])]
    if not same:
        return "Bits were not compared."
    return (
        f"The bits of draws were compared {len(same)} times with those of the same draws made alone, again, in other "
        f"batches, with less memory and in two threads: {sum(same)} times they were the same."
    )


def _tensor(rows: list[Row]) -> str:
    if not rows:
        return "Tensor cores were not tried."
    kinds = ("without", "with")
    times = [
        {"large draw in float32": row["point"]}
        | {f"µs {kind} tensor cores": 1e6 * row[f"s_{kind}_tensor_cores"] for kind in kinds}
        | {f"error {kind}": row[f"error_{kind}"] for kind in kinds}
        for row in rows
    ]
    return markdown(Table("", times))


def _tests(found: Row) -> str:
    if "counts" not in found:
        return "The tests were not run there."
    counts = ", ".join(f"{count} {outcome}" for outcome, count in found["counts"].items()) or "none had ended"
    end = [counts, *found["end"]][-1]
    if "code" not in found:
        return f"The tests of the GPU path did not come to their end; until then: {counts}."
    return f"The tests of the GPU path ended with: {end}."


def _timed(row: Row) -> Row:
    aim = row.get("aim")
    return {
        "draw": f"{row['point']}, {', '.join(row['layers'])}",
        "dtype": row["dtype"],
        "µs a draw": 1e6 * row["s_per_draw"],
        "aimed at, µs": None if aim is None else 1e6 * aim,
        "times the aim": None if aim is None else row["s_per_draw"] / aim,
        "µs, one by one": 1e6 * row["s_per_draw_one_by_one"],
        "share of the product": row["share_of_peak"],
        "µs on one core": 1e6 * row["cpu_s_per_draw"] if row.get("cpu_s_per_draw") else None,
    }


def _sizes(row: Row) -> str:
    return ", ".join(str(row[name]) for name in ("C", "d", "N", "m") if row[name])


def _count(row: Row) -> Row:
    of_batch, of_draw = row["of_batch"], row["of_draw"]
    return {
        "layers": ", ".join(row["layers"]),
        "C, d, N, m": _sizes(row),
        "launches per wave": round(of_batch["launches"]),
        "and per draw": round(of_draw["launches"]),
        "waits per wave": round(of_batch["waits"] + row["batch"] * of_draw["waits"]),
        "bytes sent to it per draw": of_draw["uploaded"],
        "MB touched per draw": of_draw["touched"] / 1e6,
        "GFLOP per draw": row["flops"] / 1e9,
        "draws in a wave": row["batch"],
    }


def _compiled(row: Row) -> Row:
    named = {"loss": row["loss"].upper(), "layers": ", ".join(row["layers"])}
    return named | {f"kernels in {dtype}": row[dtype] for dtype in ("float32", "float64")}


def _seconds(row: Row) -> tuple[float, float]:
    """Return what the host and the device take for a draw."""
    launches, waits, touched = (
        row["of_batch"][key] / row["batch"] + row["of_draw"][key] for key in ("launches", "waits", "touched")
    )
    return launches * _LAUNCH + waits * _WAIT, row["flops"] / _FLOPS + touched / _BYTES


def _estimate(row: Row) -> Row:
    host, device = _seconds(row)
    longer = max(host, device)
    return {
        "layers": ", ".join(row["layers"]),
        "C, d, N, m": _sizes(row),
        "host, µs": 1e6 * host,
        "device, µs": 1e6 * device,
        "a draw, µs": 1e6 * longer,
        "aimed at, µs": None if row["aim_s"] is None else 1e6 * row["aim_s"],
        "times the aim": None if row["aim_s"] is None else longer / row["aim_s"],
    }
