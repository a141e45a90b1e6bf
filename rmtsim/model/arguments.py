"""A network of a user: its arrays as they are computed with, and whether they fit together."""

from __future__ import annotations

from typing import Any, NamedTuple

from rmtsim.arrays.backend import Array, Module, namespace
from rmtsim.arrays.plain_arrays import plain
from rmtsim.arrays.user_arrays import as_floats, as_labels, check_finite
from rmtsim.errors import InputError
from rmtsim.model.loss import get_loss, loss_names
from rmtsim.text.checks import check_choice
from rmtsim.text.words import number_of


class Given(NamedTuple):
    """A network and its data, of one array module and one dtype."""

    X: Array  #: (…, N, d)
    hidden: list[Array]  #: hidden layers from the input on, each (…, outputs, inputs)
    V: Array  #: (…, C, inputs)
    y: Array | None  #: labels (…, N), int64
    dtype: str  #: "float32" or "float64"
    xp: Module


def as_network(
    X: Any, V: Any, *, W: Any, y: Any, loss: str, losses: tuple[str, ...] | None = None, batched: bool = False
) -> Given:
    """Return a network and its data as arrays of one module and dtype, whatever kinds of arrays they come as.

    Parameters
    ----------
    X, V, y
        Samples (N, d), last layer (C, inputs), labels (N,), whole numbers from 0 to C − 1, or None.
    W
        None, a hidden layer (m, d), or a sequence of hidden layers from the input on.
    loss, losses
        The loss, and those to choose from; by default all.
    batched
        Whether all arrays may have the same leading axes, which run over draws.

    Raises
    ------
    InputError
        If something is not an array of finite real numbers, or they do not fit together.
    """
    if losses is not None and isinstance(loss, str) and loss in loss_names() and loss not in losses:
        raise InputError(
            f"loss: {loss!r} has no block norms in closed form; choose one of {', '.join(losses)}, or give it to "
            "rmtsim.layer_norms or rmtsim.hessian"
        )
    check_choice("loss", loss, loss_names() if losses is None else losses)
    one_output = get_loss(loss).one_output
    layers = [] if W is None else list(W) if is_sequence_of_layers(W) else [W]
    names = ["W" if len(layers) == 1 else f"W[{k}]" for k in range(len(layers))]
    found, dtype = as_floats({"X": X, **dict(zip(names, layers, strict=True)), "V": V})
    X, *hidden, V = found
    xp = namespace(X)
    for name, array in zip(["X", *names, "V"], found, strict=True):
        _check_matrix(name, array, X, batched)
    inputs = X.shape[-1]
    for name, array in zip([*names, "V"], found[1:], strict=True):
        if array.shape[-1] != inputs:
            raise InputError(f"{name}: {array.shape[-1]} columns do not fit {_inputs(name, inputs, len(hidden))}")
        inputs = array.shape[-2]
    if one_output and V.shape[-2] != 1:
        raise InputError(f"V: {V.shape[-2]} rows do not fit loss {loss!r}, which has one output; give (1, inputs)")
    if y is not None:
        _check_not_swapped(X, V, y, bool(hidden))
        y = as_labels(y, X.shape[:-1], 2 if one_output else V.shape[-2], xp)
    return Given(X, hidden, V, y, dtype, xp)


def _check_not_swapped(X: Array, V: Array, y: Any, has_hidden: bool) -> None:
    """Raise InputError where there is a label for each row of V, and not for each of X."""
    shape = tuple(getattr(y, "shape", (len(y),) if isinstance(y, list | tuple) else ()))
    if shape != tuple(X.shape[:-1]) and shape == tuple(V.shape[:-1]):
        raise InputError(
            f"X, V: y has a label for each of the {V.shape[-2]} rows of V, and X has {X.shape[-2]}, so that the two "
            f"seem to be swapped; give samples (N, d) as X and the last layer (C, {'m' if has_hidden else 'd'}) as V"
        )


def check_labelled(y: Array | None, needs: str = "the cross layer needs") -> None:
    """Raise InputError, which says what needs them, unless there are labels."""
    if y is None:
        raise InputError(f"y: {needs} labels; give (N,) whole numbers from 0 to C - 1")


def as_one_layer(W: Any, X: Any) -> Any:
    """Return W where it is one hidden layer, or one for each draw of X; raise InputError where it is several layers."""
    if not is_sequence_of_layers(W):
        return W
    if not W:
        return None
    if _axes(X) < 3:
        raise InputError(
            f"W: it is a sequence of {number_of(len(W), 'layer')}, and block_norms takes one hidden layer (m, d); for "
            "deeper networks give W to rmtsim.layer_norms, or to rmtsim.hessian"
        )
    return plain(W, "W")


def is_sequence_of_layers(W: Any) -> bool:
    """Whether W is a list or tuple of matrices; lists of numbers in lists are a matrix."""
    return isinstance(W, list | tuple) and (not W or any(_axes(item) >= 2 for item in W))


def _axes(item: Any) -> int:
    if isinstance(item, list | tuple):
        return 1 + max(map(_axes, item[:1]), default=0)
    return int(getattr(item, "ndim", 0))


def _check_matrix(name: str, array: Array, X: Array, batched: bool) -> None:
    shape = tuple(array.shape)
    if array.ndim < 2 or (array.ndim > 2 and not batched) or shape[:-2] != X.shape[:-2]:
        raise InputError(f"{name}: shape {shape} is not valid; {_wanted(batched)}")
    if 0 in shape[-2:]:
        raise InputError(f"{name}: shape {shape} has no entries; every axis needs at least one")
    check_finite(array, name)


def _inputs(name: str, inputs: int, n_hidden: int) -> str:
    """Say what the columns of a layer should fit."""
    if n_hidden > 1:
        return f"the {inputs} inputs of its layer"
    if name == "W":
        return f"X with d = {inputs}; W is (m, d)"
    letter = "m" if n_hidden else "d"
    return f"{letter} = {inputs}; V is (C, {letter})"


def _wanted(batched: bool) -> str:
    if batched:
        return "give matrices, or stacks of matrices with the same leading axes as X"
    return "give matrices: X (N, d), W (m, d), V (C, d) or (C, m)"
