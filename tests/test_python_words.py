"""What Python users read where a call is wrong or a run ends: words of Python, not of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

import rmtsim
from rmtsim.cli.main import main
from rmtsim.text.toml_text import toml_text


def test_an_outcome_names_attributes_in_python_and_the_verb_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = {
        "name": "strict",
        "model": "linear",
        "loss": "mse",
        "grid": {"n_classes": [3], "aspect_ratio": [0.5], "dim": [4]},
        "sampling": {"min_draws": 8, "max_draws": 8, "target_rse": 0.001},
    }
    outcome = rmtsim.run(spec, tmp_path / "s", workers=1)
    assert str(outcome) == "8 new draws; 0 of 1 points done, 1 used up max_draws above target_rse (see Outcome.limited)"
    assert [state.point.n_classes for state in outcome.limited] == [3]
    (tmp_path / "strict.toml").write_text(toml_text(spec))
    assert main(["run", str(tmp_path / "strict.toml"), "--store", str(tmp_path / "s")]) == 4
    assert "1 used up max_draws above target_rse (see rmtsim status)" in capsys.readouterr().err


def test_a_point_without_sizes_is_a_type_error_that_names_them() -> None:
    """As of any call in Python: its words are clear, and what is wrong is the call, not a value."""
    with pytest.raises(TypeError, match="missing 2 required positional arguments: 'dim' and 'n_samples'"):
        rmtsim.Point("linear", "ce", 10)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'classes'"):
        rmtsim.Point("linear", "ce", classes=10, dim=3, n_samples=3)  # type: ignore[call-arg]


@pytest.mark.parametrize("wrong", ["means", "theory", "list"])
def test_plots_of_something_else_than_draws_say_what_to_pass(wrong: str) -> None:
    point = rmtsim.Point("linear", "mse", 3, dim=4, n_samples=8)
    given: Any = {
        "means": lambda: rmtsim.summarize(rmtsim.simulate(point, 4)),
        "theory": lambda: rmtsim.predict([point]),
        "list": lambda: ["results"],
    }[wrong]()
    words = {
        "means": "it has no columns seed, draw, and seems to be the means that summarize returns; give a store",
        "theory": "it has no columns seed, draw, and seems to be what predict returns; give a store",
        "list": r"list is no DataFrame; give a store, its location, or a table with its columns, as open_store\(",
    }[wrong]
    for plot in (rmtsim.plot.decay, rmtsim.plot.columns):
        with pytest.raises(rmtsim.InputError, match=f"^draws: {words}"):
            plot(given)


def test_a_location_is_a_store_wherever_draws_are_taken(tmp_path: Path) -> None:
    points = [rmtsim.Point("linear", "mse", C, dim=4, n_samples=8) for C in (2, 3, 10)]
    rmtsim.run(points, tmp_path / "s", workers=1, sampling={"max_draws": 16})
    opened = rmtsim.open_store(tmp_path / "s")
    for location in (tmp_path / "s", str(tmp_path / "s")):
        pd.testing.assert_frame_equal(rmtsim.summarize(location), rmtsim.summarize(opened))
        assert rmtsim.fit(location).document() == rmtsim.fit(opened).document()
        assert rmtsim.plot.decay(location, ax=Figure().subplots()).get_xlabel() == "number of classes $C$"
        assert len(rmtsim.plot.columns(location, ax=Figure().subplots())) == 1


def test_a_location_without_a_store_is_told(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    for call in (rmtsim.summarize, rmtsim.fit, rmtsim.plot.decay, rmtsim.plot.columns):
        with pytest.raises(rmtsim.InputError, match=r"^store: there is no folder .*missing; run a sweep into it first"):
            call(missing)
    assert not any(tmp_path.iterdir())
