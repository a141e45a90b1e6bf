"""The three regimes, for every model, loss and layer: where the pieces of theory become predictions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from numbers import Real

from rmtsim.errors import InputError
from rmtsim.point import LOSSES, MODELS, Point, check_choice, check_size
from rmtsim.theory import linear, one_hidden_ce_large_c, one_hidden_mse
from rmtsim.theory.one_hidden_ce import hidden_same, output_same
from rmtsim.theory.prediction import Estimate, Prediction, Terms, combine
from rmtsim.theory.sampling import TARGET_RSE, pair_terms

REGIMES = ("limit", "large_c", "finite")

#: diag ~ C**first and offdiag ~ C**second as C → ∞.
POWERS = {
    ("ce", "linear"): (-2, -4),
    ("mse", "linear"): (0, 0),
    ("ce", "hidden"): (0, -1),
    ("mse", "hidden"): (2, 1),
    ("ce", "output"): (-2, -4),
    ("mse", "output"): (0, 0),
}


def limit(
    model: str,
    loss: str,
    n_classes: int,
    aspect_ratio: float,
    width: int | None = None,
    *,
    target_rse: float = TARGET_RSE,
) -> list[Prediction]:
    """Predict the norms as d, N → ∞ with d/N → ``aspect_ratio``, at finite C (and m): Theorems 1 and 2.

    Norms of d×d blocks (layers linear and hidden) are divided by d, those of m×m output blocks are not. Deterministic
    but for one hidden layer with cross-entropy, where the terms of two samples are themselves sampled, with a
    fixed seed, towards the relative standard error ``target_rse``: in seconds at its default up to C = 3000, in about
    a minute at C = 10⁵, and in a time that grows as target_rse⁻². The standard errors tell what was reached.

    Raises
    ------
    InputError
        If a value is of the wrong type or out of range, or the width does not fit the model.

    Examples
    --------
    >>> [theorem1] = limit("linear", "ce", n_classes=1000, aspect_ratio=0.5)
    >>> f"{theorem1.diag:.6g} {theorem1.offdiag:.6g}"
    '2.32465e-06 4.57301e-12'
    """
    _check(model, loss, width, n_classes=n_classes)
    ratio = _check_positive("aspect_ratio", aspect_ratio, "d / N")
    _check_positive("target_rse", target_rse, "such as 0.003")
    return [
        _prediction(model, loss, layer, combine(terms, ratio), "limit", ratio, n_classes, width)
        for layer, terms in _terms(model, loss, n_classes, width, None, target_rse)
    ]


def large_c(
    model: str,
    loss: str,
    aspect_ratio: float,
    width: int | None = None,
    dim: int | None = None,
    n_samples: int | None = None,
) -> list[Prediction]:
    """Predict the leading constants as C → ∞: the norms behave as diag · C**diag_power, offdiag · C**offdiag_power.

    Without ``dim`` and ``n_samples``: d, N → ∞ first, at d/N → ``aspect_ratio`` (Theorems 1 and 2). With both, the
    constants at that d and N, whose quotient must be the aspect ratio. Either way, d×d blocks are divided by d.
    A constant that diverges is infinite: small m (one hidden layer, CE), or small d (linear CE, d ≤ 4).
    """
    _check(model, loss, width, dim=dim, n_samples=n_samples)
    ratio = _check_positive("aspect_ratio", aspect_ratio, "d / N")
    if (dim is None) != (n_samples is None):
        raise InputError("dim, n_samples: only one was given; give both or neither")
    if dim is not None and n_samples is not None and not math.isclose(dim / n_samples, ratio, rel_tol=1e-9):
        raise InputError(
            f"aspect_ratio: {aspect_ratio!r} is not dim / n_samples; give {dim / n_samples!r}, or leave the sizes out"
        )
    predictions = []
    for layer, terms in _large_c_terms(model, loss, width, dim):
        if dim is None or n_samples is None:
            estimate = combine(terms, ratio)
        else:
            scaled = terms if layer == "output" else terms.scaled(1 / dim)
            estimate = combine(scaled, 1 / n_samples, 1 - 1 / n_samples)
        predictions.append(_prediction(model, loss, layer, estimate, "large_c", ratio, None, width, dim, n_samples))
    return predictions


def finite(
    model: str,
    loss: str,
    n_classes: int,
    dim: int,
    n_samples: int,
    width: int | None = None,
    *,
    target_rse: float = TARGET_RSE,
) -> list[Prediction]:
    """Predict E‖H_ii‖² and E‖H_ij‖² at this C, d, N (and m), divided by nothing.

    Deterministic but for one hidden layer with cross-entropy, as in :func:`limit`.

    Examples
    --------
    >>> hidden, output = finite("one_hidden", "mse", n_classes=10, dim=64, n_samples=128, width=8)
    >>> round(hidden.diag, 9), round(hidden.offdiag, 9)
    (242.8125, 7.683599128)
    """
    _check(model, loss, width, n_classes=n_classes, dim=dim, n_samples=n_samples)
    _check_positive("target_rse", target_rse, "such as 0.003")
    return [
        _prediction(
            model,
            loss,
            layer,
            combine(terms, 1 / n_samples, 1 - 1 / n_samples),
            "finite",
            dim / n_samples,
            n_classes,
            width,
            dim,
            n_samples,
        )
        for layer, terms in _terms(model, loss, n_classes, width, dim, target_rse)
    ]


def predict(point: Point, regime: str = "limit") -> list[Prediction]:
    """Predict the norms at a point of a sweep, in one of the regimes; one prediction for each layer but cross.

    ``large_c`` uses the point's aspect ratio only; call :func:`large_c` for the constants at its d and N.

    Examples
    --------
    >>> point = Point(model="linear", loss="mse", n_classes=10, dim=500, n_samples=1000)
    >>> [in_the_limit], [exact] = predict(point), predict(point, "finite")
    >>> in_the_limit.diag, exact.diag / 500
    (6.0, 6.004)
    """
    check_choice("regime", regime, REGIMES)
    if regime == "limit":
        return limit(point.model, point.loss, point.n_classes, point.aspect_ratio, point.width)
    if regime == "large_c":
        return large_c(point.model, point.loss, point.aspect_ratio, point.width)
    return finite(point.model, point.loss, point.n_classes, point.dim, point.n_samples, point.width)


def _terms(
    model: str, loss: str, n_classes: int, width: int | None, dim: int | None, target_rse: float
) -> Iterator[tuple[str, Terms]]:
    """Each layer's A and B, in the limit where ``dim`` is None."""
    if width is None and loss == "mse":
        yield "linear", linear.mse(n_classes, dim)
    elif width is None:
        yield "linear", linear.ce_limit(n_classes) if dim is None else linear.ce_finite(n_classes, dim)
    elif loss == "mse":
        yield "hidden", one_hidden_mse.hidden(n_classes, width, dim)
        yield "output", one_hidden_mse.output(n_classes, width, dim)
    else:
        pairs = pair_terms(n_classes, width, dim, target_rse)
        output = (0.0, 0.0) if dim is None else output_same(n_classes, width, dim)
        for k, (layer, same) in enumerate((("hidden", hidden_same(n_classes, width, dim)), ("output", output))):
            diag, offdiag = 2 * k, 2 * k + 1
            yield (
                layer,
                Terms(
                    *same,
                    float(pairs.mean[diag]),
                    float(pairs.mean[offdiag]),
                    float(pairs.covariance[diag, diag]),
                    float(pairs.covariance[offdiag, offdiag]),
                    float(pairs.covariance[diag, offdiag]),
                ),
            )


def _large_c_terms(model: str, loss: str, width: int | None, dim: int | None) -> Iterator[tuple[str, Terms]]:
    if width is None:
        yield "linear", linear.mse(None, dim) if loss == "mse" else linear.ce_large_c(dim)
    elif loss == "mse":
        yield "hidden", one_hidden_mse.hidden_large_c(width, dim)
        yield "output", one_hidden_mse.output(None, width, dim)
    else:
        yield "hidden", one_hidden_ce_large_c.hidden(width, dim)
        yield "output", one_hidden_ce_large_c.output(width, dim)


def _prediction(
    model: str,
    loss: str,
    layer: str,
    estimate: Estimate,
    regime: str,
    aspect_ratio: float,
    n_classes: int | None,
    width: int | None,
    dim: int | None = None,
    n_samples: int | None = None,
) -> Prediction:
    powers = POWERS[loss, layer] if regime == "large_c" else (0, 0)
    return Prediction(
        model=model,
        loss=loss,
        layer=layer,
        n_classes=n_classes,
        aspect_ratio=aspect_ratio,
        width=width,
        dim=dim,
        n_samples=n_samples,
        diag=estimate.diag,
        offdiag=estimate.offdiag,
        ratio=estimate.ratio,
        std_error_diag=estimate.std_error_diag,
        std_error_offdiag=estimate.std_error_offdiag,
        std_error_ratio=estimate.std_error_ratio,
        regime=regime,
        diag_power=powers[0],
        offdiag_power=powers[1],
    )


def _check(model: str, loss: str, width: int | None, **sizes: int | None) -> None:
    check_choice("model", model, MODELS)
    check_choice("loss", loss, LOSSES)
    if model == "linear" and width is not None:
        raise InputError(f"width: {width!r} was given, but the linear model has none; leave it out")
    if model == "one_hidden":
        check_size("width", width)
    for name, size in sizes.items():
        if size is not None or name == "n_classes":
            check_size(name, size)


def _check_positive(name: str, value: float, example: str) -> float:
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise InputError(f"{name}: {value!r} is not valid; give a positive number, {example}")
    return float(value)
