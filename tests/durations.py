"""How long tests take: measured by ``make durations``, used to mark the slow ones and to begin with the longest.

``durations.json`` holds seconds on two cores that do nothing else: of every module, and of every test that takes more
than ``SLOW``. A module is a key of "slow" where its fixtures take so long; then all of its tests are marked.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("durations.json")

#: Seconds above which a test is marked ``slow``.
SLOW = 0.3

#: What a module is taken to last that was not there when durations were measured.
_UNKNOWN = 5.0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-durations", action="store_true", help=f"write how long tests took to {FILE.name}")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--record-durations") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    measured = json.loads(FILE.read_text("utf-8"))
    for item in items:
        if not {item.nodeid, module_of(item.nodeid)}.isdisjoint(measured["slow"]):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: -measured["modules"].get(module_of(item.nodeid), _UNKNOWN))


def module_of(nodeid: str) -> str:
    """Return the file that a test stands in."""
    return nodeid.partition("::")[0]


class Recorder:
    """Adds up what each test and its fixtures take, and writes it at the end of the session."""

    def __init__(self) -> None:
        self._modules: dict[str, float] = defaultdict(float)
        self._slow: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        module = module_of(report.nodeid)
        self._modules[module] += report.duration
        if report.duration > SLOW:
            key = report.nodeid if report.when == "call" else module
            self._slow[key] = max(self._slow.get(key, 0.0), report.duration)

    def pytest_sessionfinish(self) -> None:
        kinds = {"modules": self._modules, "slow": self._slow}
        record = {kind: {key: round(times[key], 1) for key in sorted(times)} for kind, times in kinds.items()}
        FILE.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
