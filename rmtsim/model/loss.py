"""What a loss is: its value, its residuals and its curvature by the logits; and the losses by name.

A loss of N samples is the mean of a loss of each, which depends on the sample's logits f_n, (C,), and its label. Each
module of `rmtsim.model.losses` has one or two of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np

from rmtsim.arrays.backend import Array, Module
from rmtsim.text.named_objects import Registry


class Curvature(NamedTuple):
    """Second derivative of each sample's loss by its logits: S_n = diag(a_n) − b_n b_nᵀ."""

    diagonal: Array  #: a, (N, C)
    rank_one: Array | None  #: b, (N, C); None stands for 0

    def apply(self, T: Array, xp: Module) -> Array:
        """Return S_n t_n for the rows of T, (N, C)."""
        out = self.diagonal * T
        if self.rank_one is not None:
            out = out - self.rank_one * xp.sum(self.rank_one * T, axis=-1, keepdims=True)
        return out


class Certainty(NamedTuple):
    """How much of each sample's probability lies outside its most probable class, and how little is too little."""

    rest: Array  #: (N,)
    least: float  #: where every rest is below this, rounding takes the digits of the curvature


class Loss(ABC):
    """A loss of C outputs and labels from 0 to C − 1, or of one output and labels 0 and 1.

    A new loss derives from this class, defines `name` and the two abstract methods, and is passed to `register_loss`.
    It can then be given by its name to `rmtsim.hessian`, to `rmtsim.layer_norms` and to training. The block norms of
    `rmtsim.block_norms` and of sweeps, and the theory, are closed forms of two losses, ``"ce"`` and ``"mse"``.

    Attributes
    ----------
    name
        What users choose it by.
    one_output
        Whether it is a loss of one output for two classes.
    softmax
        Whether it depends on the logits through their softmax: the curvature of a sample is then diag(p) − p pᵀ. The
        curvature of the other loss with closed forms is constant and couples no two classes.
    closed_form
        Whether block norms and theory have closed forms for it.
    curvature_needs_labels
        Whether the curvature depends on the labels.

    Examples
    --------
    >>> import numpy as np
    >>> from rmtsim.model.loss import Curvature, Loss
    >>> class Half(Loss):
    ...     name = "half_of_squares"
    ...     def value_and_residuals(self, logits, y, xp):
    ...         errors = logits - np.eye(logits.shape[1])[y]
    ...         return 0.5 * (errors**2).sum(axis=1).mean(), errors
    ...     def curvature(self, logits, y, xp):
    ...         return Curvature(np.ones_like(logits), None)
    >>> Half().value_and_residuals(np.zeros((2, 3)), np.array([0, 2]), np)[0].item()
    0.5
    """

    name: ClassVar[str]
    one_output: ClassVar[bool] = False
    softmax: ClassVar[bool] = False
    closed_form: ClassVar[bool] = False
    curvature_needs_labels: ClassVar[bool] = False

    @abstractmethod
    def value_and_residuals(self, logits: Array, y: Array, xp: Module) -> tuple[float, Array]:
        """Return the mean loss and the residuals r_n, the derivative of each sample's loss by its logits, (N, C).

        Parameters
        ----------
        logits
            (N, C), or (N, 1) for a loss of one output; they may be overwritten.
        y
            Labels, (N,), whole numbers.
        xp
            The array module.

        Returns
        -------
        tuple
            The mean loss, and r.
        """

    @abstractmethod
    def curvature(self, logits: Array, y: Array | None, xp: Module) -> Curvature:
        """Return the second derivative of each sample's loss by its logits.

        Parameters
        ----------
        logits
            (N, C), or (N, 1) for a loss of one output; they are kept.
        y
            Labels, (N,), whole numbers; may be None unless `curvature_needs_labels`.
        xp
            The array module.

        Returns
        -------
        Curvature
            The diagonal a and the rank-one part b of S_n = diag(a_n) − b_n b_nᵀ, both (N, C); None for b stands for 0.
        """

    def scale_exponent(self, logits: Any, far: int) -> Any:
        """Return δ for logits of about 2^logits: V may be multiplied by 2^δ without a change of residual or curvature.

        That is so where logits are below 2^−far, too small to change a digit of a probability, and for some losses
        where they are above 2^far. By default V is not touched.
        """
        return np.zeros_like(logits)

    def certainty(self, logits: Array, dtype: str, xp: Module) -> Certainty | None:
        """Return how certain the samples are, where the curvature vanishes with certainty; None for other losses."""
        return None

    def __repr__(self) -> str:
        return f"{type(self).__module__}.{type(self).__qualname__}()"


_LOSSES: Registry[Loss] = Registry("loss", "rmtsim.model.losses")


def register_loss(loss: Loss) -> Loss:
    """Make a loss known by its name; each process that uses it has to import the module that does so.

    Parameters
    ----------
    loss
        An object of a class derived from `rmtsim.model.loss.Loss`.

    Returns
    -------
    Loss
        The loss.

    Raises
    ------
    InputError
        If the name is not a valid one, or another loss has it.

    Examples
    --------
    >>> from rmtsim.model.loss import get_loss, register_loss
    >>> register_loss(get_loss("ce")) is get_loss("ce")  # the same again is no error
    True
    """
    return _LOSSES.register(loss)


def get_loss(name: Any) -> Loss:
    """Return the loss of that name; raise InputError, which lists the names, if there is none."""
    return _LOSSES.get(name)


def loss_names() -> tuple[str, ...]:
    """Names of all losses that a network can be trained with."""
    return _LOSSES.names()
