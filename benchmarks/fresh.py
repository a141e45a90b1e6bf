"""Calls in a process of their own, whose memory can be limited and whose peak can be read."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def call(
    module: str, function: str, /, *, limit: int | None = None, timeout: float = 300, **arguments: Any
) -> dict[str, Any]:
    """Call ``benchmarks.module.function(**arguments)`` in a new Python and return what it returned, a dictionary.

    Parameters
    ----------
    limit
        Bytes of address space that the process may have.
    timeout
        Seconds until it is ended.

    Returns
    -------
    dict
        Of an exception its class as ``error`` and its first line as ``message``; so too where the process was ended.
    """
    request = json.dumps({"module": module, "function": function, "limit": limit, "arguments": arguments})
    command = [sys.executable, "-m", "benchmarks.fresh"]
    try:
        done = subprocess.run(
            command, input=request, capture_output=True, text=True, timeout=timeout, cwd=Path(__file__).parents[1]
        )
    except subprocess.TimeoutExpired:
        return {"error": "timeout", "message": f"not done after {timeout:.0f} s"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        return {"error": how, "message": last[:120]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def peak_memory() -> int:
    """Bytes of memory that this process had resident at its peak.

    Read as VmHWM where the system has it, since ``ru_maxrss`` starts at the size of the process that started this one.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _main() -> None:
    request = json.load(sys.stdin)
    if request["limit"]:
        resource.setrlimit(resource.RLIMIT_AS, (request["limit"], request["limit"]))
    try:
        work = getattr(import_module(f"benchmarks.{request['module']}"), request["function"])
        found = work(**request["arguments"])
    except Exception as error:  # every kind is an answer here
        lines = str(error).strip().splitlines() or [""]
        found = {"error": type(error).__name__.lstrip("_"), "message": lines[0][:200]}
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    _main()
