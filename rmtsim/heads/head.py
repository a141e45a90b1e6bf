"""The last layer itself: its weights, bias and scale, as rows of V that stream past."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rmtsim.heads.matrix import Matrix, blocks, pick_rows
from rmtsim.kernels.scaling import OutOfRange, times_power
from rmtsim.model.choices import BiasName


@dataclass(frozen=True)
class Head:
    """A last layer: logits = scale · (V x + bias).

    Parameters
    ----------
    V, bias
        Weights (C, d), and (C,) or None.
    bias_as
        ``"column"`` or ``"left-out"``.
    scale
        The factor of the logits, as the inverse of a temperature.
    largest
        max_c |v_c| of each input, the bias's included, (inputs,).
    least
        The least number in V.
    """

    V: Matrix
    bias: npt.NDArray[np.float64] | None
    bias_as: BiasName
    scale: float
    largest: npt.NDArray[np.float64]
    least: float

    @classmethod
    def of(cls, V: Matrix, bias: npt.NDArray[np.float64] | None, bias_as: BiasName, scale: float) -> Head:
        """Return the head after a first look at all of V, which finds what is not finite."""
        largest, least = np.zeros(V.shape[1]), np.inf
        for part in blocks(V):
            rows = V.rows(part.start, part.stop, np.float64)
            np.maximum(largest, np.maximum(rows.max(axis=0), -(low := rows.min(axis=0))), out=largest)
            least = min(least, float(low.min()))
        if bias is not None:
            largest = np.append(largest, np.max(np.abs(bias)))
        return cls(V, bias, bias_as, scale, largest, least)

    def inputs(self, X: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return what the logits are linear in: samples (N, d), with a column of ones for a bias, times the scale.

        Raises
        ------
        OutOfRange
            If the scale takes them to where their dtype has no digits left.
        """
        if self.bias is not None:
            X = np.concatenate([X, np.ones((len(X), 1), X.dtype)], axis=1)
        if self.scale == 1:
            return X
        scaled: npt.NDArray[Any] = X * X.dtype.type(self.scale)
        kind = np.finfo(X.dtype)
        if np.any(X) and np.max(np.abs(scaled)) < kind.tiny / kind.eps:
            raise OutOfRange(f"samples times {self.scale:g} are below what {X.dtype} holds; give another scale")
        return scaled

    def of_blocks(self, U: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return those of the inputs that the blocks are of."""
        left_out = self.bias is not None and self.bias_as == "left-out"
        return np.ascontiguousarray(U[:, :-1]) if left_out else U


class HeadRows:
    """The rows of V times 2^exponent, with the bias as a last column, as the kernels take them.

    Parameters
    ----------
    head, dtype, exponent
        The head, the dtype of the arithmetic, and the power of two that was taken out of the samples.
    classes
        Numbers of the classes, in the order in which they pass; by default all.
    """

    def __init__(self, head: Head, dtype: str, exponent: Any, classes: npt.NDArray[np.int64] | None = None) -> None:
        self._head, self._dtype, self._exponent, self._classes = head, dtype, exponent, classes
        n_classes = head.V.shape[0] if classes is None else len(classes)
        self.shape: tuple[int, ...] = (n_classes, len(head.largest))

    def rows(self, classes: slice) -> npt.NDArray[Any]:
        """Return the rows of these classes, (c, inputs)."""
        head = self._head
        if self._classes is None:
            start, stop, _ = classes.indices(self.shape[0])
            rows, bias = head.V.rows(start, stop, self._dtype), slice(start, stop)
        else:
            bias = self._classes[classes]  # type: ignore[assignment]
            rows = pick_rows(head.V, self._classes[classes], self._dtype)
        if head.bias is not None:
            rows = np.concatenate([rows, head.bias[bias, None].astype(self._dtype)], axis=1)
        return times_power(rows, self._exponent, np)  # type: ignore[no-any-return]

    def draw(self, index: tuple[int, ...]) -> HeadRows:
        """Return the rows of the one draw that there is."""
        return self

    def of(self, classes: npt.NDArray[np.int64]) -> HeadRows:
        """Return the rows of some classes."""
        return HeadRows(self._head, self._dtype, self._exponent, classes)
