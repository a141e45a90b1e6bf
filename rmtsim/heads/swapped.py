"""Weights and features that were given in each other's place: both are matrices of d columns, so either fits."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from rmtsim.errors import InputError
from rmtsim.heads.matrix import Matrix

Found = TypeVar("Found")

#: Words of names of files and tensors that say what is in them.
_WEIGHTS = {"weight", "weights", "kernel"}
_FEATURES = {"feature", "features", "activation", "activations", "hidden"}


def of_classes(read: Callable[[int], Found], what: str, V: Matrix, X: Matrix) -> Found:
    """Return what has one entry a class, such as a bias, as ``read`` returns it for a number of classes.

    Raises
    ------
    InputError
        As ``read`` does; if it would fit were V and X swapped, the message says so.
    """
    try:
        return read(V.shape[0])
    except InputError:
        try:
            read(X.shape[0])
        except InputError:
            fits = False
        else:
            fits = V.shape[0] != X.shape[0]
        if not fits:
            raise
    raise InputError(
        f"{what}: it has an entry for each of the {X.shape[0]} rows of X, and V has {V.shape[0]}, so that V and X seem "
        "to be swapped; give the head's weights (C, d) as V and what it is given (M, d) as X"
    )


def suspicion(V: Matrix, X: Matrix, least_weight: float, least_feature: float) -> str:
    """Return why V and X seem to be swapped, in a sentence; "" where nothing says so.

    Parameters
    ----------
    V, X
        The weights and the features, or what was given as such.
    least_weight, least_feature
        The least number in each.
    """
    weights, features = _words(V), _words(X)
    why = ""
    if features & _WEIGHTS and not features & _FEATURES and not weights & _WEIGHTS:
        why = f"the features are read from {X.source}"
    elif weights & _FEATURES and not weights & _WEIGHTS and not features & _FEATURES:
        why = f"the weights are read from {V.source}"
    elif least_weight >= 0 > least_feature:
        why = "no weight is negative, like features behind a ReLU, and some features are"
    advice = "the weights (C, d) are V or --weights, and what the head is given (M, d) is X or --features"
    return f"{why}; are the two swapped? {advice}" if why else ""


def _words(matrix: Matrix) -> set[str]:
    """Return the words of the name of a file, and of the tensor in it."""
    name = re.split(r"[/\\]", matrix.source)[-1]
    return set(re.findall(r"[a-z]+", name.lower()))
