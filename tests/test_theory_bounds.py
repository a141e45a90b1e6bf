"""Absurd but valid arguments of the theory: refused at once in a sentence, or bounded work that says how far it is."""

from __future__ import annotations

import io
import re
import threading
import time
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.stats import qmc

from rmtsim import Point, simulate, theory
from rmtsim.cli import theory_progress
from rmtsim.cli.main import main
from rmtsim.cli.theory_progress import show_progress, show_theory_progress
from rmtsim.errors import InputError
from rmtsim.text.call_progress import CallProgress
from rmtsim.theory import finite, two_point
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


def test_the_theory_of_draws_counts_what_it_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, int]] = []
    whole = theory_progress.show_progress

    def spying(what: str, total: int, unit: str, done, doing):  # type: ignore[no-untyped-def]
        made.append((total, done()))
        spying.done, spying.doing = done, doing
        return whole(what, total, unit, done, doing, after=1e9)

    monkeypatch.setattr(theory_progress, "show_progress", spying)
    with (
        show_theory_progress(simulate(Point("linear", "ce", 3, 40, 5), 2), "all is drawn"),
        show_theory_progress(simulate(Point("linear", "mse", 3, 4, 5), 2), "all is drawn"),
    ):
        pass
    assert made == []
    with show_theory_progress(simulate(Point("linear", "ce", 3, 15, 5), 2), "all is drawn"):
        assert (spying.done(), spying.doing()) == (1, "now all is drawn")
        seen = []
        monkeypatch.setattr(two_point, "_rule", lambda *_: seen.append(spying.doing()) or (4, 8))
        finite("linear", "ce", 4, 15, 5)  # as for a curve between the measured sizes
        finite("linear", "ce", 5, 15, 5)
        assert seen == ["now C = 4, d = 15", "1 value more for its curves, now C = 5, d = 15"]
    assert made == [(1, 0)]
    for name in ("finite", "limit"):
        monkeypatch.setattr(theory, name, partial(getattr(theory, name), target_rse=0.4))
    hidden = pd.concat([simulate(Point("one_hidden", "ce", C, 300, 20, 8), 2) for C in (3, 4)])
    with show_theory_progress(hidden, "all is drawn"):
        assert spying.done() == 4  # found by all cores
        theory.finite("one_hidden", "ce", 3, 300, 20, 8, layers=("output",))
        theory.limit("one_hidden", "ce", 4, 15.0, 8, layers=("output",))
        assert spying.done() == 4
    assert made[1:] == [(4, 0)]  # both sizes, and their limits
    assert "takes seconds for each of 2 sizes" in capsys.readouterr().err
