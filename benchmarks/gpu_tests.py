"""The step of the check on a GPU that runs the tests of the GPU path, and what it tells of them, if cut off, too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rmtsim.arrays.threads import cores

#: Processes of the tests: each takes some hundred MB of the device.
_PROCESSES = 4

#: Lines of pytest that are told, the last ones.
_TOLD = 40

#: Where tests are, and what the modules of those that need a GPU say.
_TESTS, _OF_GPU = Path(__file__).parents[1] / "tests", re.compile(r"mark\.gpu\b|\bxp: ModuleType\b|\bon_gpu\b")

#: How pytest tells the end of a test, beside the share of tests that have ended: in one process, and in several.
_OUTCOME = "(?P<outcome>PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)"
_ENDS = (
    re.compile(rf"^(?P<test>\S+::.*?) {_OUTCOME}\b.*%\]$", re.MULTILINE),
    re.compile(rf"^\[gw\d+\] \[ *\d+%\] {_OUTCOME} (?P<test>.*?) *$", re.MULTILINE),
)


def tests(small: bool) -> Iterator[dict[str, Any]]:
    """Run the tests of the GPU path in some processes, of which none may be skipped; pytest writes to the errors."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-v", "-rfEs", "-p", "no:cacheprovider", "--tb=short"]
    processes = ["-n", str(min(cores(), _PROCESSES)), "--dist", "loadfile"]
    chosen = ["tests/test_gpu_products.py", "-k", "products"] if small else [*processes, *gpu_modules()]
    environment = {**os.environ, **({} if small else {"RMTSIM_GPU": "1"})}
    yield {"code": subprocess.run([*command, "--color=no", *chosen], stdout=sys.stderr, env=environment).returncode}


def gpu_modules() -> list[str]:
    """Return the modules that have tests of the GPU path: collecting the others would take longer than these tests."""
    texts = {file: file.read_text("utf-8") for file in sorted(_TESTS.glob("test_*.py"))}
    return [f"tests/{file.name}" for file, text in texts.items() if _OF_GPU.search(text)]


def told(said: str) -> dict[str, Any]:
    """Return what pytest has said, as far as it came: the count of each outcome, the tests that failed, the end."""
    found = [end for pattern in _ENDS for end in pattern.finditer(said)]
    return {
        "counts": {word.lower(): count for word, count in Counter(end["outcome"] for end in found).items()},
        "failed": [end["test"] for end in found if end["outcome"] in ("FAILED", "ERROR")],
        "end": [line.strip("= ") for line in said.strip().splitlines()[-_TOLD:]],
    }
