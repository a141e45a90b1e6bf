"""Nine minutes on a GPU: what only a GPU can say, the most decisive first, as lines of JSON.

Every step is a process of its own with a limit of time, so that one that hangs or dies takes nothing with it, and what
it has found until then is kept. The first line of a run names its device, its date and its steps, and every line names
its run. Needs CuPy and a GPU; with ``--emulated``, the emulator and small sizes, which shows that the script runs, and
nothing about a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from benchmarks import limited
from benchmarks.gpu_steps import STEPS
from rmtsim.errors import InputError
from rmtsim.files.output_files import check_output
from rmtsim.files.path_names import check_path
from rmtsim.text.addresses import shown

#: Seconds that all steps have together: one call on a machine that is lent for ten minutes.
TOTAL = 540

#: Seconds below which no step is begun, those that a look for the GPU may take, and the most that may be asked for.
_LEAST, _LOOK, _MOST = 15, 60, 86_400

_FILE = "gpu_check.jsonl"

_DEVICE = "import json; from benchmarks.gpu_steps import device; print(json.dumps(device()))"


def main(argv: list[str] | None = None) -> int:
    """Run the steps that are named, or all.

    Returns 0 if all of them came to their end, 1 if not, 2 with a sentence if they cannot be run, 3 if it was stopped.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check", description=__doc__)
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"some of {', '.join(STEPS)}; all by default")
    out = os.environ.get("OUT") or None
    parser.add_argument("--out", default=out, metavar="FOLDER", help=f"folder to add {_FILE} to (default: $OUT)")
    parser.add_argument("--limit", type=float, default=TOTAL, help="seconds for all steps (default: %(default)s)")
    parser.add_argument("--emulated", action="store_true", help="on the emulator, with small sizes")
    given = parser.parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    try:
        return _check(given.steps or [*STEPS], given.out, given.limit, given.emulated)
    except InputError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser.prog}: stopped; the lines until then are kept", file=sys.stderr)
        return 3


def _check(steps: list[str], out: str | None, limit: float, emulated: bool) -> int:
    begin, codes = time.monotonic(), []
    if unknown := {*steps} - {*STEPS}:
        raise InputError(f"STEP: {', '.join(sorted(unknown))} is not known; choose one of {', '.join(STEPS)}")
    if out is not None:
        _check_folder(out)
    if not 1 <= limit <= _MOST:
        raise InputError(f"--limit: {limit} is not valid; give seconds, from 1 to {_MOST}")
    now = datetime.now()
    run = {"run": f"{now:%Y-%m-%d %H:%M:%S} {os.getpid()}"}
    about = {"device": "emulated" if emulated else _device(), "date": f"{now:%Y-%m-%d}"}
    with _lines(out) as file:
        _print_from(_write(file, run | about | {"steps": steps, "whole": {*steps} == {*STEPS}}), file)
        for step in steps:
            start = time.monotonic()
            left, place = limit - (start - begin), file.seek(0, 2)
            if left < _LEAST:
                ended = limited.Ended(None, "no time left", "")
            else:
                command = [sys.executable, "-m", "benchmarks.gpu_steps", step, "--run", run["run"]]
                at_most = left if emulated else min(STEPS[step].limit, left)  # those of steps are a GPU's
                ended = limited.run(command + ["--emulated"] * emulated, at_most, file)
                if told := STEPS[step].told:
                    _write(file, {**run, "step": step, **told(ended.said)})
            codes.append(f"{ended.words}: {ended.said[-600:]}" if ended.status else ended.words)
            _write(file, {**run, "step": step, "ended": codes[-1], "seconds": round(time.monotonic() - start, 1)})
            _print_from(place, file)
            if ended.words == limited.STOPPED:
                raise KeyboardInterrupt
    return 0 if all(code == "0" for code in codes) else 1


def _device() -> str:
    """Return the name of the GPU, which a process of its own looks for: this one takes no memory of it.

    Raises InputError where there is none.
    """
    with tempfile.TemporaryFile("w+") as file:
        ended = limited.run([sys.executable, "-c", _DEVICE], _LOOK, file)
        if ended.words == limited.STOPPED:
            raise KeyboardInterrupt
        file.seek(0)
        found: dict[str, str] = {} if ended.status != 0 else json.loads(file.read().splitlines()[-1])
    if "device" not in found:
        said = ended.said.strip().splitlines()[-1:]
        reason = found.get("problem") or ": ".join([f"the look for it ended with {ended.words}", *said])
        raise InputError(
            f"a GPU is needed, but {reason}; or try it on the emulator: python -m benchmarks.gpu_check --emulated"
        )
    return found["device"]


def _check_folder(out: str) -> None:
    """Raise InputError where a folder cannot be one, before a GPU is looked for."""
    if not out:
        raise InputError("--out: it is empty, as from a variable that is not set; give a FOLDER")
    if "://" in out:
        raise InputError(f"--out: {shown(out)} is an address; give a FOLDER on this machine")
    check_path(out, "--out", "give another FOLDER")


def _lines(out: str | None) -> IO[str]:
    """Return the file of the steps' lines, which is not kept where no folder is given."""
    if out is None:
        return tempfile.TemporaryFile("w+", encoding="utf-8")
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_output(folder / _FILE)
        return open(folder / _FILE, "a+", encoding="utf-8", errors="replace")
    except OSError as error:
        reason = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        raise InputError(f"--out: {out} is no folder to write to ({reason}); give another FOLDER") from error


def _write(file: IO[str], row: dict[str, Any]) -> int:
    """Add a line, after the end of one that a step was cut off in; return its place."""
    file.seek(0, 2)
    size = os.fstat(file.fileno()).st_size
    if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
        file.write("\n")
    place = file.tell()
    file.write(json.dumps(row) + "\n")
    file.flush()
    return place


def _print_from(place: int, file: IO[str]) -> None:
    file.seek(place)
    print(file.read(), end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
