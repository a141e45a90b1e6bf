"""Checks of the arrays that a user hands in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rmtsim.arrays.backend import Array, Module, namespace
from rmtsim.errors import InputError
from rmtsim.full_hessian.losses import BINARY_LOSSES, NETWORK_LOSSES
from rmtsim.point import LOSSES, check_choice


def check_arrays(
    X: Array,
    V: Array,
    *,
    W: Array | None,
    y: Array | None,
    loss: str,
    needs_labels: bool,
    batched: bool,
) -> None:
    """Raise InputError unless the arrays fit together.

    X is (…, N, d) and V (…, C, d); with a hidden layer W is (…, m, d) and V (…, C, m); labels y are
    (…, N) whole numbers from 0 to C − 1. The leading axes run over draws; with ``batched=False`` there are none.
    """
    check_choice("loss", loss, LOSSES)
    for name, array in ({"X": X, "V": V} if W is None else {"X": X, "W": W, "V": V}).items():
        _check_matrix(name, array, X, batched)
    dim = X.shape[-1]
    if W is not None and W.shape[-1] != dim:
        raise InputError(f"W: {W.shape[-1]} columns do not fit X with d = {dim}; W is (m, d)")
    inputs, letter = (dim, "d") if W is None else (W.shape[-2], "m")
    if V.shape[-1] != inputs:
        raise InputError(f"V: {V.shape[-1]} columns do not fit {letter} = {inputs}; V is (C, {letter})")
    if y is None:
        if needs_labels:
            raise InputError("y: the cross layer needs labels; give (N,) whole numbers from 0 to C - 1")
        return
    _check_labels(y, X, V.shape[-2])


def check_network(X: Array, V: Array, hidden: Sequence[Array], y: Array | None, loss: str) -> None:
    """Raise InputError unless these are a network: X (N, d), hidden layers (outputs, inputs), V, labels y (N,)."""
    check_choice("loss", loss, NETWORK_LOSSES)
    if len(hidden) < 2 and loss in LOSSES:
        W = hidden[0] if hidden else None
        check_arrays(X, V, W=W, y=y, loss=loss, needs_labels=bool(hidden), batched=False)
        return
    names = ["W" if len(hidden) == 1 else f"W[{k}]" for k in range(len(hidden))]
    _check_matrix("X", X, X, batched=False)
    inputs = X.shape[1]
    for name, array in zip([*names, "V"], [*hidden, V], strict=True):
        _check_matrix(name, array, X, batched=False)
        if array.shape[1] != inputs:
            raise InputError(f"{name}: {array.shape[1]} columns do not fit the {inputs} inputs of its layer")
        inputs = array.shape[0]
    if y is None and hidden:
        raise InputError("y: the cross layers need labels; give (N,) whole numbers from 0 to C - 1")
    if loss in BINARY_LOSSES and V.shape[0] != 1:
        raise InputError(f"V: {V.shape[0]} rows do not fit loss {loss!r}, which has one output; give (1, inputs)")
    if y is not None:
        _check_labels(y, X, 2 if loss in BINARY_LOSSES else V.shape[0])


def as_labels(y: Any, xp: Module) -> Array:
    """Return labels, an array or nested lists, as an array of xp; raise InputError if they are of no one shape."""
    try:
        return xp.asarray(y)
    except (TypeError, ValueError):
        raise InputError("y: it is no array of one shape; give (N,) whole numbers from 0 to C - 1") from None


def _check_matrix(name: str, array: Array, X: Array, batched: bool) -> None:
    xp = namespace(X)
    if namespace(array, name) is not xp:
        raise InputError(f"{name}: it belongs to another array module than X; give all from one")
    if array.dtype not in (xp.float32, xp.float64) or array.dtype != X.dtype:
        raise InputError(f"{name}: dtype {array.dtype} is not valid; give X, W, V all float32 or all float64")
    if array.ndim < 2 or (array.ndim > 2 and not batched) or array.shape[:-2] != X.shape[:-2]:
        raise InputError(f"{name}: shape {tuple(array.shape)} is not valid; {_wanted(batched)}")
    if 0 in array.shape[-2:]:
        raise InputError(f"{name}: shape {tuple(array.shape)} has no entries; every axis needs at least one")
    if not bool(xp.all(xp.isfinite(array))):
        raise InputError(f"{name}: it holds NaN or infinity; give finite numbers")


def _check_labels(y: Array, X: Array, n_classes: int) -> None:
    xp = namespace(X)
    if not xp.isdtype(y.dtype, "integral") or y.shape != X.shape[:-1]:
        raise InputError(
            f"y: dtype {y.dtype}, shape {tuple(y.shape)} is not valid; give {tuple(X.shape[:-1])} whole numbers"
        )
    if not bool(xp.all((y >= 0) & (y < n_classes))):
        raise InputError(f"y: a label lies outside 0 … {n_classes - 1}; there are {n_classes} classes")


def _wanted(batched: bool) -> str:
    if batched:
        return "give matrices, or stacks of matrices with the same leading axes as X"
    return "give matrices: X (N, d), W (m, d), V (C, d) or (C, m)"
