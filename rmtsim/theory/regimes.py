"""The three regimes, for every model, loss and layer: where the pieces of theory become predictions."""

from __future__ import annotations

import math
from dataclasses import asdict
from numbers import Real
from typing import Any

from rmtsim.errors import InputError
from rmtsim.model.choices import LOSSES, REGIMES
from rmtsim.model.ensemble import LECUN, Ensemble, check_ensemble
from rmtsim.model.layers import D_BY_D
from rmtsim.model.models import get_model
from rmtsim.model.point import Point, check_layers, check_point
from rmtsim.text.checks import check_choice, check_size
from rmtsim.theory.notes import note
from rmtsim.theory.prediction import Case, Estimate, Prediction, combine
from rmtsim.theory.quasi_monte_carlo import TARGET_RSE
from rmtsim.theory.terms import check_case, ensemble_scales, large_c_terms, terms

#: diag ~ C**first and offdiag ~ C**second as C → ∞.
POWERS = {
    ("ce", "linear"): (-2, -4),
    ("mse", "linear"): (0, 0),
    ("ce", "hidden"): (0, -1),
    ("mse", "hidden"): (2, 1),
    ("ce", "output"): (-2, -4),
    ("mse", "output"): (0, 0),
    ("ce", "cross"): (0, -1),
    ("mse", "cross"): (0, 0),
}


def limit(
    model: str,
    loss: str,
    n_classes: int,
    aspect_ratio: float,
    width: int | None = None,
    *,
    ensemble: Ensemble = LECUN,
    layers: tuple[str, ...] | None = None,
    target_rse: float = TARGET_RSE,
) -> list[Prediction]:
    """Predict the norms as d, N → ∞ with d/N → ``aspect_ratio``, at finite C (and m): Theorems 1 and 2.

    Norms of d×d blocks (layers linear and hidden) are divided by d, those of m×m and of cross blocks are not.
    Deterministic but for one hidden layer with cross-entropy, where an integral over a pair of samples is left to
    randomised quasi-Monte Carlo, with a fixed seed, towards the relative standard error ``target_rse``. It takes
    seconds, whatever C is, and is kept on disk (``rmtsim.theory.disk_cache``). The standard errors are those
    reached. ``layers`` selects some of the model's, by default all; the cross layer has no diagonal blocks.
    ``"xavier"`` weights of fan-in d have d times the variance 2 in this limit, whatever their fan-out.

    Raises
    ------
    InputError
        If a value is of the wrong type or out of range, or the width or the ensemble does not fit the model.

    Examples
    --------
    >>> [theorem1] = limit("linear", "ce", n_classes=1000, aspect_ratio=0.5)
    >>> f"{theorem1.diag:.6g} {theorem1.offdiag:.6g}"
    '2.32465e-06 4.57301e-12'
    """
    _check(model, loss, width, ensemble, n_classes=n_classes)
    ratio = _check_positive("aspect_ratio", aspect_ratio, "d / N")
    _check_positive("target_rse", target_rse, "such as 0.003")
    case = Case(model, loss, n_classes, ratio, width, None, None, "limit", ensemble)
    found = terms(case, _chosen(layers, model), target_rse)
    return [_prediction(case, layer, combine(of_layer, ratio)) for layer, of_layer in found]


def large_c(
    model: str,
    loss: str,
    aspect_ratio: float,
    width: int | None = None,
    dim: int | None = None,
    n_samples: int | None = None,
    *,
    ensemble: Ensemble = LECUN,
    layers: tuple[str, ...] | None = None,
) -> list[Prediction]:
    """Predict the leading constants as C → ∞: the norms behave as diag · C**diag_power, offdiag · C**offdiag_power.

    Without ``dim`` and ``n_samples``: d, N → ∞ first, at d/N → ``aspect_ratio`` (Theorems 1 and 2). With both, the
    constants at that d and N, whose quotient must be the aspect ratio. Either way, d×d blocks are divided by d.
    A constant that diverges is infinite, with the reason in ``note``: one hidden layer with CE at small m, linear CE at
    d ≤ 4 gain, where gain = ``data_variance`` · d Var(W) · fan_in Var(V), without the factor of W in the linear model.

    Raises
    ------
    InputError
        As :func:`limit`; and with ``"xavier"``, where the variance of V depends on C, unless nothing depends on V.
    """
    _check(model, loss, width, ensemble, dim=dim, n_samples=n_samples)
    ratio = _check_positive("aspect_ratio", aspect_ratio, "d / N")
    if (dim is None) != (n_samples is None):
        raise InputError("dim, n_samples: only one was given; give both or neither")
    if dim is not None and n_samples is not None and not math.isclose(dim / n_samples, ratio, rel_tol=1e-9):
        raise InputError(
            f"aspect_ratio: {aspect_ratio!r} is not dim / n_samples; give {dim / n_samples!r}, or leave the sizes out"
        )
    case = Case(model, loss, None, ratio, width, dim, n_samples, "large_c", ensemble)
    if (model, loss) != ("linear", "mse") and math.isnan(ensemble_scales(case).last):
        raise InputError(
            "init: with 'xavier' the variance of V falls as 2 last_gain / (fan_in + C), so the logits vanish as C → "
            "infinity and the powers of C are not those of Theorems 1 and 2; ask for limit or finite at your C, or "
            "give init lecun or he"
        )
    predictions = []
    for layer, of_layer in large_c_terms(case, _chosen(layers, model)):
        if dim is None or n_samples is None:
            estimate = combine(of_layer, ratio)
        else:
            scaled = of_layer.scaled(1 / dim) if layer in D_BY_D else of_layer
            estimate = combine(scaled, 1 / n_samples, 1 - 1 / n_samples)
        predictions.append(_prediction(case, layer, estimate))
    return predictions


def finite(
    model: str,
    loss: str,
    n_classes: int,
    dim: int,
    n_samples: int,
    width: int | None = None,
    *,
    ensemble: Ensemble = LECUN,
    layers: tuple[str, ...] | None = None,
    target_rse: float = TARGET_RSE,
) -> list[Prediction]:
    """Predict E‖H_ii‖² and E‖H_ij‖² at this C, d, N (and m), divided by nothing.

    Deterministic but for one hidden layer with cross-entropy, as in :func:`limit`.

    Examples
    --------
    >>> hidden, output, cross = finite("one_hidden", "mse", n_classes=10, dim=64, n_samples=128, width=8)
    >>> round(hidden.diag, 9), round(hidden.offdiag, 9)
    (242.8125, 7.683599128)
    """
    _check(model, loss, width, ensemble, n_classes=n_classes, dim=dim, n_samples=n_samples)
    _check_positive("target_rse", target_rse, "such as 0.003")
    case = Case(model, loss, n_classes, dim / n_samples, width, dim, n_samples, "finite", ensemble)
    weights = 1 / n_samples, 1 - 1 / n_samples
    found = terms(case, _chosen(layers, model), target_rse)
    return [_prediction(case, layer, combine(of_layer, *weights)) for layer, of_layer in found]


def at_point(point: Point, regime: str, layers: tuple[str, ...] | None = None) -> list[Prediction]:
    """Predict the norms at a point of a sweep, in one of the regimes; one prediction for each layer, or for some.

    ``large_c`` uses the point's aspect ratio only; call :func:`large_c` for the constants at its d and N.

    Examples
    --------
    >>> point = Point(model="linear", loss="mse", n_classes=10, dim=500, n_samples=1000)
    >>> [in_the_limit], [exact] = at_point(point, "limit"), at_point(point, "finite")
    >>> in_the_limit.diag, exact.diag / 500
    (6.0, 6.004)
    """
    check_point(point)
    check_choice("regime", regime, REGIMES)
    model, loss, C, width = point.model, point.loss, point.n_classes, point.width
    options: dict[str, Any] = {"ensemble": point.ensemble, "layers": layers}
    if regime == "limit":
        return limit(model, loss, C, point.aspect_ratio, width, **options)
    if regime == "large_c":
        return large_c(model, loss, point.aspect_ratio, width, **options)
    return finite(model, loss, C, point.dim, point.n_samples, width, **options)


def why_no_theory(point: Point, layers: tuple[str, ...]) -> str:
    """Return in words why there is no theory of a point at its own C, d and N; nothing where there is one.

    Examples
    --------
    >>> from rmtsim.model.ensemble import Ensemble
    >>> point = Point("one_hidden", "ce", 10, dim=5, n_samples=10, width=4, ensemble=Ensemble(activation="tanh"))
    >>> why_no_theory(point, point.layers)
    "activation: the theory is that of relu, and with MSE of identity, not of tanh with 'ce'; only draws tell"
    """
    C, d, N, m = point.n_classes, point.dim, point.n_samples, point.width
    try:
        check_case(Case(point.model, point.loss, C, point.aspect_ratio, m, d, N, "finite", point.ensemble), layers)
    except InputError as error:
        return str(error)
    return ""


def _prediction(case: Case, layer: str, estimate: Estimate) -> Prediction:
    powers = POWERS[case.loss, layer] if case.regime == "large_c" else (0, 0)
    return Prediction(
        model=case.model,
        loss=case.loss,
        layer=layer,
        n_classes=case.n_classes,
        aspect_ratio=case.aspect_ratio,
        width=case.width,
        dim=case.dim,
        n_samples=case.n_samples,
        **asdict(estimate),
        regime=case.regime,
        diag_power=powers[0],
        offdiag_power=powers[1],
        **asdict(case.ensemble),
        note=note(case, layer, estimate),
    )


def _chosen(layers: tuple[str, ...] | None, model: str) -> tuple[str, ...]:
    known = get_model(model).layer_names
    return known if layers is None else check_layers(layers, known)


def _check(model: str, loss: str, width: int | None, ensemble: Ensemble, **sizes: int | None) -> None:
    network = get_model(model)
    check_choice("loss", loss, LOSSES)
    network.check_width(width)
    check_ensemble(ensemble, network)
    for name, size in sizes.items():
        if size is not None or name == "n_classes":
            check_size(name, size)


def _check_positive(name: str, value: float, example: str) -> float:
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise InputError(f"{name}: {value!r} is not valid; give a positive number, {example}")
    return float(value)
