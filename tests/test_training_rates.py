"""Rates of decay along training: fits against known powers of C."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from rmtsim.figures.registry import draw
from rmtsim.paper.training_rates import powers
from rmtsim.paper.training_rates.powers import at_equal_loss, exponents, ratios
from rmtsim.stats.verdict import tolerance
from tests.figures import headline_of, text_of
from tests.training_runs import quick_theory, runs_of

__all__ = ["quick_theory"]  # a fixture


def synthetic(power: Callable[[float], float], noise: float = 0.02, draws: int = 8) -> pd.DataFrame:
    """Ratios that follow a power of C which depends on progress, and a loss that is 1 − progress/2."""
    rng = np.random.default_rng(4)
    rows = [
        {"loss": "ce", "layer": "hidden", "rule": "N = 64", "n_classes": C, "draw": draw, "progress": progress}
        | {"relative_loss": 1 - progress / 2, "ratio": C ** power(progress) * np.exp(noise * rng.normal())}
        for C in (4, 8, 16, 32, 64)
        for draw in range(draws)
        for progress in (0.0, 0.5, 1.0)
    ]
    return pd.DataFrame(rows)


@pytest.mark.usefixtures("quick_theory")
@pytest.mark.parametrize(
    ("end", "verdict"), [(-1.0, "kept"), (-1.3, "steeper"), (-0.7, "flatter"), (0.0, "lost"), (0.3, "lost")]
)
def test_exponents_are_found_and_judged(end: float, verdict: str) -> None:
    fits = exponents(synthetic(lambda progress: -1 + progress * (1 + end)))
    expected = np.array([-1, (end - 1) / 2, end])
    assert (np.abs(fits["exponent"] - expected) < 5 * fits["std_error_exponent"]).all()
    assert (np.abs(fits["upper"] - expected) < 5 * fits["std_error_upper"]).all()
    assert (fits["std_error_exponent"] < 0.01).all()
    assert fits["verdict"].iloc[0] == "kept"
    assert fits["verdict"].iloc[-1] == verdict
    assert fits["power"].all()
    assert fits["theory"].iloc[0] == pytest.approx(-1)


@pytest.mark.usefixtures("quick_theory")
def test_the_change_from_the_start_to_the_start_is_no_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two changes at each of two checkpoints can be off: four numbers, and not those of the first, which are 0."""
    looks: set[int] = set()

    def recorded(draws: int, several: int) -> float:
        looks.add(several)
        return tolerance(draws, several)

    monkeypatch.setattr(powers, "tolerance", recorded)
    exponents(synthetic(lambda progress: -1.0))
    assert looks == {4}


@pytest.mark.usefixtures("quick_theory")
def test_what_is_no_power_law_is_called_so() -> None:
    bent = synthetic(lambda progress: -1.0)
    bent["ratio"] += 0.02 * (bent["progress"] == 1)
    fits = exponents(bent)
    assert fits["power"].tolist() == [True, True, False]
    assert exponents(synthetic(lambda progress: -1.0, noise=2.0))["verdict"].iloc[-1] == "unresolved"
    bent = synthetic(lambda progress: -1.0)
    bent["ratio"] *= np.where(bent["progress"] == 1, np.exp(np.abs(np.log(bent["n_classes"] / 16 / 2**0.5))), 1)
    assert exponents(bent)["verdict"].tolist() == ["kept", "kept", "bent"]
    zero = bent.assign(ratio=0.0)
    assert set(exponents(zero.assign(loss="mse", layer="output"))["verdict"]) == {"zero"}
    assert set(exponents(zero)["verdict"]) == {"unresolved"}  # the model does not make it so


def test_equal_loss_is_between_checkpoints() -> None:
    found = at_equal_loss(synthetic(lambda progress: -1 + progress, noise=1e-3))
    assert found["relative_loss"].tolist() == [0.9, 0.8, 0.7, 0.6]
    np.testing.assert_allclose(found["exponent"], [-0.8, -0.6, -0.4, -0.2], atol=0.01)


@pytest.mark.usefixtures("quick_theory")
def test_rates_are_described_and_drawn() -> None:
    sizes = [(16, 160), (8, 160), (32, 160), (8, 80), (32, 320)]
    table = pd.concat([runs_of(loss, 2, n_classes=c, n_samples=n) for loss in ("ce", "mse") for c, n in sizes])
    found = ratios(table)
    assert found.groupby("rule")["n_classes"].unique().map(sorted).to_dict() == {
        "N = 160": [8, 16, 32],
        "N = 10 C": [8, 16, 32],
    }
    report = text_of("training_rates", table)
    assert "MSE, output layer, N = 160: theorem -2; off-diagonal blocks are zero in every run" in report
    assert len(headline_of("training_rates", table).splitlines()) == 9
    assert "60 steps of Adam from 0.05, 2 draws" in report
    figure = draw("training_rates", table)
    rows = found.query("loss == 'ce' and layer == 'output' and rule == 'N = 10 C' and progress == 1")
    shown = np.column_stack(figure.axes[4].containers[-1].lines[0].get_data()).astype(float)
    expected = np.exp(np.log(rows["ratio"]).groupby(rows["n_classes"]).mean())
    np.testing.assert_allclose(shown, np.stack([expected.index, expected], axis=1))
