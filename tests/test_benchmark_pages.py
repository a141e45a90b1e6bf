"""Pages on wrong verdicts, on the stopping rule and on large heads: numbers are of the run, and so are the sentences.

Their runs take minutes (``python -m benchmarks --only verdicts stopping measure``); numbers here are made up.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"

Row = dict[str, Any]
Tables = dict[str, list[Row]]

#: Of a list of [module, tables, further arguments], the page and that of all tables, where there is one.
_CODE = """
import json, sys
from importlib import import_module
from benchmarks.report import Part, Table
made = []
for name, tables, *more in json.load(sys.stdin):
    module = import_module(f"benchmarks.{name}")
    part = Part("how it was done", [Table(title, rows) for title, rows in tables.items()])
    made.append([module.page(part, *more), module.numbers(part) if hasattr(module, "numbers") else ""])
print(json.dumps(made))
"""


def false(classes: str, noise: str, lines: float, reports: float, free: float | None = None) -> Row:
    row = {"C": classes, "noise": noise, "lines tested": 41.5, "lines that differ": lines, "reports with one": reports}
    return row | ({} if free is None else {"theory-free reports with one": free})


def power(line: str, *shares: float) -> Row:
    """Shares noticed by the rule in constant and power, up and down; and the same of the theory-free rule."""
    names = ("constant +3 %", "constant −3 %", "power +0.02", "power −0.02")
    return {"line": line} | dict(zip([*names, *(f"theory-free {name}" for name in names)], shares, strict=True))


VERDICTS: Tables = {
    "Sizes": [{"sets": 300, "lines": 42, "least C": 10, "largest C": 3000, "processor s": 321.4}],
    "false, normal": [
        false("all", "errors × 1", 0.0, 0.0, 2.7),
        false("all", "errors × 0.1", 0.0, 0.0, 98.7),
        false("50, 200, 1000", "errors × 1", 0.0, 0.0),
    ],
    "false, other": [
        false("all", "heavy tails", 0.234, 6.7, 56.0),
        false("all", "dependent", 0.002, 0.333, 3.0),
    ],
    "power": [
        power("hidden CE, d/N = 1, ratio", 13.3, 14.3, 54.0, 56.3, 0.0, 2.0, 6.0, 51.0),
        power("linear CE, d/N = 1, ratio", 100.0, 100.0, 100.0, 100.0, 0.0, 91.3, 4.0, 100.0),
        power("linear CE, d/N = 2, ratio", 99.0, 100.0, 100.0, 100.0, 0.0, 2.0, 4.0, 100.0),
    ],
    "caught": [{"deviation": "power up", "noticed": 94.87}, {"deviation": "constant down", "noticed": 95.94}],
}


def kept(rule: str, coverage: float, mean_z: float, far: float, heavy: float, cost: float) -> Row:
    row = {"rule": rule, "cost": cost, "done_percent": 87.0, "heavy_percent": heavy, "plain_coverage_percent": 81.7}
    return row | {"mean_z": mean_z, "coverage_percent": coverage, "far_percent": far}


def rules(coverage: float, mean_z: float, far: float, heavy: float, cost: float) -> list[Row]:
    ours = kept("rmtsim's rule", coverage, mean_z, far, heavy, cost)
    waits = ours | {"rule": "rmtsim's rule, and waits until no tail is too heavy"}
    waits |= {"mean_z": mean_z - 0.8, "coverage_percent": 66.6, "done_percent": 21.2}
    return [kept("stops at the target", 77.7, -1.25, 9.0, 0.0, 1.0), ours, waits]


STOPPING: Tables = {
    "Sizes": [
        {"samples": 1000, "pool": 4321, "target_rse": 0.1, "min_draws": 16, "max_draws": 9876}
        | {"least spread": 0.1, "largest spread": 10.0, "processor s": 123.4}
    ],
    "costs": [{"target_percent": 5.0, "cost": 1.4321}],
    "few": [
        {"draws": 8, "samples": 400_000, "beyond_95_percent": 5.2, "beyond_99.9_percent": 0.213},
        {"draws": 64, "samples": 400_000, "beyond_95_percent": 5.0, "beyond_99.9_percent": 0.1},
    ],
    "light": rules(94.3, -0.041, 0.2, 3.0, 5.4),
    "hard": rules(90.3, -0.264, 0.3, 93.0, 8.4),
    "no third moment": rules(86.1, -0.44, 1.0, 27.0, 8.5),
    "tails": [{"of": "light", "k_50": 0.1234}],
}

HEADS: Tables = {
    "heads": [
        {"C": 1000, "d": 64, "N": 32, "budget_GiB": 3.0, "file_GiB": 0.5, "read_s": 0.25, "measure_s": 65.5}
        | {"processor_s": 70.5, "peak_GiB": 0.48, "perplexity": 7.0},
        {"C": 262_144, "d": 8192, "N": 256, "budget_GiB": 3.0, "file_GiB": 4.0, "read_s": 2.0, "measure_s": 99.5}
        | {"processor_s": 180.4, "peak_GiB": 0.28, "perplexity": 7.0},
    ]
}


def changed(tables: Tables, change: Callable[[Tables], object]) -> Tables:
    """Return a copy in which some numbers are others."""
    other = copy.deepcopy(tables)
    change(other)
    return other


def reports(tables: Tables, share: float) -> None:
    tables["false, normal"][1]["reports with one"] = share


def sign(tables: Tables) -> None:
    tables["power"][0]["power +0.02"] = 40.0


CASES: dict[str, list[Any]] = {
    "verdicts": ["verdicts_page", VERDICTS],
    "verdicts, one": ["verdicts_page", changed(VERDICTS, lambda tables: reports(tables, 1 / 3))],
    "verdicts, many": ["verdicts_page", changed(VERDICTS, lambda tables: reports(tables, 3.0))],
    "verdicts, blind": [
        "verdicts_page",
        changed(VERDICTS, lambda tables: tables["caught"][0].update(noticed=91.9)),
    ],
    "verdicts, one sign": ["verdicts_page", changed(VERDICTS, sign)],
    "verdicts, no bias": [
        "verdicts_page",
        changed(VERDICTS, lambda tables: tables["false, normal"][1].update({"theory-free reports with one": 0.3})),
    ],
    "verdicts, no harm": [
        "verdicts_page",
        changed(VERDICTS, lambda tables: tables["false, other"][0].update({"reports with one": 0.0})),
    ],
    "stopping": ["stopping_page", STOPPING, ["no third moment"]],
    "stopping, kept": [
        "stopping_page",
        changed(STOPPING, lambda tables: tables.update({"no third moment": rules(95.0, 0.1, 0.1, 1.0, 8.5)})),
        ["no third moment"],
    ],
    "stopping, missed": [
        "stopping_page",
        changed(STOPPING, lambda tables: tables["light"][1].update(far_percent=0.51)),
        ["no third moment"],
    ],
    "stopping, waiting": [
        "stopping_page",
        changed(STOPPING, lambda tables: tables["hard"][2].update(mean_z=0.1)),
        ["no third moment"],
    ],
    "stopping, few": [
        "stopping_page",
        changed(STOPPING, lambda tables: tables["few"][0].update(beyond_95_percent=7.0)),
        ["no third moment"],
    ],
    "measure": ["measure", HEADS],
    "measure, much": ["measure", changed(HEADS, lambda tables: tables["heads"][0].update(peak_GiB=3.01))],
}


@pytest.fixture(scope="module")
def made() -> dict[str, tuple[str, str]]:
    """Return the two pages of each case."""
    command = [sys.executable, "-c", _CODE]
    given = json.dumps([*CASES.values()])
    done = subprocess.run(command, cwd=ROOT, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


def words(page: str) -> str:
    return " ".join(page.split())


def test_every_number_on_wrong_verdicts_is_of_the_run(made: dict[str, tuple[str, str]]) -> None:
    page, tables = map(words, made["verdicts"])
    for said in (
        "took 321 s of processor time",
        "In each of 3 cases none of 300 reports on true claims had a line that *differs*.",
        "noticed in 94.9 to 95.9 % of the sets, as promised (95 %)",
        "from 2.7 % of the reports (errors × 1) to 98.7 % (errors × 0.1)",
        "In 1 of these 2 cases more reports are wrong than promised: up to 0.23 % of the lines *differ*, and up to 6.7",
        "up to 2.3 points (hidden CE, d/N = 1, ratio). With the theory-free rule they differ by up to 96 points",
        "noticed in every set: linear CE ratio.",
        "| hidden CE ratio | 13.3 | 14.3 | 54.0 | 56.3 |",
        "power up 94.9, constant down 95.9",
    ):
        assert said in page
    assert "| linear CE ratio" not in page
    assert "| 50, 200, 1000 | errors × 1 | 42 | 0 | 0 | - |" in page
    assert "how it was done" in tables
    assert "| linear CE, d/N = 2, ratio |" in tables


def test_sentences_on_wrong_verdicts_follow_from_the_numbers(made: dict[str, tuple[str, str]]) -> None:
    pages = {name: words(page) for name, (page, _) in made.items()}
    worst = "In the worst of 3 cases {} of 300 reports on true claims had a line that *differs*"
    assert f"{worst.format(1)}, which chance explains where 0.1 % are promised." in pages["verdicts, one"]
    assert f"{worst.format(9)}, more than the promised 0.1 %." in pages["verdicts, many"]
    assert "noticed in 91.9 to 95.9 % of the sets, not as often as promised (95 %)" in pages["verdicts, blind"]
    assert "noticed equally often" in pages["verdicts"]
    assert (
        "It matters where a deviation goes: the two shares of a line differ by up to 16 p"
        in pages["verdicts, one sign"]
    )
    assert "The more precise the means" not in pages["verdicts, no bias"]
    assert "In none of these 2 cases are more reports wrong than promised." in pages["verdicts, no harm"]


def test_every_number_on_stopping_is_of_the_run(made: dict[str, tuple[str, str]]) -> None:
    page, tables = map(words, made["stopping"])
    for said in (
        "took 123 s of processor time",
        "1,000 samples of draws from a pool of 4,321 draws",
        "`target_rse` is 0.1, `min_draws` is 16, and `max_draws` is 9,876",
        "of a coverage is 0.7 points, and of a mean z 0.03",
        "| light | 81.7 | 94.3 | −0.04 | 0.2 | 3 | 5.4 | kept |",
        "| hard | 81.7 | 90.3 | −0.26 | 0.3 | 93 | 8.4 | tail too heavy |",
        "| no third moment | 81.7 | 86.1 | −0.44 | 1.0 | 27 | 8.5 | missed |",
        "| 5 | 1.432 |",
        "An interval of the level 95 % misses the truth as often as its level says.",
        "of the level 99.9 % misses the truth up to 2.1 times as often as its level says.",
        "| rmtsim's rule | 90.3 | 8.4 | 86.1 | 8.5 |",
        "in 21 % and 21 % of the samples. The mean z of these is −1.1 and −1.2: it chooses means that are low",
    ):
        assert said in page
    assert "how it was done" in tables
    assert "## light" in tables
    assert "| light | 0.1234 |" in tables


def test_sentences_on_stopping_follow_from_the_numbers(made: dict[str, tuple[str, str]]) -> None:
    pages = {name: words(page) for name, (page, _) in made.items()}
    assert (
        "**The promise is kept at 1 of 3 points and laws: 94.3 % of the 95 % intervals hold the truth. At 1 more, "
        "most samples say that their tail is too heavy. It is missed at no third moment.**"
    ) in pages["stopping"]
    assert "The promise ends at no third moment" in pages["stopping"]
    assert "**The promise is kept at 2 of 3 points and laws: 94.3 to 95.0 %" in pages["stopping, kept"]
    assert "It is missed" not in pages["stopping, kept"]
    assert "The promise ends" not in pages["stopping, kept"]
    assert "kept at 0 of 3 points and laws. At 1 more," in pages["stopping, missed"]
    assert "It is missed at light, no third moment." in pages["stopping, missed"]
    assert "which is why nothing waits" not in pages["stopping, waiting"]
    assert "of the level 95 % misses the truth up to 1.4 times as often" in pages["stopping, few"]


def test_numbers_and_sentences_on_large_heads_are_of_the_run(made: dict[str, tuple[str, str]]) -> None:
    page, other = words(made["measure"][0]), words(made["measure, much"][0])
    assert "| 262144 | 8192 | 256 | 3 | 4 | 2 | 99.5 | 180.4 | 0.28 |" in page
    assert "how it was done" in page
    largest = "**The largest, a file of 4.00 GiB, takes 180 s of processor time and 0.28 GiB of memory."
    assert f"{largest} No head needs more than `--memory` allows.**" in page
    assert f"{largest} 1 of 2 heads need more than `--memory` allows.**" in other


@pytest.mark.parametrize(
    ("case", "name"), [("verdicts", "verdict_errors"), ("stopping", "stopping"), ("measure", "head_sizes")]
)
def test_the_pages_are_those_that_the_run_writes(made: dict[str, tuple[str, str]], case: str, name: str) -> None:
    """But for the numbers: the heads of their sections, and on the page of all tables the title."""
    for level, text, path in zip((2, 1), filter(None, made[case]), (RESULTS, RESULTS / "numbers"), strict=False):
        there = (path / f"{name}.md").read_text("utf-8")
        assert f"*Written by `python -m benchmarks --only {case}`" in there
        heads = [re.findall(rf"^#{{1,{level}}} .*", page, re.MULTILINE) for page in (text, there)]
        assert heads[0] == heads[1]
