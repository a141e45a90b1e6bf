"""Lines of claims with synthetic measurements: theory, times noise of the size that built-in sweeps have.

And the rule that verdicts were once made by, as a negative control: it held a fit without the theory's curve against
the theorem, granted it the size of its own bias, and did not free χ² of the fit's lack of fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from rmtsim.stats.claims import HIDDEN_CE_SCALE
from rmtsim.stats.curve_fit import CurveFit, fit_on_curve
from rmtsim.stats.decay_fit import CORRECTION_SCALE, MIN_CLASSES, fit_decay
from rmtsim.stats.predictions import percent_deviation, power, predict_layer, value
from rmtsim.stats.verdict import MAX_DISTANCE
from rmtsim.sweeps.spec import load
from rmtsim.theory import finite, large_c

Values = npt.NDArray[np.float64]

#: The specs of `make reproduce`.
SPECS = ("figure8", "linear_mse", "figure9", "figure9_output", "figure9_mse")

#: Relative standard errors and numbers of draws at C of 10 and more, of a `make reproduce` (`harness.standard_errors`).
ERRORS = Path(__file__).with_name("standard_errors.csv")


@dataclass(frozen=True, eq=False)
class Line:
    """One quantity of a sweep over C ≥ 10: the theory, and the standard errors that draws of it have."""

    name: str
    exponent: float  # the theorem's
    constant: float  # the theory's at this d and N
    scale: float  # where the corrections of the theory-free fit set in
    C: Values
    theory: Values
    rse_theory: Values
    rse: Values
    draws: Values

    @property
    def near(self) -> bool:
        """Whether the theory at the largest C is near its own C → ∞ form."""
        form = self.constant * self.C[-1] ** self.exponent
        return abs(percent_deviation(float(self.theory[-1]), form)) / 100 <= MAX_DISTANCE

    def at(self, classes: Iterable[int]) -> Line:
        """Return the line at some of its C."""
        kept = np.isin(self.C, list(classes))
        arrays = {name: getattr(self, name)[kept] for name in ("C", "theory", "rse_theory", "rse", "draws")}
        return replace(self, **arrays)

    def times(self, factor: float) -> Line:
        """Return the line with standard errors times a factor, from as many more draws."""
        return replace(self, rse=factor * self.rse, draws=np.maximum(np.round(self.draws / factor**2), 8))

    def fit(self, ratios: Values, truth: Values | float = 1.0) -> CurveFit:
        """Fit measured values over the theory's, whose standard errors do not depend on what came out by chance."""
        return fit_on_curve(self.C, ratios, np.hypot(self.rse * truth / ratios, self.rse_theory), self.draws)

    def measured(self, noise: Values, truth: Values | float = 1.0) -> Values:
        """Return measured values over the theory's: a true factor, and noise in units of standard errors."""
        return truth * (1 + self.rse * noise)

    def old_rule_differs(self, ratios: Values) -> bool:
        """Whether the old rule says that measured values over the theory's differ from the theorem."""
        y, std_errors = ratios * self.theory, self.rse * self.theory
        fit = fit_decay(self.C, y, std_errors, self.exponent, self.scale)
        closure = fit_decay(self.C, self.theory, std_errors, self.exponent, self.scale)
        if fit.reason or not self.near:
            return False
        if stats.chi2.sf(fit.chi2, fit.dof) < 1e-4:
            return True
        pairs = (
            (fit.exponent, closure.exponent.value, self.exponent),
            (fit.pinned_constant, closure.pinned_constant.value, self.constant),
        )
        return any(
            abs(found.value - theorem) - abs(biased - theorem) > 3.5 * found.std_error
            for found, biased, theorem in pairs
        )


@cache
def lines_of(specs: tuple[str, ...] = SPECS) -> tuple[Line, ...]:
    """Return the lines of built-in specs that are no identities."""
    errors = pd.read_csv(ERRORS)
    return tuple(line for name in specs for line in _lines(name, errors))


def _lines(name: str, errors: pd.DataFrame) -> Iterator[Line]:
    spec = load(name)
    classes = [C for C in spec.n_classes if C >= MIN_CLASSES]
    rows = errors[(errors["model"] == spec.model) & (errors["loss"] == spec.loss) & errors["layer"].isin(spec.layers)]
    ensemble = ("lecun", 1.0, 1.0, 1.0)
    for (layer, gamma), group in rows.groupby(["layer", "aspect_ratio"], sort=False):
        [dim] = spec.dim
        [width] = spec.width or [None]
        sizes = (dim, round(dim / gamma))
        sized, _ = predict_layer(layer, large_c, ensemble, spec.model, spec.loss, gamma, width, *sizes)
        finites = [predict_layer(layer, finite, ensemble, spec.model, spec.loss, C, *sizes, width)[0] for C in classes]
        for quantity in ("diag", "offdiag", "ratio"):
            theory = np.array([value(prediction, quantity) for prediction in finites])
            if not theory.all():
                continue
            yield Line(
                f"{layer} {spec.loss.upper()}, d/N = {gamma:g}, {quantity}",
                power(sized, quantity),
                value(sized, quantity),
                HIDDEN_CE_SCALE if (layer, spec.loss) == ("hidden", "ce") else CORRECTION_SCALE,
                np.array(classes, dtype=float),
                theory,
                np.array([value(prediction, f"std_error_{quantity}") for prediction in finites]) / theory,
                group[quantity].to_numpy(),
                group["draws"].to_numpy(dtype=float),
            )


def shifted(line: Line, exponent: float) -> Values:
    """Return C^exponent about the weighted mean of log C, where it leaves the fitted constant as it is."""
    weights = 1 / (line.rse**2 + line.rse_theory**2)
    log_c = np.log(line.C)
    return np.exp(exponent * (log_c - np.average(log_c, weights=weights)))


def student(rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
    """Student's t with three degrees of freedom, of variance 1."""
    return rng.standard_t(3, shape) / math.sqrt(3)


def autoregressive(rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
    """Noise of variance 1 that is correlated by 0.9 between neighbouring C, along the last axis."""
    noise = rng.standard_normal(shape)
    for k in range(1, shape[-1]):
        noise[..., k] = 0.9 * noise[..., k - 1] + math.sqrt(1 - 0.81) * noise[..., k]
    return noise


def common(rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
    """Noise of variance 1, half of whose variance is common to all C."""
    return (rng.standard_normal(shape) + rng.standard_normal((*shape[:-1], 1))) / math.sqrt(2)
