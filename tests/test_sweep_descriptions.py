"""What describes a sweep in Python: names, paths, dicts, specs and points; and what does not, which is named."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmtsim
from rmtsim.sweeps.launch import as_specs
from tests.small_sweeps import POINT, SWEEPS


def test_one_point_is_run_as_a_list_of_it(tmp_path: Path) -> None:
    outcome = rmtsim.run(POINT, tmp_path, workers=1, sampling={"max_draws": 16})
    assert (outcome.new_draws, rmtsim.open_store(tmp_path).draws()["point_id"].unique().tolist()) == (16, [POINT.id])


@pytest.mark.parametrize("source", ["figure8", SWEEPS[0], *as_specs(SWEEPS[1])], ids=["name", "dict", "Spec"])
def test_a_sweep_is_described_in_any_of_its_forms(source: Any, tmp_path: Path) -> None:
    [spec] = as_specs(source)
    assert isinstance(spec, rmtsim.Spec)
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\nmodel = "linear"\nloss = "mse"\n[grid]\nn_classes = [2]\naspect_ratio = [1.0]\ndim = [4]'
    )
    for where in (path, str(path)):
        assert as_specs(where)[0].points() == [rmtsim.Point("linear", "mse", 2, 4, 4)]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rmtsim.simulate([POINT, POINT], 4), "^point: it holds several; give one rmtsim.Point, and call it"),  # type: ignore[arg-type]
        (lambda: rmtsim.run("figure88", "s"), r"^spec: there is no 'figure88' \(did you mean figure8\?\); give"),
        (lambda: rmtsim.run(8, "s"), "^spec: 8 is not valid; give the name of a built-in sweep, the path"),  # type: ignore[arg-type]
        (
            lambda: rmtsim.run("training", "s"),
            "^spec: training describes training runs; run them by `rmtsim run training",
        ),
        (lambda: rmtsim.run([], "s"), "^spec: the list has no points; give at least one rmtsim.Point$"),
        (lambda: rmtsim.run([1], "s"), "^point: 1 is not valid; give an rmtsim.Point$"),  # type: ignore[list-item]
        (lambda: rmtsim.run("", "s"), "^spec: there is no ''; give a .toml file, or one of"),
        (lambda: rmtsim.run(b"figure8", "s"), "^spec: b'figure8' is not valid; give the name of a built-in sweep"),
        (lambda: rmtsim.run(np.array(8), "s"), r"^spec: array\(8\) is not valid; give the name of a built-in sweep"),
        (lambda: rmtsim.run("x" * 999, "s"), "^spec: there is no 'x+…; give a .toml file, or one of"),
        (lambda: rmtsim.run("x" * 999 + ".toml", "s"), "^spec: 'x+… is too long for a path; give a TOML file"),
        (lambda: rmtsim.run(POINT, "x" * 999), "^store: 'x+… is too long for a path; give another directory$"),
        (lambda: rmtsim.run(POINT, "a\0b"), r"^store: 'a\\x00b' has a null character; give another directory$"),
        (
            lambda: rmtsim.run(POINT, "s", backend=np.zeros(2)),
            r"^backend: array\(.*\) is not known; choose one of auto",
        ),  # type: ignore[arg-type]
        (lambda: rmtsim.run({"name": "x"}, "s"), r"^3 mistakes: \(1\) model: "),
        (lambda: rmtsim.run("figure8", "s", workers=0), "^workers: 0 is not valid"),
        (lambda: rmtsim.run("figure8", "s", sampling={}), "^sampling: it was given beside a spec"),
        (lambda: rmtsim.run(POINT, "s", sampling=[POINT]), r"^sampling: \[Point.* is not valid; give a dict"),  # type: ignore[arg-type]
        (lambda: rmtsim.run(POINT, "s", sampling=5), "^sampling: 5 is not valid; give a dict, such as {'target"),  # type: ignore[arg-type]
        (
            lambda: rmtsim.run({**SWEEPS[0], "grid": 5}, "s"),
            r"^\[grid\]: 5 is not a table of keys; give a dict, or in a TOML file a line \[grid\]",
        ),
        (
            lambda: rmtsim.run(POINT, "s", progress=np.ones(2)),  # type: ignore[arg-type]
            r"^progress: array\(.*\) is not valid; give True or False$",
        ),
        (lambda: rmtsim.run(POINT, "s", fail_fast="no"), "^fail_fast: 'no' is not valid; give True or False$"),  # type: ignore[arg-type]
        (
            lambda: rmtsim.run(POINT, "s", address="somewhere"),
            "^address: 'somewhere' is not valid; give local, ray",
        ),
        (lambda: rmtsim.run(POINT, "s", address="head:99999"), "^address: 'head:99999' is not valid; give local"),
        (lambda: rmtsim.run(POINT, None), "^store: None is not valid; give a directory, or an address"),  # type: ignore[arg-type]
        (lambda: rmtsim.run(POINT, "s", address=None), "^address: None is not valid; give local, ray, or a"),  # type: ignore[arg-type]
        (lambda: rmtsim.run(POINT, "s", time_limit="1h"), "^time_limit: '1h' is not valid; give a number of seconds$"),  # type: ignore[arg-type]
        (lambda: rmtsim.run(POINT, "s", time_limit=math.nan), "^time_limit: nan is not valid"),
        (lambda: rmtsim.run(POINT, "s", on_progress=3), "^on_progress: 3 is not valid; give a function of one record$"),  # type: ignore[arg-type]
        (
            lambda: rmtsim.run([rmtsim.Point("linear", "mse", 2, 7, 3)], "s"),
            "^spec: at C = 2, d = 7, N = 3, d/N = 7/3 is no decimal number",
        ),
    ],
)
def test_bad_sweeps_are_named_and_nothing_is_written(
    call: Callable[[], object], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(rmtsim.InputError, match=words):
        call()
    assert not list(tmp_path.iterdir())
