"""Absurd but valid arguments of the theory: refused at once in a sentence, or bounded work that says how far it is."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import qmc

from rmtsim import Point, fit, predict, simulate, summarize
from rmtsim.cli import theory_progress
from rmtsim.cli.main import main
from rmtsim.cli.theory_progress import show_progress, show_theory_progress
from rmtsim.errors import InputError
from rmtsim.figures.column_choice import ColumnChoice
from rmtsim.figures.column_series import theory_of
from rmtsim.figures.registry import get_figure
from rmtsim.stats.slow_values import slow_values
from rmtsim.text.call_progress import CallProgress
from rmtsim.theory import disk_cache, quasi_monte_carlo, two_point
from rmtsim.theory.quasi_monte_carlo import integrate
from rmtsim.theory.spectra import Spectrum
from rmtsim.theory.spectra.weight_laws import bernoulli

ONE_HIDDEN = "theory --model one_hidden --loss ce"
REFUSED = {
    f"{ONE_HIDDEN} --classes 1e9 --width 2 --aspect-ratio 1 --spectrum": "1 billion classes and 2 neurons are too many",
    f"{ONE_HIDDEN} --classes 1e6 --width 2000 --aspect-ratio 1 --spectrum": "1 million classes and 2000 neurons",
    f"{ONE_HIDDEN} --classes 2 --width 1e6 --aspect-ratio 1 --spectrum": "2 classes and 1 million neurons",
    "theory --model one_hidden --loss mse --classes 1e9 --width 4095 --aspect-ratio 1 --spectrum": "too many",
    "theory --model linear --loss ce --classes 3 --aspect-ratio 1e-300 --spectrum": "from 1e-09 to 1e+09",
    "theory --model linear --loss mse --classes 3 --aspect-ratio 1e300 --spectrum": "from 1e-09 to 1e+09",
    f"{ONE_HIDDEN} --classes 10 --width 4095 --dim 1000000000 --samples 7": "coordinates",
    f"{ONE_HIDDEN} --classes 10 --width 500 --dim 100 --samples 10": "50200 coordinates",
    f"{ONE_HIDDEN} --classes 10 --width 1e9 --aspect-ratio 1": "coordinates",
}


@pytest.mark.parametrize("command", REFUSED)
def test_what_would_take_hours_or_all_memory_is_refused_at_once(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("rmtsim.theory.one_hidden_ce_pairs.integrate", "rmtsim.theory.cross.integrate"):
        monkeypatch.setattr(name, lambda *_: pytest.fail("it began to integrate"))
    monkeypatch.setattr(qmc, "Sobol", lambda *_, **__: pytest.fail("it began to sample"))
    assert main(command.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert REFUSED[command] in said.err
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize("ratio", [1e-9, 1e9])
def test_the_ends_of_what_is_taken_have_mass_1(ratio: float) -> None:
    spectrum = Spectrum(bernoulli(1.0, 0.5), ratio)
    assert np.isfinite(spectrum.edges).all()
    assert spectrum.moments(2).tolist() == pytest.approx(spectrum.free_moments(2).tolist(), rel=1e-6)
    for beyond in (ratio * ratio, 0.999 * ratio if ratio < 1 else 1.001 * ratio):
        with pytest.raises(InputError, match="out of range for a spectrum"):
            Spectrum(bernoulli(1.0, 0.5), beyond)


@pytest.mark.parametrize(("coordinates", "most"), [(2, 2**15), (256, 2**15), (1024, 2**13), (8192, 2**10)])
def test_the_work_of_an_integral_is_bounded(coordinates: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An integrand that never is precise enough gets so many points of each randomisation, and no more."""
    asked = []

    class Cube:
        def __init__(self, n: int, rng: object) -> None:
            self.n = n

        def random(self, points: int) -> np.ndarray:
            asked.append(points)
            return np.broadcast_to(np.float64(0.5), (points, self.n))  # takes no memory

    pilots, noise = [], np.random.default_rng(0)

    def make(pilot: np.ndarray):  # type: ignore[no-untyped-def]
        pilots.append(pilot.shape)
        return lambda points, wanted: noise.standard_normal((len(wanted), 1))

    monkeypatch.setattr(qmc, "Sobol", Cube)
    integrate(make, 1, coordinates, (1,), 1e-9)
    assert sum(asked) == 32 * most
    assert pilots[0][0] * coordinates <= 2**23


def test_progress_of_long_work_is_shown_by_another_thread(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the midst of a single value; here the clock shows a minute more at every look."""
    seconds = iter(range(0, 10**6, 60))
    monkeypatch.setattr(theory_progress, "_LOOK_EVERY", 0.001)
    clock = {"clock": lambda: next(seconds)}
    monkeypatch.setattr(
        CallProgress.__init__, "__kwdefaults__", {**(CallProgress.__init__.__kwdefaults__ or {}), **clock}
    )
    told, stream = threading.Event(), io.StringIO()
    monkeypatch.setattr(CallProgress, "_write", lambda _, text: (stream.write(f"{text}\n"), told.set()))
    with show_progress("theory", 3, "sizes"):
        assert told.wait(60)
    assert re.match(r"theory: 0 of 3 sizes, 1 min\n", stream.getvalue())
    before = set(threading.enumerate())
    with show_progress("theory", 3, "sizes") as progress:
        progress.advance(1)
    assert set(threading.enumerate()) <= before
    found = re.search(r"theory: 1 of 3 sizes, (\d+) min, about (\d+) min to go\n", stream.getvalue())
    assert found  # after 1 min; more if the other thread looked at the clock before
    assert int(found[2]) == 2 * int(found[1])


def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress("theory", 3, "sizes", after=1e9) as progress:
        progress.advance(2)
        time.sleep(0.01)
    assert capsys.readouterr().err == ""


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The slow values that are computed from now on; those of two samples with little accuracy."""
    seen: list[str] = []
    whole = disk_cache._write

    def noting(path: Path | None, question: str, value: Any) -> None:
        seen.append(question)
        whole(path, question, value)

    monkeypatch.setattr(disk_cache, "_write", noting)
    monkeypatch.setattr(two_point, "_rule", lambda *_: (4, 8))
    for name in ("_LEAST_POINTS", "_MOST_POINTS"):
        monkeypatch.setattr(quasi_monte_carlo, name, 16)
    return seen


def shown_progress(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `show_progress` was told, without waiting and without a line on stderr."""
    whole = theory_progress.show_progress

    def spying(what: str, total: int, unit: str, done, doing):  # type: ignore[no-untyped-def]
        spying.totals.append(total)
        spying.done, spying.doing = done, doing
        return whole(what, total, unit, done, doing, after=1e9)

    spying.totals = []
    monkeypatch.setattr(theory_progress, "show_progress", spying)
    return spying


def test_the_theory_of_a_figure_is_counted_and_found_up_front(
    computed: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With limits and curves; the figure then computes nothing. Control: without the curve it does."""
    shown = shown_progress(monkeypatch)
    few = pd.concat([simulate(Point("linear", "ce", C, 13, N), 2) for C in (3, 9) for N in (5, 6)])
    figure = get_figure("fig8")
    with show_theory_progress(slow_values(few), "drawing all"):
        at_points = len(computed)
        figure.numbers(few)
        assert len(computed) > at_points == 2
    with show_theory_progress(figure.slow_values(few), "drawing all"):
        assert shown.done() == 7  # C from 3 to 9
        assert len(computed) == 7
        figure.numbers(few)
    hidden = simulate(Point("one_hidden", "ce", 43, 301, 20, 8), 2)
    with show_theory_progress(slow_values(hidden), "making the verdicts"):
        assert shown.done() == 4  # the size and its limit; for the cross layer, too
        fit(hidden)
    assert len(computed) == 7 + 4
    assert shown.totals == [2, 7, 4]
    assert "a second or more for each of 4 values" in capsys.readouterr().err


@pytest.mark.parametrize("slow", [True, False])
def test_what_follows_the_theory_is_said_once(
    slow: bool, computed: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not with the values again and again while it is done; nor where the theory took no time."""
    whole, seen = theory_progress.show_progress, []

    @contextmanager
    def shown_at_the_end(what: str, total: int, unit: str, done: Any, doing: Any) -> Iterator[Any]:
        with whole(what, total, unit, done, doing, after=0.0 if slow else 1e9) as progress:
            yield progress
            progress.advance(total)
            seen.append(progress)

    monkeypatch.setattr(theory_progress, "show_progress", shown_at_the_end)
    draws = simulate(Point("linear", "ce", 49, 311, 5), 2)
    with show_theory_progress(slow_values(draws), "drawing the page"):
        said = capsys.readouterr().err
        assert said.count("drawing the page\n") == slow
        assert ("1 of 1 values" in said) == slow
        seen[0].tick()
    assert "drawing" not in capsys.readouterr().err


def test_quick_theory_is_found_without_a_word(
    computed: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = shown_progress(monkeypatch)
    draws = pd.concat([simulate(Point("linear", loss, 47, 307, 5), 2) for loss in ("ce", "mse")])
    with show_theory_progress(slow_values(draws), "drawing all"):
        assert len(computed) == 1
    assert shown.totals == [1]  # of thousands they are counted, after a while
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("x", "classes", "dims"), [("n_classes", (40, 41), [302]), ("dim", [42], (302, 303))])
def test_the_theory_of_a_plot_is_counted_and_found_up_front(
    x: str, classes: Sequence[int], dims: Sequence[int], computed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the selected layers alone, without limits; the plot then computes nothing. Control: one layer more does."""
    shown = shown_progress(monkeypatch)
    points = [Point("one_hidden", "ce", C, d, d, 8) for C in classes for d in dims]
    means = summarize(pd.concat([simulate(point, 2) for point in points]))
    choice = ColumnChoice.of(x, "offdiag_sqfro", by="layer", where="layer != 'cross'")
    panels, wanted = choice.panels(choice.select(means)), choice.regimes()
    with show_theory_progress(choice.slow_values(panels, wanted), "drawing the plot"):
        assert (len(computed), shown.totals) == (2, [2])
        for one in panels[""]:
            for regime in wanted:
                assert theory_of(one.rows, x, "offdiag_sqfro", regime) is not None
        assert len(computed) == 2
    predict(points[0])
    assert len(computed) == 3
