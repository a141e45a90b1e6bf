"""Functions of the benchmarks, called in a process of their own.

The benchmarks set how many threads the libraries of their process have, so no test imports them. A process that imports
them once answers all calls of a module of tests.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

_ANSWERS = """
import json, sys
from importlib import import_module as module
from pathlib import Path
for line in sys.stdin:
    code, given = json.loads(line)
    try:
        found = {"value": eval(code)}
    except SystemExit as end:
        found = {"ended": str(end)}
    print(json.dumps(found), flush=True)
"""


class Benchmarks:
    """A process that evaluates expressions, in which ``module(name)`` is a module and ``given`` what they are given."""

    def __init__(self) -> None:
        pipe, command = subprocess.PIPE, [sys.executable, "-c", _ANSWERS]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)

    def __call__(self, code: str, given: Any = None) -> Any:
        """Return the value of an expression; a SystemExit is raised again."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([code, given]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "ended" in answer:
            raise SystemExit(answer["ended"])
        return answer["value"]

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@pytest.fixture(scope="module")
def benchmarks() -> Iterator[Benchmarks]:
    started = Benchmarks()
    yield started
    started.close()
