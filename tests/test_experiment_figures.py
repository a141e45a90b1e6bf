"""Figures of experiments: what is on the axes is what is in the table; and the commands that make them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rmtsim.cli.main import main
from rmtsim.figures import get_figure
from rmtsim.figures.registry import draw
from rmtsim.paper import decoupling_rates, limiting_spectra
from rmtsim.paper.decoupling import decoupling
from rmtsim.paper.decoupling_rates import fit_decoupling, summarize_decoupling
from rmtsim.paper.limiting_laws import limiting_spectrum
from rmtsim.paper.limiting_spectra import distances_to_limits, spectrum
from rmtsim.sweeps.table_runner import run_tables
from tests.figures import curves

SMALL = {32: 40, 64: 40, 128: 20}


@pytest.fixture(scope="module", autouse=True)
def _coarse_limits() -> Iterator[None]:
    """Have the limits of the theory to two digits and not to three, in an eighth of the time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("rmtsim.theory.decoupling_limit._LOG2_POINTS", 12)
        decoupling_rates._limit.cache_clear()
        yield
    decoupling_rates._limit.cache_clear()


@pytest.fixture(scope="module")
def differences(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    store = tmp_path_factory.mktemp("decoupling")
    experiment = decoupling(draws=SMALL)
    run_tables(experiment, store)
    return experiment.read(store)


def test_decoupling_shows_every_size_with_its_error(differences: pd.DataFrame) -> None:
    figure = draw("decoupling", differences)
    upper, lower = figure.subfigs[0].axes
    summary = summarize_decoupling(differences).query("t == 1 and z_real == 1")
    assert upper.get_xscale() == upper.get_yscale() == "log"
    assert len(upper.containers) == 5
    for bars, (_, series) in zip(upper.containers, summary.groupby(["model", "block"], sort=False), strict=True):
        expected = np.stack([series["n_samples"], series["difference"] / series["dim"]], axis=1)
        np.testing.assert_allclose(np.column_stack(bars.lines[0].get_data()), expected)
        low, high = bars.lines[2][0].get_segments()[0][:, 1]
        assert (high - low) / 2 == pytest.approx((series["std_error_difference"] / series["dim"]).iloc[0])
    fits = fit_decoupling(summary)
    slopes = [np.polyfit(*np.log(line).T, 1)[0] for line in curves(upper, "fit")]
    np.testing.assert_allclose(slopes, fits["exponent"])
    np.testing.assert_allclose([np.polyfit(*np.log(line).T, 1)[0] for line in curves(upper, "slope")], [-0.5, -1])
    assert len(lower.containers) == 4  # the control has no limit
    real, imaginary = figure.subfigs[1].axes
    for ax in (real, imaginary):
        assert all(line[0].tolist() == [0, 0] for line in curves(ax, "limit"))
        assert len(curves(ax, "limit")) == 4


def test_spectrum_shows_histograms_beside_their_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiting_spectra, "SPECTRUM_CLASSES", (2, 10, 1000))
    experiment = spectrum(draws={32: 4, 128: 3})
    run_tables(experiment, tmp_path)
    table = experiment.read(tmp_path)
    figure = draw("spectrum", table)
    for block, power, ax in zip(("diag", "offdiag"), (1, 2), figure.axes[:2], strict=True):
        densities = curves(ax, "theory")
        assert len(densities) == 3
        law = limiting_spectrum(block, 10, 0.5)
        x, height = densities[1][len(densities[1]) // 2]
        assert height == pytest.approx(law.density(x / 10**power) * x / 10**power)
        for line in densities:
            assert np.trapezoid(line[:, 1], np.log(line[:, 0])) == pytest.approx(1, abs=0.01)
        marks = [np.column_stack(line.get_data()) for line in ax.lines if line.get_linestyle() == "None"]
        for histogram in marks:
            width = np.diff(np.log(histogram[:, 0])).mean()
            assert histogram[:, 1].sum() * width == pytest.approx(1, abs=1e-6)
        assert ax.get_xscale() == "log"
    distances = distances_to_limits(table)
    first = distances.query("block == 'diag' and n_classes == 2")
    shown = np.column_stack(figure.axes[2].containers[0].lines[0].get_data()).astype(float)
    np.testing.assert_allclose(shown[:, 1], first["distance"])
    np.testing.assert_allclose(shown[:, 0], first["dim"], rtol=0.25)  # series stand side by side


def test_experiments_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(get_figure("decoupling"), "tables", lambda full: decoupling(draws=SMALL))
    assert main(["reproduce", "decoupling", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "decoupling: 15 new tables; 15 of 15 tables done" in said.err
    assert said.out == (tmp_path / "decoupling.txt").read_text()
    assert not (tmp_path / "verdicts.json").exists()
    assert main(["reproduce", "decoupling", "--out", str(tmp_path)]) == 0
    again = capsys.readouterr()
    assert "decoupling: nothing to do" in again.err
    assert again.out == said.out
    store = str(tmp_path / "store")
    assert main(["figure", "decoupling", "--store", store, "--out", str(tmp_path / "f.png")]) == 0
    assert (tmp_path / "f.png").read_bytes() == (tmp_path / "decoupling.png").read_bytes()
    capsys.readouterr()
    assert main(["figure", "spectrum", "--store", store, "--out", str(tmp_path / "g.png")]) == 2
    assert "spectrum: 24 of its 24 tables are not in" in capsys.readouterr().err
    assert not (tmp_path / "g.png").exists()
